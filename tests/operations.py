"""Operations as the tests run them: each is one call by the app's executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from orgserver.app import App
from orgserver.model.bulk import BulkResult
from orgserver.model.errors import Denied
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.results import Changed, Created, FieldValues, Page, Record, Upserted
from orgserver.model.schema import Schema
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.calls.plan import Call, Operation, Plan
from orgserver.services.describe.operations import ObjectPage, read_object_name
from orgserver.services.fleet.fan_out import FleetResult
from orgserver.services.orgs.visible_orgs import OrgPage
from orgserver.services.queries.list_query import Listing
from orgserver.services.records.upsert import Upsert

T = TypeVar("T")


def _id_argument(tool: str) -> str:
    """What a tool calls the id of its record."""
    if tool.endswith("_contact"):
        return "contact_id"
    return "event_id" if tool.endswith("_appointment") else "record_id"


async def create(
    app: App, caller: Caller, tool: str, alias: str, sobject: SObjectName, values: FieldValues, **options: Any
) -> Created:
    operation = app.services.writing.create(values, **options)
    return await app.services.executor.run(Call(caller, tool, alias, sobject), operation)


async def read(
    app: App,
    caller: Caller,
    tool: str,
    alias: str,
    sobject: SObjectName,
    record_id: str,
    fields: Sequence[str] | None = None,
) -> Record:
    operation = app.services.reading.read(record_id, fields, id_argument=_id_argument(tool))
    return await app.services.executor.run(Call(caller, tool, alias, sobject), operation)


async def update(
    app: App,
    caller: Caller,
    tool: str,
    alias: str,
    sobject: SObjectName,
    record_id: str,
    values: FieldValues,
    **options: Any,
) -> Changed:
    operation = app.services.writing.update(record_id, values, id_argument=_id_argument(tool), **options)
    return await app.services.executor.run(Call(caller, tool, alias, sobject), operation)


async def delete(
    app: App, caller: Caller, tool: str, alias: str, sobject: SObjectName, record_id: str, *, preview: bool = False
) -> Changed:
    operation = app.services.writing.delete(record_id, preview=preview, id_argument=_id_argument(tool))
    return await app.services.executor.run(Call(caller, tool, alias, sobject), operation)


async def upsert(app: App, caller: Caller, tool: str, alias: str, arguments: Upsert) -> Upserted:
    operation = app.services.writing.upsert(arguments)
    return await app.services.executor.run(Call(caller, tool, alias, arguments.sobject), operation)


async def list_(app: App, caller: Caller, tool: str, alias: str, listing: Listing) -> Page:
    operation = app.services.queries.list(listing)
    return await app.services.executor.run(Call(caller, tool, alias, listing.sobject), operation)


async def query(app: App, caller: Caller, tool: str, alias: str, soql: str, **options: Any) -> Page:
    return await app.services.executor.run(Call(caller, tool, alias), app.services.queries.query(soql, **options))


async def describe(
    app: App,
    caller: Caller,
    tool: str,
    alias: str,
    sobject: str,
    fields: Sequence[str] | None = None,
    *,
    refresh: bool = False,
) -> Schema:
    operation = app.services.describe.describe(sobject, fields, refresh=refresh)
    return await app.services.executor.run(Call(caller, tool, alias, read_object_name(sobject)), operation)


async def objects(app: App, caller: Caller, tool: str, alias: str, match: str | None, cursor: str | None) -> ObjectPage:
    return await app.services.executor.run(Call(caller, tool, alias), app.services.describe.list_objects(match, cursor))


async def orgs(app: App, caller: Caller, tool: str, match: str | None, cursor: str | None) -> OrgPage:
    return await app.services.visible_orgs.page(Call(caller, tool), match, cursor)


async def perform(
    app: App,
    caller: Caller,
    tool: str,
    action: str,
    alias: str,
    sobject: SObjectName | None,
    plan: Callable[[Org], Plan[T]],
) -> T:
    """Run what a test has planned itself."""
    operation = Operation(action, lambda _call, org: plan(org))
    return await app.services.executor.run(Call(caller, tool, alias, sobject), operation)


async def refuse(
    app: App, caller: Caller, tool: str, action: str, alias: str, sobject: SObjectName | None, error: Denied
) -> None:
    await app.services.executor.log.refuse(Call(caller, tool, alias, sobject).intent(action), error)


async def undo(
    app: App, caller: Caller, alias: str, sobject: SObjectName, plan: Callable[[Org], Plan[T]], undoes: str | None
) -> T:
    operation = Operation("undo" if undoes else "preview", lambda _call, org: plan(org), undoes)
    return await app.services.executor.run(Call(caller, "audit undo", alias, sobject), operation)


async def change(app: App, caller: Caller, tool: str, alias: str, given: BulkArguments) -> BulkResult:
    return await app.services.executor.run(Call(caller, tool, alias, given.sobject), app.services.bulk.change(given))


async def query_orgs(
    app: App, caller: Caller, tool: str, orgs: Sequence[str], soql: str, **options: Any
) -> FleetResult:
    return await app.services.fleet.query(Call(caller, tool), orgs, soql, **options)
