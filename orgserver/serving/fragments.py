"""What can still be read of a line that is no JSON, is nested too deeply or is too long: whose request it was.

A client waits for an answer to every id that it sent, so the id is looked for without parsing the line as a whole.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice

MAX_LINE = 16 * 1024 * 1024
"""Far above any honest request; Salesforce takes 6 MB at most for one record."""
KEPT_BYTES = 64 * 1024
"""So much of the beginning and of the end of a line that is too long is looked at."""
_MOST_TEXTS = 10_000
_TEXT = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_WHOLE_NUMBER = rb"-?(?:0|[1-9][0-9]{0,399})(?=\s*[,}])"
# A text that does not end is taken to the end of the line, or each quote in it would be tried anew.
_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_VALUE = re.compile(rb"\s*:\s*(" + _TEXT + rb"|" + _WHOLE_NUMBER + rb")?", re.DOTALL)
_LAST_MEMBERS = re.compile(
    rb'[,{]\s*"id"\s*:\s*(' + _TEXT + rb"|" + _WHOLE_NUMBER + rb")\s*"
    rb'(?:,\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*)*\}\s*\Z',
    re.DOTALL,
)


@dataclass(slots=True)
class Fragment:
    """The members of a request that could be read."""

    id: str | int | None = None
    method: str | None = None
    tool: str | None = None
    """``params.name``, which names a tool where the method is ``tools/call``."""


class LineTooLong(Exception):
    """A line was longer than ``MAX_LINE``; it was skipped, but for its beginning and its end."""

    def __init__(self) -> None:
        super().__init__()
        self.head = self.tail = b""

    def add(self, part: bytes) -> None:
        """Go on with the next part of the line."""
        self.head = self.head or part[:KEPT_BYTES]
        self.tail = (self.tail + part[-KEPT_BYTES:])[-KEPT_BYTES:]


def read_fragment(head: bytes, tail: bytes = b"") -> Fragment:
    """Read what is there of a request, from a whole line or from its beginning and its end."""
    fragment = Fragment()
    if not head.lstrip().startswith(b"{"):
        return fragment
    depth = position = 0
    section = None
    for match in islice(_TEXTS.finditer(head), _MOST_TEXTS):
        between = head[position : match.start()]
        depth += between.count(b"{") + between.count(b"[") - between.count(b"}") - between.count(b"]")
        position = match.end()
        value = _VALUE.match(head, position) if depth in (1, 2) else None
        if value is None:
            continue
        name = _scalar(match[0])
        if depth == 1:
            section = name
        _take(fragment, section if depth == 1 else f"{section}.{name}", _scalar(value[1]))
    if fragment.id is None and (last := _LAST_MEMBERS.search(tail or head[-KEPT_BYTES:])):
        fragment.id = _scalar(last[1])
    return fragment


def _take(fragment: Fragment, name: object, value: str | int | None) -> None:
    if name == "id":
        fragment.id = value
    elif name == "method" and isinstance(value, str):
        fragment.method = value
    elif name == "params.name" and isinstance(value, str):
        fragment.tool = value


def _scalar(token: bytes | None) -> str | int | None:
    """A text or a whole number; None for what is neither."""
    if token is None:
        return None
    try:
        value = json.loads(token.decode(), strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str | int) else None
