"""What an org has been asked: each request that arrived, and counts of what tests look at."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """What tests look at."""

    requests: int = 0
    api_calls: int = 0
    """Requests that count against the daily limit."""
    token_requests: int = 0
    logins: int = 0
    """Tokens given for an authorization code, an assertion or an app's own credentials."""
    refreshes: int = 0
    reuses: int = 0
    """Times that a spent refresh token was shown."""
    foreign_tokens: int = 0
    """Times that a token of another org was shown here."""
    stale_tokens: int = 0
    evictions: int = 0
    """Logins that ended because their user approved the app a sixth time."""
    packed_replies: int = 0
    """Requests whose client asked for a packed reply, and got one if it had a body."""


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request that arrived."""

    method: str
    path: str
    status: int
    """0: it was not carried out, or not to its end."""
    query: str = ""
    body: str = field(default="", repr=False)
    """Its first MiB; empty for the token endpoints."""
    request_id: str = ""
    time: float = 0.0
    """When it was answered, in seconds since 1970."""
    host: str = ""
    """The host and port that it was sent to: of an org that moves, the old one or the new."""
    user_id: str = ""
    """The user whose token it showed, good or not, or who was given one; empty: nobody is known by it."""
    family: str = ""
    """The digest of the login that this token is of."""
