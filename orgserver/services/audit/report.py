"""Who did what where? The audit log in numbers, counted in SQL over what it is searched by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, case, func, select

from orgserver.model.audit import ADMINISTRATION, REPEATABLE_ACTIONS, EntryFilter, Outcome
from orgserver.services.audit.report_people import PersonLine, count_people
from orgserver.services.audit.report_span import Span, select_span
from orgserver.store import tables
from orgserver.store.audit import chain
from orgserver.store.audit.reader import denied_by
from orgserver.store.session import Store
from orgserver.store.sql.canonical import text_of
from orgserver.store.transaction import to_datetime, to_microseconds

TOP = 15
"""Lines of a table; the rest is one line of its own."""
OUTCOMES = ("succeeded", "denied", "rejected", "unknown", "not_sent", "pending")
NO_ORG = "(no such org)"
"""What calls are counted under that named an org which did not exist: agents invent as many names as they like."""
FAILURES = ("denied", "rejected", "unknown", "not_sent")
DIMENSIONS = ("org", "principal", "object", "action")
RULE = "decision"
"""Beside them, entries are counted by the rule that denied them."""
_ALIKE = 10
_BARS = 92
_DAY_US = 86_400_000_000
_NOTHING_SENT = b'{"api_calls":0,'
"""How the canonical bytes of an outcome begin for which nothing was sent: their keys are sorted."""
_entries = tables.audit_entries
_events = tables.audit_events
_count = func.count().label("number")

T = TypeVar("T")
Counts = dict[str, int]
"""How many entries, by outcome."""


@dataclass(frozen=True, slots=True)
class Line:
    """Entries that share something."""

    name: str | None
    counts: Counts
    others: int = 0
    """How many names are counted together here, where the table ends."""

    @property
    def total(self) -> int:
        """All entries of the line."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Failure:
    """Entries that failed in the same way."""

    outcome: str
    error_code: str | None
    """Of the newest of them."""
    principal: str | None
    org: str | None
    action: str | None
    object: str | None
    count: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """The audit log of a span of time, in numbers."""

    store_id: str
    since: datetime
    until: datetime
    counts: Counts
    failures: list[Failure]
    more_failures: int
    """Ways to fail that are not listed."""
    period: str
    """What a bar of ``times`` covers: day, week or month."""
    times: list[Line]
    by: dict[str, list[Line]] = field(default_factory=dict)
    repeats: int = 0
    """Of those that succeeded: answered from memory, for an idempotency key that had been used."""
    people: list[PersonLine] = field(default_factory=list)
    only: dict[str, str] = field(default_factory=dict)
    """Which of the entries of the span: ``principal``, ``org``, ``decision``."""

    @property
    def total(self) -> int:
        """All entries."""
        return sum(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        """The report as it is printed for machines."""
        values = asdict(self) | {"since": _iso(self.since), "until": _iso(self.until), "total": self.total}
        del values["repeats"]  # the form of this JSON is fixed
        if not self.only:
            del values["only"]
        values["failures"] = [asdict(each) | {"last": _iso(each.last)} for each in self.failures]
        return values


async def report(store: Store, since: datetime, until: datetime, only: dict[str, str] | None = None) -> Report:
    """Count what began in a span of time, the first instant included, the last not; ``only`` as in ``Report``."""
    await store.audit.catch_up()
    criteria = EntryFilter(since, until, **only or {})
    counted = await store.database.scan(lambda connection: _report(connection, store.id, since, until, criteria))
    return replace(counted, only=only or {})


def _report(connection: Connection, store_id: str, since: datetime, until: datetime, criteria: EntryFilter) -> Report:
    with connection.begin():
        first = connection.execute(select(func.min(_entries.c.time))).scalar()
        begins = max(since, to_datetime(first)) if first is not None else since
        span = select_span(connection, replace(criteria, since=begins))
        days = _days(connection, span)
        counts = _sort_counts(_sum_counts(counted for _, counted in days))
        failures, more = _failures(connection, span)
        period, times = _times(days, begins, until)
        by = {name: _lines(connection, name, span) for name in DIMENSIONS} | {RULE: _rules(connection, span)}
        repeats, people = _repeats(connection, span), count_people(connection, span)
    return Report(store_id, since, until, counts, failures, more, period, times, by, repeats, people)


def _repeats(connection: Connection, span: Span) -> int:
    """How many calls were answered from memory: see ``AuditEntry.is_repeat``, which asks the same of one entry."""
    nothing_sent = func.substr(_events.c.canonical, 1, len(_NOTHING_SENT)) == _NOTHING_SENT
    succeeded = _entries.c.outcome == Outcome.SUCCEEDED, _entries.c.action.in_(REPEATABLE_ACTIONS)
    joined = select(func.count()).join_from(_entries, _events, _events.c.sequence == _entries.c.outcome_sequence)
    return connection.execute(joined.where(*span, *succeeded, nothing_sent)).scalar_one()


# -- by time


def _days(connection: Connection, span: Span) -> list[tuple[date, Counts]]:
    day = _entries.c.time.op("/")(_DAY_US).label("day")  # whole numbers, so the division is whole
    query = select(day, _entries.c.outcome, _count).where(*span).group_by(day, _entries.c.outcome).order_by(day)
    by_date: dict[date, Counts] = {}
    for row in connection.execute(query):
        by_date.setdefault(to_datetime(row.day * _DAY_US).date(), {})[row.outcome] = row.number
    return list(by_date.items())


def _times(days: list[tuple[date, Counts]], since: datetime, until: datetime) -> tuple[str, list[Line]]:
    """A line for each day, week or month of the span, those in which nothing happened too."""
    first = since.astimezone(UTC).date()
    last = max((until - timedelta(microseconds=1)).astimezone(UTC).date(), first)
    length = (last - first).days + 1
    period = "day" if length <= _BARS else "week" if length <= 7 * _BARS else "month"
    by_date: dict[date, Counts] = {}
    for number in range(length):
        by_date.setdefault(_start(period, first + timedelta(number)), {})
    for day, counted in days:
        counts = by_date.setdefault(_start(period, day), {})
        for outcome, count in counted.items():
            counts[outcome] = counts.get(outcome, 0) + count
    return period, [Line(start.isoformat(), _sort_counts(counts)) for start, counts in sorted(by_date.items())]


def _start(period: str, day: date) -> date:
    if period == "day":
        return day
    return day - timedelta(day.weekday()) if period == "week" else day.replace(day=1)


# -- by name


def _lines(connection: Connection, dimension: str, span: Span) -> list[Line]:
    """The names with the most entries, and one line for all others; entries without a name are left out."""
    column = _org() if dimension == "org" else _entries.c[dimension].concat("")  # without its index, read at random
    newest = func.max(_entries.c.sequence).label("newest")
    about_data = [_entries.c.action.not_in(ADMINISTRATION)] if dimension == "object" else []  # not about principals
    query = select(column, _entries.c.outcome, _count, newest).where(*span, column.is_not(None), *about_data)
    counts: dict[str, Counts] = {}
    examples: dict[str, int] = {}
    for name, outcome, count, sequence in connection.execute(query.group_by(column, _entries.c.outcome)):
        counts.setdefault(name, {})[outcome] = count
        examples[name] = max(sequence, examples.get(name, 0))
    first, rest = _rank(counts)
    written = _read_names(connection, dimension, [examples[name] for name in first])
    names = {name: name if name == NO_ORG else written.get(examples[name], name) for name in first}
    return [Line(names[name], _sort_counts(counts[name])) for name in first] + rest


def _rank(counts: dict[str, Counts]) -> tuple[Sequence[str], list[Line]]:
    """The names that most is counted under, and a line for the rest, if there is any."""
    ranked = sorted(counts, key=lambda name: (-sum(counts[name].values()), name))
    first = _first(ranked, TOP)
    rest = ranked[len(first) :]
    if not rest:
        return first, []
    return first, [Line(None, _sort_counts(_sum_counts(counts[name] for name in rest)), len(rest))]


def _rules(connection: Connection, span: Span) -> list[Line]:
    """The rules that denied most often."""
    rule = text_of(_events.c.canonical, "decision").label("rule")
    joined = select(rule, _entries.c.outcome, _count).join_from(
        _entries, _events, _events.c.sequence == _entries.c.outcome_sequence
    )
    rows = connection.execute(joined.where(*span, *denied_by("")).group_by(rule, _entries.c.outcome))
    counts: dict[str, Counts] = {}
    for name, outcome, count in rows:
        counts.setdefault(str(name), {})[outcome] = count
    first, rest = _rank(counts)
    return [Line(name, _sort_counts(counts[name])) for name in first] + rest


def _org() -> ColumnElement[str]:
    """The alias of an entry; one word for all that no org has and that had none when they were called."""
    aliases = select(func.lower(tables.orgs.c.alias))
    org_id = select(text_of(_events.c.canonical, "org_id"))
    unknown = (_entries.c.outcome == "denied") & _entries.c.org.not_in(aliases)
    nobody = org_id.where(_events.c.sequence == _entries.c.sequence).scalar_subquery().is_(None)
    return case((unknown & nobody, NO_ORG), else_=_entries.c.org.concat(""))


def _read_names(connection: Connection, dimension: str, sequences: list[int]) -> dict[int, str]:
    """Names as they were written: what people search by is in lower case."""
    query = select(_events.c.sequence, _events.c[dimension]).where(_events.c.sequence.in_(sequences))
    return {row[0]: str(row[1]) for row in connection.execute(query) if row[1] is not None}


# -- failures


def _failures(connection: Connection, span: Span) -> tuple[list[Failure], int]:
    """What was denied or failed, by who did what where: denials first, then the most frequent."""
    org = _org().label("org")
    alike = [org if name == "org" else _entries.c[name] for name in ("outcome", "principal", "org", "action", "object")]
    query = select(
        *alike,
        _count,
        func.max(_entries.c.sequence).label("newest"),
        func.max(_entries.c.time).label("last"),
        func.max(_entries.c.outcome_sequence).label("ended"),
    )
    rows = connection.execute(query.where(*span, _entries.c.outcome.in_(FAILURES)).group_by(*alike)).all()
    ranked = sorted(rows, key=lambda row: (FAILURES.index(row.outcome), -row.number, -row.newest))
    listed = [
        row for outcome in FAILURES for row in _first([each for each in ranked if each.outcome == outcome], _ALIKE)
    ]
    newest = [row.newest for row in listed]
    codes = _codes(connection, [row.ended for row in listed])
    names = {name: _read_names(connection, name, newest) for name in ("principal", "org", "object")}
    failures = [
        Failure(
            row.outcome,
            codes.get(row.ended),
            names["principal"].get(row.newest, row.principal),
            row.org if row.org == NO_ORG else names["org"].get(row.newest, row.org),
            row.action,
            names["object"].get(row.newest, row.object),
            row.number,
            to_datetime(row.last),
        )
        for row in listed
    ]
    return failures, len(ranked) - len(listed)


def _first(rows: Sequence[T], limit: int) -> Sequence[T]:
    """The first so many rows; all where only one would be left, whose name takes no more room than its count."""
    return rows if len(rows) == limit + 1 else rows[:limit]


def _codes(connection: Connection, sequences: list[int]) -> dict[int, str]:
    query = select(_events.c.sequence, _events.c.canonical).where(_events.c.sequence.in_(sequences))
    return {row.sequence: json.loads(row.canonical).get("error_code") for row in connection.execute(query)}


# -- counting


def _sum_counts(many: Iterable[Counts]) -> Counts:
    total: Counts = {}
    for counts in many:
        for outcome, count in counts.items():
            total[outcome] = total.get(outcome, 0) + count
    return total


def _sort_counts(counts: Counts) -> Counts:
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts.get(outcome)}


def _iso(time: datetime) -> str:
    return chain.time_text(to_microseconds(time))
