"""Everything that can go wrong and has a name.

OrgserverError
├── OperatorError                a command or the start of a server failed: one line, and what to do
│   ├── ConfigError              a setting, option or file is wrong
│   ├── KeyProblem               the master key is missing, unreadable or another one
│   ├── StoreError               the store cannot be opened or used
│   │   └── StoreBusy            … because another process holds it: waiting may help
│   ├── EnrolmentError           an org could not be registered, changed or proven
│   └── AuditBroken              the audit log does not verify
└── CallError                    a tool call did not succeed; becomes our error JSON
    ├── Denied                   refused by our checks; nothing was sent
    │   ├── UnknownOrg, Forbidden, InvalidArgument, Conflict, Throttled
    │   ├── PolicyDenied
    │   │   └── Unconfirmed      … until a person was asked
    ├── NotSent                  allowed, but nothing left
    │   ├── RateLimited, StoreAway, NoConnection
    │   └── NeedsLogin           … because no credential works
    │       └── LoginRequired    … of the person's own, who can give one
    ├── Rejected                 Salesforce refused
    │   └── StaleToken           … because of the access token (401 INVALID_SESSION_ID)
    └── Unanswered               it may have happened (for a read: no answer came)

``str(error)`` is what a stranger may read: what failed. ``hint`` is what to do next.
Neither holds tokens, field values or reply bodies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Category = Literal[
    "unknown_org",
    "forbidden",
    "policy",
    "invalid_argument",
    "not_found",
    "conflict",
    "auth_expired",
    "rate_limited",
    "upstream",
    "internal",
]
FailedOutcome = Literal["denied", "not_sent", "rejected", "unknown"]


class OrgserverError(Exception):
    """Any failure we can name."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class OperatorError(OrgserverError):
    """A command, or the start of a server, failed."""


class ConfigError(OperatorError):
    """A setting, an option or a file is wrong."""


class KeyProblem(OperatorError):
    """The master key is missing, unreadable, or not the one the store was sealed with."""


class StoreError(OperatorError):
    """The store cannot be opened, read or written."""


class StoreBusy(StoreError):
    """Another process holds the store, longer than may be waited for."""


class EnrolmentError(OperatorError):
    """An org could not be registered, changed or proven.

    ``outcome`` and ``code`` are for the audit log; without an outcome nothing was tried that belongs there.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, outcome: FailedOutcome | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.outcome = outcome
        self.code = code


class PeopleError(OperatorError):
    """A principal, a group, a grant or an API key could not be added, changed or removed."""


class AuditBroken(OperatorError):
    """The audit log does not verify."""


class CallError(OrgserverError):
    """A tool call that did not succeed, with everything the error tells an agent."""

    outcome: FailedOutcome = "denied"
    code: str = "INTERNAL"
    category: Category = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        category: Category | None = None,
        fields: Sequence[str] = (),
        retryable: bool = False,
        hint: str | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code or type(self).code
        self.category = category or type(self).category
        self.fields = tuple(fields)
        self.retryable = retryable
        self.http_status = http_status
        self.on_record = False
        """Whether the audit log has an entry of the call that ended so."""
        self.rule: str | None = None
        """Which grant, limit or policy decided; for the audit log and for people, never for the agent."""

    def as_json(self, org: str | None) -> dict[str, Any]:
        """Give the error object."""
        error: dict[str, Any] = {"code": self.code, "category": self.category, "message": str(self)}
        if org is not None:
            error["org"] = org
        if self.fields:
            error["fields"] = list(self.fields)
        error["retryable"] = self.retryable
        error["outcome"] = self.outcome
        if self.hint:
            error["hint"] = self.hint
        return {"error": error}


class Denied(CallError):
    """Refused by our own checks; nothing was sent."""

    outcome = "denied"


class UnknownOrg(Denied):
    """No org of this name is visible to the principal; whether it exists for others is not told."""

    code, category = "UNKNOWN_ORG", "unknown_org"


class Forbidden(Denied):
    """The principal's grant, or the way this server was started, does not cover the act."""

    code, category = "FORBIDDEN", "forbidden"


class PolicyDenied(Denied):
    """The org's policy forbids the act for everybody."""

    code, category = "POLICY", "policy"


class Unconfirmed(PolicyDenied):
    """A person must be asked first: the client brings the answer by repeating the call."""

    code = "CONFIRMATION_ASKED"

    def __init__(self, question: str, state: str) -> None:
        super().__init__("a person must allow this first", hint="repeat the call with their answer")
        self.question = question
        self.state = state


class InvalidArgument(Denied):
    """An argument is missing, of the wrong kind, or does not mean anything."""

    code, category = "INVALID_ARGUMENT", "invalid_argument"


class Conflict(Denied):
    """An idempotency key is in use for something else, or for something unfinished."""

    code, category = "IDEMPOTENCY_CONFLICT", "conflict"


class Throttled(Denied):
    """Its principal, or its key, calls too often or too much at once: it may be repeated after ``seconds``."""

    code, category = "RATE_LIMITED", "rate_limited"

    def __init__(self, message: str, *, seconds: float, hint: str | None = None) -> None:
        super().__init__(message, retryable=True, hint=hint)
        self.seconds = seconds


class NotSent(CallError):
    """Allowed, but nothing left this process."""

    outcome = "not_sent"
    code = "NOT_SENT"
    category: Category = "upstream"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message, **({"retryable": True} | details))


class RateLimited(NotSent):
    """Too much is under way or waiting for this org."""

    code, category = "RATE_LIMITED", "rate_limited"


class StoreAway(NotSent):
    """The store cannot take the audit intent, so nothing may be sent."""

    code, category = "STORE_UNAVAILABLE", "internal"


class NeedsLogin(NotSent):
    """The org has no working credential."""

    code, category = "NEEDS_LOGIN", "auth_expired"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message, **({"retryable": False} | details))


class LoginRequired(NeedsLogin):
    """The principal has no living login of its own to this org; ``link`` is where they give one."""

    code = "LOGIN_REQUIRED"

    def __init__(self, message: str, *, row_id: str, link: str | None = None, **details: Any) -> None:
        super().__init__(message, **({"retryable": True} | details))
        self.row_id = row_id
        self.link = link


class NoConnection(NotSent):
    """The org, or its login host, could not be reached."""

    code, category = "NO_CONNECTION", "upstream"


class Rejected(CallError):
    """Salesforce refused; nothing was changed."""

    outcome = "rejected"
    code = "REJECTED"
    category: Category = "upstream"

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.details = details or {}


class StaleToken(Rejected):
    """Salesforce no longer takes the access token; a fresh one may be tried once."""

    code, category = "INVALID_SESSION_ID", "auth_expired"


class Unanswered(CallError):
    """No answer came, or none that can be understood: a change may have happened."""

    outcome = "unknown"
    code, category = "NO_ANSWER", "upstream"
