"""Where a credential comes from: standard input, an env file, the environment, or a hidden prompt; never an option."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from orgserver.cli.support import tell
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import AuthKind, Credential
from orgserver.model.secret import Secret
from orgserver.salesforce.auth.token_refusals import GUIDE
from orgserver.services.orgs.browser_login import PLATFORM_CLI

_KEYS = {
    "client_id",
    "client_secret",
    "refresh_token",
    "private_key",
    "username",
    "audience",
    "login_url",
    "instance_url",
    "api_version",
}
_DESCRIPTIONS = {"alias", "org_id", "name", "url"}
"""What ``orgserver sandbox`` prints beside a credential: taken, so that its output can be passed on, and not used."""
_ENV_FILE = {
    "SALESFORCE_CLIENT_ID": "client_id",
    "SALESFORCE_CLIENT_SECRET": "client_secret",
    "SALESFORCE_REFRESH_TOKEN": "refresh_token",
    "SALESFORCE_INSTANCE_URL": "instance_url",
    "SALESFORCE_LOGIN_URL": "login_url",
    "SALESFORCE_API_VERSION": "api_version",
}
_VARIABLES = ("client_id", "client_secret", "refresh_token")
_SECRETS = {"client_secret": "client secret", "refresh_token": "refresh token", "private_key": "private key"}
_NEEDED: dict[AuthKind, tuple[str, ...]] = {
    "web": ("client_id", "client_secret"),
    "refresh-token": ("client_id", "client_secret", "refresh_token"),
    "jwt": ("client_id", "username", "private_key"),
    "client-credentials": ("client_id", "client_secret"),
}
_PROVES: dict[AuthKind, str] = {
    "refresh-token": "refresh_token",
    "jwt": "private_key",
    "client-credentials": "client_secret",
}
_MAX_INPUT = 1024 * 1024
_NAMED = 5
"""Orgs that an error names."""
_WHICH_APP = (
    f"{PLATFORM_CLI}, Salesforce's own command line app, works only where an administrator has installed it or the "
    "user holds 'Approve Uninstalled Connected Apps'. Otherwise the org needs an External Client App of its own: "
    f"{GUIDE}"
)


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

    def keep(self, name: str, value: str, source: str) -> None:
        """Keep one part."""
        self.values[name] = value
        self.sources[name] = source

    def take(self, name: str, value: str, source: str) -> None:
        """Keep one part, and say where a secret came from."""
        self.keep(name, value, source)
        self.announce(name)

    def announce(self, name: str) -> None:
        """Say where a secret came from."""
        if name in _SECRETS and name in self.values:
            tell(f"{_SECRETS[name]}: from {self.sources[name]}")

    def came_from(self, auth: AuthKind) -> str:
        """Where that came from which lets us in."""
        return "a login in the browser" if auth == "web" else self.sources.get(_PROVES[auth], "")


def gather(options: dict[str, Any], kept: Credential | None = None) -> tuple[AuthKind, Given]:
    """Collect the credential and tell how it logs in; ``kept`` is what an org has already.

    ConfigError or UsageError says what is missing, never what was given.
    """
    environment = {name: os.environ.pop(f"ORGSERVER_{name.upper()}", "").strip() for name in _VARIABLES}
    source = _the_source(options)
    _refuse_stray(options)
    given, told = _from_source(source, options)
    if options["client_id"]:
        given.take("client_id", options["client_id"], "--client-id")
    auth = _auth(options, given, source, from_environment=bool(environment["refresh_token"]))
    if options["username"]:
        given.take("username", options["username"], "--username")
    if options["jwt_key_file"]:
        _take_key_file(given, options["jwt_key_file"])
    for name in _NEEDED[auth]:
        if name in given.values:
            if not told:
                given.announce(name)
        elif environment.get(name) and not _is_public(given, name):
            given.take(name, environment[name], f"ORGSERVER_{name.upper()}")
        elif not _from_kept(given, name, kept, auth):
            _ask(given, name, auth)
    _keep_audience(given, kept, options, auth)
    return auth, given


# -- which way, from where


def _the_source(options: dict[str, Any]) -> str | None:
    named = [name for name in ("env_file", "credentials_stdin", "sfdx_url_stdin", "from_sf_cli") if options[name]]
    if len(named) > 1:
        one, other = (f"--{name.replace('_', '-')}" for name in named[:2])
        raise click.UsageError(f"{one} and {other} exclude each other")
    return named[0] if named else None


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


def _auth(options: dict[str, Any], given: Given, source: str | None, *, from_environment: bool) -> AuthKind:
    """How to log in: as told, or as what was given can; with nothing given, in the browser if somebody is here."""
    if options["auth"]:
        auth: AuthKind = options["auth"]
        return auth
    if options["jwt_key_file"] or "private_key" in given.values:
        return "jwt"
    if options["callback_url"]:
        return "web"
    if source or from_environment or not sys.stdin.isatty():
        return "refresh-token"
    return "web"


def _from_source(source: str | None, options: dict[str, Any]) -> tuple[Given, bool]:
    """What a source holds, and whether it has said so already."""
    if source == "credentials_stdin":
        return _from_stdin(options.get("alias")), False
    if source == "env_file":
        return _from_env_file(options["env_file"]), False
    if source is None:
        return Given(), False
    from orgserver.cli.login import sf_cli  # noqa: PLC0415  # only for those who come from there

    if source == "sfdx_url_stdin":
        return sf_cli.given_from_url_stdin(), True
    return sf_cli.given_from_cli(options["from_sf_cli"], yes=options["yes"]), True


# -- what is missing


def _from_kept(given: Given, name: str, kept: Credential | None, auth: AuthKind) -> bool:
    """Go on with what the org has already; but whoever renews an app's own credentials has a new secret to give."""
    if kept is None or (name, auth, sys.stdin.isatty()) == ("client_secret", "client-credentials", True):
        return False
    if name == "client_id":
        given.keep(name, kept.client_id, "the store")
        return True
    if given.values.get("client_id") != kept.client_id:
        return False
    if name == "client_secret" and kept.client_secret is None:
        return auth != "client-credentials"
    value = {"client_secret": kept.client_secret, "private_key": kept.private_key}.get(name)
    text = value.reveal() if value is not None else (kept.username if name == "username" else None)
    if not text:
        return False
    given.take(name, text, "the store")
    return True


def _keep_audience(given: Given, kept: Credential | None, options: dict[str, Any], auth: AuthKind) -> None:
    """Go on with the audience that an operator chose for an org, as long as it logs in where it did."""
    if auth != "jwt":
        if options["audience"]:
            raise click.UsageError("--audience goes with --auth jwt")
        return
    moves = options["login_url"] or options["test_org"] or "login_url" in given.values
    if kept is not None and kept.explicit_audience and kept.audience and "audience" not in given.values and not moves:
        given.keep("audience", kept.audience, "the store")


def _ask(given: Given, name: str, auth: AuthKind) -> None:
    """Ask for a part that is missing, if somebody is here; ConfigError if it is needed."""
    words = name.replace("_", " ")
    optional = name == "client_secret" and auth != "client-credentials"
    if name == "private_key":
        raise ConfigError(
            "no private key was given", hint="give --jwt-key-file PEM, or private_key with --credentials-stdin"
        )
    if _is_public(given, name):
        return
    if sys.stdin.isatty():
        value = _prompted(words, name, auth, optional=optional)
        if value:
            given.take(name, value, "the prompt")
            return
    if not optional:
        raise ConfigError(f"no {words} was given", hint=_missing_hint(name, auth))


def _prompted(words: str, name: str, auth: AuthKind, *, optional: bool) -> str:
    default = "" if optional else None
    if name == "client_id" and auth == "web":
        tell(_WHICH_APP)
        default = PLATFORM_CLI
    told: str = click.prompt(
        f"{words} (empty for a public client)" if optional else words,
        hide_input=name in _SECRETS,
        default=default,
        show_default=bool(default),
        err=True,
    )
    return told.strip()


def _missing_hint(name: str, auth: AuthKind) -> str:
    if name == "username":
        return "give --username, as Salesforce shows it in Setup"
    if name == "client_id" and auth == "web":
        return f"give --client-id. {_WHICH_APP}"
    variable = f"set ORGSERVER_{name.upper()}, or use --credentials-stdin or --env-file"
    more = "; or log in with --auth web" if name == "refresh_token" else ""
    return f"{variable}; secrets are never options{more}"


def _is_public(given: Given, name: str) -> bool:
    """Salesforce's own app has no secret: none is asked for, none is sent."""
    return name == "client_secret" and given.values.get("client_id") == PLATFORM_CLI


# -- sources


def _take_key_file(given: Given, path: Path) -> None:
    from orgserver.cli.login import jwt_key  # noqa: PLC0415  # RSA is imported where it is used

    given.keep("private_key", jwt_key.read_file(path).reveal(), str(path))


def _one_of_many(told: Any, alias: str | None) -> Any:
    """From everything that ``orgserver sandbox`` prints, the org that is to be added."""
    if not isinstance(told, dict) or not isinstance(told.get("orgs"), list) or alias is None:
        return told
    every = {str(org.get("alias")): org for org in told["orgs"] if isinstance(org, dict)}
    if alias not in every:
        named = ", ".join(list(every)[:_NAMED])
        raise ConfigError(
            f"standard input describes several orgs, and none of them is {alias}", hint=f"it has: {named}"
        )
    return dict(every[alias])


def _from_stdin(alias: str | None) -> Given:
    try:
        told = _one_of_many(json.loads(sys.stdin.read(_MAX_INPUT)), alias)
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
            given.keep(name, value.strip(), "standard input")
    if "private_key" in given.values:
        from orgserver.cli.login import jwt_key  # noqa: PLC0415  # RSA is imported where it is used

        key = jwt_key.read(given.values["private_key"].encode(), "private_key on standard input")
        given.keep("private_key", key.reveal(), "standard input")
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
            given.keep(ours, value, str(path))
    if not given.values:
        raise ConfigError(
            f"{path} has none of the names it should have", hint=f"such as {', '.join(list(_ENV_FILE)[:3])}"
        )
    return given


_EXAMPLE = 'expected: {"client_id": "…", "client_secret": "…", "refresh_token": "…", "login_url": "https://…"}'
