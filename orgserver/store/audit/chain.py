"""The audit chain: the canonical bytes of its events, the hash that links them, and who appends at its end.

``hash = SHA-256(0x01 ‖ previous hash (32) ‖ sequence (8, big endian) ‖ canonical bytes)``; the first previous hash is
``SHA-256(0x00 ‖ "orgserver" ‖ store id)``, so that chains of two stores share nothing.
``mac = HMAC-SHA-256(audit key, hash)``. Canonical bytes are JSON in UTF-8 with sorted keys, no white space,
no floats, and times in UTC microseconds; keys without a value are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from orgserver.model.audit import Completion, Intent
from orgserver.model.errors import AuditBroken, StoreError
from orgserver.model.names import new_id
from orgserver.store import tables
from orgserver.store.audit.checkpoints import CHECKPOINT_EVENTS
from orgserver.store.audit.heartbeat import REMOVE_PENDING, ended_in
from orgserver.store.catalog_version import check_version_in
from orgserver.store.database import Database
from orgserver.store.sql.arrays import arrays, insert_arrays
from orgserver.store.sql.values import storable_completion, storable_intent
from orgserver.store.transaction import GroupConflict, PreparedStatement, Transaction, to_datetime, to_microseconds
from orgserver.vault.keys import Context, Key, Unsealable
from orgserver.vault.signed_notes import Checkpoint, Signer

INTENT = "intent"
OUTCOME = "outcome"
CHECKPOINT = "checkpoint"
"""Says in the chain itself that a signed checkpoint was made, so that one that is missing is noticed."""
VALUES = "values"
"""Says that field values are kept beside the chain for an entry, by their salted digest."""
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode

_HEAD = PreparedStatement(
    select(
        tables.audit_head.c.sequence,
        tables.audit_head.c.hash,
        tables.audit_head.c.sealed,
        tables.store.c.catalog_version,
    ).join_from(tables.audit_head, tables.store, tables.audit_head.c.id == tables.store.c.id)
)
_ADD_EVENTS = PreparedStatement(insert(tables.audit_events))
_move_head = update(tables.audit_head).values(
    sequence=bindparam("to_sequence"), hash=bindparam("to_hash"), sealed=bindparam("to_sealed")
)
_MOVE_HEAD = PreparedStatement(_move_head)
_ADD_PENDING = PreparedStatement(insert(tables.audit_pending))
_removal = REMOVE_PENDING.returning(tables.audit_pending.c.entry_id).cte("removal")
_FLUSH = PreparedStatement(
    select(func.count(), select(tables.store.c.catalog_version).scalar_subquery())
    .select_from(_removal)
    .add_cte(
        insert_arrays(tables.audit_events).cte("events"),
        insert_arrays(tables.audit_pending).cte("pending"),
        _move_head.cte("head"),
    )
)
"""All that a group leaves, for a server, to which each statement is a way; how many entries were still waiting, and
the catalog's version."""


def genesis(store_id: str) -> bytes:
    """The hash before the first event."""
    return hashlib.sha256(b"\x00orgserver" + store_id.encode()).digest()


def link(previous: bytes, sequence: int, canonical: bytes) -> bytes:
    """The hash of one event."""
    return hashlib.sha256(b"\x01" + previous + sequence.to_bytes(8, "big") + canonical).digest()


def canonical(event: dict[str, Any]) -> bytes:
    """The bytes of one event, as they are kept for good."""
    values = {name: value for name, value in event.items() if value or value not in (None, (), "")}
    try:
        return _encoder()(values)
    except (UnicodeEncodeError, TypeError):  # half a surrogate pair, which is spelled as JSON may; a kind of text
        return _encode(values).encode("utf-8", "backslashreplace")


@cache
def _encoder() -> Callable[[Any], bytes]:
    """What makes the bytes of most events, the same ones, in less time."""
    import msgspec  # noqa: PLC0415  # not every command writes events

    return msgspec.json.Encoder(order="sorted").encode


@lru_cache(maxsize=64)  # all rows of a transaction have one time
def time_text(microseconds: int) -> str:
    """A time as the canonical bytes hold it."""
    return to_datetime(microseconds).isoformat(timespec="microseconds").replace("+00:00", "Z")


def microseconds_of(text: str) -> int:
    """Read a time of the canonical bytes."""
    return to_microseconds(datetime.fromisoformat(text))


def intent_event(intent: Intent, now: int, process: str) -> dict[str, Any]:
    """The intent event of an act."""
    return {
        "v": 1,
        "kind": INTENT,
        "id": intent.id,
        "time": time_text(now),
        "process": process,
        "principal": intent.principal,
        "client": intent.client,
        "transport": intent.transport,
        "request_id": intent.request_id,
        "label": intent.label,
        "org": intent.org,
        "org_id": intent.org_id,
        "tool": intent.tool,
        "action": str(intent.action),
        "object": intent.object,
        "record_ids": intent.record_ids,
        "fields": intent.fields,
        "soql": intent.soql,
        "undoes": intent.undoes,
        "salesforce_user": intent.salesforce_user.as_json() if intent.salesforce_user is not None else None,
        "identity": intent.identity,
    }


def outcome_event(entry_id: str, completion: Completion, now: int) -> dict[str, Any]:
    """The outcome event of an act."""
    return {
        "v": 1,
        "kind": OUTCOME,
        "id": entry_id,
        "time": time_text(now),
        "outcome": completion.outcome.value,
        "error_code": completion.error_code,
        "http_status": completion.http_status,
        "api_calls": completion.api_calls,
        "attempts": completion.attempts,
        "salesforce_request_id": completion.salesforce_request_id,
        "record_ids": completion.record_ids,
        "row_count": completion.row_count,
        "duration_us": completion.duration_us,
        "decision": completion.decision,
    }


def checkpoint(id_: str, sequence: int, hash_: bytes, now: int) -> dict[str, Any]:
    """The event that a checkpoint leaves."""
    return {
        "v": 1,
        "kind": CHECKPOINT,
        "id": id_,
        "time": time_text(now),
        "sequence": sequence,
        "hash": hash_.hex(),
    }


def values(entry_id: str, digest: str, now: int) -> dict[str, Any]:
    """The event that the values kept for an entry leave."""
    return {"v": 1, "kind": VALUES, "id": entry_id, "time": time_text(now), "digest": digest}


@dataclass(slots=True)
class _Head:
    sequence: int
    hash: bytes
    rows: list[dict[str, Any]]
    pending: list[dict[str, Any]]


class ChainAppender:
    """Appends events. The head is read once for each group of changes, and moved once."""

    def __init__(self, database: Database, key: Key, store_id: str, signer: Signer) -> None:
        self.store_id = store_id
        self.signer = signer
        self.mac = key.make_mac()
        """What a row of ours with this hash has as its MAC."""
        self._database = database
        self._key = key
        self._context = Context(store_id, "audit_head", "sealed")
        self._sealed_last: tuple[int, bytes, bytes] | None = None
        """The head that this process sealed last: where the store still has it, there is nothing to open."""
        self._opened = database.engine.identity()
        """SQLite would go on writing into a file that was deleted: what it writes there is gone with the process."""

    def _append_intent(self, tx: Transaction, intent: Intent, process_id: str) -> None:
        intent = storable_intent(intent)
        self._append(tx, intent_event(intent, tx.now, process_id), intent=intent)

    def _append_outcome(self, tx: Transaction, entry_id: str, completion: Completion) -> None:
        completion = storable_completion(completion)
        self._append(tx, outcome_event(entry_id, completion, tx.now), completion=completion)

    def _append(
        self,
        tx: Transaction,
        event: dict[str, Any],
        *,
        intent: Intent | None = None,
        completion: Completion | None = None,
    ) -> None:
        head = self._head(tx)
        canonical_bytes = canonical(event)
        head.sequence += 1
        head.hash = link(head.hash, head.sequence, canonical_bytes)
        head.rows.append(
            {
                "sequence": head.sequence,
                "entry_id": event["id"],
                "kind": event["kind"],
                "time": tx.now,
                "principal": intent.principal if intent else None,
                "org": (intent.org or None) if intent else None,  # the canonical bytes leave out what is empty
                "tool": (intent.tool or None) if intent else None,
                "action": str(intent.action) if intent else None,
                "object": (intent.object or None) if intent else None,
                "outcome": completion.outcome.value if completion else None,
                "canonical": canonical_bytes,
                "hash": head.hash,
                "mac": self.mac(head.hash),
            }
        )

    def _head(self, tx: Transaction) -> _Head:
        head: _Head | None = tx.state.get("head")
        if head is None:
            if self._database.engine.identity() != self._opened:
                raise StoreError("the store's file was removed or replaced while it was open")
            rows = tx.fetch(_HEAD) if tx.start_head is None else [(*tx.start_head, None)]
            if len(rows) != 1:
                raise AuditBroken("the head of the audit chain was changed from outside")
            sequence, hash_, sealed, tx.catalog_version = rows[0]
            if (sequence, hash_, sealed) != self._sealed_last and self.open_head(sealed) != (sequence, hash_):
                raise AuditBroken("the head of the audit chain was changed from outside")
            head = tx.state["head"] = _Head(sequence, hash_, [], [])
            tx.before_commit.append(self._flush)
        return head

    def _checkpoint_in(self, tx: Transaction) -> None:
        """Sign where the chain stands now, and say so in the chain."""
        head = self._head(tx)
        note = self.signer.sign(Checkpoint(self.signer.origin, head.sequence, head.hash).text())
        row = {"sequence": head.sequence, "hash": head.hash, "time": tx.now, "note": note}
        tx.connection.execute(insert(tables.audit_checkpoints).values(row))
        self._append(tx, checkpoint(new_id(), head.sequence, head.hash, tx.now))

    def _flush(self, tx: Transaction) -> None:
        head = self._head(tx)
        if head.sequence // CHECKPOINT_EVENTS > (head.sequence - len(head.rows)) // CHECKPOINT_EVENTS:
            self._checkpoint_in(tx)
        if head.rows:
            sealed = self.seal_head(head.sequence, head.hash)
            self._sealed_last = head.sequence, head.hash, sealed
            end = {"to_sequence": head.sequence, "to_hash": head.hash, "to_sealed": sealed}
            write = _write_at_once if self._database.engine.is_server else _write_each
            write(tx, head, end)
            tx.appended = head.sequence, head.hash
        else:
            check_version_in(tx)

    # -- keys

    def seal_head(self, sequence: int, hash_: bytes) -> bytes:
        """Seal the head, so that a tail cannot be cut off unseen."""
        return self._key.seal(sequence.to_bytes(8, "big") + hash_, self._context)

    def open_head(self, sealed: bytes) -> tuple[int, bytes]:
        """Read the sealed head; AuditBroken if it is not ours."""
        try:
            plain = self._key.open(sealed, self._context)
        except Unsealable:
            raise AuditBroken("the sealed head of the audit chain was changed from outside") from None
        return int.from_bytes(plain[:8], "big"), plain[8:]


def _write_each(tx: Transaction, head: _Head, end: dict[str, Any]) -> None:
    tx.execute(_ADD_EVENTS, *head.rows)
    tx.execute(_MOVE_HEAD, end)
    if head.pending:
        tx.execute(_ADD_PENDING, *head.pending)


def _write_at_once(tx: Transaction, head: _Head, end: dict[str, Any]) -> None:
    ended = ended_in(tx)
    events, pending = arrays(tables.audit_events, head.rows), arrays(tables.audit_pending, head.pending)
    count, version = tx.fetch(_FLUSH, **events, **pending, **end, entries=list(ended))[0]
    if count != len(ended) or tx.assumed_version not in (None, version):
        raise GroupConflict
    ended.clear()
