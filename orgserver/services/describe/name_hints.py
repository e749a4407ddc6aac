"""Hints for names that Salesforce does not know: the nearest ones that the org has.

A hint is made of names from describe alone, never of Salesforce's words or of anything a record holds.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from typing import Protocol

from msgspec import structs

from orgserver.model.audit import Intent
from orgserver.model.errors import CallError, Rejected
from orgserver.model.orgs import Caller
from orgserver.model.schema import ObjectList, Schema
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.soql.places import Level, levels
from orgserver.services.calls.access import OrgSession
from orgserver.services.describe.memory import ALL
from orgserver.services.describe.schemas import Schemas
from orgserver.services.policies.limited_schemas import limit_objects, limit_schema

SECONDS = 5.0
"""How long a refusal may wait for its hint."""
logger = logging.getLogger("orgserver.metadata")
_COLUMN = re.compile(r"No such column '([\w.]{1,200})' on (?:entity|sobject of type) '?(\w{1,80})")
_RELATION = re.compile(r"Didn't understand relationship '(\w{1,80})'( in FROM part)?")
_TYPE = re.compile(r"sObject type '(\w{1,80})' is not supported")
_CODES = frozenset({"INVALID_FIELD", "INVALID_TYPE", "NOT_FOUND", "INVALID_FIELD_FOR_INSERT_UPDATE"})


class NameSource(Protocol):
    """What is known of the org that refused, and a way to ask it."""

    async def recall(self, sobject: str = ALL) -> None:
        """Take what the store knows into memory."""

    def cached(self, sobject: str) -> Schema | None:
        """An object's schema."""

    def names(self) -> ObjectList | None:
        """The org's objects."""

    async def ask(self, sobject: str) -> None:
        """Ask the org, within the call that was refused."""


class OrgNames:
    """The names of the org that refused a call: from memory, from the store, and, once a minute, from the org."""

    def __init__(self, schemas: Schemas, caller: Caller, session: OrgSession) -> None:
        self._schemas = schemas
        self._caller = caller
        self._session = session

    async def recall(self, sobject: str = ALL) -> None:
        """Take what the store knows into memory."""
        await self._schemas.recall(self._session.org, sobject)

    def cached(self, sobject: str) -> Schema | None:
        """An object's schema."""
        schema = self._schemas.memory.cached(self._session.org, sobject)
        return limit_schema(self._session.limits, schema, self._session.schemas) if schema is not None else None

    def names(self) -> ObjectList | None:
        """The org's objects."""
        objects = self._schemas.memory.names(self._session.org)
        return limit_objects(self._session.limits, objects) if objects is not None else None

    async def ask(self, sobject: str) -> None:
        """Ask the org, within the call that was refused: its entry counts the exchange, and tells of its own answer."""
        trace = self._session.trace
        beside = structs.replace(self._session, trace=Trace())
        try:
            async with asyncio.timeout(SECONDS):
                await self._schemas.ask_again(beside, self._caller, sobject)
        except (CallError, TimeoutError) as error:
            logger.debug("a hint found nothing: %s", type(error).__name__)
        finally:
            trace.api_calls += beside.trace.api_calls
            trace.attempts += beside.trace.attempts


async def add_hint(source: NameSource, intent: Intent, error: CallError) -> None:
    """Give the error of a refused call a hint with the nearest names; what is not known is asked for at once."""
    if not isinstance(error, Rejected) or error.code not in _CODES:
        return
    try:
        error.hint = await _hint(source, intent, error) or error.hint
    except Exception:  # a hint may fail, the outcome of its call may not
        logger.exception("a hint failed in a way that is not foreseen", extra={"entry": intent.id})


async def _hint(source: NameSource, intent: Intent, error: Rejected) -> str | None:
    text = str(error)
    if match := _COLUMN.search(text):
        return await _column_hint(source, match[1].rpartition(".")[2], match[2])
    if match := _RELATION.search(text):
        return await _relationship_hint(source, intent, match[1], from_part=match[2] is not None)
    if match := _TYPE.search(text):
        return await _type_hint(source, match[1])
    if error.code == "NOT_FOUND" and intent.object and not intent.record_ids:
        return await _type_hint(source, intent.object)
    return None


async def _column_hint(source: NameSource, name: str, sobject: str) -> str | None:
    schema = await _schema(source, sobject)
    if schema is None:
        return None
    if schema.field(name) is not None:  # what we know is older than the org
        await source.ask(sobject)
        schema = source.cached(sobject)
        if schema is None or schema.field(name) is not None:
            return None
    return _did_you_mean(schema.nearest(name)) or f"salesforce_describe_object names the fields of {schema.name}"


async def _type_hint(source: NameSource, name: str) -> str | None:
    await source.recall()
    objects = source.names()
    if objects is None or objects.find(name) is not None:
        await source.ask(ALL)
        objects = source.names()
    if objects is None or objects.find(name) is not None:
        return None
    return _did_you_mean(objects.nearest(name)) or "salesforce_list_objects names the objects of this org"


async def _relationship_hint(source: NameSource, intent: Intent, step: str, *, from_part: bool) -> str | None:
    """A relationship that is none: whose it is follows from where in the query it stands."""
    query = levels(intent.soql or "")
    if from_part:
        level = next((each for each in query if (each.source or "").lower() == step.lower()), None)
        outer = await _source_object(source, level.outer) if level and level.outer else None
        return _did_you_mean(outer.nearest_child(step)) if outer is not None else None
    level = next((each for each in query if each.mentions(step)), None)
    schema = await _source_object(source, level) if level else None
    if schema is None and not query and intent.object:
        schema = await _schema(source, intent.object)
    if schema is None or level is None:
        return _did_you_mean(schema.nearest_reference(step)) if schema is not None else None
    path = next(name for name in level.names if step.lower() in name.lower().split(".")[:-1])
    owner = await _follow(source, schema, path.split("."), step)
    return _did_you_mean(owner.nearest_reference(step)) if owner is not None else None


async def _follow(source: NameSource, schema: Schema, steps: Iterable[str], until: str) -> Schema | None:
    """The object at which a path comes to a step that it does not have."""
    here: Schema | None = schema
    for step in steps:
        if here is None or step.lower() == until.lower():
            return here
        reference = here.reference(step)
        one = reference is not None and len(reference.reference_to) == 1
        here = await _schema(source, reference.reference_to[0]) if reference and one else None
    return None


async def _source_object(source: NameSource, level: Level) -> Schema | None:
    """The object that one SELECT reads from, through the relationships of those around it."""
    if level.source is None:
        return None
    if not level.child or level.outer is None:
        return await _schema(source, level.source)
    outer = await _source_object(source, level.outer)
    child = outer.child(level.source) if outer is not None else None
    return await _schema(source, child.sobject) if child is not None else None


async def _schema(source: NameSource, sobject: str) -> Schema | None:
    await source.recall(sobject)
    if source.cached(sobject) is None:
        await source.ask(sobject)
    return source.cached(sobject)


def _did_you_mean(near: tuple[str, ...]) -> str | None:
    return f"did you mean {' or '.join(near)}?" if near else None
