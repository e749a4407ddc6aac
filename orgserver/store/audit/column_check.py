"""Whether the columns that people search say what the canonical bytes of their event say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from orgserver.store.audit import chain

_COLUMNS = ("principal", "org", "tool", "action", "object", "outcome")
_END_OF_TIME = 4_223_371_680
"""Minutes until the year 10000, which no datetime can hold."""
_quoted = json.JSONEncoder(ensure_ascii=False).encode


def columns_agree(row: Sequence[Any]) -> bool:
    """Whether the searchable columns say what the canonical bytes say.

    Canonical bytes are one flat JSON object without white space, and a quote inside a text is escaped: so
    ``"name":"value"`` stands in them exactly where that key has that value.
    """
    entry_id, time, canonical = row[1], row[3], row[10]
    if type(time) is not int or type(entry_id) is not str or '"' in entry_id:
        return False
    minute, rest = divmod(time, 60_000_000)
    if (
        not 0 <= minute < _END_OF_TIME
        or b'%b%02d.%06dZ"' % (_minute(minute), *divmod(rest, 1_000_000)) not in canonical
    ):
        return False
    expected = _expected(row[2], *row[4:10])
    if expected is None or f'"id":"{entry_id}"'.encode("utf-8", "surrogatepass") not in canonical:
        return False
    present, absent = expected
    for piece in present:
        if piece not in canonical:
            return False
    for piece in absent:  # noqa: SIM110  # all() would make a generator for each event
        if piece in canonical:
            return False
    return True


@lru_cache(maxsize=256)
def _minute(minute: int) -> bytes:
    """The beginning of a time as canonical bytes hold it."""
    return b'"time":"' + chain.time_text(minute * 60_000_000).removesuffix("00.000000Z").encode()


@lru_cache(maxsize=4_096)  # a log says the same few things again and again
def _expected(kind: object, *columns: object) -> tuple[tuple[bytes, ...], tuple[bytes, ...]] | None:
    """What must stand in the canonical bytes of an event with these columns, and what must not; None: no such event."""
    present, absent = [], []
    for name, value in zip(("kind", *_COLUMNS), (kind, *columns), strict=True):
        if value is None:
            absent.append(f'"{name}":'.encode())
        elif isinstance(value, str):
            present.append(f'"{name}":{_quoted(value)}'.encode("utf-8", "backslashreplace"))
        else:
            return None
    return tuple(present), tuple(absent)
