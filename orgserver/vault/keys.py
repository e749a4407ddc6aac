"""How secrets are kept: sealed with AES-256-GCM under per-org data keys, which a ring of master keys wraps.

A sealed value is ``version (1) ‖ key id (8) ‖ nonce (12) ‖ ciphertext and tag``.
Its context (associated data) names product, format, org row, table, column and key, so a value that is moved
to another row or column does not open.

A data key is wrapped as its 32 bytes; one that has replaced another as
``key (32) ‖ id of the master key it was made under (8) ‖ until (8, seconds since 1970) ‖ the key before (32)``.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from orgserver.model.errors import KeyProblem
from orgserver.model.randomness import take_random_bytes
from orgserver.model.secret import Secret

VERSION = b"\x01"
_PRODUCT = b"orgserver"
_ID_SIZE = 8
_NONCE_SIZE = 12
_HEADER = 1 + _ID_SIZE + _NONCE_SIZE
KEY_SIZE = 32
_TIME_SIZE = 8
_REPLACED = KEY_SIZE + _ID_SIZE + _TIME_SIZE + KEY_SIZE
LATE_SECONDS = 24 * 3_600
"""How long a replaced data key still opens what late writers seal: as long as an idempotency key is kept."""
_LATE_TABLES = frozenset({"idempotency", "rescue"})


class Context(NamedTuple):
    """Where a sealed value belongs; it opens nowhere else."""

    owner: str
    """The id of our own row for the org, or of the store."""
    table: str
    column: str
    extra: str = ""
    """What else must be the same, such as the fencing number of a credential."""

    @lru_cache(maxsize=256)  # noqa: B019  # a few contexts, such as the head's, are those of every call
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
        if len(material) != KEY_SIZE:
            raise ValueError("a key has 32 bytes")
        self._material = material
        self._aes = AESGCM(material)
        self.id = hashlib.sha256(b"orgserver key id\x00" + material).digest()[:_ID_SIZE]

    def __repr__(self) -> str:
        return f"Key({self.id.hex()})"

    @classmethod
    def new(cls) -> Key:
        """Make a random key."""
        return cls(secrets.token_bytes(KEY_SIZE))

    def seal(self, plain: bytes, context: Context) -> bytes:
        """Encrypt for one place."""
        nonce = take_random_bytes(_NONCE_SIZE)
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

    def make_mac(self) -> Callable[[bytes], bytes]:
        """A function that makes HMAC-SHA256 of messages, under a key that serves this purpose alone."""
        keyed = HMAC(self._material, SHA256())

        def mac(message: bytes) -> bytes:
            copy = keyed.copy()  # a third of the work of preparing the key each time
            copy.update(message)
            return copy.finalize()

        return mac

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
        return DataKey(secrets.token_bytes(KEY_SIZE), made_under=master.id, until=until, before=Key(self.material()))

    def wrapped(self, master: Key, owner: str, purpose: str) -> bytes:
        """Seal this key under a master key, for its owner's row."""
        plain = self.material()
        if self.before is not None and self.made_under is not None:
            plain += self.made_under + self._until.to_bytes(_TIME_SIZE, "big") + self.before.material()
        return master.seal(plain, wrapping_context(owner, purpose))

    @classmethod
    def unwrapped(cls, wrapped: bytes, owner: str, purpose: str, find_master: Callable[[bytes], Key]) -> DataKey:
        """Open what ``wrapped`` sealed, with the master key of that id."""
        return cls.read(find_master(key_id(wrapped)).open(wrapped, wrapping_context(owner, purpose)))

    @classmethod
    def read(cls, plain: bytes) -> DataKey:
        """Read the plain form of a wrapped key."""
        if len(plain) == KEY_SIZE:
            return cls(plain)
        if len(plain) != _REPLACED:
            raise Unsealable("a wrapped data key is not in a form this version knows")
        material, rest = plain[:KEY_SIZE], plain[KEY_SIZE:]
        until = int.from_bytes(rest[_ID_SIZE : _ID_SIZE + _TIME_SIZE], "big")
        before = Key(rest[_ID_SIZE + _TIME_SIZE :])
        return cls(material, made_under=rest[:_ID_SIZE], until=until, before=before)


def wrapping_context(owner: str, purpose: str) -> Context:
    """Where a wrapped data key belongs."""
    return Context(owner, "data_key", purpose)
