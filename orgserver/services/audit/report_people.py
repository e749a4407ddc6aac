"""Who acted as whom at Salesforce: calls counted by principal, Salesforce user and whose login it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from orgserver.model.audit import Outcome
from orgserver.services.audit.report_span import Span
from orgserver.store import tables
from orgserver.store.sql.canonical import text_of, text_within

TOP = 15
CHANGES = ("create", "update", "delete", "upsert", "bulk", "undo")
_entries = tables.audit_entries
_events = tables.audit_events


@dataclass(frozen=True, slots=True)
class PersonLine:
    """The calls of a principal that were made as one Salesforce user."""

    principal: str
    salesforce_user: str | None
    """The username; None where nobody was logged in."""
    identity: str
    """Whose login: ``shared`` or ``own``."""
    calls: int
    changes: int
    """Of them those that changed something."""
    denied: int


def count_people(connection: Connection, span: Span) -> list[PersonLine]:
    """The lines with the most calls."""
    principal = _events.c.principal.label("principal")
    identity = text_of(_events.c.canonical, "identity").label("identity")
    username = text_within(_events.c.canonical, "salesforce_user", "username").label("username")
    changed = _entries.c.action.in_(CHANGES) & (_entries.c.outcome == Outcome.SUCCEEDED)
    calls = func.count().label("calls")
    sums = calls, _sum(changed).label("changes"), _sum(_entries.c.outcome == Outcome.DENIED).label("denied")
    joined = select(principal, username, identity, *sums).join_from(
        _entries, _events, _events.c.sequence == _entries.c.sequence
    )
    query = joined.where(*span, identity.is_not(None)).group_by(principal, username, identity)
    rows = connection.execute(query.order_by(calls.desc(), principal, identity, username).limit(TOP))
    return [PersonLine(*row) for row in rows]


def table_rows(lines: list[PersonLine]) -> list[tuple[Any, ...]]:
    """The same for a table: one line each, counts with their commas."""
    return [
        (
            each.principal,
            each.salesforce_user,
            each.identity,
            f"{each.calls:,}",
            f"{each.changes:,}" if each.changes else None,
            f"{each.denied:,}" if each.denied else None,
        )
        for each in lines
    ]


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
