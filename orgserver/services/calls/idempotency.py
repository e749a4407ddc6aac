"""How a repeated create answers like its first attempt: digests of key and arguments, and the answer that was kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orgserver.model.audit import Outcome
from orgserver.model.digests import digest_arguments, digest_text
from orgserver.model.errors import CallError, Conflict, InvalidArgument, Rejected, Unanswered
from orgserver.model.results import Created, Upserted
from orgserver.store.calls.idempotency import IdempotencyKey
from orgserver.vault.keys import Context

MAX_KEY = 200


def read_key(key: str, *, principal: str, row_id: str, arguments: Mapping[str, Any]) -> IdempotencyKey:
    """Read an ``idempotency_key``."""
    if not key or len(key) > MAX_KEY:
        raise InvalidArgument(f"idempotency_key has 1 to {MAX_KEY} characters", fields=["idempotency_key"])
    return digest_call(key, principal=principal, row_id=row_id, arguments=arguments)


def digest_call(key: str, *, principal: str, row_id: str, arguments: Mapping[str, Any]) -> IdempotencyKey:
    """Make the digests that the store keeps of an idempotency key and its call."""
    return IdempotencyKey(principal, row_id, digest_text(key), digest_arguments(arguments))


def context(row_id: str, entry_id: str) -> Context:
    """Where a kept answer belongs: to the entry of the first attempt, not to another key of the same org."""
    return Context(row_id, "idempotency", "answer", entry_id)


def remember(result: Created | None, error: CallError | None) -> bytes:
    """Write an answer down."""
    if result is not None and error is None:
        answer_values: dict[str, Any] = {"id": result.id, "url": result.url, "warnings": list(result.warnings)}
        if isinstance(result, Upserted):
            answer_values["created"] = result.created
    elif error is not None:
        answer_values = {"error": error.as_json(None)["error"], "http_status": error.http_status}
    else:
        answer_values = {}
    return json.dumps(answer_values).encode()


def recall(answer: bytes, fields: tuple[str, ...] = ()) -> Created | CallError:
    """Read an answer back; ``fields`` are those of the call, which the digest says are those of the first attempt."""
    answer_values = json.loads(answer)
    if "error" not in answer_values:
        made = answer_values["id"], answer_values["url"], tuple(answer_values["warnings"]), fields
        return Upserted(*made, answer_values["created"]) if "created" in answer_values else Created(*made)
    error = answer_values["error"]
    kind = Unanswered if error["outcome"] == "unknown" else Rejected
    return kind(
        error["message"],
        code=error["code"],
        category=error["category"],
        fields=error.get("fields", ()),
        retryable=error["retryable"],
        hint=error.get("hint"),
        http_status=answer_values["http_status"],
    )


def clash(first: str | None) -> Conflict:
    """An idempotency key that is in use."""
    return Conflict(
        "idempotency_key is in use for a call that is not over yet"
        if first == Outcome.PENDING.value
        else "idempotency_key was used with other arguments",
        fields=["idempotency_key"],
        hint="use a new key for a new change, and the same key with the same arguments to repeat one",
    )
