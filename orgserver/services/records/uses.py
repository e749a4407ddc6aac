"""What reads and changes of records touch: the fields that are named, and those by which records are found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orgserver.model.access.acts import PathUse
from orgserver.model.access.policies import ObjectAction
from orgserver.services.policies.object_limits import lookup_paths
from orgserver.services.records.draft import read_parent_key

GUARD = "LastModifiedDate"
"""What a change is compared with that must not overwrite another one."""


def read_uses(sobject: str, fields: Sequence[str] | None) -> tuple[PathUse, ...]:
    """A read of one record: of fields that are named, or of whatever may be seen."""
    return (PathUse(sobject, "read", shown=frozenset(fields or ()), every_field=fields is None),)


def write_uses(
    sobject: str, actions: Iterable[ObjectAction], records: Iterable[Mapping[str, Any]], compared: Iterable[str] = ()
) -> tuple[PathUse, ...]:
    """A change of records with these values, which are found by the fields that are compared."""
    written: set[str] = set()
    found_by: set[str] = set(compared)
    parents: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.items():
            if not isinstance(value, Mapping):
                written |= {name} if value is not None else _emptied(name)
                continue
            path = next(iter(lookup_paths(name)), name)
            kind, key = _parent(value)
            found_by.add(f"{path}.{key if kind is None else 'Id'}")
            if kind is not None:
                parents.setdefault(kind, set()).add(key)
    own = [PathUse(sobject, each, written=frozenset(written), compared=frozenset(found_by)) for each in actions]
    return (*own, *(PathUse(kind, "read", compared=frozenset(keys)) for kind, keys in parents.items()))


def preview_uses(uses: Sequence[PathUse]) -> tuple[PathUse, ...]:
    """A look at what a change would do: it shows the values that are there."""
    shown = frozenset(name for each in uses for name in each.written)
    return (*uses, PathUse(uses[0].object, "read", shown=shown))


def _emptied(name: str) -> set[str]:
    """The field that is to be empty, also where a lookup is named by its relationship."""
    return {name, f"{name.removesuffix('__r')}__c" if name.lower().endswith("__r") else f"{name}Id"}


def _parent(value: Mapping[str, Any]) -> tuple[str | None, str]:
    kind, key, _ = read_parent_key(value)
    return kind, key
