"""Pretend operations, which remember what was asked of them, and a client of either protocol generation."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from mcp.client.client import Client
from mcp_types import CallToolResult, Implementation, ListToolsResult

from orgserver.model.audit import Action
from orgserver.model.errors import Denied
from orgserver.model.orgs import Caller, Principal, Scope
from orgserver.model.results import Change, Changed, Created, Page, Record
from orgserver.model.schema import FieldInfo, ObjectInfo, Schema
from orgserver.services.describe.operations import ObjectPage
from orgserver.services.orgs.directory import OrgPage
from orgserver.services.queries.list_query import Listing
from orgserver.serving.server import build_server

CONTACT_ID = "003Ws000003xYzAIAU"
EVENT_ID = "00UWs000003xYzAMAU"


class PretendOperations:
    """The verbs without stores and orgs: each call is kept, each answer can be set."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.callers: list[Caller] = []
        self.refusals: list[tuple[str, Action, str | None, str | None, Denied]] = []
        self.failure: Exception | None = None
        self.refusal_failure: Exception | None = None
        self.created = Created(CONTACT_ID, f"https://acme.example/{CONTACT_ID}", fields=("LastName",))
        self.changed = Changed(CONTACT_ID, ("Email",))
        self.record: dict[str, Any] = {"Id": CONTACT_ID, "LastName": "Lovelace", "Email": None}
        self.page = Page([{"Id": CONTACT_ID, "Account": {"Name": "Analytical"}}], 1)
        self.schema = Schema(
            "Contact",
            "Contact",
            "003",
            True,
            True,
            True,
            True,
            True,
            (FieldInfo("LastName", "Last Name", "string", 80),),
        )
        self.object_page = ObjectPage((ObjectInfo("Contact", "Contact"), ObjectInfo("Bill__c", "Invoice")), 2)
        self.result: Any = None
        self.org_page = OrgPage([{"org": "acme", "state": "ready"}])

    def _asked(self, verb: str, caller: Caller, *given: Any) -> None:
        self.calls.append((verb, given))
        self.callers.append(caller)
        if self.failure is not None:
            raise self.failure

    async def create(self, caller, tool, alias, sobject, values, *, idempotency_key=None, **more) -> Created:
        self._asked("create", caller, tool, alias, sobject, values, idempotency_key, *_set(more))
        return self.created

    async def read(self, caller, tool, alias, sobject, record_id, fields=None) -> Record:
        self._asked("read", caller, tool, alias, sobject, record_id, fields)
        return Record(self.record)

    async def update(
        self, caller, tool, alias, sobject, record_id, values, *, if_unmodified_since=None, preview=False, **more
    ) -> Changed:
        given = (caller, tool, alias, sobject, record_id, values, if_unmodified_since, preview)
        self._asked("update", *given, *_set(more))
        return self._change(preview)

    async def delete(self, caller, tool, alias, sobject, record_id, *, preview=False) -> Changed:
        self._asked("delete", caller, tool, alias, sobject, record_id, preview)
        return self._change(preview)

    def _change(self, preview: bool) -> Changed:
        if not preview:
            return self.changed
        return Changed(CONTACT_ID, preview=True, changes=(Change("Email", "a@example.com", None),))

    async def list(self, caller, tool, alias, listing: Listing) -> Page:
        self._asked("list", caller, tool, alias, listing)
        return self.page

    async def query(
        self, caller, tool, alias, soql, *, limit=50, cursor=None, include_deleted=False, count=False
    ) -> Page:
        self._asked("query", caller, tool, alias, soql, limit, cursor, include_deleted, count)
        return self.page

    async def perform(self, caller, tool, action, alias, sobject, plan) -> Any:
        self._asked("perform", caller, tool, action, alias, sobject)
        return self.result

    async def orgs(self, caller, tool, match, cursor) -> OrgPage:
        self._asked("orgs", caller, tool, match, cursor)
        return self.org_page

    async def describe(self, caller, tool, alias, sobject, fields=None, **more) -> Schema:
        self._asked("describe", caller, tool, alias, sobject, fields, *_set(more))
        return self.schema

    async def objects(self, caller, tool, alias, match, cursor) -> ObjectPage:
        self._asked("objects", caller, tool, alias, match, cursor)
        return self.object_page

    async def refuse(self, caller, tool, action, alias, sobject, error) -> None:
        self.callers.append(caller)
        if self.refusal_failure is not None:
            raise self.refusal_failure
        self.refusals.append((tool, action, alias, sobject, error))


def _set(more: dict[str, Any]) -> list[str]:
    """The names of what was asked for beside the usual arguments."""
    return [name for name, value in more.items() if value]


Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def operations() -> PretendOperations:
    return PretendOperations()


@pytest.fixture(params=["legacy", "auto"])
def generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connect(operations: PretendOperations, generation: str) -> Connect:
    @asynccontextmanager
    async def connecting(**scope: Any) -> AsyncIterator[Client]:
        server = build_server(
            operations,  # type: ignore[arg-type]
            principal=Principal("local:ada"),
            label="night shift",
            scope=Scope(**scope),
            transport="stdio",
        )
        me = Implementation(name="Test Client", version="1.2")
        async with Client(server, mode=generation, client_info=me, raise_exceptions=True) as client:
            yield client

    return connecting


class OneCallEach:
    """A client that connects for every request (a fixture may not hold the SDK's task group open)."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        async with self._connect() as client:
            return await client.call_tool(name, arguments)

    async def list_tools(self) -> ListToolsResult:
        async with self._connect() as client:
            return await client.list_tools()


@pytest.fixture
def client(connect: Connect) -> OneCallEach:
    return OneCallEach(connect)


def text_of(result: CallToolResult) -> Any:
    (only,) = result.content
    assert only.type == "text"
    return json.loads(only.text)


@pytest.fixture
def error_of() -> Callable[[CallToolResult], dict[str, Any]]:
    def read(result: CallToolResult) -> dict[str, Any]:
        assert result.is_error
        assert result.structured_content is None
        whole = text_of(result)
        assert list(whole) == ["error"]
        return dict(whole["error"])

    return read


@pytest.fixture
def data_of() -> Callable[[CallToolResult], dict[str, Any]]:
    def read(result: CallToolResult) -> dict[str, Any]:
        assert not result.is_error, result.content
        assert text_of(result) == result.structured_content
        return dict(result.structured_content)

    return read
