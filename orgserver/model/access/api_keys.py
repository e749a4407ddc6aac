"""The text of an API key: ``osk_``, 32 random bytes, and a checksum by which a mistyped key is known to be none."""

from __future__ import annotations

import re
import secrets
import zlib

from orgserver.model.secret import Secret

PREFIX = "osk_"
"""So that scanners of secrets know one where it lies open."""
_BYTES = 32
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS, _CHECK_DIGITS = 43, 6
"""Of 62 kinds: enough for 256 bits, and for a CRC-32."""
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_DIGITS + _CHECK_DIGITS}}}")


def make_api_key() -> Secret:
    """A new API key."""
    random = PREFIX + _encode(int.from_bytes(secrets.token_bytes(_BYTES), "big"), _RANDOM_DIGITS)
    return Secret(random + _checksum(random))


def is_api_key(text: str) -> bool:
    """Whether a text can be an API key at all: its form and its checksum are right."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-_CHECK_DIGITS]) == text[-_CHECK_DIGITS:]


def _checksum(text: str) -> str:
    return _encode(zlib.crc32(text.encode()), _CHECK_DIGITS)


def _encode(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
