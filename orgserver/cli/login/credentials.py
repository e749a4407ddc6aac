"""The parts of a credential that an operator gives: where each was read, and asking for those that are missing."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from orgserver.cli.output import tell, warn
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import AuthKind, Credential
from orgserver.model.secret import Secret
from orgserver.salesforce.auth.token_refusals import GUIDE
from orgserver.services.orgs.registration import PLATFORM_CLI

_OPTIONS = ("client_id", "login_url", "instance_url", "username")
_SECRETS = {"client_secret": "client secret", "refresh_token": "refresh token", "private_key": "private key"}
_REQUIRED: dict[AuthKind, tuple[str, ...]] = {
    "web": ("client_id", "client_secret"),
    "refresh-token": ("client_id", "client_secret", "refresh_token"),
    "jwt": ("client_id", "username", "private_key"),
    "client-credentials": ("client_id", "client_secret"),
}
_PROOFS: dict[AuthKind, str] = {
    "refresh-token": "refresh_token",
    "jwt": "private_key",
    "client-credentials": "client_secret",
}
"""The part by which each kind of login lets us in."""
_WHICH_APP = (
    f"{PLATFORM_CLI}, Salesforce's own command line app, works only where an administrator has installed it or the "
    "user holds 'Approve Uninstalled Connected Apps'. Otherwise the org needs an External Client App of its own: "
    f"{GUIDE}"
)


@dataclass(slots=True)
class CredentialParts:
    """The parts of one credential, by their names, and where each was read."""

    values: dict[str, str] = field(default_factory=dict)
    trusted_hosts: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    """Parts that the environment offers where nothing else does."""
    labels: dict[str, str] = field(default_factory=dict)
    """What a source calls its parts, where that is not their name here."""
    misspelt: dict[str, str] = field(default_factory=dict)
    """Names in a source that are alike a part which it lacks, by that part."""

    def add(self, name: str, value: str, source: str) -> None:
        """Add one part."""
        self.values[name] = value
        self.sources[name] = source

    def add_options(self, options: Mapping[str, Any]) -> None:
        """Add the parts that options give."""
        for name in _OPTIONS:
            if options[name]:
                self.add(name, options[name], f"--{name.replace('_', '-')}")

    def secret(self, name: str) -> Secret | None:
        """One of the secrets."""
        text = self.values.get(name)
        return Secret(text) if text else None

    def announce(self, name: str) -> None:
        """Say where a secret came from."""
        if name in _SECRETS:
            tell(f"{_SECRETS[name]}: from {self.sources[name]}")

    def origin(self, name: str) -> str:
        """What an error calls a part: its name and its source, or the option that gave it."""
        source = self.sources[name]
        return source if source.startswith("--") else f"{self.labels.get(name, name)} from {source}"

    def proof_source(self, auth: AuthKind) -> str:
        """Where the part was read by which this kind of login lets us in."""
        return "a login in the browser" if auth == "web" else self.sources.get(_PROOFS[auth], "")


def complete(parts: CredentialParts, auth: AuthKind, stored: Credential | None = None) -> None:
    """Add what this kind of login still needs: from the environment, from what the org has already, or by asking.

    ConfigError says what is missing, never what was given.
    """
    for name in _REQUIRED[auth]:
        if name in parts.values:
            parts.announce(name)
        elif parts.environment.get(name) and not _is_public(parts, name):
            parts.add(name, parts.environment[name], f"ORGSERVER_{name.upper()}")
            parts.announce(name)
        elif not _reuse(parts, name, stored, auth):
            _ask(parts, name, auth)
    for name, label in parts.misspelt.items():
        warn(f"{label} is no name that is read; did you mean {parts.labels.get(name, name)}?")


def _reuse(parts: CredentialParts, name: str, stored: Credential | None, auth: AuthKind) -> bool:
    """Go on with what the org has already; but whoever renews an app's own credentials has a new secret to give."""
    if stored is None or (name, auth, sys.stdin.isatty()) == ("client_secret", "client-credentials", True):
        return False
    if name == "client_id":
        parts.add(name, stored.client_id, "the store")
        return True
    if parts.values.get("client_id") != stored.client_id:
        return False
    if name == "client_secret" and stored.client_secret is None:
        return auth != "client-credentials"
    secret = {"client_secret": stored.client_secret, "private_key": stored.private_key}.get(name)
    text = secret.reveal() if secret is not None else (stored.username if name == "username" else None)
    if not text:
        return False
    parts.add(name, text, "the store")
    parts.announce(name)
    return True


def _ask(parts: CredentialParts, name: str, auth: AuthKind) -> None:
    """Ask for a part that is missing, if somebody is here; ConfigError if it is needed."""
    optional = name == "client_secret" and auth != "client-credentials"
    if name == "private_key":
        raise ConfigError(
            "no private key was given", hint="give --jwt-key-file PEM, or private_key with --credentials-stdin"
        )
    if _is_public(parts, name):
        return
    if sys.stdin.isatty():
        answer = _prompt(name, auth, optional=optional)
        if answer:
            parts.add(name, answer, "the prompt")
            parts.announce(name)
            return
    if not optional:
        raise _missing(parts, name, auth)


def _prompt(name: str, auth: AuthKind, *, optional: bool) -> str:
    question = name.replace("_", " ")
    default = "" if optional else None
    if name == "client_id" and auth == "web":
        tell(_WHICH_APP)
        default = PLATFORM_CLI
    answer: str = click.prompt(
        f"{question} (empty for a public client)" if optional else question,
        hide_input=name in _SECRETS,
        default=default,
        show_default=bool(default),
        err=True,
    )
    return answer.strip()


def _missing(parts: CredentialParts, name: str, auth: AuthKind) -> ConfigError:
    message = f"no {name.replace('_', ' ')} was given"
    if name in parts.misspelt:
        return ConfigError(
            f"{message}: {parts.misspelt[name]} is no name that is read",
            hint=f"did you mean {parts.labels.get(name, name)}?",
        )
    if name == "username":
        return ConfigError(message, hint="give --username, as Salesforce shows it in Setup")
    if name == "client_id" and auth == "web":
        return ConfigError(message, hint=f"give --client-id. {_WHICH_APP}")
    if name == "client_id":
        sources = f"set ORGSERVER_{name.upper()}, or use --credentials-stdin or --env-file"
        return ConfigError(message, hint=f"give --client-id, the consumer key of the app; or {sources}")
    login = "; or log in with --auth web" if name == "refresh_token" else ""
    sources = f"set ORGSERVER_{name.upper()}, or use --credentials-stdin or --env-file"
    return ConfigError(message, hint=f"{sources}; secrets are never options{login}")


def _is_public(parts: CredentialParts, name: str) -> bool:
    """Salesforce's own app has no secret: none is asked for, none is sent."""
    return name == "client_secret" and parts.values.get("client_id") == PLATFORM_CLI


def warn_if_readable(path: Path | str, mode: int) -> None:
    """Warn of a file of secrets that other users of this machine can read."""
    if os.name == "posix" and stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{path} holds secrets and can be read by other users of this machine; run: chmod 600 {path}")
