"""How connections to PostgreSQL are made: nothing is left to asyncpg's guess, and each wait has an end."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from orgserver.store.engines.address import ServerAddress, hosts

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What asyncpg raises of a server that refuses, is away or went away: the third where it is just about to go."""
CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 65.0
"""For an answer, where the server's own end of a statement does not arrive: the line may be cut without a sign."""
LOCK_TIMEOUT = "10s"
_SETTINGS = {
    "application_name": "orgserver",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "lock_timeout": LOCK_TIMEOUT,
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "30s",
    "TimeZone": "UTC",
    "jit": "off",
    "search_path": "public",
    # A machine that was cut off lets go of its locks within half a minute; a socket of this machine knows none of it.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
_WRITE = {"idle_in_transaction_session_timeout": "5s"}
"""A writer that falls silent holds up every other: it is stopped, or its machine. Its group runs again."""
_SCAN = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
_READ = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_CACHED_STATEMENTS = 300


class ReadOnlyServer(ConnectionError):
    """No host of an address takes writes."""


async def connect(address: ServerAddress, *, command_seconds: float | None = COMMAND_SECONDS, **settings: str) -> Any:
    """Connect with asyncpg itself; asyncpg's errors, or OSError, where that fails.

    What it would take from the environment or the home of its user is given, so that it looks for none of it.
    """
    password = await asyncio.to_thread(address.find_password) if address.find_password is not None else ""
    places = hosts(address.url)
    connecting = asyncpg.connect(
        host=[host for host, _ in places],
        port=[port for _, port in places],
        user=address.url.username or getpass.getuser(),
        password=password,
        database=address.url.database,
        ssl=address.tls or False,
        direct_tls=False,
        target_session_attrs="read-write",
        krbsrvname="postgres",
        gsslib="gssapi",
        timeout=CONNECT_SECONDS,
        command_timeout=command_seconds,
        server_settings=_SETTINGS | settings,
    )
    try:
        return await connecting
    except asyncpg.TargetServerAttributeNotMatched:
        raise ReadOnlyServer from None


def make_writer_engine(address: ServerAddress) -> Engine:
    """The writer's; for code within ``run_in_loop`` alone."""
    return _make(address, _WRITE, COMMAND_SECONDS, poolclass=NullPool).sync_engine


def make_scan_engine(address: ServerAddress) -> Engine:
    """For a thread that reads for long; as above."""
    return _make(address, _SCAN, None, poolclass=NullPool, execution_options=_READ).sync_engine


def make_migration_engine(address: ServerAddress, lock_timeout: str) -> Engine:
    """For making and migrating the tables; as above."""
    return _make(address, _SCAN | {"lock_timeout": lock_timeout}, None, poolclass=NullPool).sync_engine


def make_reader_engine(address: ServerAddress) -> AsyncEngine:
    """For short reads from the event loop: each transaction is of one snapshot."""
    options = {"pool_size": 4, "max_overflow": 0, "pool_recycle": 900, "execution_options": _READ}
    engine = _make(address, {}, COMMAND_SECONDS, **options)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, *_: object) -> None:
    """Have the pool make a new connection in the place of one that the server has closed."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _make(
    address: ServerAddress, settings: dict[str, str], command_seconds: float | None, **options: Any
) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://",
        hide_parameters=True,
        connect_args={
            "async_creator_fn": partial(_create, address, command_seconds, settings),
            "prepared_statement_cache_size": _CACHED_STATEMENTS,
        },
        **options,
    )


async def _create(address: ServerAddress, command_seconds: float | None, settings: dict[str, str], **_: object) -> Any:
    return await connect(address, command_seconds=command_seconds, **settings)


def lock_key(name: str) -> int:
    """The number of an advisory lock, of 64 bits with a sign, by what it is for."""
    return int.from_bytes(hashlib.sha256(f"orgserver/{name}".encode()).digest()[:8], signed=True)
