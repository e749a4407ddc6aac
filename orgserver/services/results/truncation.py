"""Cutting a record or a result to a size: long texts, long lists, and a sentence for each cut.

What is short stays whole; what is long shares the rest of the room evenly. A cut text is a true beginning of what
the org has. Nothing that is measured here is written out at its full length first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from orgserver.model.names import is_field_path
from orgserver.model.results import FieldValues

_LEAST = 64
"""A value is not cut to less than this; where there are too many values for that, the last are left out."""
_SHOWN = 10
"""So many cuts are told one by one."""
_DIGIT_BITS = 4
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class _Cut:
    path: str
    what: str
    total: int
    length: int
    """So much of it is there."""

    def sentence(self, *, alone: bool) -> str:
        rest = self.total - self.length
        if self.what == "fields":
            about = self.path or "this record"
            return (
                f"{about} has {self.total:,} fields, of which the first {self.length:,} are here; "
                "name in fields those that you need"
            )
        more = "which is as much as a result holds" if alone else "ask for it alone to read more of it"
        return (
            f"{self.path or 'a value'} is cut: it has {self.total:,} {self.what}, the first {self.length:,} are here "
            f"and {rest:,} are left; {more}"
        )


def size(value: Any) -> int:
    """How many bytes a value takes in a result."""
    return len(_dumps(value).encode("utf-8", "surrogatepass")) + 1


def size_within(value: Any, room: int) -> int | None:
    """The size of a value, if that is at most ``room``; else None, at no great cost."""
    if _at_least(value, room) > room:
        return None
    exact = size(value)
    return exact if exact <= room else None


def fit(record: FieldValues, room: int) -> tuple[FieldValues, tuple[str, ...]]:
    """A record in at most ``room`` bytes, and a sentence for each value that is not whole."""
    if size_within(record, room) is not None:
        return record, ()
    cuts: list[_Cut] = []
    fields = _fields(record, room, "", cuts)
    alone = len(record.keys() - {"Id"}) == 1
    sentences = [each.sentence(alone=alone) for each in cuts[:_SHOWN]]
    if len(cuts) > _SHOWN:
        sentences.append(f"{len(cuts) - _SHOWN:,} more values are cut")
    return fields, tuple(sentences)


def _at_least(value: Any, room: int) -> int:
    """A size that a value has at least; counting ends beyond ``room``."""
    total, stack = 0, [value]
    while stack and total <= room:
        each = stack.pop()
        if isinstance(each, str):
            total += len(each)
        elif isinstance(each, dict):
            total += 3 * len(each)
            if total <= room:
                total += sum(map(len, each))
                stack.extend(each.values())
        elif isinstance(each, list | tuple):
            total += 2 * len(each)
            if total <= room:
                stack.extend(each)
        elif isinstance(each, int):
            total += each.bit_length() // _DIGIT_BITS
    return total


def _value(value: Any, room: int, path: str, cuts: list[_Cut]) -> Any:
    if size_within(value, room) is not None:
        return value
    if isinstance(value, str):
        return _text(value, room, path, cuts)
    if isinstance(value, dict):
        return _fields(value, room, path, cuts)
    if isinstance(value, list | tuple):
        return _items(value, room, path, cuts)
    cuts.append(_Cut(path, "digits", value.bit_length() * 3 // 10, 0))
    return None


def _text(text: str, room: int, path: str, cuts: list[_Cut]) -> str:
    """As much of its beginning as fits."""
    low, high = 0, min(len(text), room)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= room else (low, middle - 1)
    cuts.append(_Cut(path, "characters", len(text), low))
    return text[:low]


def _items(items: Sequence[Any], room: int, path: str, cuts: list[_Cut]) -> list[Any]:
    """As many as fit; the first one is cut if it does not."""
    fitting: list[Any] = []
    room -= 2
    for item in items:
        each = size_within(item, room)
        if each is None:
            if not fitting and room > _LEAST:
                fitting.append(_value(item, room, path, cuts))
            break
        fitting.append(item)
        room -= each
    if len(fitting) < len(items):
        cuts.append(_Cut(path, "items", len(items), len(fitting)))
    return fitting


def _fields(record: FieldValues, room: int, path: str, cuts: list[_Cut]) -> FieldValues:
    """The fields in their order, the long ones cut to the same length."""
    room -= 2
    sizes: dict[str, int] = {}
    least = 0
    for name, value in record.items():
        here = size_within(value, room)
        head = size(name)
        least += head + min(_LEAST, here if here is not None else _LEAST)
        if least > room:
            break
        sizes[name] = here if here is not None else room
        room -= head
        least -= head
    share = _share(sorted(sizes.values()), room)
    fields = {
        name: value if sizes[name] <= share else _value(value, share, _path(path, name), cuts)
        for name, value in islice(record.items(), len(sizes))
    }
    if len(sizes) < len(record):
        cuts.append(_Cut(path, "fields", len(record), len(sizes)))
    return fields


def _share(sizes: list[int], room: int) -> int:
    """How long the long values may be, so that all of them fit."""
    for number, each in enumerate(sizes):
        share = room // (len(sizes) - number)
        if each > share:
            return share
        room -= each
    return sizes[-1] if sizes else room


def _path(path: str, name: str) -> str:
    """The name of a field as it may be told: what has not the form of one is not repeated."""
    if not is_field_path(name):
        return path
    return f"{path}.{name}" if path else name
