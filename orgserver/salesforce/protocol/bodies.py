"""What a reply's body says: JSON of bounded depth and cost, or nothing.

A reply's bytes say little of what it costs: 5 MiB of ``[],[],…`` are 1.7 million lists. So the signs that begin a
value are counted before anything is built, and each stands for the bytes that CPython takes for its kind. A large text
is then read a part at a time (``large_json``), so that no single step holds the interpreter for long.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from orgserver.salesforce.protocol.json_values import MAX_DEPTH, TooCostly, TooDeep, is_too_deep, read_value
from orgserver.salesforce.protocol.large_containers import LargeContainers, Rest
from orgserver.salesforce.protocol.large_json import LargeReader

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
MAX_COST = 128 * 1024 * 1024
"""What a reply may take in memory, in bytes. By this estimate a describe with 800 fields of 100 picklist values takes
79 MiB, a list of 5,000 objects 27, 2,000 records of 100 fields 33, 28 MiB of texts with an emoji in each 113."""
PIECE = 64 * 1024
"""What is larger is read a part at a time."""
_EACH = 64
"""A list without items, a name, a short text or a number, with its place in what is around it."""
_OBJECT = 232
"""An object with one to five names."""
_SCANNED = 64 * 1024
_WIDE = (*(bytes([first]) for first in range(0xF0, 0xF5)), b"\\ud", b"\\uD")
"""What begins a character that takes four bytes in a Python text, and with it every other of that text."""
_LONGEST_SIGN = 3
_BOM, _LONGEST_BOM = b"\xef\xbb\xbf", 4


def read(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    accept: str = JSON,
    rest: Rest | None = None,
    containers: LargeContainers | None = None,
) -> Any:
    """The JSON of a reply, or its bytes where another kind of success was asked for; None where there is none.

    ``rest`` is called now and then while a large one is read, and ``containers`` has what is large in it.
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
        return _refusal(content, rest, containers)
    return parse_json(content, rest, containers)


def _refusal(content: bytes, rest: Rest | None, containers: LargeContainers | None) -> Any:
    try:
        return parse_json(content, rest, containers) if len(content) <= _LONGEST_REFUSAL else None
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


def parse_json(content: bytes, rest: Rest | None = None, containers: LargeContainers | None = None) -> Any:
    """The value of a JSON text; ValueError where it is none, among them TooDeep and TooCostly."""
    if len(content) > PIECE:
        _check_cost(content, rest)
        return LargeReader(_to_utf8(content, rest), rest, containers=containers).read()
    body = read_value(content)
    # what opens fewer lists and objects than may be inside of each other, in its texts too, cannot be too deep
    if content.count(b"[") + content.count(b"{") > MAX_DEPTH and is_too_deep(body):
        raise TooDeep
    return body


def _to_utf8(content: bytes, rest: Rest | None) -> bytes:
    """A text without its byte order mark; in UTF-8 also where it came in another form that JSON once allowed."""
    if content.startswith(_BOM):
        return content[len(_BOM) :]
    encoding = json.detect_encoding(content[:_LONGEST_BOM])
    if encoding == "utf-8":
        return content
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    parts = []
    for piece in _pieces(content):
        parts.append(decoder.decode(piece).encode("utf-8", "surrogatepass"))
        if rest is not None:
            rest()
    parts.append(decoder.decode(b"", final=True).encode("utf-8", "surrogatepass"))
    return b"".join(parts)


def _check_cost(content: bytes, rest: Rest | None) -> None:
    """Raise TooCostly for a JSON text whose value would not fit in ``MAX_COST``."""
    texts = len(content) * _width(content, rest)
    # signs inside texts are counted, too, at first: that is quick, and nearly always enough
    if (
        texts + _cost_of_signs(_pieces(content), rest) > MAX_COST
        and texts + _cost_of_signs(outside_texts(content), rest) > MAX_COST
    ):
        raise TooCostly(f"it would take more than {MAX_COST >> 20} MiB of memory")


def _cost_of_signs(pieces: Iterator[bytes], rest: Rest | None) -> int:
    """What the values cost that begin in these pieces; no more is counted than decides."""
    cost = 0
    for piece in pieces:
        cost += _EACH * sum(map(piece.count, (b",", b":", b"["))) + _OBJECT * piece.count(b"{")
        if cost > MAX_COST:
            break
        if rest is not None:
            rest()
    return cost


def _width(content: bytes, rest: Rest | None = None) -> int:
    """Bytes for a character, if all of it were one text."""
    width = 1
    for piece in _pieces(content, _LONGEST_SIGN - 1):
        if any(sign in piece for sign in _WIDE):
            return 4
        if width == 1 and (b"\\u" in piece or not piece.isascii()):
            width = 2
        if rest is not None:
            rest()
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
