"""Which tokens are good at an org: every login is a family of its own.

A family is one refresh token after the other and the sessions opened with them. Showing one that was spent ends the
family (Salesforce Help 005316711, "Force one-time-use Refresh Tokens"), and of five that one user gave to one app the
next approval ends the oldest (Help ``platform.remoteaccess_request_approve``).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from orgserver.sandbox.state.request_log import Counters

MOST = 5
"""How many refresh tokens one user and one app have at a time."""
_REMEMBERED = 200_000


@dataclass(slots=True, eq=False)
class Family:
    """One login."""

    client_id: str
    user_id: str
    refresh_token: str | None = field(repr=False)
    """The one that works now; empty when it was revoked, None for a login that never had one."""
    scope: str
    digest: str = ""
    """What the family is called in the log of requests: made of its first refresh token, if it has one."""
    spent: set[str] = field(default_factory=set, repr=False)
    generation: int = 0
    """How often it was refreshed."""

    def __post_init__(self) -> None:
        self.digest = digest_token(self.refresh_token or secrets.token_hex())

    @property
    def alive(self) -> bool:
        """Whether it has a refresh token that works."""
        return bool(self.refresh_token)


@dataclass(slots=True)
class Session:
    """What one access token stands for."""

    family: Family
    opened: datetime
    used: datetime


class Logins:
    """All logins to one org."""

    def __init__(
        self, client_id: str, user_id: str, org_id: str, counters: Counters, clock: Callable[[], datetime]
    ) -> None:
        self.seeded = Family(client_id, user_id, new_refresh_token(), "refresh_token api web")
        self.families = [self.seeded]
        self.seconds: float | None = None
        """After how much idleness a session ends; None: never."""
        self._sessions: dict[str, Session] = {}
        self._owners = {_short(self.seeded.refresh_token or ""): self.seeded}
        """The families of tokens that were given, by the tokens' short digests: also of those that have ended."""
        self._org_id = org_id
        self._counters = counters
        self._clock = clock

    def begin(self, client_id: str, scope: str, user_id: str = "") -> Family:
        """A new login of a user (the first one, if not said) that can be refreshed.

        The oldest of the same user and app ends if there are five.
        """
        user_id = user_id or self.seeded.user_id
        living = [
            each for each in self.families if each.alive and (each.client_id, each.user_id) == (client_id, user_id)
        ]
        if len(living) >= MOST:
            self._counters.evictions += 1
            self.end(living[0])
        token = new_refresh_token()
        family = Family(client_id, user_id, token, scope)
        self._remember(token, family)
        self.families.append(family)
        return family

    def without_refresh_token(self, client_id: str, scope: str, user_id: str = "") -> Family:
        """The family of a user's logins with an app that cannot be refreshed."""
        user_id = user_id or self.seeded.user_id
        for each in self.families:
            if each.refresh_token is None and (each.client_id, each.scope, each.user_id) == (client_id, scope, user_id):
                return each
        family = Family(client_id, user_id, None, scope)
        self.families.append(family)
        return family

    def find_owner(self, token: str) -> Family | None:
        """The family that an access token or a refresh token was given to, whether it is still good or not."""
        return self._owners.get(_short(token)) or self.find_token(token) or self.find_spent(token)

    def find_token(self, token: str) -> Family | None:
        """The family whose refresh token this is."""
        return next((each for each in self.families if token and token == each.refresh_token), None)

    def find_spent(self, token: str) -> Family | None:
        """The family whose refresh token this was."""
        return next((each for each in self.families if token in each.spent), None)

    def rotate(self, family: Family) -> str:
        """Spend a family's refresh token for a new one."""
        family.spent.add(family.refresh_token or "")
        family.refresh_token = new_refresh_token()
        self._remember(family.refresh_token, family)
        return family.refresh_token

    def end(self, family: Family) -> None:
        """Revoke a family's refresh token and its sessions."""
        if family.refresh_token is not None:
            family.refresh_token = ""
        self._sessions = {token: each for token, each in self._sessions.items() if each.family is not family}

    def end_sessions_of(self, user_id: str) -> None:
        """End a user's sessions."""
        self._sessions = {token: each for token, each in self._sessions.items() if each.family.user_id != user_id}

    def open_session(self, family: Family) -> str:
        """A new access token: the org, ``!``, and letters, digits, ``_`` and ``.``, which the sf command can keep."""
        token = f"{self._org_id[:15]}!AQ{secrets.token_urlsafe(48).replace('-', '.')}"
        now = self._clock()
        self._sessions[token] = Session(family, now, now)
        self._remember(token, family)
        return token

    def session(self, token: str) -> Session | None:
        """The session of an access token, if it has not ended."""
        session = self._sessions.get(token)
        if session is not None and self._idle_too_long(session):
            del self._sessions[token]
            return None
        return session

    def use(self, token: str) -> Session | None:
        """The session of an access token, which lives on from now."""
        session = self.session(token)
        if session is not None:
            session.used = self._clock()
        return session

    def close_session(self, token: str) -> bool:
        """End one session; False if there is none."""
        return self._sessions.pop(token, None) is not None

    def close_sessions(self) -> None:
        """End all sessions."""
        self._sessions.clear()

    def access_tokens(self, family: Family | None = None) -> set[str]:
        """The access tokens that are good: of all, or of one family."""
        return {
            token
            for token, each in self._sessions.items()
            if (family is None or each.family is family) and not self._idle_too_long(each)
        }

    def expiry(self, session: Session) -> datetime | None:
        """When a session ends if it is not used any more."""
        return None if self.seconds is None else session.used + timedelta(seconds=self.seconds)

    def described(self) -> list[dict[str, Any]]:
        """Every family, without its tokens."""
        return [
            {
                "client_id": each.client_id,
                "user_id": each.user_id,
                "family": each.digest,
                "generation": each.generation,
                "refresh_token_sha256": digest_token(each.refresh_token) if each.refresh_token else None,
                "access_tokens": len(self.access_tokens(each)),
                "revoked": each.refresh_token == "",
            }
            for each in self.families
        ]

    def _remember(self, token: str, family: Family) -> None:
        self._owners[_short(token)] = family
        if len(self._owners) > _REMEMBERED:
            del self._owners[next(iter(self._owners))]

    def _idle_too_long(self, session: Session) -> bool:
        expiry = self.expiry(session)
        return expiry is not None and self._clock() >= expiry


def new_refresh_token() -> str:
    """A refresh token of a form that the sf command can keep: ``[A-Za-z0-9._-]+={0,2}``."""
    return f"5Aep{secrets.token_urlsafe(56)}"


def digest_token(token: str) -> str:
    """The SHA-256 of a token, in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def _short(token: str) -> bytes:
    return hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=12).digest()
