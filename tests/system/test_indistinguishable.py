"""An org that a principal may not use is one that does not exist: the same answers, the same steps, the same statements."""

import asyncio
import difflib
import gc
import json
import logging
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, ResourceTemplateReference
from sqlalchemy import Engine, event

import orgserver
from orgserver.app import App
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.model.access.principals import Principal
from orgserver.model.audit import EntryFilter
from orgserver.model.orgs import Scope
from orgserver.sandbox.server import Sandbox
from orgserver.serving.prompts import JOBS
from orgserver.serving.server import build_server
from orgserver.store.transaction import DriverConnection
from orgserver.tools import toolsets
from tests.conftest import OpenApp
from tests.people import OPERATOR, add_principal

HIDDEN, ABSENT, GRANTED = "globex", "glohex", "acme"
CONTACT, EVENT = "003xx000004TmiQAAS", "00Uxx0000001gPLEAY"
RECORD = {"object": "Contact", "record_id": CONTACT}
NAMED = {"data": {"LastName": "Lovelace"}}
MEETING = {"Subject": "x", "StartDateTime": "2026-12-01T10:00:00Z", "DurationInMinutes": 30}
SOQL = {"soql": "SELECT Id, Name FROM Contact"}
CALLS: dict[str, list[dict[str, Any]]] = {
    "salesforce_create_contact": [NAMED, {**NAMED, "idempotency_key": "k"}],
    "salesforce_get_contact": [{"contact_id": CONTACT}, {"contact_id": "nonsense"}],
    "salesforce_update_contact": [{"contact_id": CONTACT, **NAMED}, {"contact_id": CONTACT, **NAMED, "preview": True}],
    "salesforce_delete_contact": [{"contact_id": CONTACT}],
    "salesforce_list_contacts": [{}, {"filter": {"LastName": "x"}}, {"cursor": "nonsense"}],
    "salesforce_create_appointment": [{"data": MEETING}],
    "salesforce_get_appointment": [{"event_id": EVENT}],
    "salesforce_update_appointment": [{"event_id": EVENT, "data": {"Subject": "y"}}],
    "salesforce_delete_appointment": [{"event_id": EVENT}],
    "salesforce_list_appointments": [{}],
    "salesforce_query": [SOQL, {"soql": "SELECT nonsense"}, {**SOQL, "cursor": "nonsense"}],
    "salesforce_search": [{"text": "ada"}],
    "salesforce_limits": [{}],
    "salesforce_describe_object": [{"object": "Contact"}, {"object": "Nonsense"}],
    "salesforce_list_objects": [{}],
    "salesforce_create_record": [{"object": "Contact", **NAMED}],
    "salesforce_get_record": [RECORD],
    "salesforce_update_record": [{**RECORD, **NAMED}],
    "salesforce_delete_record": [RECORD],
    "salesforce_upsert_record": [
        {"object": "Account", "external_id_field": "Key__c", "external_id": "1", "data": {"Name": "x"}}
    ],
    "salesforce_change_records": [
        {"object": "Contact", "action": "create", "records": [{"LastName": "x"}]},
        {"object": "Contact", "action": "create", "cursor": "nonsense"},
    ],
}
MANY: list[tuple[str, Callable[[str], dict[str, Any]]]] = [
    ("salesforce_query_orgs", lambda org: {"orgs": [GRANTED, org], **SOQL}),
    ("salesforce_query_orgs", lambda org: {"orgs": [org], **SOQL, "merge": False}),
    ("salesforce_list_orgs", lambda org: {"match": org}),
]
EVERY = [(tool, arguments) for tool, calls in CALLS.items() for arguments in calls]
QUIET_SECONDS = 600
PRODUCT = str(Path(orgserver.__file__).parent)
REFILLED = "/model/randomness.py"
"""Fetches random bytes for many calls at a time: whose call comes just then says nothing of it."""
_CLOCKED = {"time", "id", "sequence", "hash", "duration_ms", "request_id", "outcome_hash", "outcome_sequence"}


@pytest.fixture
async def app(open_again: OpenApp, sandbox: Sandbox) -> AsyncIterator[App]:
    """An app whose heartbeat and checkpoints fall into no call."""
    async with open_again(heartbeat_seconds=QUIET_SECONDS) as opened:
        await register(opened, sandbox)
        yield opened


@asynccontextmanager
async def ada_of(app: App) -> AsyncIterator[Client]:
    """Ada's client: one org is granted, and selectors of every form that select no other."""
    await add_principal(app, "ada", f"{GRANTED}:read,write,delete", "north-*:read", "tag:none:read")
    scope = Scope(toolsets=frozenset({"all"}))
    async with Client(build_server(app.services, principal=Principal("ada"), scope=scope)) as connected:
        await connected.list_tools()
        yield connected


@dataclass
class Traced:
    """A call's answer and entry, and what was done for it: our functions in their order, statements, log lines."""

    answer: str = ""
    entry: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@contextmanager
def traced(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Traced]:
    """Trace one call: the steps of the tasks that it runs in, for a heartbeat or a collected generator is nobody's call."""
    seen = Traced()
    others = asyncio.all_tasks() - {asyncio.current_task()}

    def step(frame: FrameType, kind: str, _argument: Any) -> None:
        file = frame.f_code.co_filename
        is_told = file.startswith(PRODUCT) and "/store/" not in file and not file.endswith(REFILLED)
        if kind == "call" and is_told and is_of_the_call():
            seen.steps.append(f"{file.removeprefix(PRODUCT)} {frame.f_code.co_qualname}")

    def is_of_the_call() -> bool:
        task = asyncio.current_task()
        return task is not None and task not in others

    def execute(self: DriverConnection, sql: str, *rows: Any) -> int:
        seen.statements.append(sql)
        return real(self, sql, *rows)

    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.statements.append(statement)

    real = DriverConnection.execute
    caplog.clear()
    event.listen(Engine, "before_cursor_execute", listen)
    with monkeypatch.context() as patch, caplog.at_level(logging.DEBUG, "orgserver"):
        patch.setattr(DriverConnection, "execute", execute)
        gc.disable()
        sys.setprofile(step)
        try:
            yield seen
        finally:
            sys.setprofile(None)
            gc.enable()
            event.remove(Engine, "before_cursor_execute", listen)
    seen.lines = [f"{each.levelname} {each.getMessage()} {_facts(each)}" for each in caplog.records]


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """What was told beside a log line's text, but for the time that passed and the number of the request."""
    plain = logging.LogRecord("", 0, "", 0, "", (), None).__dict__
    return {
        name: value
        for name, value in record.__dict__.items()
        if name not in plain | {"ms": 0, "request": 0, "message": 0}
    }


def alike(text: str) -> str:
    """A text in which both aliases are one, and ids and times are left out."""
    text = text.replace(HIDDEN, "ORG").replace(ABSENT, "ORG")
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "#", text)


async def answer(client: Client, tool: str, arguments: dict[str, Any]) -> str:
    result = await client.call_tool(tool, arguments)
    return result.model_dump_json()


def test_every_tool_with_an_org_is_tried() -> None:
    with_org = {name for name, spec in toolsets.EVERY.items() if "org" in spec.arguments.model_fields}
    assert with_org == set(CALLS)
    assert {tool for tool, _ in MANY} | with_org == set(toolsets.EVERY)


async def test_answers_entries_statements_steps_and_log_lines_are_the_same(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with ada_of(app) as client:
        for tool, arguments in EVERY:
            await answer(client, tool, {"org": ABSENT, **arguments})  # what is made once is made
            hidden, absent = [
                await measure(app, client, monkeypatch, caplog, tool, {"org": org, **arguments})
                for org in (HIDDEN, ABSENT)
            ]
            difference = "\n".join(difflib.unified_diff(absent.steps, hidden.steps, n=1, lineterm=""))
            assert not difference, f"{tool} {arguments}\n{difference}"
            assert hidden == absent, tool
            assert len(hidden.steps) > 20
            assert hidden.statements
        for tool, make in MANY:  # of several orgs at once, one is before the other by chance
            await answer(client, tool, make(ABSENT))
            hidden, absent = [
                await measure(app, client, monkeypatch, caplog, tool, make(org)) for org in (HIDDEN, ABSENT)
            ]
            assert (hidden.answer, set(hidden.statements)) == (absent.answer, set(absent.statements)), tool
            assert sorted(hidden.lines) == sorted(absent.lines), tool
    assert (await app.access.catalog()).by_alias.keys() == {GRANTED, HIDDEN}


async def measure(
    app: App,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tool: str,
    arguments: dict[str, Any],
) -> Traced:
    with traced(monkeypatch, caplog) as seen:
        text = await answer(client, tool, arguments)
    (newest,) = await app.audit_log.newest(EntryFilter(principal="ada"), 1)
    facts = {name: str(getattr(newest, name)) for name in newest.__dataclass_fields__ if name not in _CLOCKED}
    seen.answer, seen.entry = alike(text), {name: alike(value) for name, value in facts.items()}
    seen.lines = list(map(alike, seen.lines))
    return seen


async def test_prompts_resources_and_completions_are_the_same(app: App) -> None:
    template = ResourceTemplateReference(uri="salesforce://{org}/{object}/{id}")
    async with Client(build_server(app.services, principal=Principal("local:other"))) as other:
        await other.call_tool("salesforce_list_objects", {"org": HIDDEN})  # now its names are at hand
        await other.call_tool("salesforce_describe_object", {"org": HIDDEN, "object": "Contact"})
        at_hand = await other.complete(template, {"name": "object", "value": "Con"}, {"org": HIDDEN})
    assert at_hand.completion.values == ["Contact"]
    async with ada_of(app) as client:
        hidden, absent = [
            [alike(text) async for text in other_answers(client, template, org)] for org in (HIDDEN, ABSENT)
        ]
    assert hidden == absent


async def other_answers(client: Client, template: ResourceTemplateReference, org: str) -> AsyncIterator[str]:
    for job in JOBS:
        values = {"org": org, "other_org": org}
        arguments = {each.name: values[each.name] for each in job.arguments if each.name in values}
        yield (await client.get_prompt(job.name, arguments)).model_dump_json()
    for last in (CONTACT, "describe"):
        with pytest.raises(MCPError) as refused:
            await client.read_resource(f"salesforce://{org}/Contact/{last}")
        yield json.dumps([refused.value.error.message, refused.value.error.data])
    for name, value in (("org", org), ("org", org[:3]), ("object", "Con"), ("field", "Em")):
        for ref in (template, PromptReference(name="find_duplicates")):
            completed = await client.complete(ref, {"name": name, "value": value}, {"org": org, "object": "Contact"})
            assert completed.completion.values == []
            yield completed.model_dump_json()


async def test_a_cursor_of_a_granted_org_tells_of_no_other(app: App) -> None:
    async with ada_of(app) as client:
        page = await client.call_tool("salesforce_query", {"org": GRANTED, **SOQL, "limit": 1})
        cursor = json.loads(page.content[0].text)["next_cursor"]
        hidden, absent = [
            alike(await answer(client, "salesforce_query", {"org": org, **SOQL, "limit": 1, "cursor": cursor}))
            for org in (HIDDEN, ABSENT)
        ]
    assert hidden == absent


async def test_whoever_has_no_grant_is_not_told_what_is_in_the_store(app: App) -> None:
    await add_principal(app, "bob")
    async with Client(build_server(app.services, principal=Principal("bob"))) as client:
        with_orgs = await answer(client, "salesforce_list_orgs", {})
        for alias in (GRANTED, HIDDEN):
            await app.registry.remove(OPERATOR, alias, keep_token=True)
        without = await answer(client, "salesforce_list_orgs", {})
    assert with_orgs == without
