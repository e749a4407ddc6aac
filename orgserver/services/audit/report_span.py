"""Which entries a report is about: those of a span of time, and of them those that a filter lets through."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select

from orgserver.model.audit import EntryFilter
from orgserver.store import tables
from orgserver.store.audit import index, reader
from orgserver.store.transaction import to_microseconds

FEW = 50_000
_entries = tables.audit_entries

Span = tuple[ColumnElement[bool], ...]


def select_span(connection: Connection, criteria: EntryFilter) -> Span:
    """The entries of a span: through the index when they are few, for many in the order they lie on the disk."""
    time = _entries.c.time
    within = _within(time, criteria)
    some = select(time).where(*within).limit(FEW + 1).subquery()
    if connection.execute(select(func.count()).select_from(some)).scalar_one() > FEW:
        within = _within(time + 0, criteria)  # a sum has no index
    for name in ("org", "principal"):
        value = getattr(criteria, name)
        if value is not None:
            within = *within, _entries.c[name] == index.folded(value)
    return within if criteria.decision is None else (*within, *reader.denied_by(criteria.decision))


def _within(time: ColumnElement[int], criteria: EntryFilter) -> Span:
    assert criteria.since is not None  # noqa: S101  # a report has both
    assert criteria.until is not None  # noqa: S101
    return time >= to_microseconds(criteria.since), time < to_microseconds(criteria.until)
