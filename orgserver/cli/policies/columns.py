"""The columns of a CSV file that set limits, in the words of the options that do the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from orgserver.model.access.policies import Policy, option

_YES = ("true", "yes", "y", "1", "x")
_NO = ("", "false", "no", "n", "0")
_DIGITS = 9


class CellRefused(ValueError):
    """A cell sets no limit. Why is said without its text: in a row that slipped, that may be a secret."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


def read_policy(row: Mapping[str, str]) -> Policy:
    """The policy of a row's cells; CellRefused names the column of what is none. Empty cells limit nothing."""
    policy = Policy()
    for column, (name, read, reason) in _COLUMNS.items():
        try:
            facts = {name: read(row[column])} if row.get(column) else {}
            policy = policy.limited_by(Policy.read(facts))
        except ValueError:
            raise CellRefused(column, reason) from None
    return policy


def _switch(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError
    return text.lower() in _YES


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS:
        raise ValueError
    return int(text)


def _list(end: re.Pattern[str]) -> Callable[[str], list[str]]:
    return lambda text: [each.strip() for each in end.split(text) if each.strip()]


_SWITCH = (_switch, "neither yes nor no")
_NUMBER = (_number, "no whole number")
_RULES = (_list(re.compile(r"[\s;|]+")), "objects look like Contact or Contact:read,create, with spaces between them")
_FIELDS = (_list(re.compile(r"[\s;|,]+")), "fields look like Contact.Email, with spaces between them")
_HOURS = (_list(re.compile(r"[;|]")), "hours look like Mon-Fri 08:00-18:00 Europe/Berlin")
_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "read_only": _SWITCH,
    "confirm_deletes": _SWITCH,
    "keep_values": _SWITCH,
    "allow_objects": _RULES,
    "deny_objects": _RULES,
    "hide_fields": _FIELDS,
    "mask_fields": _FIELDS,
    "row_limit": _NUMBER,
    "confirm_above": _NUMBER,
    "api_budget": _NUMBER,
    "hours": _HOURS,
}
_COLUMNS = {option(name).replace("-", "_"): (name, *reader) for name, reader in _READERS.items()}
COLUMNS = tuple(_COLUMNS)
OTHER_NAMES = {name: column for column, (name, *_) in _COLUMNS.items() if name != column}
"""Names that mean the same: of lists, more than one item."""
