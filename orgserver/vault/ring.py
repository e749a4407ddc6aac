"""How secrets are kept: sealed with AES-256-GCM under per-org data keys, which a ring of master keys wraps.

A sealed value is ``version (1) ‖ key id (8) ‖ nonce (12) ‖ ciphertext and tag``.
Its context (associated data) names product, format, org row, table, column and key, so a value that is moved
to another row or column does not open.

A data key is wrapped as its 32 bytes; one that has replaced another as
``key (32) ‖ id of the master key it was made under (8) ‖ until (8, seconds since 1970) ‖ the key before (32)``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orgserver.model.errors import KeyProblem
from orgserver.model.secret import Secret

VERSION = b"\x01"
_PRODUCT = b"orgserver"
_ID_SIZE = 8
_NONCE_SIZE = 12
_HEADER = 1 + _ID_SIZE + _NONCE_SIZE
_KEY_SIZE = 32
_TIME_SIZE = 8
_REPLACED = _KEY_SIZE + _ID_SIZE + _TIME_SIZE + _KEY_SIZE
LATE_SECONDS = 24 * 3_600
"""How long a replaced data key still opens what late writers seal: as long as an idempotency key is kept."""
_LATE_TABLES = frozenset({"idempotency", "rescue"})
_ASK_AGAIN_SECONDS = 10.0
_ADVICE = (
    "give the key ring that this store was made with (ORGSERVER_MASTER_KEY, ORGSERVER_MASTER_KEY_FILE, "
    "ORGSERVER_MASTER_KEY_COMMAND, or master.key in its home)"
)
MAKE_ONE = "make one with: python3 -c 'import base64,os; print(base64.b64encode(os.urandom(32)).decode())'"


@dataclass(frozen=True, slots=True)
class Context:
    """Where a sealed value belongs; it opens nowhere else."""

    owner: str
    """The id of our own row for the org, or of the store."""
    table: str
    column: str
    extra: str = ""
    """What else must be the same, such as the fencing number of a credential."""

    def associated_data(self, key_id: bytes) -> bytes:
        """Every part with its length before it, so that no two contexts share their bytes."""
        texts = (self.owner, self.table, self.column, self.extra)
        parts = (_PRODUCT, VERSION, *(text.encode() for text in texts), key_id)
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class Unsealable(KeyProblem):
    """A sealed value does not open: another key, another place, or changed bytes."""


class Key:
    """One AES-256 key that seals and opens; its bytes are never shown."""

    __slots__ = ("_aes", "_material", "id")

    def __init__(self, material: bytes) -> None:
        if len(material) != _KEY_SIZE:
            raise ValueError("a key has 32 bytes")
        self._material = material
        self._aes = AESGCM(material)
        self.id = hashlib.sha256(b"orgserver key id\x00" + material).digest()[:_ID_SIZE]

    def __repr__(self) -> str:
        return f"Key({self.id.hex()})"

    @classmethod
    def new(cls) -> Key:
        """Make a random key."""
        return cls(secrets.token_bytes(_KEY_SIZE))

    def seal(self, plain: bytes, context: Context) -> bytes:
        """Encrypt for one place."""
        nonce = secrets.token_bytes(_NONCE_SIZE)
        return VERSION + self.id + nonce + self._aes.encrypt(nonce, plain, context.associated_data(self.id))

    def open(self, sealed: bytes, context: Context) -> bytes:
        """Decrypt a value of this place; Unsealable says which key or that the place is another."""
        if key_id(sealed) != self.id:
            raise Unsealable(f"a value is sealed with key {key_id(sealed).hex()}, not with {self.id.hex()}")
        nonce = sealed[1 + _ID_SIZE : _HEADER]
        try:
            return self._aes.decrypt(nonce, sealed[_HEADER:], context.associated_data(self.id))
        except InvalidTag:
            raise Unsealable(
                f"a sealed value of {context.table}.{context.column} was changed or moved, and does not open",
                hint="restore the store from a backup; do not edit it with other programs",
            ) from None

    def seal_text(self, secret: Secret, context: Context) -> bytes:
        """Seal a secret text."""
        return self.seal(secret.reveal().encode(), context)

    def open_text(self, sealed: bytes, context: Context) -> Secret:
        """Open a secret text."""
        return Secret(self.open(sealed, context).decode())

    def mac(self, message: bytes) -> bytes:
        """HMAC-SHA256 under a key that serves this purpose alone."""
        return hmac.digest(self._material, message, "sha256")

    def macs(self) -> Callable[[bytes], bytes]:
        """``mac`` as a plain function, for whoever checks hundreds of thousands."""
        digest, material = hmac.digest, self._material
        return lambda message: digest(material, message, "sha256")

    def material(self) -> bytes:
        """The bytes, for wrapping under a master key."""
        return self._material


def key_id(sealed: bytes) -> bytes:
    """Tell which key sealed a value; Unsealable if these bytes are no sealed value."""
    if len(sealed) < _HEADER or sealed[:1] != VERSION:
        raise Unsealable("a stored value is not in a sealed form this version knows")
    return sealed[1 : 1 + _ID_SIZE]


class DataKey(Key):
    """What seals one owner's values.

    For a day after it has replaced another, it opens what late writers sealed with the one before: the answer of a call
    that was under way, or tokens that wait beside the store. A credential of before never opens again.
    """

    __slots__ = ("_until", "before", "made_under")

    def __init__(
        self, material: bytes, *, made_under: bytes | None = None, until: int = 0, before: Key | None = None
    ) -> None:
        super().__init__(material)
        self.made_under = made_under
        self._until = until
        self.before = before

    def open(self, sealed: bytes, context: Context) -> bytes:
        """Decrypt a value of this place; a late one for a while also with the key before."""
        before = self.before
        if before is not None and key_id(sealed) == before.id and self._may_be_late(context):
            return before.open(sealed, context)
        return super().open(sealed, context)

    def _may_be_late(self, context: Context) -> bool:
        return context.table in _LATE_TABLES and time.time() < self._until

    def successor(self, master: Key) -> DataKey:
        """Make a new data key that replaces this one."""
        until = int(time.time()) + LATE_SECONDS
        return DataKey(secrets.token_bytes(_KEY_SIZE), made_under=master.id, until=until, before=Key(self.material()))

    def wrapped(self, master: Key, owner: str, purpose: str) -> bytes:
        """Seal this key under a master key, for its owner's row."""
        plain = self.material()
        if self.before is not None and self.made_under is not None:
            plain += self.made_under + self._until.to_bytes(_TIME_SIZE, "big") + self.before.material()
        return master.seal(plain, _wrapping(owner, purpose))

    @classmethod
    def unwrapped(cls, plain: bytes) -> DataKey:
        """Read what ``wrapped`` sealed."""
        if len(plain) == _KEY_SIZE:
            return cls(plain)
        if len(plain) != _REPLACED:
            raise Unsealable("a wrapped data key is not in a form this version knows")
        material, rest = plain[:_KEY_SIZE], plain[_KEY_SIZE:]
        until = int.from_bytes(rest[_ID_SIZE : _ID_SIZE + _TIME_SIZE], "big")
        before = Key(rest[_ID_SIZE + _TIME_SIZE :])
        return cls(material, made_under=rest[:_ID_SIZE], until=until, before=before)


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

    Whoever can wait calls ``catch_up`` in a thread and tries once more (``keyrings.catching_up``).
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
        key = DataKey(secrets.token_bytes(_KEY_SIZE))
        return key, key.wrapped(self._newest(), owner, purpose)

    def data_key(self, wrapped: bytes, owner: str, purpose: str) -> DataKey:
        """Unwrap a data key."""
        return DataKey.unwrapped(self.open(wrapped, _wrapping(owner, purpose)))

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
        asked = self._asked.get(identifier)
        return asked is None or time.monotonic() - asked > _ASK_AGAIN_SECONDS


def _wrapping(owner: str, purpose: str) -> Context:
    return Context(owner, "data_key", purpose)


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
