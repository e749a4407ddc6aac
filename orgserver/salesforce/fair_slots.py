"""The slots for an org's requests, handed out in turn among those who call: a flood of one waits behind itself.

It is start-time fair queueing, with one unit for each request: every caller has a turn, which a request moves on by
one, and the waiting caller with the lowest turn is next. Who comes anew begins where the queue is, so nobody saves up
turns, and nobody waits for more than one request of each other caller. Callers are opaque keys here.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

_MOST_TURNS = 256
"""How many callers' turns are remembered before those that no longer say anything are looked for."""


class FairSlots:
    """So many requests may be under way at once; the rest wait, each caller's in the order in which they came."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._all = slots
        self._turn = 0
        """The turn of the request that was let in last."""
        self._next_turns: dict[str, int] = {}
        """Each caller's next turn, where that is not simply the present one."""
        self._waiting: dict[str, dict[asyncio.Future[None], None]] = {}
        """The waiting requests of each caller that has any."""

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._waiting.values()))

    def slot(self, caller: str) -> _Slot:
        """Have a slot, as soon as it is the caller's turn."""
        return _Slot(self, caller)

    async def take(self, caller: str) -> None:
        """Wait for a slot until it is the caller's turn; it is given back later."""
        if self._free:
            self._free -= 1
            self._let_in(caller)
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, {})[place] = None
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._leave(caller, place)
            else:  # the slot came in the same moment
                self.give_back()
            raise

    def give_back(self) -> None:
        """Let the next one have a slot that was taken."""
        while self._waiting:
            caller = min(self._waiting, key=self._turn_of)  # of equal turns, who began to wait first
            place = next(iter(self._waiting[caller]))
            self._leave(caller, place)
            if not place.cancelled():  # or its request is about to go away
                self._let_in(caller)
                place.set_result(None)
                return
        self._free += 1
        if self._free == self._all:
            self._turn = 0
            self._next_turns.clear()

    def _turn_of(self, caller: str) -> int:
        return max(self._turn, self._next_turns.get(caller, 0))

    def _let_in(self, caller: str) -> None:
        self._turn = self._turn_of(caller)
        self._next_turns[caller] = self._turn + 1
        if len(self._next_turns) > _MOST_TURNS:
            self._next_turns = {each: turn for each, turn in self._next_turns.items() if turn > self._turn}

    def _leave(self, caller: str, place: asyncio.Future[None]) -> None:
        """Take a request out of the queue; the caller's others go behind those of equal turn."""
        places = self._waiting.pop(caller, {})
        places.pop(place, None)
        if places:
            self._waiting[caller] = places


class _Slot:
    """A slot of a caller's, for as long as the context lasts; a generator in its place would cost each request more."""

    __slots__ = ("_caller", "_slots")

    def __init__(self, slots: FairSlots, caller: str) -> None:
        self._slots = slots
        self._caller = caller

    async def __aenter__(self) -> None:
        await self._slots.take(self._caller)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._slots.give_back()
