"""Why a login of one's own is not stored: what each reason is called on record, and what it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from orgserver.model.audit import Outcome

_AUTH = "auth"
_DENIED, _REJECTED, _NOT_SENT, _UNKNOWN = Outcome.DENIED, Outcome.REJECTED, Outcome.NOT_SENT, Outcome.UNKNOWN


class RefusalKind(Enum):
    """The code of each, its status, and how it is put on record."""

    OVER = ("CONNECT_LINK", 410, _AUTH)
    """The link was used, is late, or was never given."""
    OTHER_PERSON = ("CONNECT_OTHER_PERSON", 403, _AUTH)
    OTHER_BROWSER = ("CONNECT_OTHER_BROWSER", 403, _AUTH)
    FORGED = ("CONNECT_FORGED", 403, _AUTH)
    """An answer to a login that was not begun in this browser."""
    FORM = ("CONNECT_FORM", 403, _AUTH)
    """A form that is not of our page."""
    WRONG_KEY = ("CONNECT_KEY", 403, _AUTH)
    PROOF_OVER = ("CONNECT_PROOF", 403, _AUTH)
    """The sign-in ended, or the key was revoked, since the person showed who they are."""
    NOT_ALLOWED = ("CONNECT_NOT_ALLOWED", 403, _AUTH)
    """The principal is gone or disabled, or may do nothing in the org."""
    CHANGED = ("ORG_CHANGED", 409, _DENIED)
    """The org has another alias by now, or the alias another org."""
    GONE = ("ORG_GONE", 409, _DENIED)
    DISABLED = ("ORG_DISABLED", 409, _DENIED)
    SHARED = ("IDENTITY_SHARED", 409, _DENIED)
    NO_BROWSER = ("NO_BROWSER_LOGIN", 409, _DENIED)
    """The org's app lets nobody log in by a browser."""
    APP_CHANGED = ("APP_CHANGED", 409, _DENIED)
    """The org has another app than the one that the person let in."""
    CONSENT_REFUSED = ("CONSENT_REFUSED", 200, _REJECTED)
    LOGIN_REFUSED = ("LOGIN_REFUSED", 502, _REJECTED)
    NO_REFRESH_TOKEN = ("NO_REFRESH_TOKEN", 409, _REJECTED)
    OTHER_ORG = ("OTHER_ORG", 409, _REJECTED)
    HOST_NOT_TRUSTED = ("HOST_NOT_TRUSTED", 409, _DENIED)
    OTHER_USER = ("OTHER_USER", 409, _REJECTED)
    USER_TAKEN = ("USER_TAKEN", 409, _REJECTED)
    AWAY = ("NO_CONNECTION", 503, _NOT_SENT)
    UNANSWERED = ("NO_ANSWER", 502, _UNKNOWN)

    def __init__(self, code: str, status: int, record: Literal["auth"] | Outcome) -> None:
        self.code = code
        self.status = status
        self.record = record

    @property
    def is_of_login(self) -> bool:
        """Whether it is about a login; else it is about who somebody is."""
        return isinstance(self.record, Outcome)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One of them, with what a page tells of it."""

    kind: RefusalKind
    facts: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    """One short clause for the operator, or from Salesforce; it holds nothing secret."""
