r"""Signed notes: short texts that anybody with the public key can check, away from us (C2SP ``signed-note``).

A note is its text, an empty line, and a line ``— <name> <base64(key hash (4) ‖ Ed25519 signature (64))>``.
A public key is written ``<name>+<key hash, 8 hex digits>+<base64(0x01 ‖ public key (32))>``, where the key hash is the
first four bytes of ``SHA-256(name ‖ "\n" ‖ 0x01 ‖ public key)`` (https://c2sp.org/signed-note).

A checkpoint is a note of three lines: ``orgserver/<store id>``, a sequence, and the base64 of the hash there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ALGORITHM = b"\x01"
_DASH = "\N{EM DASH} "
_HASH_SIZE = 32


class BadNote(ValueError):
    """A note, or a public key, is malformed, of somebody else, or wrongly signed; says which, in one line."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: the chain of this store had this hash at this sequence."""

    origin: str
    sequence: int
    hash: bytes

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.sequence}\n{base64.b64encode(self.hash).decode()}\n"


class Signer:
    """Signs notes with a store's own key."""

    def __init__(self, origin: str, seed: bytes) -> None:
        self.origin = origin
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.verifier = Verifier(origin, public)

    def __repr__(self) -> str:
        return f"Signer({self.origin})"

    def sign(self, text: str) -> str:
        """Give the whole note."""
        signature = self.verifier.key_hash + self._key.sign(text.encode())
        return f"{text}\n{_DASH}{self.origin} {base64.b64encode(signature).decode()}\n"


class Verifier:
    """Checks notes with a public key."""

    def __init__(self, origin: str, public: bytes) -> None:
        self.origin = origin
        self._public = public
        self._key = Ed25519PublicKey.from_public_bytes(public)
        self.key_hash = hashlib.sha256(origin.encode() + b"\n" + _ALGORITHM + public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.origin}+{self.key_hash.hex()}+{base64.b64encode(_ALGORITHM + self._public).decode()}"

    @classmethod
    def read(cls, text: str) -> Verifier:
        """Read a public key as it is printed; BadNote if it is none, or a damaged one."""
        try:
            origin, key_hash, encoded = text.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
            verifier = cls(origin, raw[1:])
        except (ValueError, binascii.Error):
            raise BadNote("this is no public key of an audit log") from None
        if raw[:1] != _ALGORITHM or verifier.key_hash.hex() != key_hash:
            raise BadNote("this public key is damaged: its own hash does not fit")
        return verifier

    def check(self, note: str) -> str:
        """Give the text of a note that this key signed; BadNote otherwise."""
        text, separator, signatures = note.rpartition("\n\n")
        if not separator:
            raise BadNote("this is no signed note")
        text += "\n"
        for line in signatures.splitlines():
            name, _, encoded = line.removeprefix(_DASH).rpartition(" ")
            if not line.startswith(_DASH) or name != self.origin:
                continue
            try:
                raw = base64.b64decode(encoded, validate=True)
                content = text.encode()
            except ValueError:  # no base64, or text that cannot be written down
                raise BadNote("its signature cannot be read") from None
            if raw[:4] != self.key_hash:
                raise BadNote("it is signed with another key")
            try:
                self._key.verify(raw[4:], content)
            except InvalidSignature:
                raise BadNote("its signature does not fit") from None
            return text
        raise BadNote(f"it is not signed by {self.origin} (it may be of another store)")

    def checkpoint(self, note: str) -> Checkpoint:
        """Read a checkpoint that this key signed; BadNote otherwise."""
        return read_checkpoint(self.check(note))


def read_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint, whoever signed it; BadNote if it is none."""
    lines = text.splitlines()
    try:
        checkpoint = Checkpoint(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True))
    except (ValueError, IndexError):
        raise BadNote("this is no checkpoint of an audit log") from None
    if not checkpoint.origin.startswith("orgserver/") or len(checkpoint.hash) != _HASH_SIZE or checkpoint.sequence < 0:
        raise BadNote("this is no checkpoint of an audit log")
    return checkpoint


def as_signed(note: str, origin: str, text: str) -> bool:
    """Whether a note over a text is what its signer wrote, to the letter: nothing in it that readers pass over."""
    prefix = f"{text}\n{_DASH}{origin} "
    signature = note[len(prefix) :].removesuffix("\n")
    try:
        exact = base64.b64encode(base64.b64decode(signature)).decode()
    except ValueError:
        return False
    return note == f"{prefix}{exact}\n"


def split(text: str) -> list[str]:
    """The notes of a file that holds one after the other, each ended by its signature lines."""
    notes: list[str] = []
    lines: list[str] = []
    signed = False
    for line in text.splitlines(keepends=True):
        if signed and not line.startswith(_DASH):
            notes.append("".join(lines))
            lines, signed = [], False
            if not line.strip():
                continue
        lines.append(line)
        signed = signed or line.startswith(_DASH)
    if "".join(lines).strip():
        notes.append("".join(lines))
    return notes
