"""What objects there are and what fields they have, from recorded describe replies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

NAMES = ("Account", "Contact", "Event", "User", "Organization")
_BY_NAME = {name.lower(): name for name in NAMES}
_BY_PREFIX = {"001": "Account", "003": "Contact", "00U": "Event", "005": "User", "00D": "Organization"}


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
    relationship: str | None = None
    targets: tuple[str, ...] = ()
    sortable: bool = True
    required: bool = False
    """Whether a create must have it."""
    choices: frozenset[str] | None = None
    """The values of a restricted picklist."""
    compound: str | None = None
    """The compound field that it is a part of."""
    groupable: bool = True
    aggregatable: bool = True


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


def _names() -> dict[str, Field]:
    """What Salesforce shows of a record behind a relationship to several objects (its "Name" object)."""
    texts = ("Alias", "Email", "FirstName", "LastName", "Name", "Phone", "Title", "Type", "Username")
    named = [Field(name, "string", 255, False, False, True, True) for name in texts]  # like describe
    return {field.name.lower(): field for field in [Field("Id", "id", 18, False, False, False, True), *named]}


NAME = SObject("Name", "", False, {}, _names(), {})


def _field(each: dict[str, Any]) -> Field:
    restricted = each["restrictedPicklist"] and each["type"] == "picklist"
    return Field(
        name=each["name"],
        type=each["type"],
        length=each["length"],
        createable=each["createable"],
        updateable=each["updateable"],
        nillable=each["nillable"],
        filterable=each["filterable"],
        relationship=each["relationshipName"],
        targets=tuple(each["referenceTo"]),
        sortable=each["sortable"],
        required=each["createable"] and not each["nillable"] and not each["defaultedOnCreate"],
        choices=frozenset(v["value"] for v in each["picklistValues"] if v["active"]) if restricted else None,
        compound=each["compoundFieldName"],
        groupable=each["groupable"],
        aggregatable=each["aggregatable"],
    )


@cache
def load(name: str) -> SObject:
    """Read an object's description."""
    text = (resources.files("orgserver.sandbox") / "describe" / f"{name}.json").read_text("utf-8")
    describe = json.loads(text)
    fields = [_field(each) for each in describe["fields"]]
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
    known = _BY_NAME.get(name.lower())
    return load(known) if known is not None else None


def by_prefix(identifier: str) -> SObject | None:
    """Find the object that an id is of."""
    known = _BY_PREFIX.get(identifier[:3])
    return load(known) if known is not None else None
