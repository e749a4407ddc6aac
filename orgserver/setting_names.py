"""Names that mean no setting: which they are, and what was probably meant. Their values are never looked at."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches

PREFIX = "ORGSERVER_"
INPUTS = frozenset({"client_id", "client_secret", "refresh_token"})
"""What ``add-org`` takes from the environment; no settings of a file."""
LATER = frozenset({
    "http_max_body", "http_rate", "http_in_flight",
    "signin_issuer", "signin_client_id", "signin_client_secret", "signin_new", "signin_groups_claim",
    "alert_command",
})  # fmt: skip
"""Settings that this version does not act on: whoever sets one must know."""
FILE_ONLY = frozenset({"unattended"})
"""Settings that ``config.toml`` alone can hold: whoever starts a command sets its environment."""
_SERVICE = re.compile(r"ORGSERVER_(?:SERVICE_(?:HOST|PORT)(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP)\w*)?)")
"""What Kubernetes and Docker set for a service called ``orgserver``."""
_ALIKE = 0.6


def unknown_variables(names: Iterable[str], settings: Collection[str]) -> list[str]:
    """Say of each ``ORGSERVER_…`` variable that is no setting what was probably meant; ``settings`` in lower case."""
    ours = sorted(name for name in names if name.upper().startswith(PREFIX) and not _SERVICE.fullmatch(name))
    every = {*settings, *INPUTS} - FILE_ONLY
    return [
        _explain(f"{name} in the environment", name[len(PREFIX) :].lower(), every, PREFIX)
        for name in ours
        if not (name == name.upper() and name[len(PREFIX) :].lower() in every)
    ]


def unknown_keys(names: Iterable[str], settings: Collection[str], file: object) -> list[str]:
    """The same of each key of a file."""
    return [_explain(f"{name} in {file}", name.lower(), settings, "") for name in names if name not in settings]


def _explain(where: str, name: str, settings: Collection[str], prefix: str) -> str:
    if prefix and name in FILE_ONLY:
        return f"{where}: {name} is read from config.toml only, and this is not acted on"
    if name in LATER:
        return f"{where}: this version does not act on it"
    near = get_close_matches(name, sorted(settings), n=1, cutoff=_ALIKE)
    if not near:
        return f"{where} is no setting"
    suggestion = f"{prefix}{near[0]}".upper() if prefix else near[0]
    return f"{where} is no setting; did you mean {suggestion}?"
