"""The connection of the writer's thread: made when it is needed, and where that failed not tried again at once."""

from __future__ import annotations

import logging
import time

from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import OperatorError
from orgserver.store.engines.engine import StoreEngine
from orgserver.store.transaction import DriverConnection

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between tries to reach a server that is away; whoever writes meanwhile hears at once why it cannot be."""
logger = logging.getLogger("orgserver.store")


class WriterConnection:
    """One at a time; for the writer's thread, and for the event loop while it has the writer's turn."""

    def __init__(self, engine: StoreEngine) -> None:
        self._engine = engine
        self.current: DriverConnection | None = None
        self.is_new = True
        """Nothing has been committed over it: an error says something of the database, not of a connection that aged.
        """
        self.connects = 0
        """How often one was made."""
        self._pause = 0.0
        self._try_at = 0.0
        self._error: DBAPIError | OSError | OperatorError | None = None

    def get(self) -> DriverConnection:
        """Connect where there is none; DBAPIError or OSError where that fails, OperatorError for want of a password."""
        if self.current is None or self.current.connection.closed:
            self.current = self._connect()
        return self.current

    @property
    def pause(self) -> float:
        """Seconds until the next try to connect is worth it."""
        return max(self._try_at - time.monotonic(), 0.0)

    @property
    def reconnects(self) -> int:
        """How often it was made anew."""
        return max(self.connects - 1, 0)

    def drop(self) -> None:
        """Close it, whatever state it is in."""
        if self.current is not None:
            connection, self.current = self.current.connection, None
            try:
                connection.invalidate()
                connection.close()
            except DBAPIError:
                logger.debug("closing the writer's connection failed", exc_info=True)

    def _connect(self) -> DriverConnection:
        self.is_new = True
        if self._error is not None and self.pause:
            raise self._error.with_traceback(None)
        try:
            connection = self._engine.connect_writer()
        except (DBAPIError, OSError, OperatorError) as error:
            if self._engine.is_server:
                self._error, self._pause = error, min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
                self._try_at = time.monotonic() + self._pause
            raise
        self._error, self._pause, self._try_at = None, 0.0, 0.0
        self.connects += 1
        return connection
