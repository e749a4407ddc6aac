"""For how long groups of changes have waited for the right to write, which one process of all has at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from orgserver.store.transaction import DriverConnection, TransactionStart


class LockWaits:
    """Those of one writer. On a SQLite file they are nothing: there, its lock file is waited for before."""

    def __init__(self, begin: Callable[[DriverConnection], TransactionStart]) -> None:
        self._begin = begin
        self.number = 0
        self.seconds = 0.0

    def begin(self, driver: DriverConnection) -> TransactionStart:
        """Begin a transaction, and count how long that took, also where it failed."""
        began = time.monotonic()
        try:
            return self._begin(driver)
        finally:
            self.number += 1
            self.seconds += time.monotonic() - began
