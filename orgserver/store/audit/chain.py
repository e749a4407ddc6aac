"""The form of the audit chain: canonical bytes, the hash that links them, and what a genuine row looks like.

``hash = SHA-256(0x01 ‖ previous hash (32) ‖ sequence (8, big endian) ‖ canonical bytes)``; the first previous hash is
``SHA-256(0x00 ‖ "orgserver" ‖ store id)``, so that chains of two stores share nothing.
``mac = HMAC-SHA-256(audit key, hash)``. Canonical bytes are JSON in UTF-8 with sorted keys, no white space,
no floats, and times in UTC microseconds; keys without a value are left out.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from orgserver.model.audit import Completion, Intent
from orgserver.store.times import to_datetime, to_microseconds

INTENT = "intent"
OUTCOME = "outcome"
CHECKPOINT = "checkpoint"
"""Says in the chain itself that a signed checkpoint was made, so that one that is missing is noticed."""
VALUES = "values"
"""Says that field values are kept beside the chain for an entry, by their salted digest."""
_PART = "part-"
LAST_PART = f"{_PART}99999"
"""The kind of the last part an entry can have: between the first and this one lies every part, in its order."""
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def genesis(store_id: str) -> bytes:
    """The hash before the first event."""
    return hashlib.sha256(b"\x00orgserver" + store_id.encode()).digest()


def link(previous: bytes, sequence: int, canonical: bytes) -> bytes:
    """The hash of one event."""
    return hashlib.sha256(b"\x01" + previous + sequence.to_bytes(8, "big") + canonical).digest()


def canonical(event: dict[str, Any]) -> bytes:
    """The bytes of one event, as they are kept for good."""
    return _encode({name: value for name, value in event.items() if value not in (None, (), "")}).encode(
        "utf-8", "backslashreplace"
    )


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


def part_kind(number: int) -> str:
    """The kind of an entry's part with this number: results of some of the many records that it changed."""
    return f"{_PART}{number:05}"


def values(entry_id: str, digest: str, now: int) -> dict[str, Any]:
    """The event that the values kept for an entry leave."""
    return {"v": 1, "kind": VALUES, "id": entry_id, "time": time_text(now), "digest": digest}
