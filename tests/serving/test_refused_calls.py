"""Every refused call is an audit entry, whatever it was refused for and whichever protocol generation it came in."""

import asyncio
import json
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller, Scope
from orgserver.sandbox.org import SandboxOrg
from orgserver.serving import wire
from orgserver.serving.refused_calls import record_unreadable
from orgserver.serving.server import build_server
from tests import operations

ME = {"name": "raw", "version": "1"}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": ME}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": ME,
    "io.modelcontextprotocol/clientCapabilities": {},
}
DEEP = "[" * 5_000 + "]" * 5_000


class Client:
    """Lines for one server, and what it answers."""

    def __init__(self, generation: str, lines: list[bytes]) -> None:
        hello = [line_of("initialize", HELLO, 0), b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n']
        self._lines = [*(hello if generation == "legacy" else []), *lines]
        self.answers: dict[Any, dict[str, Any]] = {}

    async def line(self) -> bytes:
        await asyncio.sleep(0)
        return self._lines.pop(0) if self._lines else b""

    async def write(self, data: bytes) -> None:
        answer = json.loads(data)
        self.answers[answer.get("id")] = answer


def line_of(method: str, params: dict[str, Any], number: int = 7) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


def call(generation: str, **params: Any) -> bytes:
    return line_of("tools/call", params | ({"_meta": ENVELOPE} if generation == "modern" else {}))


async def served(
    app: App, generation: str, line: bytes, scope: Scope | None = None
) -> tuple[dict[str, Any], list[AuditEntry]]:
    """The answer to one line, and the entries that it left."""
    principal = Principal("local:tester")
    server = build_server(app.services, principal=principal, scope=scope)

    async def refused(tool: str | None, request_id: str | int | None) -> None:
        await record_unreadable(app.services, Caller(principal, "stdio", request_id=str(request_id)), tool)

    before = {entry.id async for entry in app.audit_log.entries(EntryFilter())}
    client = Client(generation, [line])
    incoming, outgoing = wire.streams(client, client, refused)  # type: ignore[arg-type]
    async with asyncio.timeout(30):
        await server.run(incoming, outgoing, server.create_initialization_options())
    return client.answers[7], [each async for each in app.audit_log.entries(EntryFilter()) if each.id not in before]


def code_of(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        return answer["error"]["code"]
    return json.loads(answer["result"]["content"][0]["text"]).get("error", {}).get("code")


REFUSED: dict[str, tuple[dict[str, Any], Any, str, str]] = {
    "an unknown tool": ({"name": "salesforce_drop_org", "arguments": {"org": "acme"}}, "UNKNOWN_TOOL", "read", "acme"),
    "a tool of another toolset": (
        {"name": "salesforce_delete_record", "arguments": {"org": "acme"}},
        "UNKNOWN_TOOL",
        "delete",
        "acme",
    ),
    "arguments that are a list": (
        {"name": "salesforce_get_contact", "arguments": ["acme"]},
        "INVALID_ARGUMENT",
        "read",
        "",
    ),
    "arguments that are a text": ({"name": "salesforce_query", "arguments": "acme"}, "INVALID_ARGUMENT", "query", ""),
    "a name that is a number": ({"name": 7, "arguments": {}}, -32602, "read", ""),
    "no name": ({"arguments": {}}, -32602, "read", ""),
    "half a surrogate pair": (
        {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"LastName": "\ud800"}}},
        "INVALID_ARGUMENT",
        "create",
        "acme",
    ),
    "half a surrogate pair as a name": (
        {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"\ud800": "x", "LastName": "x"}}},
        None,
        "create",
        "acme",
    ),
    "half a surrogate pair as the org": (
        {"name": "salesforce_list_contacts", "arguments": {"org": "\ud800"}},
        "INVALID_ARGUMENT",
        "list",
        "\ufffd",
    ),
    "a bad cursor of list_orgs": (
        {"name": "salesforce_list_orgs", "arguments": {"cursor": "x"}},
        "INVALID_ARGUMENT",
        "list",
        "",
    ),
    "a number beyond JSON": (
        {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"LastName": float("inf")}}},
        "INVALID_ARGUMENT",
        "create",
        "acme",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("generation", ["legacy", "modern"])
async def test_a_refused_call_is_one_entry(app: App, generation: str, kind: str) -> None:
    params, code, action, org = REFUSED[kind]

    answer, entries = await served(app, generation, call(generation, **params))

    assert code is None or code_of(answer) == code
    (entry,) = entries
    assert (entry.outcome, entry.action, entry.org or "") == ("denied", action, org)
    assert entry.tool == (params["name"] if isinstance(params.get("name"), str) else None)
    assert entry.request_id == "7"


@pytest.mark.parametrize("generation", ["legacy", "modern"])
@pytest.mark.parametrize(
    ("arguments", "arrived"),
    [
        ({"org": "acme"}, None),
        ('{"org": "acme"}', None),
        (' {"org": "acme", "limit": 2}\n', None),
        ('{"org": "acme", "org": "globex"}', "a text that is no JSON, or names a key twice, arrived"),
        ("org=acme", "a text that is no JSON, or names a key twice, arrived"),
        ('["acme"]', "a list as JSON text arrived"),
        ('"{}"', "a text as JSON text arrived"),
        (["acme"], "a list arrived"),
        (7, "a number arrived"),
        (False, "a boolean arrived"),
    ],
)
async def test_arguments_are_an_object_also_as_json_text_and_all_else_is_refused_by_what_it_is(
    app: App, generation: str, arguments: Any, arrived: str | None
) -> None:
    answer, (entry,) = await served(
        app, generation, call(generation, name="salesforce_list_contacts", arguments=arguments)
    )

    if arrived is None:
        assert (code_of(answer), entry.outcome, entry.org) == (None, "succeeded", "acme")
        return
    error = json.loads(answer["result"]["content"][0]["text"])["error"]
    assert (error["code"], error["fields"]) == ("INVALID_ARGUMENT", ["arguments"])
    assert error["message"] == f"arguments must be an object; {arrived}"
    assert (entry.outcome, entry.error_code, entry.tool) == ("denied", "INVALID_ARGUMENT", "salesforce_list_contacts")


@pytest.mark.parametrize("response", [{}, {"action": "ACCEPT"}, {"action": None}, "accept", []])
async def test_a_repeated_call_whose_answer_says_nothing_has_no_yes_and_waits_for_a_terminal(
    app: App, caller: Caller, acme: SandboxOrg, response: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    made = await operations.create(app, caller, "salesforce_create_contact", "acme", CONTACT, {"LastName": "Lovelace"})
    asking = {"_meta": ENVELOPE | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}}
    deletion = {"name": "salesforce_delete_contact", "arguments": {"org": "acme", "contact_id": made.id}} | asking

    question, _ = await served(app, "modern", line_of("tools/call", deletion))
    repeated = {"requestState": question["result"]["requestState"], "inputResponses": {"confirm": response}}
    answer, (entry,) = await served(app, "modern", line_of("tools/call", deletion | repeated))

    error = json.loads(answer["result"]["content"][0]["text"])["error"]
    assert (error["code"], entry.error_code) == ("CONFIRMATION_REQUIRED", "CONFIRMATION_REQUIRED")
    assert "orgserver approvals" in error["hint"]
    assert [request.path for request in acme.requests if request.method == "DELETE"] == []
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("generation", ["legacy", "modern"])
async def test_a_call_that_cannot_be_read_at_all_is_one_entry(app: App, generation: str) -> None:
    line = call(generation, name="salesforce_create_contact", arguments={"org": "acme", "data": {"LastName": "DEEP"}})

    answer, entries = await served(app, generation, line.replace(b'"DEEP"', DEEP.encode()))

    assert code_of(answer) == -32700
    assert [(each.outcome, each.action, each.tool, each.request_id) for each in entries] == [
        ("denied", "create", "salesforce_create_contact", "7")
    ]


@pytest.mark.parametrize("generation", ["legacy", "modern"])
async def test_a_call_that_is_not_refused_is_one_entry_too(app: App, generation: str) -> None:
    arguments = {"org": "acme", "data": {"LastName": "Lovelace \U0001f44d"}}

    answer, entries = await served(
        app, generation, call(generation, name="salesforce_create_contact", arguments=arguments)
    )

    assert code_of(answer) is None
    assert [(each.outcome, each.action) for each in entries] == [("succeeded", "create")]


async def test_naming_the_orgs_is_no_entry_when_it_is_not_refused(app: App) -> None:
    answer, entries = await served(app, "legacy", call("legacy", name="salesforce_list_orgs", arguments={}))

    assert (code_of(answer), entries) == (None, [])
