"""What people search the audit log by: two tables made from its events, caught up before each search.

They are made in SQL from what the events say, a page in each transaction, by running servers and by whoever searches.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from orgserver.store.audit import result_parts
from orgserver.store.transaction import Transaction

PAGE = 2_000
"""Events in one transaction: some milliseconds, which is what a call waits at most."""

_ENTRIES = text("""
    INSERT INTO audit_entries (sequence, entry_id, time, principal, org, tool, action, object, outcome)
    SELECT sequence, entry_id, time, lower(principal), lower(org), lower(tool), lower(action), lower(object), 'pending'
    FROM audit_events WHERE sequence > :after AND sequence <= :upto AND kind = 'intent'
""")
_OUTCOMES = text("""
    UPDATE audit_entries SET outcome = ended.outcome, outcome_sequence = ended.sequence
    FROM audit_events AS ended
    WHERE ended.sequence > :after AND ended.sequence <= :upto AND ended.kind = 'outcome'
    AND ended.entry_id = audit_entries.entry_id
""")
TOUCHED = """
    SELECT DISTINCT ids.value AS record_id, entries.sequence AS sequence
    FROM audit_events AS events
    JOIN json_each(CAST(events.canonical AS TEXT), '$.record_ids') AS ids
    JOIN audit_entries AS entries ON entries.entry_id = events.entry_id
    WHERE events.sequence > :after AND events.sequence <= :upto
"""
"""Which records the events of a span touched, and the entries they belong to."""
_TOUCH = text(f"INSERT OR IGNORE INTO audit_touched (record_id, sequence) {TOUCHED}")  # our own text
_SPAN = text("SELECT indexed.sequence, head.sequence FROM audit_indexed AS indexed, audit_head AS head")


def folded(value: str) -> str:
    """A text as the search tables hold it: SQLite's ``lower`` knows ASCII letters only."""
    return value.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def step(connection: Connection, after: int, upto: int) -> None:
    """Take the events of one span in."""
    span = {"after": after, "upto": upto}
    connection.execute(_ENTRIES, span)
    connection.execute(_OUTCOMES, span)
    connection.execute(_TOUCH, span)
    connection.execute(text("UPDATE audit_indexed SET sequence = :upto"), {"upto": upto})


def catch_up_in(tx: Transaction) -> bool:
    """Take a page of events in; True while there are more."""
    indexed, head = tx.connection.execute(_SPAN).one()
    if indexed >= head:
        return False
    upto = min(indexed + PAGE, head)
    upto = result_parts.first_within(tx.connection, indexed, upto) or upto  # one of them names thousands of records
    step(tx.connection, indexed, upto)
    return bool(upto < head)
