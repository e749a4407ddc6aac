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
    total_size: int | None
    """Of the whole result; None where it is not known for certain."""
    next_cursor: str | None = None
    warnings: tuple[str, ...] = ()
    is_limited: bool = False
    """Whether there is more, which the org's policy does not let out."""

    @property
    def has_more(self) -> bool:
        """Whether there is a rest."""
        return self.next_cursor is not None


@dataclass(frozen=True, slots=True)
class Record:
    """One record."""

    values: FieldValues
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Created:
    """A record that now exists."""

    id: str
    url: str
    warnings: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    """The names of the fields that were written, as they were spelled."""


@dataclass(frozen=True, slots=True)
class Upserted(Created):
    """A record that an upsert made (``created``) or changed."""

    created: bool = True


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found, each record with its ``object``."""

    records: list[FieldValues]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What an org has used of its limits, by their names."""

    limits: dict[str, dict[str, Any]]
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
