"""Cursors: sealed notes of where a result goes on, which only the same principal, org and arguments can use.

The note names a page of the result (the query itself, or a path that Salesforce gave) and how many of its records
were already handed out. Sealing it makes it opaque and tamper-proof; its context binds it. What the arguments tell,
which have to be repeated anyway, is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from orgserver.model.digests import digest_arguments
from orgserver.model.errors import InvalidArgument
from orgserver.vault.keys import Context, Key, Unsealable
from orgserver.vault.sealed_tokens import bind_token, open_token, seal_token

LIFE_SECONDS = 47 * 3_600
"""Salesforce keeps a result open for two days (Limits cheat sheet, "API Query Cursor Limits")."""


class Position(msgspec.Struct, frozen=True):
    """Where to go on."""

    path: str | None = None
    """None: the first page, which is the query itself."""
    skip: int = 0
    shown: int | None = None
    """How many records of the whole result were handed out, where its order is total, so that it can be begun again;
    None: the query runs as it was written."""
    row_count: int | None = None
    """How many rows the whole result has given so far, those of subqueries too; cursors of before do not say it."""
    asked_at: int | None = None
    """When the first page was asked for, in milliseconds since 1970, where the query depends on that."""
    order: str | None = None
    """What a list is ordered by in place of its usual order, which tells of what is hidden."""
    soql: str | None = None
    """The query as it was built: version 0.1 put it into the cursors of lists."""
    arguments_digest: str | None = None
    """The digest of the arguments that need not be repeated."""

    @property
    def begins(self) -> bool:
        """Whether nothing was handed out yet."""
        return self.path is None and self.skip == 0


BEGINNING = Position()


def write(key: Key, position: Position, *, org: str, principal: str, arguments: Mapping[str, Any]) -> str:
    """Make a cursor."""
    note = {
        "p": position.path,
        "s": position.skip,
        "n": position.shown,
        "r": position.row_count,
        "t": position.asked_at,
        "b": position.order,
        "o": position.arguments_digest,
    }
    note = {name: value for name, value in note.items() if value}
    return seal_token(key, note, int(time.time()) + LIFE_SECONDS, _context(org, principal, arguments))


def read(key: Key, cursor: str, *, org: str, principal: str, arguments: Mapping[str, Any]) -> Position:
    """Open a cursor; InvalidArgument if it is broken, another's, of other arguments, or too old."""
    try:
        note, expires_at = open_token(key, cursor, _context(org, principal, arguments))
    except Unsealable:
        raise InvalidArgument(
            "cursor does not belong to this call",
            fields=["cursor"],
            hint="give next_cursor unchanged, to the same org, with the same arguments; or start without a cursor",
        ) from None
    if expires_at < time.time():  # Salesforce forgets the result by the wall clock
        raise InvalidArgument("cursor is too old", fields=["cursor"], hint="start again without a cursor")
    return Position(
        path=note.get("p"),
        skip=note.get("s", 0),
        shown=note.get("n"),
        row_count=note.get("r"),
        asked_at=note.get("t"),
        order=note.get("b"),
        soql=note.get("q"),
        arguments_digest=note.get("o"),
    )


def _context(org: str, principal: str, arguments: Mapping[str, Any]) -> Context:
    return bind_token("cursor", org, principal, digest_arguments(arguments))
