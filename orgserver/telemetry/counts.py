"""What a server counts with each call: plain numbers, which take the form of a collector when it reads them."""

from __future__ import annotations

import time
from bisect import bisect_left

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""Up to which durations are counted together."""


class Count:
    """How often something has happened."""

    __slots__ = ("began", "number")

    def __init__(self) -> None:
        self.number = 0
        self.began = time.time()
        """When it was counted first."""


class Durations:
    """How long something took, each time that it happened."""

    __slots__ = ("_numbers", "began", "seconds")

    def __init__(self) -> None:
        self._numbers = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0
        """All of them together."""
        self.began = time.time()

    def add(self, seconds: float) -> None:
        """Count one."""
        self._numbers[bisect_left(SECONDS, seconds)] += 1
        self.seconds += seconds

    def cumulate(self) -> list[int]:
        """How many were no longer than each of ``SECONDS``; last, how many there were."""
        numbers, number = [], 0
        for each in self._numbers:
            number += each
            numbers.append(number)
        return numbers
