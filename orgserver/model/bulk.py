"""What became of each record of a large change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

State = Literal["succeeded", "failed", "unknown"]
BulkAction = Literal["create", "update", "delete", "upsert"]


class RecordResult(NamedTuple):
    """What became of one record."""

    state: State
    id: str | None = None
    code: str | None = None
    """Salesforce's errorCode, or ours."""
    message: str | None = None
    """In Salesforce's words, which may repeat a value: for the caller, never for the log."""
    fields: tuple[str, ...] = ()
    """The fields that Salesforce names."""

    def as_json(self, index: int) -> dict[str, Any]:
        """As agents see it; ``index`` is the record's place among those of the call."""
        fields: dict[str, Any] = {"index": index}
        if self.id is not None:
            fields["id"] = self.id
        if self.state == "succeeded":
            return fields
        outcome = "rejected" if self.state == "failed" else "unknown"
        error: dict[str, Any] = {"code": self.code or "NOT_REPORTED", "outcome": outcome}
        if self.message:
            error["message"] = self.message
        if self.fields:
            error["fields"] = list(self.fields)
        return fields | {"error": error}


@dataclass(frozen=True, slots=True)
class ResultBatch:
    """The results of some records in their order, the first of which has this index."""

    first: int
    results: Sequence[RecordResult]
    strays: tuple[str, ...] = ()
    """Ids that Salesforce told of records that are none of those asked for, as far as can be seen."""


@dataclass(slots=True)
class Counts:
    """How many records came out how."""

    succeeded: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.succeeded + self.failed + self.unknown

    def count(self, results: Sequence[RecordResult]) -> None:
        """Count some more."""
        for result in results:
            setattr(self, result.state, getattr(self, result.state) + 1)


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of a large change, or (``preview``) what would change."""

    audit_id: str
    counts: Counts
    results: list[dict[str, Any]] = field(default_factory=list)
    next_cursor: str | None = None
    preview: bool = False
    warnings: tuple[str, ...] = ()
    record_ids: tuple[str, ...] = ()
    """The first ids of records that were changed."""
    error_code: str | None = None
    """Why not everything was done."""
    sent: bool = True
    """Whether anything left for Salesforce that may change a record."""
