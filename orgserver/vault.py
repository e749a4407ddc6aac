"""How secrets are kept: sealed with AES-256-GCM under per-org data keys, which a ring of master keys wraps.

A sealed value is ``version (1) ‖ key id (8) ‖ nonce (12) ‖ ciphertext and tag``.
Its context (associated data) names product, format, org row, table, column and key, so a value that is moved
to another row or column does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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

    def material(self) -> bytes:
        """The bytes, for wrapping under a master key."""
        return self._material


def key_id(sealed: bytes) -> bytes:
    """Tell which key sealed a value; Unsealable if these bytes are no sealed value."""
    if len(sealed) < _HEADER or sealed[:1] != VERSION:
        raise Unsealable("a stored value is not in a sealed form this version knows")
    return sealed[1 : 1 + _ID_SIZE]


class Vault:
    """The ring of master keys: opens with all of them, seals with the first."""

    def __init__(self, ring: Sequence[Key], reread: Callable[[], Sequence[Key]] | None = None) -> None:
        if not ring:
            raise KeyProblem("the master key ring is empty")
        self._ring = tuple(ring)
        self._reread = reread

    def __repr__(self) -> str:
        return f"Vault({', '.join(key.id.hex() for key in self._ring)})"

    def seal(self, plain: bytes, context: Context) -> bytes:
        """Seal directly under the newest master key."""
        return self._ring[0].seal(plain, context)

    def open(self, sealed: bytes, context: Context) -> bytes:
        """Open what any key of the ring sealed; an unknown key id makes the ring be read again, once."""
        return self._key(key_id(sealed)).open(sealed, context)

    def new_data_key(self, owner: str, purpose: str) -> tuple[Key, bytes]:
        """Make a data key; return it and its wrapped form for the store."""
        key = Key.new()
        return key, self.seal(key.material(), _wrapping(owner, purpose))

    def data_key(self, wrapped: bytes, owner: str, purpose: str) -> Key:
        """Unwrap a data key."""
        return Key(self.open(wrapped, _wrapping(owner, purpose)))

    def _key(self, identifier: bytes) -> Key:
        for key in self._ring:
            if key.id == identifier:
                return key
        if self._reread is not None:
            self._ring = tuple(self._reread())
            for key in self._ring:
                if key.id == identifier:
                    return key
        raise Unsealable(
            f"the store is sealed with key {identifier.hex()}, which is not in your ring",
            hint="give the key ring that this store was made with (ORGSERVER_MASTER_KEY, "
            "ORGSERVER_MASTER_KEY_FILE, ORGSERVER_MASTER_KEY_COMMAND, or master.key in its home)",
        )


def _wrapping(owner: str, purpose: str) -> Context:
    return Context(owner, "data_key", purpose)


def read_ring(text: str, source: str) -> list[Key]:
    """Read keys written as base64 of 32 bytes, several with commas between; KeyProblem names the source only."""
    keys: list[Key] = []
    for part in text.strip().split(","):
        try:
            keys.append(Key(base64.b64decode(part.strip(), validate=True)))
        except (binascii.Error, ValueError):
            raise KeyProblem(
                f"the master key from {source} is not base64 of 32 bytes",
                hint="make one with: python3 -c 'import base64,os; print(base64.b64encode(os.urandom(32)).decode())'",
            ) from None
    return keys


def write_ring(keys: Sequence[Key]) -> str:
    """Write keys in the form ``read_ring`` takes."""
    return ",".join(base64.b64encode(key.material()).decode() for key in keys)
