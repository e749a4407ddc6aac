"""How a record is handed out: without what says nothing, and within the size of a result."""

from __future__ import annotations

from orgserver.model.results import FieldValues, Record
from orgserver.services.results import truncation

MAX_BYTES = 60 * 1024
"""A tool's result ends here."""
FRAME_BYTES = 2_048
"""Room for everything in a result but its records."""
RECORD_BYTES = MAX_BYTES - 2 * FRAME_BYTES
"""Room for a single record and the warnings of what was cut from it."""
size = truncation.size


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


def bounded(record: FieldValues) -> Record:
    """A record that fits in a result: with its long values cut if it must be, and warnings that say so."""
    return Record(*truncation.fit(record, RECORD_BYTES))


def result(told: FieldValues) -> FieldValues:
    """A whole result that fits, whatever is in it: what each tool bounds by itself comes back as it is."""
    cursor = told.get("next_cursor")
    rest = {name: value for name, value in told.items() if name not in ("next_cursor", "warnings")}
    warnings = list(told.get("warnings", ()))
    if cursor is not None and len(cursor) > FRAME_BYTES * 2:
        cursor = None
        warnings.append("the rest cannot be reached by a cursor, because the filter is too long: narrow it")
    bounded_, cuts = truncation.fit(rest, MAX_BYTES - 4 * FRAME_BYTES)
    if cursor is not None:
        bounded_["next_cursor"] = cursor
    return bounded_ | {"warnings": truncation.fit({"texts": [*cuts, *warnings]}, 2 * FRAME_BYTES)[0]["texts"]}
