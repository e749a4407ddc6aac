"""What the options of a login say: of which kind it is, and which source is read for its parts.

Sources are standard input, an env file, the ``sf`` command and the environment. No secret is ever an option.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from orgserver.cli.login.credentials import CredentialParts
from orgserver.model.orgs import AuthKind

_VARIABLES = ("client_id", "client_secret", "refresh_token")


def read_options(options: dict[str, Any]) -> tuple[AuthKind, CredentialParts]:
    """The kind of login, and the parts that options and a source hold; UsageError where options do not go together."""
    environment = {name: os.environ.pop(f"ORGSERVER_{name.upper()}", "").strip() for name in _VARIABLES}
    source = _source_option(options)
    _refuse_stray(options)
    parts = _read_source(source, options)
    parts.environment = environment
    for name in ("client_id", "login_url", "instance_url", "username"):
        if options[name]:
            parts.add(name, options[name], f"--{name.replace('_', '-')}")
    return _auth(options, parts, source), parts


def add_key_file(parts: CredentialParts, path: Path) -> None:
    """Add the private key of a PEM file, whose passphrase a person may be asked for."""
    from orgserver.cli.login import jwt_key  # noqa: PLC0415  # RSA is imported where it is used

    parts.add("private_key", jwt_key.read_file(path).reveal(), str(path))


def _source_option(options: dict[str, Any]) -> str | None:
    sources = [name for name in ("env_file", "credentials_stdin", "sfdx_url_stdin", "from_sf_cli") if options[name]]
    for pair in (sources, [name for name in ("login_url", "test_org") if options[name]]):
        if len(pair) > 1:
            one, other = (f"--{name.replace('_', '-')}" for name in pair[:2])
            raise click.UsageError(f"{one} and {other} exclude each other")
    return sources[0] if sources else None


def _refuse_stray(options: dict[str, Any]) -> None:
    """Refuse options that another --auth would need."""
    auth = options["auth"]
    if options["jwt_key_file"] and auth not in (None, "jwt"):
        raise click.UsageError("--jwt-key-file goes with --auth jwt")
    if options["username"] and auth not in (None, "jwt", "web"):
        raise click.UsageError("--username goes with --auth jwt or web")
    if options["audience"] and auth not in (None, "jwt"):
        raise click.UsageError("--audience goes with --auth jwt")
    if options["callback_url"] and auth not in (None, "web"):
        raise click.UsageError("--callback-url goes with --auth web")
    if (options["sfdx_url_stdin"] or options["from_sf_cli"]) and auth not in (None, "refresh-token"):
        raise click.UsageError("a log-in of the sf command is a refresh token: leave --auth out")


def _auth(options: dict[str, Any], parts: CredentialParts, source: str | None) -> AuthKind:
    """How to log in: as the options say, or as the parts can; with none, in the browser if somebody is here."""
    auth: AuthKind = options["auth"] or _auth_of_parts(options, parts, source)
    if options["audience"] and auth != "jwt":
        raise click.UsageError("--audience goes with --auth jwt")
    return auth


def _auth_of_parts(options: dict[str, Any], parts: CredentialParts, source: str | None) -> AuthKind:
    if options["jwt_key_file"] or "private_key" in parts.values:
        return "jwt"
    if options["callback_url"]:
        return "web"
    if source or parts.environment["refresh_token"] or not sys.stdin.isatty():
        return "refresh-token"
    return "web"


def _read_source(source: str | None, options: dict[str, Any]) -> CredentialParts:
    """The parts that a source holds; each is imported for those who use it."""
    if source == "credentials_stdin":
        from orgserver.cli.login import json_input  # noqa: PLC0415

        return json_input.read_stdin(options.get("alias"))
    if source == "env_file":
        from orgserver.cli.login import env_file  # noqa: PLC0415

        return env_file.read(options["env_file"])
    if source == "sfdx_url_stdin":
        from orgserver.cli.login import sf_cli  # noqa: PLC0415

        return sf_cli.parts_from_stdin()
    if source == "from_sf_cli":
        from orgserver.cli.login import sf_cli  # noqa: PLC0415

        return sf_cli.parts_of_org(options["from_sf_cli"], yes=options["yes"])
    return CredentialParts()
