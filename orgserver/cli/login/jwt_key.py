"""A private key as an operator has it: in a PEM file, perhaps under a passphrase, perhaps open to others."""

from __future__ import annotations

import stat
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from orgserver.cli.output import warn
from orgserver.model.errors import ConfigError
from orgserver.model.secret import Secret
from orgserver.salesforce.auth import pem


def read_file(path: Path) -> Secret:
    """Read a key file; ConfigError says in one line what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(pem.MAX_BYTES + 1)
            mode = path.stat().st_mode
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigError(f"{path} cannot be read: {reason}", hint="give the path of the key's PEM file") from None
    if len(data) > pem.MAX_BYTES:
        raise ConfigError(f"{path} is too large to be a key", hint=_HINT)
    if sys.platform != "win32" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        warn(f"{path} can be read or changed by others on this machine; close it with: chmod 600")
    return read(data, str(path))


def read(data: bytes, where: str) -> Secret:
    """Read a key, asking for its passphrase on a terminal if it has one."""
    now = datetime.now(UTC)
    try:
        try:
            return pem.read(data, now).private_key
        except pem.PassphraseNeeded as needed:
            return pem.read(data, now, _passphrase(where, needed)).private_key
    except pem.KeyRefused as error:
        raise ConfigError(f"{where} {error}", hint=_HINT) from None


def _passphrase(where: str, needed: pem.PassphraseNeeded) -> Secret:
    if not sys.stdin.isatty():
        raise ConfigError(
            f"{where} {needed}, and nobody is here to give it",
            hint="run the command on a terminal, or take the passphrase off: openssl pkey -in KEY -out NEW",
        ) from None
    passphrase = click.prompt(f"passphrase of {where}", hide_input=True, default="", show_default=False, err=True)
    if not passphrase:
        raise ConfigError(f"{where} {needed}, and none was given") from None
    return Secret(passphrase)


_HINT = "wanted: an RSA private key in PEM, whose certificate the app has (openssl req -x509 -newkey rsa:2048 …)"
