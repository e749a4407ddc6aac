"""What a change of one record would do, field by field, as much of it as a result holds."""

from __future__ import annotations

from orgserver.model.results import Change, FieldValues
from orgserver.services.results import result_size, truncation

_NAMES = 40
"""Bytes around the values of a change, beside the field's name."""

Changes = tuple[tuple[Change, ...], tuple[str, ...]]
"""Changes, and a sentence for each value that is cut."""


def update(now: FieldValues, wanted: FieldValues) -> Changes:
    """What an update would change in a record that is ``now``."""
    before, cut = truncation.fit({name: now.get(name) for name in wanted}, _room(wanted) // 2)
    after, given = truncation.fit(wanted, _room(wanted) // 2)
    changes = tuple(Change(name, before[name], after[name]) for name in wanted if name in before and name in after)
    return changes, (*cut, *(f"of the new value: {sentence}" for sentence in given))


def delete(now: FieldValues) -> Changes:
    """What would go with a record that is ``now``."""
    there = result_size.without_nulls(result_size.flat(now))
    told, cut = truncation.fit(there, _room(there))
    return tuple(Change(name, value, None) for name, value in told.items()), cut


def _room(fields: FieldValues) -> int:
    # where there are very many fields, those that are told share the room that is left at least
    return max(result_size.RECORD_BYTES - sum(_NAMES + len(name) for name in fields), result_size.RECORD_BYTES // 4)
