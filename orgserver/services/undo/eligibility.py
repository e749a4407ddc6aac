"""Whether an audit entry can be undone, and by which operation: update, create or delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from orgserver.model.audit import Action, AuditEntry, Outcome
from orgserver.model.errors import OperatorError
from orgserver.services.audit.log_reader import refuse_ambiguous

How = Literal["update", "create", "delete"]
UNDONE_BY: dict[str, How] = {"update": "update", "delete": "create", "create": "delete", "upsert": "update"}
HAPPENED = (Outcome.SUCCEEDED, Outcome.UNKNOWN)
"""Outcomes of what may have changed something."""
_READS = frozenset({"read", "list", "query", "search", "describe", "limits", "preview"})
_CREATED = 201
_BEGINNING = 4
"""Characters of a request id that may stand for all of it: many clients count their requests from 1."""


class CannotUndo(OperatorError):
    """An entry that cannot be undone, whatever its record is like now.

    ``kind`` says why without what belongs to this entry alone.
    """

    def __init__(self, message: str, *, hint: str | None = None, kind: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


def choose_operation(entry: AuditEntry) -> How:
    """How a change is undone; CannotUndo for an entry that is none, or of which nothing is known to undo."""
    if entry.action == "undo":
        raise CannotUndo("this entry is an undo, which cannot be undone", hint="change the record instead")
    if entry.action in _READS:
        raise CannotUndo(f"this entry is a {entry.action}, which changed nothing")
    if entry.action == Action.BULK:
        raise CannotUndo("this entry is a change of many records at once, of which no old values are kept")
    if entry.action not in UNDONE_BY:
        raise CannotUndo(f"this entry is of {entry.action}; only create, update, upsert and delete can be undone")
    if entry.outcome is Outcome.PENDING:
        raise CannotUndo("this entry has no outcome yet", hint="try again in a minute")
    if entry.outcome not in HAPPENED:
        raise CannotUndo(f"this {entry.action} changed nothing: its outcome is {entry.outcome.value}")
    if not entry.record_ids:
        raise CannotUndo(f"which record this {entry.action} was of is not known: no answer came")
    return UNDONE_BY[entry.action]


def choose_for_created_by_upsert(entry: AuditEntry) -> How:
    """How an upsert is undone that found no record; it may have met one that was made meanwhile."""
    if entry.http_status != _CREATED:
        raise CannotUndo("this upsert changed a record that was made a moment before: its old values are not known")
    return "delete"


def refuse_repeat(entry: AuditEntry, first: Sequence[AuditEntry]) -> CannotUndo:
    """The refusal of an entry that repeats another with its idempotency key."""
    what = f"this entry repeats an earlier {entry.action} with its idempotency key, and nothing was sent for it"
    if not first:
        return CannotUndo(f"{what}; the entry of that {entry.action} was pruned")
    ids = " or ".join(each.id for each in first)
    return CannotUndo(f"{what}: the change is that of {ids}", hint=f"orgserver audit undo {first[0].id}", kind=what)


def select_request(entries: Sequence[AuditEntry], request_id: str) -> list[AuditEntry]:
    """The entries of one request, by its id or what it begins with; OperatorError if several agents used that id."""
    request_id = _match_request(request_id, {each.request_id for each in entries if each.request_id})
    selected = [each for each in entries if each.request_id == request_id]
    if len({(each.principal, each.client, each.process) for each in selected}) > 1:
        raise OperatorError(
            "requests of more than one agent or session have this id",
            hint="narrow it with --principal, --since and --until",
        )
    return selected


def _match_request(beginning: str, request_ids: set[str]) -> str:
    """The request id that was meant: itself, or the only one that begins so; what is short is never a beginning."""
    if beginning in request_ids or len(beginning) < _BEGINNING:
        return beginning
    matches = sorted(each for each in request_ids if each.startswith(beginning))
    if len(matches) > 1:
        raise refuse_ambiguous(beginning, "request ids", matches)
    return matches[0] if matches else beginning
