"""What the audit log says: intents, completions and the entries that they make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from orgserver.model.access.logins import UsedIdentity

if TYPE_CHECKING:
    from orgserver.model.orgs import Org


class Action(StrEnum):
    """What was done."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    UPSERT = "upsert"
    LIST = "list"
    QUERY = "query"
    SEARCH = "search"
    DESCRIBE = "describe"
    LIMITS = "limits"
    BULK = "bulk"
    PREVIEW = "preview"
    UNDO = "undo"
    ENROL = "enrol"
    REFRESH = "refresh"
    GRANT = "grant"
    POLICY = "policy"
    KEY = "key"
    EXPORT = "export"
    PRUNE = "prune"
    VERIFY = "verify"
    AUTH_FAILED = "auth_failed"


class Outcome(StrEnum):
    """How it ended."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    DENIED = "denied"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class SalesforceUser(msgspec.Struct, frozen=True):
    """Whose login at Salesforce was used."""

    id: str
    username: str

    def as_json(self) -> dict[str, str]:
        """As events and entries have it."""
        return {"id": self.id, "username": self.username}


class Intent(msgspec.Struct, frozen=True):
    """What is about to be done: becomes the intent event."""

    id: str
    """A UUIDv7; the audit entry's id."""
    principal: str
    transport: str
    action: str
    tool: str | None = None
    client: str | None = None
    request_id: str | None = None
    label: str | None = None
    org: str | None = None
    """The alias as it was said, whether or not it exists."""
    org_row: str | None = None
    org_id: str | None = None
    object: str | None = None
    record_ids: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    soql: str | None = None
    """With every literal replaced by ``?``."""
    undoes: str | None = None
    salesforce_user: SalesforceUser | None = None
    """None where that is not known, or nothing is said to Salesforce."""
    identity: UsedIdentity | None = None
    """Whose login that is: the one that all share, or the principal's own."""

    def about(self, fields: tuple[str, ...], sobject: str | None = None) -> Intent:
        """The same, about these fields, and about this object where one is named."""
        return msgspec.structs.replace(self, fields=fields, object=sobject or self.object)


def org_facts(org: Org) -> dict[str, Any]:
    """What an intent says of its org, and of the login that is used there."""
    user = org.user
    return {
        "org": org.alias,
        "org_row": org.row_id,
        "org_id": org.org_id,
        "salesforce_user": SalesforceUser(user.id, user.username) if user is not None else None,
        "identity": org.used_identity,
    }


class Completion(msgspec.Struct, frozen=True):
    """How an act ended: becomes the outcome event."""

    outcome: Outcome
    error_code: str | None = None
    http_status: int | None = None
    api_calls: int = 0
    attempts: int = 0
    salesforce_request_id: str | None = None
    record_ids: tuple[str, ...] = ()
    """Ids that came back; joined to those acted on, 200 in all."""
    row_count: int | None = None
    duration_us: int = 0
    decision: str | None = None
    """The rule that denied it."""


REPEATABLE_ACTIONS = frozenset({Action.CREATE, Action.UPSERT, Action.UNDO})
"""What takes an idempotency key."""
ADMINISTRATION = frozenset(
    {
        Action.GRANT,
        Action.POLICY,
        Action.KEY,
        Action.ENROL,
        Action.REFRESH,
        Action.EXPORT,
        Action.PRUNE,
        Action.VERIFY,
        Action.AUTH_FAILED,
    }
)
"""What is done here and not in an org."""
MAX_RECORD_IDS = 200
"""An entry names this many records."""
ENTRY_FIELDS = (
    "id",
    "sequence",
    "time",
    "duration_ms",
    "principal",
    "client",
    "transport",
    "request_id",
    "label",
    "org",
    "org_id",
    "tool",
    "action",
    "object",
    "record_ids",
    "fields",
    "row_count",
    "outcome",
    "error_code",
    "http_status",
    "api_calls",
    "attempts",
    "salesforce_request_id",
    "undoes",
    "salesforce_user",
    "identity",
    "decision",
    "hash",
    "outcome_sequence",
    "outcome_hash",
)
"""The public order of fields, which every export keeps."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act from intent to outcome, as administrators see it."""

    id: str
    sequence: int
    time: datetime
    duration_ms: float | None
    principal: str
    client: str | None
    transport: str
    request_id: str | None
    label: str | None
    org: str | None
    org_id: str | None
    tool: str | None
    action: str
    object: str | None
    record_ids: tuple[str, ...]
    fields: tuple[str, ...]
    row_count: int | None
    outcome: Outcome
    error_code: str | None
    http_status: int | None
    api_calls: int | None
    attempts: int | None
    salesforce_request_id: str | None
    undoes: str | None
    salesforce_user: SalesforceUser | None
    identity: str | None
    decision: str | None
    """The rule that denied it."""
    hash: str
    outcome_sequence: int | None
    outcome_hash: str | None
    soql: str | None = None
    process: str | None = None
    """The process that wrote the intent: request ids are counted anew in each session."""

    @property
    def is_repeat(self) -> bool:
        """Whether it is an earlier call once more, with its idempotency key: answered from memory, nothing sent."""
        return self.action in REPEATABLE_ACTIONS and self.outcome is Outcome.SUCCEEDED and self.api_calls == 0

    @property
    def record_count(self) -> int:
        """How many records it touched, of which ``record_ids`` may name only the first."""
        named = len(self.record_ids)
        return named if named < MAX_RECORD_IDS else max(named, self.row_count or 0)

    def as_json(self) -> dict[str, Any]:
        """Give the public fields in their order."""
        values: dict[str, Any] = {name: getattr(self, name) for name in ENTRY_FIELDS}
        values["time"] = self.time.isoformat(timespec="microseconds").replace("+00:00", "Z")
        values["record_ids"] = list(self.record_ids)
        values["fields"] = list(self.fields)
        values["outcome"] = self.outcome.value
        values["salesforce_user"] = self.salesforce_user.as_json() if self.salesforce_user is not None else None
        return values


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries; every given criterion must hold. Times are aware; ``since`` included, ``until`` not."""

    since: datetime | None = None
    until: datetime | None = None
    org: str | None = None
    principal: str | None = None
    tool: str | None = None
    action: str | None = None
    object: str | None = None
    record_id: str | None = None
    outcome: str | None = None
    decision: str | None = None
    """The rule that denied, or what it begins with."""
