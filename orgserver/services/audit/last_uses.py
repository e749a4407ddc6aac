"""When each principal last did something in each org: read from what people search the audit log by.

Entries name an org by the alias that it had then, so renames are followed back, and what was done in an earlier org of
the same alias is not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from orgserver.model.audit import ADMINISTRATION, Outcome
from orgserver.model.names import RowId
from orgserver.model.orgs import Org
from orgserver.store import tables
from orgserver.store.audit import index
from orgserver.store.transaction import to_datetime, to_microseconds

LastUses = Mapping[str, Mapping[RowId, datetime]]
"""By the principal's name in lower case, and the org."""
_entries = tables.audit_entries
_principal, _org = (_entries.c[name].concat("").label(name) for name in ("principal", "org"))
"""Without their indexes: in the order of one, a million entries are read at random."""
_last = func.max(_entries.c.time).label("last")
_used = (
    _entries.c.org.is_not(None),
    _entries.c.outcome != Outcome.DENIED.value,
    _entries.c.action.not_in([*ADMINISTRATION]),
)


@dataclass(frozen=True, slots=True)
class _Named:
    """How long an org had an alias."""

    org: Org
    alias: str
    since: int
    until: int | None


Renames = Mapping[str, list[tuple[int, str]]]
"""When an org got an alias, and which it had before; by the new alias, the newest first."""


def read_last_uses(connection: Connection, orgs: Iterable[Org], *, principal: str | None = None) -> LastUses:
    """The last use of orgs by everybody, or by one principal: one query over the entries, and one for each rename."""
    renames = _read_renames(connection)
    spans = [span for org in orgs for span in _trace(org, renames)]
    now = {span.alias: span for span in spans if span.until is None}
    whose = () if principal is None else (_entries.c.principal == index.folded(principal),)
    where = (_entries.c.org == next(iter(now)),) if len(now) == 1 else ()
    query = select(_principal, _org, _last).where(*_used, *whose, *where)
    uses: dict[str, dict[RowId, datetime]] = defaultdict(dict)
    for row in connection.execute(query.group_by(_principal, _org)):
        if row.org in now and row.last >= now[row.org].since:
            uses[row.principal][now[row.org].org.row_id] = to_datetime(row.last)
    for span in spans:
        for name, last in _read_earlier(connection, span, whose):
            uses[name][span.org.row_id] = max(last, uses[name].get(span.org.row_id, last))
    return uses


def _read_renames(connection: Connection) -> Renames:
    renamed = (
        _entries.c.tool == "update-org",
        _entries.c.object.is_not(None),
        _entries.c.outcome == Outcome.SUCCEEDED.value,
    )
    query = select(_entries.c.time, _entries.c.org, _entries.c.object).where(*renamed)
    renames: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in connection.execute(query.order_by(_entries.c.sequence.desc())):
        renames[row.object].append((row.time, row.org))
    return renames


def _trace(org: Org, renames: Renames) -> Iterator[_Named]:
    """The aliases of an org, back to the one that it was registered under."""
    created, alias, until = to_microseconds(org.created_at), org.alias.lower(), None
    while True:
        earlier = (each for each in renames.get(alias, ()) if created <= each[0] and (until is None or each[0] < until))
        renamed = next(earlier, None)
        yield _Named(org, alias, created if renamed is None else renamed[0], until)
        if renamed is None:
            return
        until, alias = renamed


def _read_earlier(
    connection: Connection, span: _Named, whose: tuple[ColumnElement[bool], ...]
) -> Iterator[tuple[str, datetime]]:
    """Who did something in an org while it had an alias that it has no more, and when last."""
    if span.until is None:
        return
    within = (_entries.c.org == span.alias, _entries.c.time >= span.since, _entries.c.time < span.until)
    query = select(_entries.c.principal, _last).where(*_used, *whose, *within).group_by(_entries.c.principal)
    for row in connection.execute(query):
        yield row.principal, to_datetime(row.last)
