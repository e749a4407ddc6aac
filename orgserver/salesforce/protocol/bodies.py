"""What a reply's body says: JSON of bounded depth and cost, or nothing.

A reply's bytes say little of what it costs: 5 MiB of ``[],[],…`` are 1.7 million lists. So the signs that begin a
value are counted before anything is built, and each stands for the bytes that CPython takes for its kind. A large
text is then taken apart by msgspec without building anything, and its parts are read one after another, so that no
single step holds the interpreter for long: other threads go on meanwhile.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import msgspec

JSON = "application/json"
_FIRST_ERROR = 300
_LONGEST_TOKEN_REPLY = 256 * 1024
"""Real ones have 1 to 10 KB, the largest those with a JWT for an access token."""
_LONGEST_SCANNED = 1024 * 1024
_MOST_SIGNS = 100_000
_SIGNS = re.compile(
    r'"refresh_token"\s*:\s*"([^"\\]*)"'
    r'|"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'  # one without its end is taken to the end, or each quote in it is tried
    r"|[{}\[\]]",
    re.DOTALL,
)
_LONGEST_REFUSAL = 1024 * 1024
"""Salesforce's refusals have some KB, those of duplicate rules with all that they found some tens."""
MAX_DEPTH = 64
"""How deep a reply's JSON may be nested."""
MAX_COST = 128 * 1024 * 1024
"""What a reply may take in memory, in bytes. By this estimate a describe with 800 fields of 100 picklist values takes
79 MiB, a list of 5,000 objects 27, 2,000 records of 100 fields 33, 28 MiB of texts with an emoji in each 113."""
PIECE = 64 * 1024
"""Bytes that are read in one step."""
_EACH = 64
"""A list without items, a name, a short text or a number, with its place in what is around it."""
_OBJECT = 232
"""An object with one to five names."""
_SCANNED = 256 * 1024
_WIDE = (*(bytes([first]) for first in range(0xF0, 0xF5)), b"\\ud", b"\\uD")
"""What begins a character that takes four bytes in a Python text, and with it every other of that text."""
_LONGEST_SIGN = 3
_BOM = b"\xef\xbb\xbf"
_NESTED = (dict, list)


class TooCostly(ValueError):
    """This is JSON, and would take too much memory."""


class TooDeep(ValueError):
    """This is JSON, nested deeper than ``MAX_DEPTH``."""

    def __init__(self) -> None:
        super().__init__("it is nested too deeply")


def read(status: int, headers: Mapping[str, str], content: bytes, accept: str = JSON) -> Any:
    """The JSON of a reply, or its bytes where another kind of success was asked for; None where there is none.

    ValueError for what cannot be understood: a success that is not JSON is no answer. TooCostly is one, too.
    """
    if not content:
        return None
    if accept != JSON and status < _FIRST_ERROR:
        if accept not in headers.get("content-type", ""):
            raise ValueError(f"it is not {accept}")
        return content
    if "json" not in headers.get("content-type", ""):
        if status < _FIRST_ERROR:
            raise ValueError("it is not JSON")
        return None
    if status >= _FIRST_ERROR:
        return _refusal(content)
    return parse_json(content)


def _refusal(content: bytes) -> Any:
    try:
        return parse_json(content) if len(content) <= _LONGEST_REFUSAL else None
    except ValueError:
        return None


def read_token_reply(
    status: int, headers: Mapping[str, str], content: bytes, accept: str = JSON
) -> dict[str, Any] | None:
    """The JSON object that a token endpoint answered, under whatever name it came; None where there is none.

    Nothing raises here: an answer that is half wrong may still hold the only refresh token that works. One that is cut
    off, too large, nested too deeply or no JSON has at most its ``refresh_token``.
    """
    del status, headers, accept
    text = content[:_LONGEST_SCANNED].decode(json.detect_encoding(content), "replace").strip()
    if not text.startswith("{"):
        return None
    if len(content) <= _LONGEST_TOKEN_REPLY:
        with suppress(ValueError, RecursionError):
            body = json.loads(text)
            return body if isinstance(body, dict) else None
    return _refresh_token_alone(text)


def _refresh_token_alone(text: str) -> dict[str, Any] | None:
    """The member ``refresh_token`` of a text that begins as an object does, if it is there and whole."""
    depth, refresh_token = 0, None
    for sign in islice(_SIGNS.finditer(text), _MOST_SIGNS):
        if sign[0] in "{[":
            depth += 1
        elif sign[0] in "}]":
            depth -= 1
            if depth == 0:
                break
        elif depth == 1:
            refresh_token = sign[1] or refresh_token
    return {"refresh_token": refresh_token} if refresh_token is not None else None


def parse_json(content: bytes) -> Any:
    """The value of a JSON text; ValueError where it is none, among them TooDeep and TooCostly."""
    if len(content) > PIECE:
        _check_cost(content)
        return _Pieces().read(content)
    body = _loads(content)
    # what opens fewer lists and objects than may be inside of each other, in its texts too, cannot be too deep
    if content.count(b"[") + content.count(b"{") > MAX_DEPTH and _too_deep(body):
        raise TooDeep
    return body


def _check_cost(content: bytes) -> None:
    """Raise TooCostly for a JSON text whose value would not fit in ``MAX_COST``."""
    texts = len(content) * _width(content)
    # signs inside texts are counted, too, at first: that is quick, and nearly always enough
    if (
        texts + sum(map(_cost_of_signs, _pieces(content))) > MAX_COST
        and texts + sum(map(_cost_of_signs, outside_texts(content))) > MAX_COST
    ):
        raise TooCostly(f"it would take more than {MAX_COST >> 20} MiB of memory")


def _cost_of_signs(content: bytes) -> int:
    return _EACH * sum(map(content.count, (b",", b":", b"["))) + _OBJECT * content.count(b"{")


def _width(content: bytes) -> int:
    """Bytes for a character, if all of it were one text."""
    width = 1
    for piece in _pieces(content, _LONGEST_SIGN - 1):
        if any(sign in piece for sign in _WIDE):
            return 4
        if width == 1 and (b"\\u" in piece or not piece.isascii()):
            width = 2
    return width


def _pieces(content: bytes, overlap: int = 0) -> Iterator[bytes]:
    """A long text in parts, each of which is searched in one go: no search holds the interpreter for long."""
    return (content[start : start + _SCANNED + overlap] for start in range(0, len(content), _SCANNED))


def outside_texts(content: bytes, step: int = _SCANNED) -> Iterator[bytes]:
    """What stands outside of texts, a piece at a time."""
    inside, start = False, 0
    while start < len(content):
        piece = content[start : start + step]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # half an escape
            piece = content[start : start + step + 1]
        start += len(piece)
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        yield b"".join(parts[inside::2])
        inside ^= len(parts) % 2 == 0


class _Pieces:
    """Reads a large text in pieces."""

    def __init__(self) -> None:
        import msgspec  # noqa: PLC0415  # most processes never meet a large reply

        self._broken = msgspec.DecodeError
        self._list = msgspec.json.Decoder(list[msgspec.Raw])
        self._object = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._text = msgspec.json.Decoder(str)

    def read(self, content: bytes) -> Any:
        """The value; ValueError where it is none, or nested too deeply."""
        try:
            return self._value(content.removeprefix(_BOM).strip(b" \t\r\n"), 1)
        except (self._broken, UnicodeDecodeError, RecursionError):
            raise ValueError("it is not valid JSON") from None

    def _value(self, content: bytes | msgspec.Raw, depth: int) -> Any:
        if len(content) <= PIECE:
            return _read_whole(content, depth)
        kind = bytes(memoryview(content)[:1])
        if depth > MAX_DEPTH and kind in (b"[", b"{"):
            raise TooDeep
        try:
            if kind == b"[":
                parts = self._list.decode(content)
            elif kind == b"{":
                members = self._object.decode(content)
            elif kind == b'"':
                return self._text.decode(content)
        except (self._broken, UnicodeDecodeError):
            kind = b""  # it may have half a surrogate pair, which only Python's reader takes
        if kind == b"[":
            return self._values(parts, depth + 1)
        if kind == b"{":
            names, parts = list(members), list(members.values())
            del members
            return dict(zip(names, self._values(parts, depth + 1), strict=True))
        return _read_whole(content, depth)

    def _values(self, parts: list[msgspec.Raw], depth: int) -> list[Any]:
        """Read some values, the small ones many at a time; a part is let go once it is read."""
        values: list[Any] = []
        batch: list[msgspec.Raw] = []
        room = PIECE
        parts.reverse()
        while parts:
            part = parts.pop()
            room -= len(part) + 1
            if room < 0:
                values += self._batch(batch, depth)
                batch, room = [], PIECE - len(part) - 1
            if room < 0:
                values.append(self._value(part, depth))
                room = PIECE
            else:
                batch.append(part)
        if batch:
            values += self._batch(batch, depth)
        return values

    def _batch(self, parts: list[msgspec.Raw], depth: int) -> list[Any]:
        values: list[Any] = _loads(b"[" + b",".join(parts) + b"]")
        if _too_deep(values, depth - 1):
            raise TooDeep
        return values


def _loads(content: bytes) -> Any:
    """Read a JSON text in one go: what msgspec refuses, Python's reader judges; what both take is the same to both."""
    import msgspec  # noqa: PLC0415  # most commands never meet a reply

    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # half a surrogate pair, UTF-16, a byte order mark; or no JSON
    try:
        return json.loads(content, parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError):
        raise ValueError("it is not valid JSON") from None


def _number(text: str) -> float:
    """A fraction; one beyond what a float holds would be handed on as infinity, which JSON does not have."""
    number = float(text)
    return number if isfinite(number) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text[:20]} is no number of JSON")


def _read_whole(content: bytes | msgspec.Raw, depth: int) -> Any:
    """Read a value in one go; TooDeep if it goes down too far, counted from ``depth``."""
    value = _loads(bytes(content))
    if _too_deep(value, depth):
        raise TooDeep
    return value


def _too_deep(body: Any, depth: int = 1) -> bool:
    """Whether a value that is itself so deep holds lists and objects beyond ``MAX_DEPTH``."""
    level = [body] if isinstance(body, _NESTED) else []
    for _ in range(MAX_DEPTH - depth + 1):
        if not level:
            return False
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, _NESTED)
        ]
    return bool(level)
