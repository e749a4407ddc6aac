"""The users of an org, and for which of them it is working right now."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orgserver.model.names import to_18


@dataclass(slots=True)
class SandboxUser:
    """One user. ``password`` is for the login page alone."""

    id: str
    username: str
    first_name: str = "Agent"
    last_name: str = "Smith"
    time_zone: str = "Europe/Berlin"
    active: bool = True
    approved: bool = True
    """Whether an administrator approved the app for this user, so that a signed assertion may name it."""
    hidden_fields: dict[str, frozenset[str]] = field(default_factory=dict)
    """The fields that field-level security hides from this user, by object."""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.first_name} {self.last_name}".strip()

    def described(self) -> dict[str, Any]:
        """What a test in another process may know: everything."""
        return {
            "id": self.id,
            "username": self.username,
            "name": self.name,
            "time_zone": self.time_zone,
            "active": self.active,
            "approved": self.approved,
            "hidden_fields": {name: sorted(fields) for name, fields in self.hidden_fields.items()},
            "password": self.password,
        }


class Users:
    """An org's users. The first one is there from the beginning."""

    def __init__(self, org_number: int, first: SandboxUser) -> None:
        self.by_id = {first.id: first}
        self.first = first
        self.current = first
        """The one for whom the request under way is: a request is answered without a pause, so there is one."""
        self._org_number = org_number

    def add(self, username: str) -> SandboxUser:
        """A new user; ValueError if there is one of that name."""
        if not username or self.find(username) is not None:
            raise ValueError(f"a username that no other user has is wanted, not {username!r}")
        user = SandboxUser(to_18(f"005Sb{self._org_number:04d}{len(self.by_id) + 1:06d}"), username)
        self.by_id[user.id] = user
        return user

    def find(self, username: str) -> SandboxUser | None:
        """The user of a name, which is the same in any case."""
        return next((each for each in self.by_id.values() if each.username.lower() == username.lower()), None)

    @contextmanager
    def acting(self, user_id: str) -> Iterator[None]:
        """Meanwhile work for this user."""
        former, self.current = self.current, self.by_id[user_id]
        try:
            yield
        finally:
            self.current = former
