"""Pretend operations, which remember what was asked of them, and a client of either protocol generation."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from mcp.client.client import Client
from mcp_types import CallToolResult, Implementation, ListToolsResult

from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action, Intent
from orgserver.model.errors import Denied
from orgserver.model.orgs import Caller, Scope
from orgserver.model.results import Change, Changed, Created, Page, Record
from orgserver.model.schema import FieldInfo, ObjectInfo, Schema
from orgserver.services.calls.plan import Call, Operation
from orgserver.services.describe.operations import ObjectPage
from orgserver.services.orgs.visible_orgs import OrgPage
from orgserver.services.queries.list_query import Listing
from orgserver.services.records.upsert import Upsert
from orgserver.serving.server import build_server

CONTACT_ID = "003Ws000003xYzAIAU"
EVENT_ID = "00UWs000003xYzAMAU"


class PretendOperations:
    """The services without stores and orgs: each call is kept, each answer can be set."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.callers: list[Caller] = []
        self.refusals: list[tuple[str | None, Any, str | None, str | None, Denied]] = []
        self.failure: Exception | None = None
        self.refusal_failure: Exception | None = None
        self.created = Created(CONTACT_ID, f"https://acme.example/{CONTACT_ID}", fields=("LastName",))
        self.changed = Changed(CONTACT_ID, ("Email",))
        self.record: dict[str, Any] = {"Id": CONTACT_ID, "LastName": "Lovelace", "Email": None}
        self.page_of_records = Page([{"Id": CONTACT_ID, "Account": {"Name": "Analytical"}}], 1)
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

        self.known: Any = None
        self.executor = self.log = self.reading = self.writing = self.queries = self.visible_orgs = self
        self.describe = PretendDescribe(self)

    @property
    def names(self) -> Any:
        return self.known

    def asked(self, verb: str, caller: Caller, *given: Any) -> None:
        self.calls.append((verb, given))
        self.callers.append(caller)
        if self.failure is not None:
            raise self.failure

    async def run(self, call: Call, operation: Any) -> Any:
        """Run a pretend operation, or remember one that needs nothing of the app."""
        if isinstance(operation, Operation):
            self.asked("perform", call.caller, call.tool, operation.action, call.org, call.sobject)
            return self.result
        return operation(call)

    def _operation(self, verb: str, answer: Callable[[], Any], *given: Any) -> Callable[[Call], Any]:
        def run(call: Call) -> Any:
            about = () if call.sobject is None or verb == "list" else (call.sobject,)
            self.asked(verb, call.caller, call.tool, call.org, *about, *given)
            return answer()

        return run

    def create(self, values, *, idempotency_key=None, **more) -> Any:
        return self._operation("create", lambda: self.created, values, idempotency_key, *_set(more))

    def read(self, record_id, fields=None, *, id_argument="record_id") -> Any:
        return self._operation("read", lambda: Record(self.record), record_id, fields)

    def update(
        self, record_id, values, *, if_unmodified_since=None, preview=False, id_argument="record_id", **more
    ) -> Any:
        given = (record_id, values, if_unmodified_since, preview)
        return self._operation("update", lambda: self._change(preview), *given, *_set(more))

    def delete(self, record_id, *, preview=False, id_argument="record_id") -> Any:
        return self._operation("delete", lambda: self._change(preview), record_id, preview)

    def upsert(self, arguments: Upsert) -> Any:
        return Operation(Action.UPSERT, lambda _call, _org: None)  # type: ignore[arg-type,return-value]

    def _change(self, preview: bool) -> Changed:
        if not preview:
            return self.changed
        return Changed(CONTACT_ID, preview=True, changes=(Change("Email", "a@example.com", None),))

    def list(self, listing: Listing) -> Any:
        return self._operation("list", lambda: self.page_of_records, listing)

    def query(self, soql, *, limit=50, cursor=None, include_deleted=False, count=False) -> Any:
        return self._operation("query", lambda: self.page_of_records, soql, limit, cursor, include_deleted, count)

    async def page(self, call: Call, match, cursor) -> OrgPage:
        self.asked("orgs", call.caller, call.tool, match, cursor)
        return self.org_page

    async def aliases(self, call: Call) -> Any:
        self.asked("orgs", call.caller, call.tool)
        return [facts["org"] for facts in self.org_page.orgs]

    async def refuse(self, intent: Intent, error: Denied) -> None:
        if self.refusal_failure is not None:
            raise self.refusal_failure
        self.refusals.append((intent.tool, intent.action, intent.org, intent.object, error))


class PretendDescribe:
    """The operations of describes."""

    def __init__(self, operations: PretendOperations) -> None:
        self._operations = operations

    def describe(self, sobject, fields=None, **more) -> Any:
        def run(call: Call) -> Schema:
            self._operations.asked("describe", call.caller, call.tool, call.org, sobject, fields, *_set(more))
            return self._operations.schema

        return run

    def list_objects(self, match, cursor) -> Any:
        def run(call: Call) -> ObjectPage:
            self._operations.asked("objects", call.caller, call.tool, call.org, match, cursor)
            return self._operations.object_page

        return run


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
