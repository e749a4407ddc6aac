"""Where a credential comes from: standard input, an env file, the environment, or a hidden prompt; never an option."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from orgserver.cli.support import tell
from orgserver.model.errors import ConfigError
from orgserver.model.secret import Secret

_KEYS = {"client_id", "client_secret", "refresh_token", "login_url", "instance_url", "api_version", "username"}
_ENV_FILE = {
    "SALESFORCE_CLIENT_ID": "client_id",
    "SALESFORCE_CLIENT_SECRET": "client_secret",
    "SALESFORCE_REFRESH_TOKEN": "refresh_token",
    "SALESFORCE_INSTANCE_URL": "instance_url",
    "SALESFORCE_LOGIN_URL": "login_url",
    "SALESFORCE_API_VERSION": "api_version",
}
_SECRETS = {"client_secret": "client secret", "refresh_token": "refresh token"}
_MAX_INPUT = 1024 * 1024


@dataclass(slots=True)
class Given:
    """What an operator gave, and where each part was read."""

    values: dict[str, str] = field(default_factory=dict)
    trusted_hosts: list[str] = field(default_factory=list)
    source: str = ""

    def secret(self, name: str) -> Secret | None:
        """One of the secrets."""
        text = self.values.get(name)
        return Secret(text) if text else None


def gather(*, client_id: str | None, env_file: Path | None, from_stdin: bool) -> Given:
    """Collect the credential; ConfigError or UsageError says what is missing, never what was given."""
    if env_file is not None and from_stdin:
        raise click.UsageError("--env-file and --credentials-stdin exclude each other")
    given = Given()
    if from_stdin:
        given = _from_stdin()
    elif env_file is not None:
        given = _from_env_file(env_file)
    if client_id:
        given.values["client_id"] = client_id
    for name in ("client_id", "client_secret", "refresh_token"):
        if name not in given.values:
            _complete(given, name, asked=not from_stdin and env_file is None)
    return given


def _complete(given: Given, name: str, *, asked: bool) -> None:
    variable = f"ORGSERVER_{name.upper()}"
    value = os.environ.pop(variable, "")  # taken out, so that no child inherits it
    if value:
        given.values[name] = value
        _say(name, variable)
        given.source = given.source or "the environment"
        return
    optional = name == "client_secret"
    if asked and sys.stdin.isatty():
        words = name.replace("_", " ")
        shown = f"{words} (empty for a public client)" if optional else words
        value = click.prompt(
            shown.capitalize(),
            hide_input=name in _SECRETS,
            default="" if optional else None,
            show_default=False,
            err=True,
        )
        given.source = given.source or "a prompt"
        if value:
            given.values[name] = value
            _say(name, "the prompt")
        return
    if not optional:
        raise ConfigError(
            f"no {name.replace('_', ' ')} was given",
            hint=f"set {variable}, or use --credentials-stdin or --env-file; secrets are never options",
        )


def _from_stdin() -> Given:
    text = sys.stdin.read(_MAX_INPUT)
    try:
        told = json.loads(text)
    except ValueError:
        raise ConfigError("standard input holds no JSON object", hint=_EXAMPLE) from None
    if not isinstance(told, dict):
        raise ConfigError("standard input holds no JSON object", hint=_EXAMPLE)
    hosts = told.pop("trust_hosts", [])
    unknown = sorted(str(name)[:40] for name in told.keys() - _KEYS)
    if unknown:
        raise ConfigError(f"standard input has names that are not known: {', '.join(unknown)}", hint=_EXAMPLE)
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise ConfigError("trust_hosts on standard input is not a list of texts")
    for name, value in told.items():
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name} on standard input is not a text")
    values = {name: value for name, value in told.items() if value}
    return _told(Given(values, hosts, "standard input"))


def _from_env_file(path: Path) -> Given:
    from dotenv import dotenv_values  # noqa: PLC0415  # only for those who move over

    try:
        with path.open(encoding="utf-8") as file:
            told = dotenv_values(stream=file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    values = {ours: value for theirs, ours in _ENV_FILE.items() if (value := told.get(theirs))}
    if not values:
        raise ConfigError(
            f"{path} has none of the names it should have", hint=f"such as {', '.join(list(_ENV_FILE)[:3])}"
        )
    return _told(Given(values, [], str(path)))


def _told(given: Given) -> Given:
    for name in _SECRETS:
        if name in given.values:
            _say(name, given.source)
    return given


def _say(name: str, source: str, out: Callable[[str], Any] = tell) -> None:
    if name in _SECRETS:
        out(f"{_SECRETS[name]}: from {source}")


_EXAMPLE = 'expected: {"client_id": "…", "client_secret": "…", "refresh_token": "…", "login_url": "https://…"}'
