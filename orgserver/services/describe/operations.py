"""Plans for describes: one object's schema, or the names of all objects, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orgserver.model import names
from orgserver.model.access.acts import PathUse
from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.errors import InvalidArgument
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.schema import ObjectInfo, Schema
from orgserver.services.calls import preflight
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Operation, Plan
from orgserver.services.describe.schemas import Schemas
from orgserver.services.results import cursors, result_size
from orgserver.services.results.byte_budget import ByteBudget
from orgserver.services.results.cursors import Position
from orgserver.vault.keys import Key

PAGE = 100
_NAME_BYTES = 60
"""Bytes around the name and the label of an object in a result."""


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """Some objects, how many there are in all, and where the rest begins."""

    objects: tuple[ObjectInfo, ...]
    total_size: int
    next_cursor: str | None = None


class DescribeOperations:
    """The two verbs: each is an act with its intent and its outcome, whether or not the org must be asked."""

    def __init__(self, schemas: Schemas, key: Key, page: int = PAGE) -> None:
        self._schemas = schemas
        self._key = key
        self._page = page

    def describe(
        self, sobject: str, fields: Sequence[str] | None = None, *, refresh: bool = False
    ) -> Operation[Schema]:
        """Tell what fields an object has; those that are named must exist. ``refresh``: as the org has them now."""
        return Operation(
            Action.DESCRIBE,
            lambda call, org: _plan_describe(self._schemas, call.caller, sobject, fields, refresh=refresh)(org),
        )

    def list_objects(self, match: str | None, cursor: str | None) -> Operation[ObjectPage]:
        """Name the org's objects whose name or label holds ``match``."""
        return Operation(
            Action.DESCRIBE,
            lambda call, org: _plan_objects(self._schemas, self._key, call.caller, match, cursor, self._page)(org),
        )


def read_object_name(sobject: str) -> SObjectName | None:
    """An object's name for the audit log; None for what cannot be one."""
    return SObjectName(sobject) if names.is_field(sobject) else None


def _plan_describe(
    schemas: Schemas, caller: Caller, sobject: str, fields: Sequence[str] | None, *, refresh: bool
) -> Callable[[Org], Plan[Schema]]:
    """Plan to tell an object's schema; fields that are named must exist."""

    def plan(_org: Org) -> Plan[Schema]:
        name = read_object_name(sobject)
        if name is None:
            raise InvalidArgument(
                "object is no object's name; names look like Contact or Invoice__c", fields=["object"]
            )
        if fields is not None and (not fields or not all(names.is_field(each) for each in fields)):
            raise InvalidArgument("fields takes names of the object's own fields, such as Email", fields=["fields"])

        async def send(session: OrgSession) -> Schema:
            schema = await schemas.schema(session, caller, name, whole=refresh)
            if not refresh and _missing_fields(schema, fields):
                schema = await schemas.schema(session, caller, name, sure=True)
            missing = _missing_fields(schema, fields)
            if missing:
                raise preflight.refusal(
                    [preflight.missing_field(schema, each, "fields") for each in missing], hint=None
                )
            return schema

        return Plan(
            "read",
            send,
            lambda schema: Completion(Outcome.SUCCEEDED, row_count=len(schema.fields)),
            fields=fields or (),
            preflight=preflight.check_object(name),
            uses=(PathUse(name, "read"),),
        )

    return plan


def _plan_objects(
    schemas: Schemas, key: Key, caller: Caller, match: str | None, cursor: str | None, page: int
) -> Callable[[Org], Plan[ObjectPage]]:
    """Plan to name the objects whose name or label holds ``match``."""
    arguments = {"tool": "list_objects", "match": match}
    principal = caller.principal.name

    def plan(org: Org) -> Plan[ObjectPage]:
        first = 0
        if cursor is not None:
            first = cursors.read(key, cursor, org=org.login_owner, principal=principal, arguments=arguments).skip

        async def send(session: OrgSession) -> ObjectPage:
            every = await schemas.objects(session, caller)
            matches = [each for each in every.objects if _matches(each, match)]
            objects = _fitting(matches[first : first + page])
            following = None
            if len(matches) > first + len(objects):
                position = Position(skip=first + len(objects))
                following = cursors.write(key, position, org=org.login_owner, principal=principal, arguments=arguments)
            return ObjectPage(objects, len(matches), following)

        return Plan("read", send, lambda page: Completion(Outcome.SUCCEEDED, row_count=len(page.objects)), uses=())

    return plan


def _fitting(objects: Sequence[ObjectInfo]) -> tuple[ObjectInfo, ...]:
    """The first of them, as many as a result holds."""
    budget = ByteBudget()
    for number, each in enumerate(objects):
        if not budget.take_bytes(result_size.size(each.name) + result_size.size(each.label) + _NAME_BYTES):
            return tuple(objects[:number])
    return tuple(objects)


def _missing_fields(schema: Schema, fields: Sequence[str] | None) -> list[str]:
    return [each for each in fields or () if schema.field(each) is None]


def _matches(each: ObjectInfo, match: str | None) -> bool:
    if not match:
        return True
    text = match.casefold()
    return text in each.name.casefold() or text in each.label.casefold()
