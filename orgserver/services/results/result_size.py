"""Records and results within the size that an agent can read, without fields that say nothing."""

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


def flatten_parents(record: FieldValues) -> FieldValues:
    """A record whose parents' fields are its own, by their paths (``Account.Name``)."""
    fields: FieldValues = {}
    for name, value in record.items():
        if isinstance(value, dict):
            fields |= {f"{name}.{inner}": each for inner, each in flatten_parents(value).items()}
        else:
            fields[name] = value
    return fields


def bound_record(record: FieldValues) -> Record:
    """A record that fits in a result: with its long values cut if it must be, and warnings that say so."""
    return Record(*truncation.fit(record, RECORD_BYTES))


def bound_result(result: FieldValues) -> FieldValues:
    """A whole result that fits, whatever is in it: what each tool bounds by itself comes back as it is."""
    cursor = result.get("next_cursor")
    rest = {name: value for name, value in result.items() if name not in ("next_cursor", "warnings")}
    warnings = list(result.get("warnings", ()))
    if cursor is not None and len(cursor) > FRAME_BYTES * 2:
        cursor = None
        warnings.append("the rest cannot be reached by a cursor, because the filter is too long: narrow it")
    fitting, cuts = truncation.fit(rest, MAX_BYTES - 4 * FRAME_BYTES)
    if cursor is not None:
        fitting["next_cursor"] = cursor
    return fitting | {"warnings": truncation.fit({"texts": [*cuts, *warnings]}, 2 * FRAME_BYTES)[0]["texts"]}
