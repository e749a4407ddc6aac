"""What was meant: when Salesforce does not know a name, the nearest ones that the org has.

A hint is made of names from describe alone, never of Salesforce's words or of anything a record holds.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from orgserver.model.audit import Act
from orgserver.model.errors import CallError, Rejected
from orgserver.model.orgs import Caller, Org
from orgserver.model.schema import Schema
from orgserver.salesforce.soql.places import Level, levels
from orgserver.services.metadata import ALL, Metadata

logger = logging.getLogger("orgserver.metadata")
_COLUMN = re.compile(r"No such column '([\w.]{1,200})' on (?:entity|sobject of type) '?(\w{1,80})")
_RELATION = re.compile(r"Didn't understand relationship '(\w{1,80})'( in FROM part)?")
_TYPE = re.compile(r"sObject type '(\w{1,80})' is not supported")
_CODES = frozenset({"INVALID_FIELD", "INVALID_TYPE", "NOT_FOUND", "INVALID_FIELD_FOR_INSERT_UPDATE"})


async def explain(metadata: Metadata, caller: Caller, org: Org, act: Act, error: CallError) -> None:
    """Give the error of a refused call a hint with the nearest names; what is not known is asked for, for next time."""
    if not isinstance(error, Rejected) or error.code not in _CODES:
        return
    try:
        error.hint = await _hint(metadata, caller, org, act, error) or error.hint
    except Exception:
        logger.exception("a hint failed in a way that is not foreseen", extra={"entry": act.id})  # the outcome must not


async def _hint(metadata: Metadata, caller: Caller, org: Org, act: Act, error: Rejected) -> str | None:
    text = str(error)
    if found := _COLUMN.search(text):
        return await _column(metadata, caller, org, found[1].rpartition(".")[2], found[2])
    if found := _RELATION.search(text):
        return await _relation(metadata, caller, org, act, found[1], from_part=found[2] is not None)
    if found := _TYPE.search(text):
        return await _type(metadata, caller, org, found[1])
    if error.code == "NOT_FOUND" and act.object and not act.record_ids:
        return await _type(metadata, caller, org, act.object)
    return None


async def _column(metadata: Metadata, caller: Caller, org: Org, name: str, sobject: str) -> str | None:
    schema = await _known(metadata, caller, org, sobject)
    if schema is None:
        return None
    if schema.field(name) is not None:  # what we know is older than the org
        metadata.renew(caller, org, sobject)
        return None
    return _meant(schema.nearest(name)) or f"salesforce_describe_object names the fields of {schema.name}"


async def _type(metadata: Metadata, caller: Caller, org: Org, name: str) -> str | None:
    await metadata.recall(org)
    objects = metadata.names(org)
    if objects is None or objects.find(name) is not None:
        metadata.renew(caller, org, ALL)
        return None
    return _meant(objects.nearest(name)) or "salesforce_list_objects names the objects of this org"


async def _relation(
    metadata: Metadata, caller: Caller, org: Org, act: Act, step: str, *, from_part: bool
) -> str | None:
    """A relationship that is none: whose it is follows from where in the query it stands."""
    query = levels(act.soql or "")
    if from_part:
        level = next((each for each in query if (each.source or "").lower() == step.lower()), None)
        outer = await _read_from(metadata, caller, org, level.outer) if level and level.outer else None
        return _meant(outer.nearest_child(step)) if outer is not None else None
    level = next((each for each in query if each.mentions(step)), None)
    schema = await _read_from(metadata, caller, org, level) if level else None
    if schema is None and not query and act.object:
        schema = await _known(metadata, caller, org, act.object)
    if schema is None or level is None:
        return _meant(schema.nearest_reference(step)) if schema is not None else None
    path = next(name for name in level.names if step.lower() in name.lower().split(".")[:-1])
    owner = await _along(metadata, caller, org, schema, path.split("."), step)
    return _meant(owner.nearest_reference(step)) if owner is not None else None


async def _along(
    metadata: Metadata, caller: Caller, org: Org, schema: Schema, steps: Iterable[str], until: str
) -> Schema | None:
    """The object at which a path comes to a step that it does not have."""
    here: Schema | None = schema
    for step in steps:
        if here is None or step.lower() == until.lower():
            return here
        reference = here.reference(step)
        one = reference is not None and len(reference.reference_to) == 1
        here = await _known(metadata, caller, org, reference.reference_to[0]) if reference and one else None
    return None


async def _read_from(metadata: Metadata, caller: Caller, org: Org, level: Level) -> Schema | None:
    """The object that one SELECT reads from, through the relationships of those around it."""
    if level.source is None:
        return None
    if not level.child or level.outer is None:
        return await _known(metadata, caller, org, level.source)
    outer = await _read_from(metadata, caller, org, level.outer)
    child = outer.child(level.source) if outer is not None else None
    return await _known(metadata, caller, org, child.sobject) if child is not None else None


async def _known(metadata: Metadata, caller: Caller, org: Org, sobject: str) -> Schema | None:
    await metadata.recall(org, sobject)
    schema = metadata.cached(org, sobject)
    if schema is None:
        metadata.renew(caller, org, sobject)
    return schema


def _meant(near: tuple[str, ...]) -> str | None:
    return f"did you mean {' or '.join(near)}?" if near else None
