"""Locks of PostgreSQL's sessions: that a process lives, and what one process of all may do at a time.

The server lets go of them when a session ends, and it ends with its process, or half a minute after its machine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, text

from orgserver.model.errors import StoreError
from orgserver.model.names import new_id
from orgserver.store.engines.address import ServerAddress
from orgserver.store.engines.server_connections import CONNECT_SECONDS, ERRORS, connect, lock_key
from orgserver.store.engines.server_errors import explain
from orgserver.store.processes.lock_holders import Holder

_WITH_SESSION = "session"
"""Begins the name of a holder whose session has such a lock."""
_TAKE = "SELECT pg_try_advisory_lock($1)"
_IS_HELD = text(
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND ((classid::bigint << 32) | objid::bigint) = :key"
).bindparams(bindparam("key", type_=BigInteger))
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
logger = logging.getLogger("orgserver.store")


class ServerProcessLock:
    """The lock that says that this process lives, held by a session of its own; and a look at those of others.

    The session belongs to the event loop that prepared it. When it ends, another is made.
    """

    def __init__(self, address: ServerAddress, process_id: str) -> None:
        self._address = address
        self._process_id = process_id
        self._session: Any = None
        self._retaking: asyncio.Task[None] | None = None
        self._is_closed = False

    async def prepare(self) -> None:
        """Take it; StoreError where that cannot be."""
        try:
            await self._take()
        except ERRORS as error:
            raise explain(error, str(self._address)) from None

    def holder(self) -> str:
        """A new name under which this process may hold a lease."""
        return f"{_WITH_SESSION}/{self._process_id}/{new_id()}"

    def take(self) -> None:
        """Make sure that others see that this process lives; StoreError where they do not."""
        if self._session is None or self._session.is_closed():
            raise StoreError(
                f"the session that shows others that this server lives was lost at {self._address}",
                hint="it is made again in a moment: try again",
            )

    def is_alive(self, connection: Connection, holder: str) -> bool:
        """Whether a lease's holder lives; True too where that is not known."""
        kind, _, rest = holder.partition("/")
        process_id = rest.partition("/")[0]
        if kind != _WITH_SESSION or process_id == self._process_id:
            return True
        return connection.execute(_IS_HELD, {"key": _key(process_id)}).first() is not None

    def process_of(self, _holder: str) -> Holder | None:
        """None: it may be another machine's."""
        return None

    async def aclose(self) -> None:
        """This process holds no lease any more."""
        self._is_closed = True
        if self._retaking is not None:
            self._retaking.cancel()
            with suppress(asyncio.CancelledError):
                await self._retaking
        session, self._session = self._session, None
        if session is not None:
            await end_session(session)

    async def _take(self) -> None:
        session = await connect(self._address)
        if not await session.fetchval(_TAKE, _key(self._process_id)):
            await end_session(session)  # our session before this one: the server has not noticed its end
            raise ConnectionError
        session.add_termination_listener(self._lost)
        self._session = session

    def _lost(self, _session: object) -> None:
        self._session = None
        if not self._is_closed:
            logger.warning("the session of the store's server that shows that this server lives was lost")
            self._retaking = asyncio.get_running_loop().create_task(self._retake())

    async def _retake(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._take()
            except (*ERRORS, StoreError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)


def _key(process_id: str) -> int:
    return lock_key(f"process/{process_id}")


@asynccontextmanager
async def hold_if_free(address: ServerAddress, purpose: str) -> AsyncIterator[bool]:
    """Hold the lock of a purpose in a session of its own, if nobody else does."""
    try:
        session = await connect(address)
        is_mine = bool(await session.fetchval(_TAKE, lock_key(purpose)))
    except ERRORS as error:
        raise explain(error, str(address)) from None
    try:
        yield is_mine
    finally:
        await end_session(session)


async def end_session(session: Any) -> None:
    """Say goodbye to the server, or go without."""
    try:
        await session.close(timeout=CONNECT_SECONDS)
    except ERRORS:
        session.terminate()
