"""The observer is told of every call, refresh and login of a person; telemetry gives one, and without it nobody is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import msgspec
from msgspec import structs

from orgserver.model.access.logins import UsedIdentity
from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.errors import CallError
from orgserver.model.orgs import OrgKind


class Watched(msgspec.Struct):
    """One tool call: its act as far as it is known, and how it ended as the agent is told."""

    intent: Intent
    completion: Completion | None = None
    org_kind: OrgKind | None = None
    """Of the org that is known for certain."""

    def failed(self, error: BaseException) -> None:
        """What the agent is told stands above what was recorded: the store may have been away."""
        known = self.completion or Completion(Outcome.UNKNOWN)
        if isinstance(error, CallError):
            self.completion = structs.replace(known, outcome=Outcome(error.outcome), error_code=error.code)
        else:
            self.completion = structs.replace(known, outcome=Outcome.UNKNOWN, error_code="INTERNAL")


class Observer:
    """Sees calls, refreshes and logins, and changes nothing about them; this one looks away."""

    def call(self, watched: Watched) -> AbstractContextManager[object]:
        """Surround one call; ``watched`` is complete when it is left."""
        del watched
        return nullcontext()

    def refreshed(self, error_code: str | None = None, identity: UsedIdentity = "shared") -> None:
        """Salesforce was asked for a new access token, and gave one or did not; ``identity`` says by whose login."""

    def connected(self, outcome: Outcome) -> None:
        """What came of a login of a person's own that was begun."""


class ObserverPair(Observer):
    """Two who see the same."""

    def __init__(self, outer: Observer, inner: Observer) -> None:
        self._outer = outer
        self._inner = inner

    @contextmanager
    def call(self, watched: Watched) -> Iterator[None]:
        """Both surround a call."""
        with self._outer.call(watched), self._inner.call(watched):
            yield

    def refreshed(self, error_code: str | None = None, identity: UsedIdentity = "shared") -> None:
        """Both are told of a refresh."""
        self._outer.refreshed(error_code, identity)
        self._inner.refreshed(error_code, identity)

    def connected(self, outcome: Outcome) -> None:
        """Both are told of a login."""
        self._outer.connected(outcome)
        self._inner.connected(outcome)
