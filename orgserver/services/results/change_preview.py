"""What a change of one record would do, field by field, as much of it as a result holds."""

from __future__ import annotations

from orgserver.model.results import Change, FieldValues
from orgserver.services.results import result_size, truncation

_NAME_BYTES = 40
"""Bytes around the values of a change, beside the field's name."""

Changes = tuple[tuple[Change, ...], tuple[str, ...]]
"""Changes, and a sentence for each value that is cut."""


def preview_update(record: FieldValues, values: FieldValues) -> Changes:
    """What an update to these values would change in a record."""
    room = _room(values) // 2
    before, cuts = truncation.fit({name: record.get(name) for name in values}, room)
    after, cuts_after = truncation.fit(values, room)
    changes = tuple(Change(name, before[name], after[name]) for name in values if name in before and name in after)
    return changes, (*cuts, *(f"of the new value: {sentence}" for sentence in cuts_after))


def preview_delete(record: FieldValues) -> Changes:
    """What would go with a record."""
    fields = result_size.without_nulls(result_size.flatten_parents(record))
    before, cuts = truncation.fit(fields, _room(fields))
    return tuple(Change(name, value, None) for name, value in before.items()), cuts


def _room(fields: FieldValues) -> int:
    # where there are very many fields, those that are shown share the room that is left at least
    names = sum(_NAME_BYTES + len(name) for name in fields)
    return max(result_size.RECORD_BYTES - names, result_size.RECORD_BYTES // 4)
