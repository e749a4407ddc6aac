"""How many bytes of a result are left for the records that go into it, one after the other."""

from __future__ import annotations

from typing import Any

from orgserver.services.results import result_size, truncation


class ByteBudget:
    """What is left of a result's size."""

    def __init__(self, room: int = result_size.MAX_BYTES - result_size.FRAME_BYTES) -> None:
        self._room = room

    def take(self, value: Any) -> bool:
        """Take the bytes that a value needs as JSON; False, and nothing is taken, where they are not left."""
        size = truncation.size_within(value, self._room)
        if size is None:
            return False
        self._room -= size
        return True

    def has(self, count: int) -> bool:
        """Whether so many bytes are left."""
        return count <= self._room

    def take_bytes(self, count: int) -> bool:
        """Take so many bytes; False, and nothing is taken, where they are not left."""
        if not self.has(count):
            return False
        self._room -= count
        return True

    def use_up(self) -> None:
        """Leave nothing."""
        self._room = 0
