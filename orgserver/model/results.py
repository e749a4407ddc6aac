"""What the operations give back: records and pages, before any room shapes them for its reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FieldValues = dict[str, Any]
"""Field values by Salesforce field name."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a result, and where the rest begins."""

    records: list[FieldValues]
    total_size: int
    next_cursor: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Created:
    """A record that now exists."""

    id: str
    url: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One field of a change, before and after."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Changed:
    """A record that was updated or deleted, or (``preview``) would be."""

    id: str
    fields: tuple[str, ...] = ()
    preview: bool = False
    changes: tuple[Change, ...] = field(default_factory=tuple)
    warnings: tuple[str, ...] = ()
