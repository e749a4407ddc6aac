"""How many clients one address may register, so that none takes the places of all others."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from orgserver.model.hosts import find_network

MOST_OF_SOURCE = 100
"""In an hour. A service that people connect from registers for all of them, from a few addresses."""
SECONDS = 3_600.0
MOST_SOURCES = 10_000
"""Remembered: whoever has more addresses than that is held up by the store's own bounds."""


class RegistrationRates:
    """Counts registrations by their sources. A network of IPv6 is one source."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When an hour of each source began, and how many came in it; the oldest first."""

    def admit(self, source: str) -> float | None:
        """Count one in, and give None; or in how many seconds its source may come again."""
        network, now = find_network(source), self._clock()
        self._forget_old(now)
        began, count = self._counts.get(network, (now, 0))
        if count >= MOST_OF_SOURCE:
            return began + SECONDS - now
        if network not in self._counts and len(self._counts) >= MOST_SOURCES:
            self._counts.popitem(last=False)
        self._counts[network] = (began, count + 1)
        return None

    def _forget_old(self, now: float) -> None:
        while self._counts:
            network, (began, _) = next(iter(self._counts.items()))
            if now - began < SECONDS:
                return
            del self._counts[network]
