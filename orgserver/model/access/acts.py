"""What a call would do, as far as it matters to whoever decides: objects, fields, and in which way."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from orgserver.model.access.policies import ObjectAction
from orgserver.model.access.principals import Permission


class PathUse(msgspec.Struct, frozen=True):
    """What a call touches of one object, before relationships are followed: paths may lead to others."""

    object: str
    action: ObjectAction
    children: tuple[str, ...] = ()
    """Child relationships that lead from the object to the one that is meant (``Contacts`` of an Account)."""
    shown: frozenset[str] = frozenset()
    """Paths whose values the agent gets."""
    compared: frozenset[str] = frozenset()
    """Paths by which records are chosen, ordered, grouped or summed up: each tells something of their values."""
    written: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    """What FIELDS() was asked for: all, standard, custom."""
    every_field: bool = False
    """The org gives every field, and what must not be seen is taken out of its answer."""
    searched: bool = False
    """Records are found by words in any of its fields."""
    alias: str | None = None
    """What a query calls the object: paths may begin with it."""
    optional: bool = False
    """Nobody named the object: it is left out where it may not be read, so it decides nothing."""


@dataclass(frozen=True, slots=True)
class ObjectUse:
    """What a call touches of one object, with every relationship followed: names of its own fields alone."""

    object: str
    action: ObjectAction
    shown: frozenset[str] = frozenset()
    compared: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    every_field: bool = False
    searched: bool = False
    is_certain: bool = True
    """False of a parent that may be of several objects, of which this is one."""
    via: str | None = None
    """What the agent named (``Contact.Score__c``), where that is not the field but tells of it: a formula, a part."""
    grouped: frozenset[str] = frozenset()
    """What FIELDS() stands for; all of it is shown."""
    undescribed: frozenset[str] = frozenset()
    """Names that the object's describe, as it was at hand, has not: fields that are none, or that are new."""
    is_copy: bool = False
    """Its value stands in another object, too: the limits of the field count, those of its object do not."""


UNKNOWN = "?"
"""Stands for an object that cannot be known (the path to it goes through no relationship that the org tells of), and
for a field that may be any of its object's."""
ANY_OBJECT = "*"
"""Stands for every object: records of any of them may be meant."""


class Act(msgspec.Struct, frozen=True):
    """One act that is to be allowed or not."""

    tool: str
    permission: Permission | None
    """None: whoever may do anything in the org may do this, such as our own look at a describe."""
    uses: tuple[ObjectUse, ...] = ()
    is_understood: bool = True
    """False of a text beyond our grammar: refused where objects or fields are limited."""
    records: int | None = None
    """How many records it changes, where that is known."""
    is_by_agent: bool = True
    """False of what a person did at a terminal: hours and budgets are for agents."""
