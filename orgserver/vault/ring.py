"""The ring of master keys: all of them open, the first one seals; and where it comes from."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from orgserver.model.errors import KeyProblem
from orgserver.vault.keys import KEY_SIZE, Context, DataKey, Key, Unsealable, key_id

T = TypeVar("T")
_ASK_AGAIN_SECONDS = 10.0
_ADVICE = (
    "give the key ring that this store was made with (ORGSERVER_MASTER_KEY, ORGSERVER_MASTER_KEY_FILE, "
    "ORGSERVER_MASTER_KEY_COMMAND, or master.key in its home)"
)
MAKE_ONE = "make one with: python3 -c 'import base64,os; print(base64.b64encode(os.urandom(32)).decode())'"


class Source(Protocol):
    """Where a ring of master keys comes from."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def advice(self) -> str:
        """What to do when the ring lacks a key."""

    @property
    def slow(self) -> bool:
        """Whether reading may take long: then never on the event loop, nor while the store waits for us."""

    def changed(self) -> bool:
        """Tell whether reading it again could give another ring."""

    def read(self) -> Sequence[Key]:
        """Read the ring; KeyProblem says in one sentence why not."""

    def put_first(self, key: Key) -> None:
        """Put a new key before the others, durably; KeyProblem where only the operator can do that."""


class RingBehind(Exception):
    """The ring may lack a key only because its slow source was not read again yet.

    Whoever can wait calls ``catch_up`` in a thread and tries once more (``retry_behind``).
    """

    def __init__(self, vault: Vault, identifier: bytes) -> None:
        super().__init__(f"key {identifier.hex()} is not in the ring as it was last read")
        self._vault = vault
        self._identifier = identifier

    def catch_up(self) -> None:
        """Read the ring again, once for however many wait; it blocks."""
        self._vault.look_for(self._identifier)


class Vault:
    """The ring of master keys: opens with all of them, seals with the first."""

    def __init__(self, ring: Sequence[Key], source: Source | None = None) -> None:
        if not ring:
            raise KeyProblem("the master key ring is empty")
        self._ring = tuple(ring)
        self._source = source
        self._reading = threading.Lock()
        self._asked: dict[bytes, float] = {}

    def __repr__(self) -> str:
        return f"Vault({', '.join(key.id.hex() for key in self._ring)})"

    @property
    def ring(self) -> tuple[Key, ...]:
        """The keys as they were last read, the one that seals first."""
        return self._ring

    @property
    def source(self) -> str:
        """Where the ring comes from, for people."""
        return self._source.name if self._source is not None else "memory"

    def seal(self, plain: bytes, context: Context) -> bytes:
        """Seal directly under the newest master key, which another process may have put there just now."""
        return self._newest().seal(plain, context)

    def open(self, sealed: bytes, context: Context) -> bytes:
        """Open what any key of the ring sealed; an unknown key id makes the ring be read again, once.

        Raises RingBehind where that reading is slow.
        """
        return self._key(key_id(sealed)).open(sealed, context)

    def new_data_key(self, owner: str, purpose: str) -> tuple[DataKey, bytes]:
        """Make a data key; return it and its wrapped form for the store."""
        key = DataKey(secrets.token_bytes(KEY_SIZE))
        return key, key.wrapped(self._newest(), owner, purpose)

    def data_key(self, wrapped: bytes, owner: str, purpose: str) -> DataKey:
        """Unwrap a data key."""
        return DataKey.unwrapped(wrapped, owner, purpose, self._key)

    def next_data_key(self, wrapped: bytes, owner: str, purpose: str) -> tuple[DataKey, DataKey, bytes]:
        """Make the data key that replaces a wrapped one; return that one, the new one, and its wrapped form."""
        master = self._newest()
        old = self.data_key(wrapped, owner, purpose)
        new = old.successor(master)
        return old, new, new.wrapped(master, owner, purpose)

    def read_again(self) -> None:
        """Read the ring again, where it can be; it blocks."""
        if self._source is not None:
            self._ring = tuple(self._source.read()) or self._ring

    def renew(self) -> None:
        """Put a new key first, durably, before anything is sealed with it."""
        if self._source is None:
            raise KeyProblem("the master key ring comes from nowhere that a new key could be written to")
        new = Key.new()
        self._source.put_first(new)
        self.read_again()
        if self._find(new.id) is None:
            raise KeyProblem(f"the new master key is not in {self._source.name}, although it was written there")

    def look_for(self, identifier: bytes) -> None:
        """Read the ring again for a key that is missing, unless somebody just did; it blocks."""
        with self._reading:
            if self._find(identifier) is None and self._may_ask(identifier):
                self._asked[identifier] = time.monotonic()
                self.read_again()

    def _newest(self) -> Key:
        source = self._source
        if source is not None and not source.slow and source.changed():
            self.read_again()
        return self._ring[0]

    def _key(self, identifier: bytes) -> Key:
        source = self._source
        key = self._find(identifier)
        if key is None and source is not None and source.changed() and self._may_ask(identifier):
            if source.slow:
                raise RingBehind(self, identifier)
            self.read_again()
            key = self._find(identifier)
        if key is None:
            advice = source.advice if source is not None else _ADVICE
            raise Unsealable(f"the store is sealed with key {identifier.hex()}, which is not in your ring", hint=advice)
        return key

    def _find(self, identifier: bytes) -> Key | None:
        return next((key for key in self._ring if key.id == identifier), None)

    def _may_ask(self, identifier: bytes) -> bool:
        asked_at = self._asked.get(identifier)
        return asked_at is None or time.monotonic() - asked_at > _ASK_AGAIN_SECONDS


def read_ring(text: str, source: str) -> list[Key]:
    """Read keys written as base64 of 32 bytes, several with commas between; KeyProblem names the source only."""
    keys: list[Key] = []
    for part in text.removeprefix("\ufeff").strip().split(","):
        try:
            key = Key(base64.b64decode(part.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise KeyProblem(f"the master key from {source} is not base64 of 32 bytes", hint=MAKE_ONE) from None
        if any(key.id == other.id for other in keys):
            raise KeyProblem(f"the master key ring from {source} holds key {key.id.hex()} twice", hint="remove one")
        keys.append(key)
    return keys


def write_ring(keys: Sequence[Key]) -> str:
    """Write keys in the form ``read_ring`` takes."""
    return ",".join(base64.b64encode(key.material()).decode() for key in keys)


async def retry_behind(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try, and once more when the ring had to be read again, which may take long and happens in a thread."""
    try:
        return await attempt()
    except RingBehind as behind:
        await asyncio.to_thread(behind.catch_up)
        return await attempt()
