"""Whether the columns that people search events by say what the events' canonical bytes say."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from orgserver.store.audit import chain
from orgserver.store.sql.values import REPLACEMENT, storable

_COLUMNS = ("principal", "org", "tool", "action", "object", "outcome")
_END_OF_TIME = 4_223_371_680
"""Minutes until the year 10000, which no datetime can hold."""
_quoted = json.JSONEncoder(ensure_ascii=False).encode


def all_agree(columns: Sequence[Sequence[Any]]) -> bool:
    """Whether many events agree surely, given as columns; where this says no, ``columns_agree`` tells of which.

    Their bytes must have been verified: then they are JSON as we wrote it.
    """
    times = columns[3]
    if set(map(type, times)) != {int} or not 0 <= min(times) <= max(times) < _END_OF_TIME * 60_000_000:
        return False
    decode, as_tuple = _decoder()
    try:
        events = [*map(as_tuple, map(decode, columns[10]))]
    except ValueError:  # what we wrote of half a pair of surrogates, for one
        return False
    return events == [*zip(*columns[1:3], map(_time_text, times), *columns[4:10], strict=True)]


@lru_cache(maxsize=1)
def _decoder() -> tuple[Callable[[Any], Any], Callable[[Any], tuple[Any, ...]]]:
    """Reads canonical bytes, and gives of an event what its columns should say, in their order."""
    import msgspec  # noqa: PLC0415  # not on the path of a tool call

    event = msgspec.defstruct(
        "Event", [("id", str), ("kind", str), ("time", str), *((name, str | None, None) for name in _COLUMNS)]
    )
    return msgspec.json.Decoder(event).decode, msgspec.structs.astuple


def _time_text(time: int) -> str:
    minute, rest = divmod(time, 60_000_000)
    seconds = f"{rest:08}"
    return f"{_minute_text(minute)}{seconds[:2]}.{seconds[2:]}Z"


@lru_cache(maxsize=256)
def _minute_text(minute: int) -> str:
    """The beginning of a time as canonical bytes hold it."""
    return chain.time_text(minute * 60_000_000).removesuffix("00.000000Z")


def columns_agree(row: Sequence[Any]) -> bool:
    """Whether the searchable columns say what the canonical bytes say, as far as the store can hold it.

    A log of an older version that was moved to a server has characters that no text there holds, replaced.
    """
    is_replaced = any(isinstance(value, str) and REPLACEMENT in value for value in row[4:10])
    return _agree(row) or (is_replaced and _agree_replaced(row))


def _agree_replaced(row: Sequence[Any]) -> bool:
    try:
        event = json.loads(row[10])
    except ValueError:
        return False
    said = [event.get(name) for name in _COLUMNS]
    as_stored = [storable(value) if isinstance(value, str) else value for value in said]
    return as_stored == [*row[4:10]] and _agree((*row[:4], *said, row[10]))


def _agree(row: Sequence[Any]) -> bool:
    """Whether they say it to the letter.

    Canonical bytes are one flat JSON object without white space, and a quote inside a text is escaped: so
    ``"name":"value"`` stands in them exactly where that key has that value.
    """
    entry_id, time, canonical = row[1], row[3], row[10]
    if type(time) is not int or type(entry_id) is not str or '"' in entry_id:
        return False
    if not 0 <= time < _END_OF_TIME * 60_000_000 or f'"time":"{_time_text(time)}"'.encode() not in canonical:
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
