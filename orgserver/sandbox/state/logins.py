"""Which tokens are good at an org: every login is a family of its own.

A family is one refresh token after the other and the sessions opened with them. Showing one that was spent ends the
family (Salesforce Help 005316711, "Force one-time-use Refresh Tokens"), and of five that one user gave to one app the
next approval ends the oldest.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

MOST = 5
"""How many refresh tokens one user and one app have at a time."""


@dataclass(slots=True, eq=False)
class Family:
    """One login."""

    client_id: str
    refresh_token: str | None = field(repr=False)
    """The one that works now; empty when it was revoked, None for a login that never had one."""
    scope: str
    spent: set[str] = field(default_factory=set, repr=False)
    generation: int = 0
    """How often it was refreshed."""

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

    def __init__(self, client_id: str, org_id: str, clock: Callable[[], datetime]) -> None:
        self.seeded = Family(client_id, new_refresh_token(), "refresh_token api web")
        self.families = [self.seeded]
        self.seconds: float | None = None
        """After how much idleness a session ends; None: never."""
        self._sessions: dict[str, Session] = {}
        self._org_id = org_id
        self._clock = clock

    def begin(self, client_id: str, scope: str) -> Family:
        """A new login that can be refreshed; the oldest of the same app ends if there are five."""
        living = [each for each in self.families if each.alive and each.client_id == client_id]
        if len(living) >= MOST:
            self.end(living[0])
        family = Family(client_id, new_refresh_token(), scope)
        self.families.append(family)
        return family

    def without_refresh_token(self, client_id: str, scope: str) -> Family:
        """The family of an app's logins that cannot be refreshed."""
        for each in self.families:
            if each.refresh_token is None and each.client_id == client_id and each.scope == scope:
                return each
        family = Family(client_id, None, scope)
        self.families.append(family)
        return family

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
        return family.refresh_token

    def end(self, family: Family) -> None:
        """Revoke a family's refresh token and its sessions."""
        if family.refresh_token is not None:
            family.refresh_token = ""
        self._sessions = {token: each for token, each in self._sessions.items() if each.family is not family}

    def open_session(self, family: Family) -> str:
        """A new access token: the org, ``!``, and letters, digits, ``_`` and ``.``, which the sf command can keep."""
        token = f"{self._org_id[:15]}!AQ{secrets.token_urlsafe(48).replace('-', '.')}"
        now = self._clock()
        self._sessions[token] = Session(family, now, now)
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
                "generation": each.generation,
                "refresh_token_sha256": _digest(each.refresh_token),
                "access_tokens": len(self.access_tokens(each)),
                "revoked": each.refresh_token == "",
            }
            for each in self.families
        ]

    def _idle_too_long(self, session: Session) -> bool:
        expiry = self.expiry(session)
        return expiry is not None and self._clock() >= expiry


def new_refresh_token() -> str:
    """A refresh token of a form that the sf command can keep: ``[A-Za-z0-9._-]+={0,2}``."""
    return f"5Aep{secrets.token_urlsafe(56)}"


def _digest(token: str | None) -> str | None:
    return hashlib.sha256(token.encode()).hexdigest() if token else None
