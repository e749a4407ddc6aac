"""Schemas as the store has them: their parts as compressed JSON, without the names of the attributes."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import fields
from operator import attrgetter
from typing import Any

from orgserver.model.schema import Child, FieldInfo, ObjectInfo, ObjectList, PicklistValue, Schema

_FORM = 2
"""Grows when the parts or their order change; what was packed in another form is asked for anew."""
_SMALL_WEIGHT, _SMALL_BYTES = 2_000, 16 * 1024
_MAX_UNPACKED = 16 * 1024 * 1024


def _parts(cls: type[Any]) -> Any:
    return attrgetter(*(each.name for each in fields(cls)))


_field_parts, _value_parts = _parts(FieldInfo), _parts(PicklistValue)
_child_parts, _object_parts, _schema_parts = _parts(Child), _parts(ObjectInfo), _parts(Schema)


async def pack_in_thread(what: Schema | ObjectList) -> bytes:
    """Pack it, in a thread if it is large."""
    return await asyncio.to_thread(pack, what) if what.weight > _SMALL_WEIGHT else pack(what)


async def unpack_in_thread(body: bytes) -> Schema | ObjectList | None:
    """Unpack it, in a thread if it is large."""
    return await asyncio.to_thread(unpack, body) if len(body) > _SMALL_BYTES else unpack(body)


def pack(what: Schema | ObjectList) -> bytes:
    """Pack a schema or a list of objects."""
    if isinstance(what, ObjectList):
        parts: list[Any] = [_FORM, "objects", [_object_parts(each) for each in what.objects]]
    else:
        *head, fields_, children = _schema_parts(what)
        parts = [
            _FORM,
            "schema",
            head,
            [_pack_field(each) for each in fields_],
            [_child_parts(each) for each in children],
        ]
    return zlib.compress(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def unpack(body: bytes) -> Schema | ObjectList | None:
    """Unpack it; None for what another version packed, or what is damaged: it can be asked for again."""
    try:
        text = zlib.decompressobj().decompress(body, _MAX_UNPACKED)
        form, kind, *rest = json.loads(text)
        if form != _FORM:
            return None
        if kind == "objects":
            return ObjectList(tuple(ObjectInfo(*each) for each in rest[0]))
        head, fields_, children = rest
        head += [tuple(_unpack_field(each) for each in fields_), tuple(Child(*each) for each in children)]
        return Schema(*head)
    except (zlib.error, ValueError, TypeError):
        return None


def _pack_field(field: FieldInfo) -> list[Any]:
    *head, picklist = _field_parts(field)
    return [*head, [_value_parts(each) for each in picklist]]


def _unpack_field(field: Any) -> FieldInfo:
    head, picklist = field[:-1], field[-1]
    # Only the names of referenced objects are a list among the rest.
    parts: Any = [tuple(each) if isinstance(each, list) else each for each in head]
    parts.append(tuple(PicklistValue(*each) for each in picklist))
    return FieldInfo(*parts)
