"""How a record is handed out: without what says nothing, and within the size of a result."""

from __future__ import annotations

import json
from typing import Any

from orgserver.model.results import FieldValues

MAX_BYTES = 60 * 1024
"""A tool's result ends here."""
FRAME_BYTES = 2_048
"""Room for everything in a result but its records."""
LEFT_OUT = "left_out"
"""Under this key a record names what did not fit; no field's name begins in lower case."""
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def size(value: Any) -> int:
    """How many bytes a value takes in a result."""
    return len(_dumps(value).encode("utf-8", "surrogatepass")) + 1


def without_nulls(record: FieldValues) -> FieldValues:
    """A record without its empty fields, for whoever did not ask for them by name."""
    return {name: value for name, value in record.items() if value is not None}


def flat(record: FieldValues) -> FieldValues:
    """A record whose parents' fields are its own, by their paths (``Account.Name``)."""
    found: FieldValues = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": each for inner, each in flat(value).items()}
        else:
            found[name] = value
    return found


def bounded(record: FieldValues) -> FieldValues:
    """A record that fits in a result: without its longest values if it must be, and then it says which."""
    room = MAX_BYTES - FRAME_BYTES - size(record)
    if room >= 0 or len(record) <= 2:  # noqa: PLR2004  # the id, and the one field that was asked for
        return record
    sizes = sorted(((size(value), name) for name, value in record.items() if name != "Id"), reverse=True)
    left_out: dict[str, str] = {}
    for length, name in sizes:
        if room >= 0:
            break
        left_out[name] = f"{length:,} bytes; name it alone in fields to read it"
        room += length
    return {name: value for name, value in record.items() if name not in left_out} | {LEFT_OUT: left_out}
