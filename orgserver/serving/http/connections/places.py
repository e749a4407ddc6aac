"""How many connections there may be, in all and of each source, and who ends those that take too long."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Of one connection, and of all."""

    target_bytes: int = 8 * 1024
    """Identity providers send people back with codes and states of several thousand bytes."""
    head_bytes: int = 16 * 1024
    headers: int = 100
    body_bytes: int = 1024 * 1024
    handshake_seconds: float = 10.0
    """Of TLS."""
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    unread_seconds: float = 30.0
    """A client may take so long to read what was sent before more is."""
    linger_seconds: float = 2.0
    """A refused client may go on sending for so long, and so gets to read why."""
    linger_bytes: int = 1024 * 1024
    tick_seconds: float = 1.0
    """How often it is looked who takes too long."""
    per_source: int = 64
    in_all: int = 1_000
    refused: int = 64
    """So many that found no place are told why at a time; more are cut off."""


OnRefusal = Callable[[str, int], None]
"""Told of a source that was refused before it had made a whole request, and of the status it got."""


class Client(Protocol):
    """A connection, as it is counted."""

    @property
    def source(self) -> str:
        """The address that it comes from."""

    def end_if_late(self, now: float) -> None:
        """Refuse or close what has taken too long."""


class Connections:
    """All that are open, by their sources; those that take too long are ended."""

    def __init__(self, limits: ConnectionLimits, is_proxy: Callable[[str], bool]) -> None:
        self.limits = limits
        self._is_proxy = is_proxy
        """Whether many clients come from an address, to which only the limit of all applies."""
        self.on_refusal: OnRefusal = lambda _source, _status: None
        self._by_source: Counter[str] = Counter()
        self._open: set[Client] = set()
        self._refused: set[Client] = set()
        """Those of them that found no place, and take none from others while they are told so."""
        self._reservations: Counter[str] = Counter()
        """Of those who are still at their handshakes."""

    def reserve(self, source: str) -> bool:
        """Keep a place for one whose handshake begins; whether there is one."""
        if self._taken + self._reservations.total() >= self.limits.in_all:
            return False
        at_source = self._by_source[source] + self._reservations[source]
        if at_source >= self.limits.per_source and not self._is_proxy(source):
            return False
        self._reservations[source] += 1
        return True

    def free(self, source: str) -> None:
        """Give up a place that was kept."""
        self._reservations[source] -= 1
        if self._reservations[source] <= 0:
            del self._reservations[source]

    def enter(self, connection: Client) -> bool:
        """Count one in; whether there is a place for it."""
        source, at_source = connection.source, self._by_source[connection.source]
        is_crowded = at_source >= self.limits.per_source and not self._is_proxy(source)
        has_place = self._taken < self.limits.in_all and not is_crowded
        self._open.add(connection)
        if has_place:
            self._by_source[source] += 1
        else:
            self._refused.add(connection)
        return has_place

    @property
    def can_explain(self) -> bool:
        """Whether whoever found no place may stay to be told why."""
        return len(self._refused) <= self.limits.refused

    def leave(self, connection: Client) -> None:
        """Count one out."""
        self._open.discard(connection)
        if connection in self._refused:
            self._refused.discard(connection)
            return
        self._by_source[connection.source] -= 1
        if self._by_source[connection.source] <= 0:
            del self._by_source[connection.source]

    @property
    def _taken(self) -> int:
        """How many places are."""
        return len(self._open) - len(self._refused)

    async def watch(self) -> None:
        """End those that take too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.tick_seconds)
            now = loop.time()
            for connection in list(self._open):
                connection.end_if_late(now)
