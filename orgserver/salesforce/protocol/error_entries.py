"""The entries of an error reply: a reply may hold several, each with its code, its words and its fields.

REST replies call the code ``errorCode``, the outcomes of single records in a collection call it ``statusCode``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orgserver.model.names import is_field_path
from orgserver.model.text import clean_word, error_code

DUPLICATES = "DUPLICATES_DETECTED"
MAX_FIELDS = 50
"""How many of the fields that an error names are repeated."""
_SHOWN = 10
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
_RULE = "a duplicate rule of this org refused the record, because one like it exists"
_ALLOWED = {
    True: "; or save it all the same with allow_duplicates: true, which this rule lets you",
    False: "; this rule blocks, so allow_duplicates would not save it",
    None: "; allow_duplicates: true saves it all the same where the rule only warns (up to 200 records at a time)",
}


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The records that a duplicate rule found, and whether it lets anybody save all the same (None: not said)."""

    ids: tuple[str, ...]
    allow_save: bool | None = None

    @property
    def advice(self) -> str:
        """What to do, with the ids of the records."""
        more = f" and {len(self.ids) - _SHOWN} more" if len(self.ids) > _SHOWN else ""
        same = f"these records look the same: {', '.join(self.ids[:_SHOWN])}{more}; read or update one of them instead"
        return (same if self.ids else "look for the record that is there already") + _ALLOWED[self.allow_save]


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One thing that is wrong."""

    code: str | None
    message: str
    fields: tuple[str, ...] = ()
    duplicates: Duplicates | None = None


def read_entries(body: Any) -> list[ErrorEntry]:
    """The entries of an error reply, or of one record's outcome; none of what has not Salesforce's form."""
    errors = body if isinstance(body, list) else [body]
    return [_entry(each) for each in errors if _is_entry(each)]


def join_messages(entries: Sequence[ErrorEntry]) -> str:
    """All entries in one text: the first in its own words, each other one with its code and its fields."""
    texts = [entries[0].message, *(_describe_entry(each) for each in entries[1:_SHOWN])]
    if len(entries) > _SHOWN:
        texts.append(f"and {len(entries) - _SHOWN} more")
    return "; ".join(each for each in texts if each)


def fields_of(entries: Sequence[ErrorEntry]) -> tuple[str, ...]:
    """The fields that any of the entries names, each once."""
    return tuple(dict.fromkeys(name for each in entries for name in each.fields))[:MAX_FIELDS]


def _describe_entry(entry: ErrorEntry) -> str:
    fields = f" ({', '.join(entry.fields)})" if entry.fields else ""
    return ": ".join(part for part in (entry.code, entry.message) if part) + fields


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and any(name in value for name in ("errorCode", "statusCode", "message"))


def _entry(error: dict[str, Any]) -> ErrorEntry:
    code = error_code(error.get("errorCode", error.get("statusCode")))
    names = error.get("fields")
    items = names if isinstance(names, list) else []
    fields = tuple(each for each in items if isinstance(each, str) and is_field_path(each))[:MAX_FIELDS]
    if code == DUPLICATES:
        return ErrorEntry(code, _RULE, fields, _duplicates(error))
    return ErrorEntry(code, clean_word(error.get("message")), fields)


def _duplicates(error: dict[str, Any]) -> Duplicates:
    # On the wire the key of a single-record reply is misspelt; collections spell it right.
    result = error.get("duplicateResut") or error.get("duplicateResult")
    records = (each.get("record") for match in _dicts(result, "matchResults") for each in _dicts(match, "matchRecords"))
    ids = (str(each.get("Id")) for each in records if isinstance(each, dict))
    allow = result.get("allowSave") if isinstance(result, dict) else None
    unique = tuple(dict.fromkeys(each for each in ids if _ID.fullmatch(each)))
    return Duplicates(unique, allow if isinstance(allow, bool) else None)


def _dicts(outer: Any, name: str) -> list[dict[str, Any]]:
    inner = outer.get(name) if isinstance(outer, dict) else None
    return [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []
