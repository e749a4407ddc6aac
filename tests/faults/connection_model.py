"""What people's own logins mean, as plainly as it can be said: who is answered as whom, and who must log in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from orgserver.model.access.logins import Identity

OWN, SHARED, LOGIN, NO_ORG = "own", "shared", "LOGIN_REQUIRED", "UNKNOWN_ORG"
"""What a call comes to: it is done as the caller or as the user of all, or it is refused."""

State = Literal["never", "good", "revoked", "ended", "unknown"]


@dataclass
class OrgModel:
    """Whose login an org is used with: now, and before."""

    history: list[Identity]
    settled: int = 0
    """The one that stands for certain; those behind it are being written."""

    def possible(self, since: int) -> set[Identity]:
        """What may have been so since it stood at one of them."""
        return set(self.history[since:])


@dataclass
class LoginModel:
    """One person's login to one org."""

    state: State = "never"
    """``revoked``: at Salesforce alone. ``unknown``: something was cut off, and nobody knows what came of it."""
    families: list[str] = field(default_factory=list)
    """The digests of every login of this person here; the last is the one in use."""
    since: int = 0
    """What stood of the org when it was made."""

    def end(self, state: State) -> None:
        """From now on none is in use."""
        self.state = state
        self.families.append("")


@dataclass
class PersonModel:
    """Who may call, and where."""

    enabled: bool = True
    granted: dict[str, bool] = field(default_factory=dict)


def answer(identity: Identity, person: PersonModel, org: str, login: LoginModel) -> str:
    """What a call comes to."""
    if not person.enabled or not person.granted[org]:
        return NO_ORG
    if identity == "shared" or (identity == "own-or-shared" and login.state == "never"):
        return SHARED
    return OWN if login.state == "good" else LOGIN
