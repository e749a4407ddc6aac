r"""Where the chain begins, now that older entries were pruned.

The base is one row (``audit_base``): the sequence and hash of the last event that was removed, and a signed note over
``orgserver/<store id>\n<sequence>\n<base64 hash>\nbase\n<entries removed so far>\n``. The chain itself names each base
in an entry with the action ``prune``, whose label is ``pruned to <sequence> <hash>, <count> entries so far``.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import Action
from orgserver.store import tables
from orgserver.store.audit import chain
from orgserver.vault.signed_notes import BadNote, Verifier, as_signed

_base = tables.audit_base
_entries = tables.audit_entries
_events = tables.audit_events


@dataclass(frozen=True, slots=True)
class Base:
    """The last event that was removed; sequence 0 where nothing was."""

    sequence: int
    hash: bytes
    intents: int = 0
    """Entries removed so far."""
    note: str = ""
    time: int = 0
    """When it was made; what names it in the chain says the same."""

    def text(self, origin: str) -> str:
        """What is signed."""
        return f"{origin}\n{self.sequence}\n{base64.b64encode(self.hash).decode()}\nbase\n{self.intents}\n"

    @property
    def label(self) -> str:
        """How the chain names it."""
        return f"pruned to {self.sequence} {self.hash.hex()}, {self.intents} entries so far"

    def named_by(self, canonical: object, time: int) -> bool:
        """Whether an event with these canonical bytes and this time is the one that names it."""
        return time == self.time and isinstance(canonical, bytes) and f'"label":"{self.label}"'.encode() in canonical


def _read_row(rows: Sequence[Row[Any]], store_id: str) -> Base:
    if not rows:
        return Base(0, chain.genesis(store_id))
    row = rows[0]
    well_formed = type(row.sequence) is type(row.intents) is int and type(row.hash) is bytes and type(row.note) is str
    if len(rows) > 1 or row.id != 1 or not well_formed or row.sequence < 1:
        return Base(0, chain.genesis(store_id), note="?")
    return Base(row.sequence, row.hash, row.intents, row.note, row.time)


def read_base_in(connection: Connection, store_id: str) -> Base:
    """Where the chain begins."""
    return _read_row(connection.execute(select(_base)).all(), store_id)


async def read_base(connection: AsyncConnection, store_id: str) -> Base:
    """Where the chain begins."""
    return _read_row((await connection.execute(select(_base))).all(), store_id)


def find_problem(connection: Connection, base: Base, verifier: Verifier) -> tuple[int, str] | None:
    """What is wrong with a base, or with what stands before it, and at which sequence; None if nothing is."""
    if not base.sequence:
        return (1, "the base of the log was changed") if base.note else None
    try:
        signed_text = verifier.check(base.note)
    except BadNote as bad:
        return base.sequence, f"the base at entry {base.sequence} was forged: {bad}"
    if signed_text != base.text(verifier.origin) or not as_signed(base.note, verifier.origin, signed_text):
        return base.sequence, f"the base at entry {base.sequence} was moved"
    for column in (_events.c.sequence, _entries.c.sequence):
        first = connection.execute(select(func.min(column)).where(column <= base.sequence)).scalar()
        if first is not None:
            return int(first), f"entry {first} was put before the base at entry {base.sequence}"
    return None


def is_named_in_chain(connection: Connection, base: Base) -> bool:
    """Whether an entry that is found by its action names this base. The chain itself is for its reader to check."""
    prunings = (
        select(_events.c.canonical, _events.c.time)
        .join(_entries, _entries.c.sequence == _events.c.sequence)
        .where(_entries.c.action == Action.PRUNE, _events.c.kind == chain.INTENT, _events.c.time == base.time)
    )
    return any(base.named_by(row.canonical, row.time) for row in connection.execute(prunings))
