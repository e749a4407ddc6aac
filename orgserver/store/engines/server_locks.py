"""Locks of PostgreSQL's sessions: that a process lives, and what one process of all may do at a time.

The server lets go of them when a session ends, and it ends with its process, or half a minute after its machine. It
also ends when the server restarts or cuts it off, while its process lives: that a lock is missing proves no death.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, func, select, text

from orgserver.model.names import new_id
from orgserver.store.engines.address import ServerAddress
from orgserver.store.engines.server_connections import CONNECT_SECONDS, ERRORS, connect, lock_key
from orgserver.store.engines.server_errors import explain
from orgserver.store.processes.lock_holders import Holder

_WITH_SESSION = "session"
"""Begins the name of a holder whose session has such a lock."""
_TAKE_IF_FREE = "SELECT pg_try_advisory_lock($1)"
_IS_HELD = text(
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND ((classid::bigint << 32) | objid::bigint) = :key"
).bindparams(bindparam("key", type_=BigInteger))


class ServerProcessLock:
    """The lock that says that this process lives, in the session in which it writes; and a look at those of others.

    Whoever takes a lease writes it over that session, so none is taken without the lock. A session that follows another
    takes it anew; both may have it, for the server may not have noticed the end of the first.
    """

    is_proof = False

    def __init__(self, _address: ServerAddress, process_id: str) -> None:
        self._process_id = process_id
        self._taken_in: Connection | None = None

    async def prepare(self) -> None:
        """Nothing is needed for it."""

    def holder(self) -> str:
        """A new name under which this process may hold a lease."""
        return f"{_WITH_SESSION}/{self._process_id}/{new_id()}"

    def take(self, connection: Connection) -> None:
        """Let others see that this process lives, for as long as this session lasts."""
        if self._taken_in is not connection:
            key = bindparam("key", _key(self._process_id), BigInteger)
            connection.execute(select(func.pg_advisory_lock_shared(key)))
            self._taken_in = connection

    def is_alive(self, connection: Connection, holder: str) -> bool:
        """Whether a lease's holder is seen to live; True too where that is not known."""
        kind, _, rest = holder.partition("/")
        process_id = rest.partition("/")[0]
        if kind != _WITH_SESSION or process_id == self._process_id:
            return True
        return connection.execute(_IS_HELD, {"key": _key(process_id)}).first() is not None

    def is_here(self, holder: str) -> bool:
        """Whether it is this process."""
        return holder.startswith(f"{_WITH_SESSION}/{self._process_id}/")

    def process_of(self, _holder: str) -> Holder | None:
        """None: it may be another machine's."""
        return None

    async def aclose(self) -> None:
        """Its session lets go of it."""


def _key(process_id: str) -> int:
    return lock_key(f"process/{process_id}")


@asynccontextmanager
async def hold_if_free(address: ServerAddress, purpose: str) -> AsyncIterator[bool]:
    """Hold the lock of a purpose in a session of its own, if nobody else does."""
    try:
        session = await connect(address)
        is_mine = bool(await session.fetchval(_TAKE_IF_FREE, lock_key(purpose)))
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
