"""Whose login to Salesforce is used: an org's own, which all share, or a principal's connection to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from orgserver.model.names import RowId

Identity = Literal["shared", "own", "own-or-shared"]
"""Whose login the calls to an org use; ``own-or-shared`` means the shared one for who never connected."""
IDENTITIES: tuple[Identity, ...] = get_args(Identity)
UsedIdentity = Literal["shared", "own"]
"""Whose login a call has used."""
ConnectionKind = Literal["web", "jwt"]


@dataclass(frozen=True, slots=True)
class LoginKey:
    """Which login to an org, among all: no token is found by anything less."""

    row_id: RowId
    """The org."""
    id: RowId
    """Owner of its data key, and key of its lease; of the shared login the org's row id."""
    principal: str | None = None
    """Whose it is; None: the shared one."""

    @classmethod
    def shared(cls, row_id: RowId) -> LoginKey:
        """The login of an org that all share."""
        return cls(row_id, row_id)

    @classmethod
    def missing(cls, row_id: RowId) -> LoginKey:
        """That of who has no login to an org: it finds no token, whatever becomes of it."""
        return cls(row_id, RowId(""), "")

    @property
    def is_own(self) -> bool:
        """Whether it is one person's."""
        return self.principal is not None


FREE_MAPPINGS = frozenset({"principal", "claim"})
"""Mappings by what strangers may choose: never together with a sign-in that makes principals of them."""

MOST_APPROVALS = 5
"""Logins of one Salesforce user by one app that live beside each other: with the next the oldest ends."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """How many living logins of one Salesforce user by one app a store has, the shared one and people's own."""

    user_id: str
    username: str
    alias: str
    """Of its org, one of them."""
    count: int


@dataclass(frozen=True, slots=True)
class UsernameFrom:
    """How it is known which Salesforce user a principal is, where one key logs everybody in."""

    kind: Literal["principal", "claim", "map"]
    claim: str | None = None

    def __str__(self) -> str:
        """As ``--username-from`` takes it, but for the file of a map."""
        return f"claim:{self.claim}" if self.kind == "claim" else self.kind
