"""Signed checkpoints: where the chain stood, in the store, in the chain itself, and in a file beside the store.

The file ``<database>.checkpoints`` holds the notes one after the other. Copied elsewhere, it tells an older copy of the
store that somebody put back from the store itself: nothing inside a database can. A power cut may leave pieces of
notes at its end: they are taken away, and those notes are written again from the store.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.private_files import lock_file, sync_folder, unlock_file
from orgserver.store import tables
from orgserver.store.database import Database
from orgserver.vault import signed_notes
from orgserver.vault.signed_notes import BadNote

logger = logging.getLogger("orgserver.audit")

CHECKPOINT_EVENTS = 1_000
CHECKPOINT_US = 60_000_000
"""A checkpoint after so many events, or this many microseconds after the last while there is something new."""
_TAIL = 4_096
_WHOLE = re.compile(rb"(orgserver/[0-9a-f-]{36})\n\d+\n[A-Za-z0-9+/]{43}=\n\n\xe2\x80\x94 \1 [A-Za-z0-9+/]{91}=\n\n")
"""A note as it stands in the file: store id, hash and signature have one length."""


async def is_due(connection: AsyncConnection, now: int, idle_us: int) -> bool:
    """Tell whether the chain has gone on since the last checkpoint, and that one is old enough."""
    last = (await connection.execute(_newest())).first()
    head = (await connection.execute(select(tables.audit_head.c.sequence))).scalar_one()
    if last is None:
        return bool(head > 0)
    return bool(head > last.sequence + 1 and abs(now - last.time) >= idle_us)  # 1: the event of the checkpoint itself


async def read_newest(connection: AsyncConnection, first: int, last: int) -> str | None:
    """The newest note about a sequence of this span."""
    sequence = tables.audit_checkpoints.c.sequence
    row = (await connection.execute(_newest().where(sequence >= first, sequence <= last))).first()
    return row.note if row is not None else None


@dataclass(frozen=True, slots=True)
class Shippable:
    """What the log says of itself to whoever carries it away."""

    base: int
    """The sequence of the last event that was pruned."""
    head: int
    checkpoints: list[int]
    """The sequences that are signed, from the base on."""


def read_shippable(connection: Connection, base: int) -> Shippable:
    """What there is to carry away."""
    sequence = tables.audit_checkpoints.c.sequence
    signed = select(sequence).where(sequence > base).order_by(sequence)
    head = connection.execute(select(tables.audit_head.c.sequence)).scalar_one()
    return Shippable(base, head, [*connection.execute(signed).scalars()])


def read_note(connection: Connection, sequence: int) -> str | None:
    """The note about a sequence."""
    notes = tables.audit_checkpoints.c
    note: str | None = connection.execute(select(notes.note).where(notes.sequence == sequence)).scalar()
    return note


def _newest() -> Select[Any]:
    return select(tables.audit_checkpoints).order_by(tables.audit_checkpoints.c.sequence.desc()).limit(1)


class CheckpointFile:
    """The file beside one store. Every process on the store appends what is missing in it."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".checkpoints")
        self._last_sequence = -1
        self._mended = False

    async def follow(self, database: Database) -> None:
        """Append the notes that the file does not have yet."""
        checkpoints = tables.audit_checkpoints
        query = select(checkpoints).where(checkpoints.c.sequence > self._last_sequence).order_by(checkpoints.c.sequence)
        async with database.reading() as connection:
            rows = (await connection.execute(query)).all()
        if not rows:
            return
        try:
            await asyncio.to_thread(self._append, [(row.sequence, row.note) for row in rows])
        except OSError as error:
            logger.warning("checkpoints could not be written beside the store: %s", error.strerror)
            return
        self._last_sequence = rows[-1].sequence

    def _append(self, notes: list[tuple[int, str]]) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(self.path, flags, 0o600), "r+b") as file:
            lock_file(file)
            if not self._mended:
                _mend(file)
                self._mended = True
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            last = _last_sequence(file.read().decode("utf-8", "replace"))
            missing = [note for sequence, note in notes if sequence > last]
            if missing:
                file.seek(0, os.SEEK_END)
                file.write("".join(f"{note}\n" for note in missing).encode())
                file.flush()
                os.fsync(file.fileno())
                if not size:
                    sync_folder(self.path.parent)
            unlock_file(file)


def _mend(file: BinaryIO) -> None:
    """Take away what is no whole note; every whole one stays, whatever stands before it."""
    content = file.read()
    whole = b"".join(match[0] for match in _WHOLE.finditer(content))
    if whole == content:
        return
    logger.warning("the checkpoints beside the store were damaged, as by a power cut; whole ones were kept")
    unchanged = next((place for place, byte in enumerate(whole) if byte != content[place]), len(whole))
    file.seek(unchanged)
    file.truncate()
    file.write(whole[unchanged:])
    file.flush()
    os.fsync(file.fileno())


def _last_sequence(tail: str) -> int:
    for note in reversed(signed_notes.split(tail)):
        try:
            return signed_notes.read_checkpoint(note).sequence
        except BadNote:
            continue
    return -1
