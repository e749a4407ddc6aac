"""The text of a key or token of ours: a prefix, 32 random bytes, and a checksum by which a mistyped one is known.

The prefix tells what it is, also to scanners of secrets that find one where it lies open.
"""

from __future__ import annotations

import re
import secrets
import zlib

from orgserver.model.secret import Secret

ACCESS, REFRESH, CODE = "ost_", "osr_", "osc_"
"""Of an access token, a refresh token and an authorization code of own sign-in."""
_BYTES = 32
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS, _CHECK_DIGITS = 43, 6
"""Of 62 kinds: enough for 256 bits, and for a CRC-32."""
_REST = re.compile(rf"[0-9A-Za-z]{{{_RANDOM_DIGITS + _CHECK_DIGITS}}}")


def make_token(prefix: str) -> Secret:
    """A new one."""
    random = prefix + _encode(int.from_bytes(secrets.token_bytes(_BYTES), "big"), _RANDOM_DIGITS)
    return Secret(random + _checksum(random))


def is_token(text: str, prefix: str) -> bool:
    """Whether a text can be one at all: its form and its checksum are right."""
    if not text.startswith(prefix) or _REST.fullmatch(text, len(prefix)) is None:
        return False
    return _checksum(text[:-_CHECK_DIGITS]) == text[-_CHECK_DIGITS:]


def _checksum(text: str) -> str:
    return _encode(zlib.crc32(text.encode()), _CHECK_DIGITS)


def _encode(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
