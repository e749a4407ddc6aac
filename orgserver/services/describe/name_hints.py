"""What was meant: when Salesforce does not know a name, the nearest ones that the org has.

A hint is made of names from describe alone, never of Salesforce's words or of anything a record holds.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Protocol

from orgserver.model.audit import Intent
from orgserver.model.errors import CallError, Rejected
from orgserver.model.schema import ObjectList, Schema
from orgserver.salesforce.soql.places import Level, levels
from orgserver.services.describe.schemas import ALL

logger = logging.getLogger("orgserver.metadata")
_COLUMN = re.compile(r"No such column '([\w.]{1,200})' on (?:entity|sobject of type) '?(\w{1,80})")
_RELATION = re.compile(r"Didn't understand relationship '(\w{1,80})'( in FROM part)?")
_TYPE = re.compile(r"sObject type '(\w{1,80})' is not supported")
_CODES = frozenset({"INVALID_FIELD", "INVALID_TYPE", "NOT_FOUND", "INVALID_FIELD_FOR_INSERT_UPDATE"})


class Look(Protocol):
    """What is known of the org that refused, and a way to ask it."""

    async def recall(self, sobject: str = ALL) -> None:
        """Take what the store knows into memory."""

    def cached(self, sobject: str) -> Schema | None:
        """An object's schema."""

    def names(self) -> ObjectList | None:
        """The org's objects."""

    async def ask(self, sobject: str) -> None:
        """Ask the org, within the call that was refused."""


async def explain(look: Look, intent: Intent, error: CallError) -> None:
    """Give the error of a refused call a hint with the nearest names; what is not known is asked for at once."""
    if not isinstance(error, Rejected) or error.code not in _CODES:
        return
    try:
        error.hint = await _hint(look, intent, error) or error.hint
    except Exception:
        logger.exception(
            "a hint failed in a way that is not foreseen", extra={"entry": intent.id}
        )  # the outcome must not


async def _hint(look: Look, intent: Intent, error: Rejected) -> str | None:
    text = str(error)
    if found := _COLUMN.search(text):
        return await _column(look, found[1].rpartition(".")[2], found[2])
    if found := _RELATION.search(text):
        return await _relation(look, intent, found[1], from_part=found[2] is not None)
    if found := _TYPE.search(text):
        return await _type(look, found[1])
    if error.code == "NOT_FOUND" and intent.object and not intent.record_ids:
        return await _type(look, intent.object)
    return None


async def _column(look: Look, name: str, sobject: str) -> str | None:
    schema = await _known(look, sobject)
    if schema is None:
        return None
    if schema.field(name) is not None:  # what we know is older than the org
        await look.ask(sobject)
        schema = look.cached(sobject)
        if schema is None or schema.field(name) is not None:
            return None
    return _meant(schema.nearest(name)) or f"salesforce_describe_object names the fields of {schema.name}"


async def _type(look: Look, name: str) -> str | None:
    await look.recall()
    objects = look.names()
    if objects is None or objects.find(name) is not None:
        await look.ask(ALL)
        objects = look.names()
    if objects is None or objects.find(name) is not None:
        return None
    return _meant(objects.nearest(name)) or "salesforce_list_objects names the objects of this org"


async def _relation(look: Look, intent: Intent, step: str, *, from_part: bool) -> str | None:
    """A relationship that is none: whose it is follows from where in the query it stands."""
    query = levels(intent.soql or "")
    if from_part:
        level = next((each for each in query if (each.source or "").lower() == step.lower()), None)
        outer = await _read_from(look, level.outer) if level and level.outer else None
        return _meant(outer.nearest_child(step)) if outer is not None else None
    level = next((each for each in query if each.mentions(step)), None)
    schema = await _read_from(look, level) if level else None
    if schema is None and not query and intent.object:
        schema = await _known(look, intent.object)
    if schema is None or level is None:
        return _meant(schema.nearest_reference(step)) if schema is not None else None
    path = next(name for name in level.names if step.lower() in name.lower().split(".")[:-1])
    owner = await _along(look, schema, path.split("."), step)
    return _meant(owner.nearest_reference(step)) if owner is not None else None


async def _along(look: Look, schema: Schema, steps: Iterable[str], until: str) -> Schema | None:
    """The object at which a path comes to a step that it does not have."""
    here: Schema | None = schema
    for step in steps:
        if here is None or step.lower() == until.lower():
            return here
        reference = here.reference(step)
        one = reference is not None and len(reference.reference_to) == 1
        here = await _known(look, reference.reference_to[0]) if reference and one else None
    return None


async def _read_from(look: Look, level: Level) -> Schema | None:
    """The object that one SELECT reads from, through the relationships of those around it."""
    if level.source is None:
        return None
    if not level.child or level.outer is None:
        return await _known(look, level.source)
    outer = await _read_from(look, level.outer)
    child = outer.child(level.source) if outer is not None else None
    return await _known(look, child.sobject) if child is not None else None


async def _known(look: Look, sobject: str) -> Schema | None:
    await look.recall(sobject)
    if look.cached(sobject) is None:
        await look.ask(sobject)
    return look.cached(sobject)


def _meant(near: tuple[str, ...]) -> str | None:
    return f"did you mean {' or '.join(near)}?" if near else None
