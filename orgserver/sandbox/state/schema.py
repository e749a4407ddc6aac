"""What objects there are and what fields they have, from recorded describe replies."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

_BY_PREFIX = {
    "001": "Account",
    "003": "Contact",
    "005": "User",
    "006": "Opportunity",
    "00D": "Organization",
    "00K": "OpportunityContactRole",
    "00Q": "Lead",
    "00U": "Event",
    "0RE": "EventRelation",
    "500": "Case",
    "aB5": "Custom__c",
}
NAMES = tuple(sorted(_BY_PREFIX.values()))
_BY_NAME = {name.lower(): name for name in NAMES}


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
    default: Any = None
    """What a new record has that was given nothing."""
    lookup: bool = False
    """Whether records can be found by it in an upsert: ``externalId`` or ``idLookup``."""
    unique: bool = False


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
    defaults: dict[str, Any] = field(default_factory=dict)
    """What a new record has in fields that are given nothing; a field without a default is not in it."""
    required: tuple[str, ...] = ()
    unique: tuple[Field, ...] = ()
    parts: dict[str, list[str]] = field(default_factory=dict)
    """The names of the fields that a compound field consists of, sorted, by its name."""
    unhidden: SObject | None = field(default=None, repr=False)
    """The object with the fields that its user may not see; None: there are none."""

    @property
    def whole(self) -> SObject:
        """The object as records are kept, whoever asks for them."""
        return self.unhidden or self


def _names() -> dict[str, Field]:
    """What Salesforce shows of a record behind a relationship to several objects (its "Name" object)."""
    texts = ("Alias", "Email", "FirstName", "LastName", "Name", "Phone", "Title", "Type", "Username")
    fields = [Field(name, "string", 255, False, False, True, True) for name in texts]  # like describe
    return {field.name.lower(): field for field in [Field("Id", "id", 18, False, False, False, True), *fields]}


NAME = SObject("Name", "", False, {}, _names(), {})

# The objects that the org of the request under way has changed, or (None) does not have. Queries look objects up by
# name deep inside; they need not hand the org down for it.
_OWN: ContextVar[Mapping[str, SObject | None] | None] = ContextVar("own objects", default=None)


def _field(each: dict[str, Any]) -> Field:
    restricted = each["restrictedPicklist"] and each["type"] == "picklist"
    default = False if each["type"] == "boolean" else None
    if each["createable"] and each["defaultedOnCreate"] and each["defaultValue"] is not None:
        default = each["defaultValue"]
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
        default=default,
        lookup=each["externalId"] or each["idLookup"],
        unique=each["unique"],
    )


@cache
def load(name: str) -> SObject:
    """Read an object's description."""
    text = (resources.files("orgserver.sandbox") / "describe" / f"{name}.json").read_text("utf-8")
    return understood(json.loads(text))


def understood(describe: dict[str, Any]) -> SObject:
    """The object that a describe reply tells of."""
    fields = [_field(each) for each in describe["fields"]]
    names = [field.name for field in fields]
    return SObject(
        describe["name"],
        describe["keyPrefix"],
        describe["createable"],
        describe,
        {field.name.lower(): field for field in fields},
        {field.relationship.lower(): field for field in fields if field.relationship},
        {field.name: field.default for field in fields if field.default is not None},
        tuple(field.name for field in fields if field.required),
        tuple(field for field in fields if field.unique),
        {name: sorted(field.name for field in fields if field.compound == name) for name in names},
    )


def without(sobject: SObject, hidden: Collection[str]) -> SObject:
    """The object without some fields, as field-level security shows it to a user."""
    fields = [each for each in sobject.describe["fields"] if each["name"] not in hidden]
    return dataclasses.replace(understood(sobject.describe | {"fields": fields}), unhidden=sobject)


@contextmanager
def of_org(own: Mapping[str, SObject | None]) -> Iterator[None]:
    """Meanwhile find an org's own objects in place of the recorded ones; none where it has None."""
    token = _OWN.set(own)
    try:
        yield
    finally:
        _OWN.reset(token)


def _known(name: str) -> SObject | None:
    own = _OWN.get() or {}
    return own[name] if name in own else load(name)


def find(name: str) -> SObject | None:
    """Find an object by its name in any case."""
    recorded_name = _BY_NAME.get(name.lower())
    return _known(recorded_name) if recorded_name is not None else None


def by_prefix(identifier: str) -> SObject | None:
    """Find the object that an id is of."""
    recorded_name = _BY_PREFIX.get(identifier[:3])
    return _known(recorded_name) if recorded_name is not None else None
