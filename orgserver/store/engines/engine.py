"""What the store asks of the database it lies in, whichever that is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreError
from orgserver.store.catalog_version import StoreReader
from orgserver.store.engines.address import StoreAddress
from orgserver.store.processes.lock_holders import Holder, Patience
from orgserver.store.processes.locks import LockFile
from orgserver.store.transaction import DriverConnection, TransactionStart

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")
Clock = Callable[[], int]
"""Gives the present instant in microseconds since 1970 UTC."""


class ProcessLock(Protocol):
    """What shows others that this process lives, and a look at those of others."""

    @property
    def is_proof(self) -> bool:
        """Whether who is without it is dead for certain. A session may have ended without its process."""

    async def prepare(self) -> None:
        """Get ready to take it; StoreError where that cannot be."""

    def holder(self) -> str:
        """A new name under which this process may hold a lease."""

    def take(self, connection: Connection) -> None:
        """Let others see that this process lives, from now on until its end; StoreError if that cannot be.

        Called within a change, whose connection it is.
        """

    def is_alive(self, connection: Connection, holder: str) -> bool:
        """Whether a lease's holder lives; True too where that is not known. Called within a change, or a scan."""

    def is_here(self, holder: str) -> bool:
        """Whether a lease's holder may be looked into from here: another machine's says nothing of this one."""

    def process_of(self, holder: str) -> Holder | None:
        """The process of a lease's holder, where it is known and of this machine."""

    async def aclose(self) -> None:
        """This process holds no lease any more."""


class StoreEngine(Protocol):
    """A database that a store lies in. Its writer's part runs in the writer's thread, the rest in the event loop's."""

    @property
    def address(self) -> StoreAddress:
        """Where the store lies."""

    @property
    def version_reader(self) -> StoreReader:
        """Reads single rows, as they are at that moment."""

    @property
    def lock(self) -> LockFile | None:
        """What keeps the writers of other processes away, held by ``hold``; None where the transaction does it."""

    @property
    def is_server(self) -> bool:
        """Whether other machines use the database, too."""

    def clock(self, test_clock: Clock | None) -> Clock:
        """The store's clock, as far as this process can tell it without asking; a test's own in its place."""

    def run(self, work: Callable[[], None]) -> None:
        """Run what the writer's thread does from its beginning to its end."""

    def hold(self) -> AbstractContextManager[None]:
        """Wait for the right to begin a transaction that writes, for as long as it takes, and have it in the block."""

    def connect_writer(self) -> DriverConnection:
        """Connect for writing; DBAPIError or OSError where that fails, OperatorError where no password is found."""

    def begin(self, driver: DriverConnection, test_clock: Clock | None) -> TransactionStart:
        """Begin a transaction that writes, as the only one in this store.

        On a server this waits for the writers of other processes. A test's own clock, if there is one, is asked.
        """

    def close_writer(self) -> None:
        """Let go of what writing needed; the connection is closed by then."""

    def find_holder(self) -> Holder | None:
        """Who keeps writers waiting, where that is known and of this machine."""

    def explain(self, error: DBAPIError | OSError, *, is_writing: bool) -> StoreError:
        """What callers are told when the database refuses."""

    def concerns_all(self, error: DBAPIError | OSError) -> bool:
        """Tell whether a failure concerns the store, not one change: everybody in the group would meet it."""

    def wait_as(self, patience: Patience) -> None:
        """From now on wait for locks of other processes like this."""

    async def make_ready(self, *, migrate: bool) -> None:
        """Check the database, and make or migrate it when needed; StoreError with one sentence."""

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for reading, of one snapshot from its first query on."""

    async def scan(self, work: Callable[[Connection], T]) -> T:
        """Run long reading in a thread, over a connection of its own whose transactions the work begins itself."""

    def free_bytes(self) -> int | None:
        """How much more fits beside the database; None where that is the server's own affair."""

    def identity(self) -> object:
        """What is another where the database was put back or exchanged under us; None where that cannot be told."""

    def process_lock(self, process_id: str) -> ProcessLock:
        """What shows others that this process lives."""

    def exclusive(self, purpose: str) -> AbstractAsyncContextManager[bool]:
        """For one process of all at a time, such as a rotation of keys: False where another is at it.

        A process that dies lets go of it.
        """

    async def close(self) -> None:
        """Close what reads; the writer is closed by its own."""

    def discard(self) -> None:
        """Let go of what a start took that failed."""
