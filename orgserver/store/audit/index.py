"""What people search the audit log by: two tables made from its events, and whether they say what the events say.

They are caught up before each search, and made in SQL from what the events say, a page in each transaction, by
running servers and by whoever searches.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreError
from orgserver.store import tables
from orgserver.store.audit import result_parts
from orgserver.store.database import Database
from orgserver.store.sql.canonical import RECORD_IDS, is_unreadable
from orgserver.store.sql.statements import SERVER, SQLITE, PortableText, Words
from orgserver.store.sql.threads import run_in_thread
from orgserver.store.transaction import Transaction

PAGE = 2_000
"""Events in one transaction: what whoever searches takes in at once."""
SHORT_PAGE = 250
"""Events in one transaction beside calls: a list names ten records, so more would hold calls up for 10 ms."""
_REST = 4
"""So many times as long as a page took, calls have the store for themselves."""

PAGE_VERIFIED = 8_000
"""Events that are verified in one read transaction."""
_WORDS: Mapping[str, Words] = {
    SQLITE: {
        "record_ids": RECORD_IDS[SQLITE],
        "same": "IS",
        "differs": "IS NOT",
        "touched_sequence": "CASE typeof(found.sequence) WHEN 'integer' THEN found.sequence ELSE 1 END",
    },
    SERVER: {
        "record_ids": RECORD_IDS[SERVER],
        "same": "IS NOT DISTINCT FROM",
        "differs": "IS DISTINCT FROM",
        "touched_sequence": "found.sequence",
    },
}
_portable = partial(PortableText, words=_WORDS)
_ENTRIES = _portable("""
    INSERT INTO audit_entries (sequence, entry_id, time, principal, org, tool, action, object, outcome)
    SELECT sequence, entry_id, time, lower(principal), lower(org), lower(tool), lower(action), lower(object), 'pending'
    FROM audit_events WHERE sequence > :after AND sequence <= :upto AND kind = 'intent'
""")
_OUTCOMES = _portable("""
    UPDATE audit_entries SET outcome = ended.outcome, outcome_sequence = ended.sequence
    FROM audit_events AS ended
    WHERE ended.sequence > :after AND ended.sequence <= :upto AND ended.kind = 'outcome'
    AND ended.entry_id = audit_entries.entry_id
""")
_TOUCHED = """
    SELECT ids.value AS record_id, entries.sequence AS sequence
    FROM audit_events AS events CROSS JOIN {record_ids[events]}
    JOIN audit_entries AS entries ON entries.entry_id = events.entry_id
    WHERE events.sequence > :after AND events.sequence <= :upto AND ids.value IS NOT NULL
"""
"""Which records the events of a span touched, and the entries they belong to."""
_TOUCH = _portable(f"INSERT INTO audit_touched (record_id, sequence) {_TOUCHED} ON CONFLICT DO NOTHING")
UNTOUCH = _portable(f"""
    DELETE FROM audit_touched WHERE (record_id, sequence) IN (SELECT record_id, sequence FROM ({_TOUCHED}) AS touched)
""")  # noqa: S608  # our own text
"""Lets go of what the events of a span touched."""
_SPAN = text("SELECT indexed.sequence, head.sequence FROM audit_indexed AS indexed, audit_head AS head")
_ADVANCE = _portable("UPDATE audit_indexed SET sequence = :upto")
_INTENTS = _portable("""
    SELECT count(found.sequence), min(CASE WHEN NOT (
        found.entry_id {same} events.entry_id AND found.time {same} events.time
        AND found.principal {same} lower(events.principal) AND found.org {same} lower(events.org)
        AND found.tool {same} lower(events.tool) AND found.action {same} lower(events.action)
        AND found.object {same} lower(events.object)) THEN events.sequence END)
    FROM audit_events AS events
    LEFT JOIN audit_entries AS found ON found.sequence = events.sequence
    WHERE events.sequence > :after AND events.sequence <= :upto AND events.kind = 'intent'
""")
_COUNT = _portable("SELECT count(*) FROM audit_entries WHERE sequence > :after AND sequence <= :upto")
"""Each entry of an intent was looked at; none may be left over."""
_WITHOUT_INTENT = _portable("""
    SELECT min(found.sequence) FROM audit_entries AS found
    LEFT JOIN audit_events AS events ON events.sequence = found.sequence AND events.kind = 'intent'
    WHERE found.sequence > :after AND found.sequence <= :upto AND events.sequence IS NULL
""")
_OUTCOMES_OF_ENTRIES = _portable("""
    SELECT min(found.sequence) FROM audit_entries AS found
    LEFT JOIN audit_events AS ended ON ended.sequence = found.outcome_sequence
    WHERE found.sequence > :after AND found.sequence <= :upto
    AND NOT (found.outcome = 'pending' AND found.outcome_sequence IS NULL)
    AND NOT coalesce(ended.kind = 'outcome' AND ended.entry_id = found.entry_id
        AND ended.outcome = found.outcome, false)
""")
_UNTOUCHED = _portable(f"""
    SELECT min(sequence) FROM ({_TOUCHED}) AS touched
    WHERE NOT EXISTS (SELECT 1 FROM audit_touched AS found
        WHERE found.record_id = touched.record_id AND found.sequence = touched.sequence)
""")  # noqa: S608  # our own text
_ENDED = _portable("""
    SELECT (SELECT count(*) FROM audit_events WHERE sequence > :after AND sequence <= :upto AND kind = 'outcome')
    - (SELECT count(*) FROM audit_entries WHERE outcome_sequence > :after AND outcome_sequence <= :upto)
""")
"""Each outcome that an entry names was looked at; none may be left over."""
_FIRST_LEFT_OVER = _portable("""
    SELECT min(coalesce(found.sequence, events.sequence)) FROM audit_events AS events
    LEFT JOIN audit_entries AS found ON found.entry_id = events.entry_id
    WHERE events.sequence > :after AND events.sequence <= :upto AND events.kind = 'outcome'
    AND found.outcome_sequence {differs} events.sequence
""")
_OUT_OF_BOUNDS = _portable("""
    SELECT min(sequence) FROM (
        SELECT min(sequence) AS sequence FROM audit_entries WHERE sequence < 1
        UNION ALL SELECT min(sequence) FROM audit_entries WHERE sequence > :indexed
        UNION ALL SELECT min(sequence) FROM audit_entries WHERE outcome_sequence > :indexed
    ) AS beyond
""")
"""Nothing is found by events that the search tables do not know yet."""
_STRANGE_TOUCHES = _portable("""
    SELECT min({touched_sequence}) FROM audit_touched AS found
    LEFT JOIN audit_entries AS entries ON entries.sequence = found.sequence
    LEFT JOIN audit_events AS begun ON begun.sequence = entries.sequence
    LEFT JOIN audit_events AS ended ON ended.sequence = entries.outcome_sequence
    WHERE entries.action {differs} 'bulk'
    AND NOT EXISTS (SELECT 1 FROM {record_ids[begun]}
        WHERE ids.value = found.record_id)
    AND NOT EXISTS (SELECT 1 FROM {record_ids[ended]}
        WHERE ids.value = found.record_id)
""")
_STRANGE_BULK = _portable("""
    SELECT min(sequence) FROM (
        SELECT found.record_id, found.sequence AS sequence FROM audit_touched AS found
        JOIN audit_entries AS entries ON entries.sequence = found.sequence WHERE entries.action = 'bulk'
        EXCEPT SELECT ids.value, entries.sequence FROM audit_entries AS entries
        JOIN audit_events AS events ON events.entry_id = entries.entry_id
        CROSS JOIN {record_ids[events]} WHERE entries.action = 'bulk'
    ) AS strange
""")
"""The same for entries that touched thousands of records: as sets, not one by one."""


def folded(value: str) -> str:
    """A text as the search tables hold it: ``lower`` of SQLite, and of PostgreSQL's C, knows ASCII letters only."""
    return value.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def step(connection: Connection, after: int, upto: int) -> None:
    """Take the events of one span in."""
    span = {"after": after, "upto": upto}
    for statement in (_ENTRIES, _OUTCOMES, _TOUCH, _ADVANCE):
        connection.execute(statement.on(connection), {name: span[name] for name in statement.names})


def take_page(connection: Connection, page: int) -> tuple[int, bool]:
    """Take a page of events in; up to which one they are taken in, and whether there are more."""
    indexed, head = connection.execute(_SPAN).one()
    if indexed >= head:
        return indexed, False
    upto = min(indexed + page, head)
    upto = result_parts.find_first(connection, indexed, upto) or upto  # one of them names thousands of records
    step(connection, indexed, upto)
    return upto, upto < head


def catch_up_in(tx: Transaction, page: int) -> bool:
    """Take a page of events in; True while there are more."""
    try:
        return take_page(tx.connection, page)[1]
    except DBAPIError as error:
        if not is_unreadable(error):
            raise
        raise StoreError(
            "the audit log cannot be searched: an entry was edited and cannot be read",
            hint="orgserver audit verify names it; audit export --format events takes out what is there",
        ) from error


async def catch_up(database: Database) -> None:
    """Take in all events that there are."""
    while await database.write(partial(catch_up_in, page=PAGE)):
        pass


async def catch_up_beside_calls(database: Database, seconds: float) -> None:
    """Take in what has come, in short pages with rests between them; what is left when the time is over waits."""
    end = time.monotonic() + seconds
    is_more = True
    while is_more and (began := time.monotonic()) < end:
        is_more = await database.write(partial(catch_up_in, page=SHORT_PAGE))
        await asyncio.sleep(_REST * (time.monotonic() - began))


# -- verification


class IndexCheck:
    """Compares the search tables with the events after ``began``, in a thread of its own while these are verified.

    Reads a page in each short read transaction. What it finds counts only once the events are verified, which
    ``finish`` is told.
    """

    def __init__(self, connection: Connection, began: int) -> None:
        self._began = self._end = began
        self._engine = connection.engine
        self._bad: list[int | None] = []
        self._error: BaseException | None = None
        self._is_given_up = False
        self._thread = threading.Thread(target=self._run, name="orgserver-verify-index", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_given_up = True
        self._thread.join()

    def finish(self, connection: Connection, end: int) -> tuple[int, str] | None:
        """The first entry that is found by something it does not say, and what is wrong; None if none is.

        The events up to ``end`` must have been verified. Entries that came meanwhile are looked at, too.
        """
        self._thread.join()
        with connection.begin():
            indexed, wrong = _read_end_of_index(connection)
        if wrong is not None:
            return wrong
        if self._error is not None:
            raise self._error
        self._check_pages(connection, self._end, min(end, indexed))
        first = min((one for one in self._bad if one is not None), default=None)
        return None if first is None else (int(first), f"what entry {first} is found by was edited")

    def _run(self) -> None:
        try:
            run_in_thread(self._engine.dialect, self._look)
        except Exception as error:  # noqa: BLE001  # such as of an edited event, which is not verified yet
            self._error = error

    def _look(self) -> None:
        with self._engine.connect() as connection:
            if connection.dialect.name == SQLITE:  # where any column may hold anything
                raw: Any = connection.connection.driver_connection
                raw.text_factory = bytes  # no text is read here, and what was put in a number's place may be no UTF-8
            with connection.begin():
                self._end, _ = _read_end_of_index(connection)
            self._check_pages(connection, self._began, self._end)
            with connection.begin():
                self._bad += [_first(connection, query) for query in (_STRANGE_TOUCHES, _STRANGE_BULK)]

    def _check_pages(self, connection: Connection, began: int, upto: int) -> None:
        for after in range(began, upto, PAGE_VERIFIED):
            if self._is_given_up:
                return
            with connection.begin():
                self._bad += _find_bad_entries(connection, {"after": after, "upto": min(after + PAGE_VERIFIED, upto)})
        with connection.begin():
            now, _ = _read_end_of_index(connection)
            self._bad.append(_first(connection, _OUT_OF_BOUNDS, indexed=now))
            span = {"after": began, "upto": upto}
            if _first(connection, _ENDED, **span):
                self._bad.append(_first(connection, _FIRST_LEFT_OVER, **span))


def _first(connection: Connection, query: PortableText, **values: int) -> int | None:
    """The one number that a query gives."""
    number: int | None = connection.execute(query.on(connection), values).scalar()
    return number


def _find_bad_entries(connection: Connection, span: dict[str, int]) -> list[int | None]:
    """What is wrong with the entries of a span of events, by the lowest sequence of each kind."""
    count, bad_intent = connection.execute(_INTENTS.on(connection), span).one()
    bad = [bad_intent, *(_first(connection, query, **span) for query in (_OUTCOMES_OF_ENTRIES, _UNTOUCHED))]
    if _first(connection, _COUNT, **span) != count:
        bad.append(_first(connection, _WITHOUT_INTENT, **span))
    return bad


def _read_end_of_index(connection: Connection) -> tuple[int, tuple[int, str] | None]:
    """How far the search tables go, which is no farther than the chain; and what is wrong with that."""
    rows = connection.execute(text("SELECT id, sequence FROM audit_indexed")).all()
    if len(rows) != 1 or rows[0].id != 1 or type(rows[0].sequence) is not int or rows[0].sequence < 0:
        return 0, (1, "how far the search tables go was changed")
    indexed = int(rows[0].sequence)
    head = int(connection.execute(select(tables.audit_head.c.sequence)).scalar_one())
    if indexed > head:
        return 0, (head + 1, f"the search tables are said to know entry {indexed}, and this log ends at {head}")
    return indexed, None
