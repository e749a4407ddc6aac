"""A credential as a JSON object on standard input, for ``--credentials-stdin``."""

from __future__ import annotations

import json
import sys
from typing import Any

from orgserver.cli.login.credentials import CredentialParts
from orgserver.model.errors import ConfigError

_NAMES = {
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
_EXAMPLE = 'expected: {"client_id": "…", "client_secret": "…", "refresh_token": "…", "login_url": "https://…"}'
_JSON_TYPES = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
_SOURCE = "standard input"
_MAX_INPUT = 1024 * 1024
_MAX_NAMES = 5
"""Orgs that an error names."""
_MAX_NAME = 40


def read_stdin(alias: str | None) -> CredentialParts:
    """Read the credential of one org; ConfigError shows nothing of its values."""
    members = _members(_org(_parse(sys.stdin.read(_MAX_INPUT)), alias))
    hosts = members.pop("trust_hosts", [])
    unknown = sorted(str(name)[:_MAX_NAME] for name in members.keys() - _NAMES - _DESCRIPTIONS)
    if unknown:
        raise ConfigError(f"standard input has names that are not known: {', '.join(unknown)}", hint=_EXAMPLE)
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise ConfigError("trust_hosts on standard input is not a list of texts")
    parts = CredentialParts(trusted_hosts=hosts)
    for name in sorted(members.keys() & _NAMES):
        value = members[name]
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name} on standard input is not a text")
        if value and value.strip():
            parts.add(name, value.strip(), _SOURCE)
    if "private_key" in parts.values:
        from orgserver.cli.login import jwt_key  # noqa: PLC0415  # RSA is imported where it is used

        key = jwt_key.read(parts.values["private_key"].encode(), "private_key on standard input")
        parts.add("private_key", key.reveal(), _SOURCE)
    return parts


def _parse(text: str) -> Any:
    text = text.removeprefix("\ufeff")  # as editors on Windows begin a file
    if not text.strip():
        raise ConfigError("standard input is empty, so it holds no JSON object", hint=_EXAMPLE)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:  # its message may show a character of a secret
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(
            f"standard input holds no JSON object: it is no JSON from {place} on", hint=_EXAMPLE
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError("standard input holds no JSON object that can be read", hint=_EXAMPLE) from None


def _org(value: Any, alias: str | None) -> Any:
    """From everything that ``orgserver sandbox`` prints, the org that is to be added."""
    if not isinstance(value, dict) or not isinstance(value.get("orgs"), list) or alias is None:
        return value
    orgs = {str(org.get("alias")): org for org in value["orgs"] if isinstance(org, dict)}
    if not orgs:
        raise ConfigError("standard input has a list of orgs, and no org is in it", hint=_EXAMPLE)
    if alias not in orgs:
        raise ConfigError(
            f"standard input describes several orgs, and none of them is {alias}",
            hint=f"it has: {', '.join(list(orgs)[:_MAX_NAMES])}",
        )
    return orgs[alias]


def _members(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = _JSON_TYPES.get(type(value), "null")
        raise ConfigError(f"standard input holds no JSON object, but {kind}", hint=_EXAMPLE)
    return dict(value)
