"""A credential in an env file with names such as ``SALESFORCE_CLIENT_ID``, for ``--env-file``."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from orgserver.cli.login.credentials import CredentialParts, warn_if_readable
from orgserver.cli.output import warn
from orgserver.model.errors import ConfigError

_PARTS = {
    "SALESFORCE_CLIENT_ID": "client_id",
    "SALESFORCE_CLIENT_SECRET": "client_secret",
    "SALESFORCE_REFRESH_TOKEN": "refresh_token",
    "SALESFORCE_INSTANCE_URL": "instance_url",
    "SALESFORCE_LOGIN_URL": "login_url",
    "SALESFORCE_API_VERSION": "api_version",
}
_PREFIX = "SALESFORCE_"
_ALIKE = 0.8
_SECRETS = ("client_secret", "refresh_token")


def read(path: Path) -> CredentialParts:
    """The parts that an env file holds; ConfigError if it cannot be read or has none of their names."""
    variables, mode = _read_variables(path)
    parts = CredentialParts(labels={part: name for name, part in _PARTS.items()})
    for name, part in _PARTS.items():
        value = (variables.get(name) or "").strip()
        if value:
            parts.add(part, value, str(path))
    for name in sorted(variables.keys() - _PARTS.keys()):
        meant = _meant(name)
        if meant is not None and meant not in variables:
            parts.misspelt[_PARTS[meant]] = f"{name} in {path}"
    if not parts.values and not parts.misspelt:
        raise ConfigError(f"{path} has none of the names it should have", hint=f"such as {', '.join(list(_PARTS)[:3])}")
    if any(name in parts.values for name in _SECRETS):
        warn_if_readable(path, mode)
    return parts


def _meant(name: str) -> str | None:
    """The name that is spelt almost like this one; more than that, for other programs have names in such files, too."""
    names = {each.removeprefix(_PREFIX): each for each in _PARTS}
    alike = get_close_matches(name.upper().removeprefix(_PREFIX), names, n=1, cutoff=_ALIKE)
    return names[alike[0]] if alike else None


def _read_variables(path: Path) -> tuple[dict[str, str | None], int]:
    """The variables of a file, and its mode; lines that are none are named by number, never shown."""
    from dotenv.parser import parse_stream  # noqa: PLC0415  # only for those who move over

    try:
        with path.open(encoding="utf-8-sig") as file:
            mode = path.stat().st_mode
            bindings = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        hint = "give the path of a file with names such as SALESFORCE_CLIENT_ID" if isinstance(error, OSError) else None
        raise ConfigError(f"{path} cannot be read: {reason}", hint=hint) from None
    for binding in bindings:
        if binding.error:
            text = binding.original.string  # with the empty lines before it
            line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
            warn(f"{path}, line {line}: not NAME=value, so it is left out")
    return {binding.key: binding.value for binding in bindings if binding.key is not None}, mode
