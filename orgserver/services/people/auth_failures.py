"""Failed authentications, on record: at most one entry a second for each source, with how many it stands for.

Nothing of a key or token is in one. The first failure of a source is on record before it is answered; those that come
within a second after it are counted.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace

from orgserver.model.access.principals import Subject
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import StoreError
from orgserver.model.hosts import find_network
from orgserver.model.names import new_id
from orgserver.model.text import replace_unsafe
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

logger = logging.getLogger("orgserver.people")

SECONDS = 1.0
MOST_SOURCES = 1_000
"""With failures of a second; those of all others are counted together."""
NOBODY = "(unknown)"
"""In an entry's place for a principal: no principal can be called so."""
_OTHERS = "(others)"
_LONGEST = 300
"""Characters of a stranger's text."""


@dataclass(frozen=True, slots=True)
class AuthFailure:
    """A request whose key or token opened nothing."""

    source: str
    """The address that it came from."""
    code: str
    """``REVOKED_KEY``, ``INVALID_TOKEN`` …"""
    status: int
    """What it was answered."""
    principal: str | None = None
    """Whose key or token it was, where that is known."""
    key_id: str | None = None
    subject: Subject | None = None
    """Of a token that its issuer has signed."""
    client_id: str | None = None
    """Of the client that came, where one was named."""
    reason: str | None = None
    """One short clause, which holds nothing secret."""


class AuthFailures:
    """Puts them on record."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: dict[str, tuple[AuthFailure, int]] = {}
        """Sources of the last second: the last failure of each, and how many are in no entry yet.

        A network of IPv6 is one: whoever fails there has as many addresses as they like.
        """
        self._new_sources: set[str] = set()
        """Those of them whose first entry may be less than a second old when the others' are written."""
        self._writing: asyncio.Task[None] | None = None

    async def record(self, failure: AuthFailure) -> None:
        """Count a failure; the first of a source in a second is on record when this is over."""
        source = find_network(failure.source)
        if source not in self._counts and len(self._counts) >= MOST_SOURCES:
            source, failure = _OTHERS, replace(failure, source=_OTHERS)
        _, count = self._counts.get(source, (failure, 0))
        is_first = source not in self._counts
        self._counts[source] = (failure, 0 if is_first else count + 1)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_counted())
        if is_first:
            self._new_sources.add(source)
            await self._write([(self._counts[source][0], 1)])

    async def close(self) -> None:
        """Write what was counted."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        await self._write(self._take_counted())

    async def _write_counted(self) -> None:
        """Each second, write what was counted in it, until nothing fails any more."""
        while self._counts:
            await asyncio.sleep(SECONDS)
            await self._write(self._take_counted())

    def _take_counted(self) -> list[tuple[AuthFailure, int]]:
        counts, self._counts = self._counts, {}
        new_sources, self._new_sources = self._new_sources, set()
        for source, (failure, count) in counts.items():
            if count or source in new_sources:
                self._counts[source] = (failure, 0)  # its second begins anew, or is not over
        return [(failure, count) for failure, count in counts.values() if count]

    async def _write(self, failures: list[tuple[AuthFailure, int]]) -> None:
        entries = [_make_entry(failure, count) for failure, count in failures]
        if not entries:
            return

        def record(tx: Transaction) -> None:
            for intent, completion in entries:
                self._store.audit.record_in(tx, intent, completion)

        try:
            await self._store.database.write(record, within=SECONDS)
        except StoreError as error:  # nobody was let in, and whoever was refused does not wait for it
            logger.warning("failed authentications are put on record later: %s", error)
            self._count_again(failures)

    def _count_again(self, failures: list[tuple[AuthFailure, int]]) -> None:
        for failure, count in failures:
            source = find_network(failure.source)
            newest, more = self._counts.get(source, (failure, 0))
            self._counts[source] = (newest, more + count)


def _make_entry(failure: AuthFailure, count: int) -> tuple[Intent, Completion]:
    facts = {"source": failure.source, "key": failure.key_id}
    if failure.subject is not None:
        facts |= {"issuer": failure.subject.issuer, "subject": failure.subject.subject}
    facts |= {"client": (failure.client_id or "")[:_LONGEST], "reason": (failure.reason or "")[:_LONGEST]}
    intent = Intent(
        new_id(),
        failure.principal or NOBODY,
        "http",
        Action.AUTH_FAILED,
        tool="authenticate",
        fields=tuple(f"{name}:{replace_unsafe(value)}" for name, value in facts.items() if value),
    )
    decision = f"auth:{failure.code.lower().replace('_', '-')}"
    completion = Completion(Outcome.DENIED, failure.code, failure.status, row_count=count, decision=decision)
    return intent, completion
