"""Cursors: sealed notes of where a result goes on, which only the same principal, org and arguments can use.

The note names a page of the result (the query itself, or a path that Salesforce gave) and how many of its records
were already handed out. Sealing it makes it opaque and tamper-proof; its context binds it. What the arguments tell,
which have to be repeated anyway, is not in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orgserver.model.errors import InvalidArgument
from orgserver.vault.keys import Context, Key, Unsealable

LIFE_SECONDS = 47 * 3_600
"""Salesforce keeps a result open for two days (Limits cheat sheet, "API Query Cursor Limits")."""
_MAX_LENGTH = 4_096


@dataclass(frozen=True, slots=True)
class Position:
    """Where to go on."""

    path: str | None = None
    """None: the first page, which is the query itself."""
    skip: int = 0
    shown: int | None = None
    """How many records of the whole result were handed out, where its order is total, so that it can be begun again;
    None: the query runs as it was written."""
    asked_at: int | None = None
    """When the first page was asked for, in milliseconds since 1970, where the query depends on that."""
    soql: str | None = None
    """The query as it was built: version 0.1 put it into the cursors of lists."""
    arguments_digest: str | None = None
    """The digest of the arguments that need not be repeated."""

    @property
    def begins(self) -> bool:
        """Whether nothing was handed out yet."""
        return self.path is None and self.skip == 0


def digest(arguments: Mapping[str, Any]) -> str:
    """What a cursor is bound to beside org and principal."""
    text = json.dumps(arguments, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write(key: Key, position: Position, *, org: str, principal: str, arguments: Mapping[str, Any]) -> str:
    """Make a cursor."""
    note = {
        "p": position.path,
        "s": position.skip,
        "n": position.shown,
        "t": position.asked_at,
        "o": position.arguments_digest,
        "x": int(time.time()) + LIFE_SECONDS,
    }
    plain = json.dumps({name: value for name, value in note.items() if value}).encode()
    sealed = key.seal(plain, _context(org, principal, arguments))
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def read(key: Key, cursor: str, *, org: str, principal: str, arguments: Mapping[str, Any]) -> Position:
    """Open a cursor; InvalidArgument if it is broken, another's, of other arguments, or too old."""
    try:
        cursor = cursor if len(cursor) <= _MAX_LENGTH and cursor.isascii() else "!"
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        note = json.loads(key.open(sealed, _context(org, principal, arguments)))
    except (binascii.Error, ValueError, Unsealable):
        raise InvalidArgument(
            "cursor does not belong to this call",
            fields=["cursor"],
            hint="give next_cursor unchanged, to the same org, with the same arguments; or start without a cursor",
        ) from None
    if note["x"] < time.time():
        raise InvalidArgument("cursor is too old", fields=["cursor"], hint="start again without a cursor")
    return Position(note.get("p"), note.get("s", 0), note.get("n"), note.get("t"), note.get("q"), note.get("o"))


def _context(org: str, principal: str, arguments: Mapping[str, Any]) -> Context:
    return Context(org, "cursor", principal, digest(arguments))
