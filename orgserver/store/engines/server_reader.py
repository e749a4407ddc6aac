"""Reads single rows of a PostgreSQL database as they are at that moment, for the event loop that asks."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import dialect

from orgserver.model.errors import StoreError
from orgserver.store.catalog_version import VERSION
from orgserver.store.engines.address import ServerAddress
from orgserver.store.engines.server_connections import ERRORS, connect
from orgserver.store.engines.server_errors import explain, is_lost
from orgserver.store.engines.server_locks import end_session
from orgserver.store.transaction import PreparedStatement

ANSWER_SECONDS = 2.0
"""For the server: who has no answer by then is refused, for what was taken back must not go on."""
_DIALECT = dialect()  # type: ignore[no-untyped-call]
_TRIES = 2


class ServerReader:
    """One session of its own, made when it is first asked. What it answers is not older than the question.

    Nothing the server tells by itself is trusted for that: such news come late, and over a half-open line never.
    """

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._session: Any = None
        self._connecting: asyncio.Task[Any] | None = None
        """Goes on when those who asked have been refused: to get a password may take longer than an answer may."""
        self._turn = asyncio.Lock()
        self._next_version: asyncio.Task[int] | None = None
        """Asks for the number, and has not sent its question yet."""

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""
        return self._session is not None and not self._session.is_closed()

    def read(self) -> int | None:
        """None: it must be asked for."""
        return None

    def read_of_turn(self) -> int | None:
        """None, as above."""
        return None

    def fetch(self, query: PreparedStatement, **values: Any) -> list[Any] | None:
        """None, as above."""
        del query, values
        return None

    async def ask_version(self) -> int:
        """The number: one question for all who ask before it is sent."""
        if self._next_version is None:
            self._next_version = asyncio.create_task(self._read_version())
            self._next_version.add_done_callback(_retrieve)
        return await asyncio.shield(self._next_version)

    async def ask(self, query: PreparedStatement, **values: Any) -> list[Any]:
        """The few rows of another query."""
        asking = asyncio.create_task(self._ask(*query.bind(_DIALECT, (values,) if values else ())))
        asking.add_done_callback(_retrieve)
        return await asyncio.shield(asking)  # who goes away takes no answer from the line that is another's

    async def aclose(self) -> None:
        """Disconnect."""
        async with self._turn:
            connecting, self._connecting = self._connecting, None
            if connecting is not None:
                connecting.cancel()
            session, self._session = self._session, None
            if session is not None:
                await end_session(session)

    async def _read_version(self) -> int:
        async with self._turn:
            self._next_version = None  # whoever comes from now on asks anew
            rows = await self._fetch(*VERSION.bind(_DIALECT, ()))
        if not rows:
            raise StoreError("the store holds nothing yet", hint="run: orgserver migrate")
        return int(rows[0][0])

    async def _ask(self, sql: str, *values: Any) -> list[Any]:
        async with self._turn:
            return await self._fetch(sql, *values)

    async def _fetch(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Ask, and once more in a new session where the line was lost: reading twice does no harm."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for tries_left in reversed(range(_TRIES)):
                    try:
                        return await self._fetch_once(sql, values)
                    except ERRORS as error:
                        self._drop()
                        if not tries_left or not is_lost(error):
                            raise
        except ERRORS as error:
            self._drop()
            raise explain(error, str(self._address)) from None
        raise AssertionError

    async def _fetch_once(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        if not self.is_open:
            self._session = await self._connect()
        return [tuple(row) for row in await self._session.fetch(sql, *values)]

    async def _connect(self) -> Any:
        if self._connecting is None:
            self._connecting = asyncio.create_task(connect(self._address))
            self._connecting.add_done_callback(_retrieve)
        connecting = self._connecting
        try:
            return await asyncio.shield(connecting)
        finally:
            if connecting.done():
                self._connecting = None

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.terminate()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take an error off a task whose callers have all gone away."""
    if not task.cancelled():
        task.exception()
