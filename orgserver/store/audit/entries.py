"""The public form of an audit entry, read from the canonical bytes of its intent and its outcome."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orgserver.model.audit import MAX_RECORD_IDS, AuditEntry, Outcome, SalesforceUser
from orgserver.model.errors import AuditBroken
from orgserver.store.audit import chain
from orgserver.store.transaction import to_datetime

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading an entry raises whose bytes were edited."""
Event = dict[str, Any]


def refuse_unreadable(sequence: int) -> AuditBroken:
    """The error of an entry whose bytes were edited so that they say nothing any more."""
    return AuditBroken(
        f"entry {sequence} cannot be read: it or its outcome was edited",
        hint="orgserver audit verify names the first that was; audit export --format events takes them out as they are",
    )


def read_fields(row: Sequence[Any]) -> dict[str, Any]:
    """The public fields of an entry in their order, as JSON has them."""
    try:
        return _build_fields(row, *_decode(row))
    except UNREADABLE as error:
        raise refuse_unreadable(row[0]) from error


def read_entry(row: Sequence[Any]) -> AuditEntry:
    """An entry from its row."""
    try:
        intent, outcome = _decode(row)
        fields = _build_fields(row, intent, outcome)
        return AuditEntry(
            **fields
            | {
                "time": to_datetime(chain.microseconds_of(fields["time"])),
                "record_ids": tuple(fields["record_ids"]),
                "fields": tuple(fields["fields"]),
                "outcome": Outcome(fields["outcome"]),
                "salesforce_user": _read_user(fields["salesforce_user"]),
            },
            soql=intent.get("soql"),
            process=intent.get("process"),
        )
    except UNREADABLE as error:
        raise refuse_unreadable(row[0]) from error


def _read_user(facts: dict[str, str] | None) -> SalesforceUser | None:
    return SalesforceUser(facts["id"], facts["username"]) if facts is not None else None


def _decode(row: Sequence[Any]) -> tuple[Event, Event]:
    return json.loads(row[1]), json.loads(row[4]) if row[4] else {}


def _build_fields(row: Sequence[Any], intent: Event, outcome: Event) -> dict[str, Any]:
    sequence, _, hash_, outcome_sequence, _, outcome_hash = row
    of_intent, of_outcome = intent.get, outcome.get
    record_ids = of_intent("record_ids", [])
    returned_ids = of_outcome("record_ids")
    if returned_ids:
        record_ids = list(dict.fromkeys((*record_ids, *returned_ids)))
    duration = of_outcome("duration_us")
    return {
        "id": intent["id"],
        "sequence": sequence,
        "time": intent["time"],
        "duration_ms": duration / 1_000 if duration is not None else None,
        "principal": intent["principal"],
        "client": of_intent("client"),
        "transport": intent["transport"],
        "request_id": of_intent("request_id"),
        "label": of_intent("label"),
        "org": of_intent("org"),
        "org_id": of_intent("org_id"),
        "tool": of_intent("tool"),
        "action": intent["action"],
        "object": of_intent("object"),
        "record_ids": record_ids[:MAX_RECORD_IDS],
        "fields": of_intent("fields", []),
        "row_count": of_outcome("row_count"),
        "outcome": of_outcome("outcome", "pending"),
        "error_code": of_outcome("error_code"),
        "http_status": of_outcome("http_status"),
        "api_calls": of_outcome("api_calls"),
        "attempts": of_outcome("attempts"),
        "salesforce_request_id": of_outcome("salesforce_request_id"),
        "undoes": of_intent("undoes"),
        "salesforce_user": of_intent("salesforce_user"),
        "identity": of_intent("identity"),
        "decision": of_outcome("decision"),
        "hash": hash_.hex(),
        "outcome_sequence": outcome_sequence,
        "outcome_hash": outcome_hash.hex() if outcome_hash else None,
    }
