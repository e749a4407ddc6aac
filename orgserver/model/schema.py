"""What an org says of its objects and their fields, reduced to what agents and our checks need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

MAX_NEAREST = 3
_LONGEST = 80
_CLOSE = 0.65
_MIN_PREFIX = 4
"""So many letters of a name say which is meant."""
_SUFFIXES = ("__c", "__r", "__pc")


@dataclass(frozen=True, slots=True)
class PicklistValue:
    """One active value of a picklist."""

    value: str
    label: str
    default: bool = False


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One field, as the user of the org's credential sees it."""

    name: str
    label: str
    type: str
    length: int = 0
    """In characters; 0 where the type has none."""
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    createable: bool = False
    updateable: bool = False
    filterable: bool = False
    sortable: bool = False
    defaulted: bool = False
    """Salesforce gives it a value on create when nobody else does."""
    calculated: bool = False
    name_field: bool = False
    unique: bool = False
    external_id: bool = False
    id_lookup: bool = False
    restricted: bool = False
    """Takes only the values of its picklist."""
    relationship: str | None = None
    reference_to: tuple[str, ...] = ()
    compound: str | None = None
    """The compound field that it is a part of."""
    controller: str | None = None
    """The field that decides which picklist values fit."""
    help: str | None = None
    formula: str | None = None
    """What it is calculated by, where the org tells it: not of a roll-up."""
    picklist: tuple[PicklistValue, ...] = ()

    @property
    def required(self) -> bool:
        """Whether a create must name it. An object may ask for more: describe does not tell everything."""
        return self.createable and not self.nillable and not self.defaulted

    @property
    def is_key(self) -> bool:
        """Whether an upsert may find its record by it."""
        return self.external_id or self.id_lookup


@dataclass(frozen=True, slots=True)
class Child:
    """Records of another object that refer to this one; a subquery reads them by the relationship's name."""

    relationship: str
    sobject: str
    field: str


@dataclass(frozen=True)
class Schema:
    """One object with its fields."""

    name: str
    label: str
    prefix: str | None
    createable: bool
    updateable: bool
    deletable: bool
    queryable: bool
    searchable: bool
    fields: tuple[FieldInfo, ...]
    children: tuple[Child, ...] = ()

    def field(self, name: str) -> FieldInfo | None:
        """A field by its name in any case, as Salesforce reads it."""
        return self._fields.get(name.lower())

    def reference(self, relationship: str) -> FieldInfo | None:
        """The field behind a relationship's name (``Account`` of ``Account.Name``)."""
        return self._references.get(relationship.lower())

    def child(self, relationship: str) -> Child | None:
        """The records behind a child relationship's name (``Contacts`` of an Account)."""
        return self._children.get(relationship.lower())

    def parts(self, compound: str) -> tuple[str, ...]:
        """The fields that a compound field consists of (``FirstName`` and others of ``Name``)."""
        return self._parts.get(compound.lower(), ())

    def nearest(self, name: str) -> tuple[str, ...]:
        """The fields whose names or labels look most like a name that is none."""
        return nearest(name, {each.name: each.label for each in self.fields})

    def nearest_reference(self, relationship: str) -> tuple[str, ...]:
        """The relationships to parents that look most like a name that is none."""
        return nearest(relationship, {each.relationship: "" for each in self.fields if each.relationship})

    def nearest_child(self, relationship: str) -> tuple[str, ...]:
        """The child relationships that look most like a name that is none."""
        return nearest(relationship, {each.relationship: each.sobject for each in self.children})

    @property
    def weight(self) -> int:
        """How much memory it takes, in parts."""
        return 1 + len(self.fields) + len(self.children) + sum(len(each.picklist) for each in self.fields)

    @cached_property
    def _fields(self) -> Mapping[str, FieldInfo]:
        return {each.name.lower(): each for each in self.fields}

    @cached_property
    def _parts(self) -> Mapping[str, tuple[str, ...]]:
        parts: dict[str, tuple[str, ...]] = {}
        for each in self.fields:
            if each.compound and each.compound.lower() != each.name.lower():  # some say that they are their own part
                parts[each.compound.lower()] = (*parts.get(each.compound.lower(), ()), each.name)
        return parts

    @cached_property
    def _references(self) -> Mapping[str, FieldInfo]:
        return {each.relationship.lower(): each for each in self.fields if each.relationship}

    @cached_property
    def _children(self) -> Mapping[str, Child]:
        return {each.relationship.lower(): each for each in self.children}


SchemaLookup = Callable[[str], Schema | None]
"""Schemas of objects by their names, as far as they are at hand."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object, as the list of all of them names it."""

    name: str
    label: str
    queryable: bool = True


@dataclass(frozen=True)
class ObjectList:
    """Every object of an org that the user of its credential sees."""

    objects: tuple[ObjectInfo, ...]

    def find(self, name: str) -> ObjectInfo | None:
        """An object by its name in any case."""
        return self._by_name.get(name.lower())

    def nearest(self, name: str) -> tuple[str, ...]:
        """The objects whose names or labels look most like a name that is none."""
        return nearest(name, {each.name: each.label for each in self.objects})

    @property
    def weight(self) -> int:
        """How much memory it takes, in parts."""
        return 1 + len(self.objects)

    @cached_property
    def _by_name(self) -> Mapping[str, ObjectInfo]:
        return {each.name.lower(): each for each in self.objects}


def nearest(name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The names (with their labels) that look most like another, the best first; those that begin alike, if none does.

    What comes back is always one of the names that have a label.
    """
    target = _plain(name[:_LONGEST])
    if not target:
        return ()
    candidates: dict[str, str] = {}
    for text, each in [*((each, each) for each in labels), *((label, each) for each, label in labels.items())]:
        candidates.setdefault(_plain(text[:_LONGEST]), each)
    if target in candidates:  # only its spelling differs
        return (candidates[target],)
    close = get_close_matches(target, candidates, n=2 * MAX_NEAREST, cutoff=_CLOSE)
    prefixes = [text for text in candidates if len(text) >= _MIN_PREFIX and target.startswith(text)]
    alike = close[: MAX_NEAREST - 1] + prefixes + close if prefixes else close
    alike = alike or [text for text in candidates if text.startswith(target)]
    return tuple(dict.fromkeys(candidates[text] for text in alike))[:MAX_NEAREST]


def spaced(name: str) -> str:
    """A name as Salesforce would label it: ``LastModifiedDate`` is "Last Modified Date"."""
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    parts: list[str] = []
    for index, letter in enumerate(name):
        before = name[index - 1] if index else ""
        if letter.isupper() and (before.islower() or before.isdigit()):
            parts.append(" ")
        parts.append(letter)
    return "".join(parts).replace("_", " ")


def _plain(text: str) -> str:
    letters = text.lower()
    for suffix in _SUFFIXES:
        letters = letters.removesuffix(suffix)
    return "".join(letter for letter in letters if letter.isalnum())
