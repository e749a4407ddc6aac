"""What objects there are and what fields they have, from recorded describe replies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

NAMES = ("Account", "Contact", "Event", "User", "Organization")


@dataclass(frozen=True, slots=True)
class Field:
    """One field, as far as records and queries need it."""

    name: str
    type: str
    length: int
    createable: bool
    updateable: bool
    nillable: bool
    filterable: bool
    relationship: str | None
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SObject:
    """One object."""

    name: str
    prefix: str
    createable: bool
    describe: dict[str, Any]
    fields: dict[str, Field]
    """By lower-case name."""
    relationships: dict[str, Field]
    """By lower-case relationship name."""


@cache
def load(name: str) -> SObject:
    """Read an object's description."""
    text = (resources.files("orgserver.sandbox") / "describe" / f"{name}.json").read_text("utf-8")
    describe = json.loads(text)
    fields = [
        Field(
            each["name"],
            each["type"],
            each["length"],
            each["createable"],
            each["updateable"],
            each["nillable"],
            each["filterable"],
            each["relationshipName"],
            tuple(each["referenceTo"]),
        )
        for each in describe["fields"]
    ]
    return SObject(
        describe["name"],
        describe["keyPrefix"],
        describe["createable"],
        describe,
        {field.name.lower(): field for field in fields},
        {field.relationship.lower(): field for field in fields if field.relationship},
    )


def find(name: str) -> SObject | None:
    """Find an object by its name in any case."""
    for each in NAMES:
        if each.lower() == name.lower():
            return load(each)
    return None


def by_prefix(identifier: str) -> SObject | None:
    """Find the object that an id is of."""
    return next((load(name) for name in NAMES if identifier.startswith(load(name).prefix)), None)
