"""Where a credential comes from: standard input, an env file, the environment, or a hidden prompt; never an option."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click

from orgserver.cli.support import tell
from orgserver.model.errors import ConfigError
from orgserver.model.secret import Secret

_KEYS = {"client_id", "client_secret", "refresh_token", "login_url", "instance_url", "api_version"}
_DESCRIPTIONS = {"alias", "org_id", "username", "name", "url"}
"""What ``orgserver sandbox`` prints beside a credential: taken, so that its output can be passed on, and not used."""
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
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the refresh token, which rotation may spend, was read."""
        return self.sources.get("refresh_token", "")

    def secret(self, name: str) -> Secret | None:
        """One of the secrets."""
        text = self.values.get(name)
        return Secret(text) if text else None

    def take(self, name: str, value: str, source: str) -> None:
        """Keep one part, and say where a secret came from."""
        self.values[name] = value
        self.sources[name] = source
        if name in _SECRETS:
            tell(f"{_SECRETS[name]}: from {source}")


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
        given.take("client_id", client_id, "--client-id")
    for name in ("client_id", "client_secret", "refresh_token"):
        if name not in given.values:
            _complete(given, name, asked=not from_stdin)
    return given


def _complete(given: Given, name: str, *, asked: bool) -> None:
    variable = f"ORGSERVER_{name.upper()}"
    value = os.environ.pop(variable, "").strip()  # taken out, so that no child inherits it
    if value:
        given.take(name, value, variable)
        return
    optional = name == "client_secret"
    words = name.replace("_", " ")
    if asked and sys.stdin.isatty():
        value = click.prompt(
            f"{words} (empty for a public client)" if optional else words,
            hide_input=name in _SECRETS,
            default="" if optional else None,
            show_default=False,
            err=True,
        ).strip()
        if value:
            given.take(name, value, "the prompt")
            return
    if not optional:
        raise ConfigError(
            f"no {words} was given",
            hint=f"set {variable}, or use --credentials-stdin or --env-file; secrets are never options",
        )


def _from_stdin() -> Given:
    try:
        told = json.loads(sys.stdin.read(_MAX_INPUT))
    except (ValueError, RecursionError):
        raise ConfigError("standard input holds no JSON object", hint=_EXAMPLE) from None
    if not isinstance(told, dict):
        raise ConfigError("standard input holds no JSON object", hint=_EXAMPLE)
    hosts = told.pop("trust_hosts", [])
    unknown = sorted(str(name)[:40] for name in told.keys() - _KEYS - _DESCRIPTIONS)
    if unknown:
        raise ConfigError(f"standard input has names that are not known: {', '.join(unknown)}", hint=_EXAMPLE)
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise ConfigError("trust_hosts on standard input is not a list of texts")
    given = Given(trusted_hosts=hosts)
    for name in sorted(told.keys() & _KEYS):
        value = told[name]
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name} on standard input is not a text")
        if value and value.strip():
            given.take(name, value.strip(), "standard input")
    return given


def _from_env_file(path: Path) -> Given:
    from dotenv import dotenv_values  # noqa: PLC0415  # only for those who move over

    try:
        with path.open(encoding="utf-8") as file:
            told = dotenv_values(stream=file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    given = Given()
    for theirs, ours in _ENV_FILE.items():
        value = (told.get(theirs) or "").strip()
        if value:
            given.take(ours, value, str(path))
    if not given.values:
        raise ConfigError(
            f"{path} has none of the names it should have", hint=f"such as {', '.join(list(_ENV_FILE)[:3])}"
        )
    return given


_EXAMPLE = 'expected: {"client_id": "…", "client_secret": "…", "refresh_token": "…", "login_url": "https://…"}'
