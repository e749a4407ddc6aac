"""A principal that tries everything: two servers on one store, clients of its own, and grants that change under it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference

from orgserver.app import App
from orgserver.model.access.policies import Policy
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.access.principals import Selector
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.names import alias
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.calls.approvals import Approving
from orgserver.services.people.requests import GrantChanges, GroupChanges, PrincipalChanges, read_grants
from tests.services.calls.test_policies import registration
from tests.system.test_processes import client, environment

CONTACT = "Contact"
NOWHERE = "nowhere"
IDS = {"soql": "SELECT Id, LastName FROM Contact ORDER BY Id", "limit": 2}
RECORD = "003000000000001AAA"
EVERY_TOOL: dict[str, dict[str, Any]] = {
    "salesforce_create_contact": {"data": {"LastName": "x"}},
    "salesforce_get_contact": {"contact_id": RECORD},
    "salesforce_update_contact": {"contact_id": RECORD, "data": {"LastName": "x"}},
    "salesforce_delete_contact": {"contact_id": RECORD},
    "salesforce_list_contacts": {},
    "salesforce_create_appointment": {
        "data": {"Subject": "x", "StartDateTime": "2026-02-20T18:00:00Z", "EndDateTime": "2026-02-20T19:00:00Z"}
    },
    "salesforce_get_appointment": {"event_id": RECORD.replace("003", "00U")},
    "salesforce_update_appointment": {"event_id": RECORD.replace("003", "00U"), "data": {"Subject": "x"}},
    "salesforce_delete_appointment": {"event_id": RECORD.replace("003", "00U")},
    "salesforce_list_appointments": {},
    "salesforce_query": IDS,
    "salesforce_search": {"text": "Lovelace"},
    "salesforce_limits": {},
    "salesforce_describe_object": {"object": CONTACT},
    "salesforce_list_objects": {},
    "salesforce_create_record": {"object": CONTACT, "data": {"LastName": "x"}},
    "salesforce_get_record": {"object": CONTACT, "record_id": RECORD},
    "salesforce_update_record": {"object": CONTACT, "record_id": RECORD, "data": {"LastName": "x"}},
    "salesforce_delete_record": {"object": CONTACT, "record_id": RECORD},
    "salesforce_upsert_record": {
        "object": CONTACT, "external_id_field": "Email", "external_id": "x@y.co", "data": {"LastName": "x"}
    },
    "salesforce_change_records": {"object": CONTACT, "action": "create", "records": [{"LastName": "x"}]},
}  # fmt: skip


@dataclass
class Stage:
    """An app that administers the store, and servers that principals' clients talk to."""

    app: App
    admin: Caller
    home: Path
    end: asyncio.Event = field(default_factory=asyncio.Event)
    servers: list[asyncio.Task[None]] = field(default_factory=list)

    async def server(self, principal: str) -> Client:
        """A server for a principal; its client lives in a task of its own, which may end where others do not."""
        connected: asyncio.Future[Client] = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            async with client(self.home, "--principal", principal, "--toolset", "all") as started:
                connected.set_result(started)
                await self.end.wait()

        self.servers.append(asyncio.create_task(serve()))
        async with asyncio.timeout(60):
            return await connected

    async def add(self, name: str, *grants: str) -> None:
        await self.app.people.principals.add(self.admin, name, granting(*grants))

    async def update(self, name: str, changes: PrincipalChanges) -> None:
        await self.app.people.principals.update(self.admin, name, changes)

    async def entries(self, **criteria: Any) -> list[AuditEntry]:
        await self.app.store.audit.catch_up()
        return [entry async for entry in self.app.audit_log.entries(EntryFilter(**criteria))]


def granting(*grants: str, revoked: tuple[str, ...] = ()) -> PrincipalChanges:
    return PrincipalChanges(grants=GrantChanges(read_grants(grants), revoked=tuple(map(Selector, revoked))))


@pytest.fixture
async def stage(app: App, caller: Caller, tmp_path: Path) -> AsyncIterator[Stage]:
    opened = Stage(app, caller, tmp_path / "home")
    yield opened
    opened.end.set()
    await asyncio.gather(*opened.servers)


async def call(server: Client, tool: str, org: str, **arguments: Any) -> dict[str, Any]:
    """The result, or what ``error`` holds of it."""
    result = await server.call_tool(tool, {"org": org} | arguments)
    content: dict[str, Any] = json.loads(result.content[0].text)  # type: ignore[union-attr]
    assert result.is_error is ("error" in content)
    return content


def code_of(content: dict[str, Any]) -> str | None:
    return content.get("error", {}).get("code")


# -- what is not granted does not exist


async def test_no_tool_prompt_resource_or_completion_tells_an_ungranted_org_from_none(
    stage: Stage, globex: SandboxOrg
) -> None:
    await stage.add("ada", "acme:read,write,delete")
    server = await stage.server("ada")
    offered = {tool.name for tool in (await server.list_tools()).tools}
    assert offered - set(EVERY_TOOL) == {"salesforce_list_orgs", "salesforce_query_orgs"}

    for tool, arguments in EVERY_TOOL.items():
        texts = [json.dumps(await call(server, tool, org, **arguments)) for org in ("globex", NOWHERE)]
        assert texts[0].replace("globex", NOWHERE) == texts[1], tool
        assert "UNKNOWN_ORG" in texts[0]
        wrong = [json.dumps(await call(server, tool, org, nonsense=1)) for org in ("globex", NOWHERE)]
        assert wrong[0].replace("globex", NOWHERE) == wrong[1], tool
    fleet = [
        await server.call_tool("salesforce_query_orgs", {"orgs": ["acme", org], "soql": "SELECT COUNT() FROM Contact"})
        for org in ("globex", NOWHERE)
    ]
    texts = [each.content[0].text for each in fleet]  # type: ignore[union-attr]
    assert texts[0].replace("globex", NOWHERE) == texts[1]
    everywhere = await server.call_tool("salesforce_query_orgs", {"orgs": ["*"], "soql": "SELECT Id FROM Contact"})
    assert "globex" not in everywhere.content[0].text  # type: ignore[union-attr]
    orgs = json.loads((await server.call_tool("salesforce_list_orgs", {})).content[0].text)  # type: ignore[union-attr]
    assert [org["org"] for org in orgs["orgs"]] == ["acme"]

    refusals = []
    for org in ("globex", NOWHERE):
        for last in (RECORD, "describe"):
            with pytest.raises(MCPError) as refused:
                await server.read_resource(f"salesforce://{org}/Contact/{last}")
            refusals.append(str(refused.value.error).replace("globex", NOWHERE))
    assert refusals[:2] == refusals[2:]
    (prompt, *_) = (await server.list_prompts()).prompts
    reference = PromptReference(type="ref/prompt", name=prompt.name)
    completions = [
        (await server.complete(reference, argument, context_arguments=context)).completion.values
        for argument, context in [
            ({"name": "org", "value": ""}, None),
            ({"name": "org", "value": "glo"}, None),
            ({"name": "object", "value": "Con"}, {"org": "globex"}),
            ({"name": "object", "value": "Con"}, {"org": NOWHERE}),
        ]
    ]
    assert completions == [["acme"], [], [], []]
    assert globex.requests == []


# -- grants that change


async def test_what_is_revoked_ends_with_the_next_call_in_every_server_cursors_too(stage: Stage) -> None:
    await stage.add("ada", "acme:read,write")
    servers = [await stage.server("ada"), await stage.server("ada")]
    pages = [await call(server, "salesforce_query", "acme", **IDS) for server in servers]

    await stage.update("ada", granting(revoked=("acme",)))
    after = [
        await call(server, "salesforce_query", "acme", **IDS, **more)
        for server, page in zip(servers, pages, strict=True)
        for more in ({}, {"cursor": page["next_cursor"]})
    ]

    assert [code_of(each) for each in pages] == [None] * 2
    assert [code_of(each) for each in after] == ["UNKNOWN_ORG"] * 4


async def test_a_permission_that_is_taken_ends_with_the_next_call_and_reading_goes_on(stage: Stage) -> None:
    await stage.add("ada", "acme:read,write")
    server = await stage.server("ada")
    first = await call(server, "salesforce_create_contact", "acme", data={"LastName": "x"}, idempotency_key="k")

    await stage.update("ada", granting("acme:read"))
    again = await call(server, "salesforce_create_contact", "acme", data={"LastName": "x"}, idempotency_key="k")
    read = await call(server, "salesforce_get_contact", "acme", contact_id=first["id"])

    assert (code_of(again), again["error"]["category"]) == ("FORBIDDEN", "forbidden")
    assert code_of(read) is None


async def test_a_grant_that_is_revoked_in_the_middle_of_a_call_lets_the_call_end(
    stage: Stage, acme: SandboxOrg
) -> None:
    await stage.add("ada", "acme:read,write")
    server = await stage.server("ada")
    acme.fault("delay", path=".*/sobjects/Contact", seconds=1.5)

    under_way = asyncio.create_task(call(server, "salesforce_create_contact", "acme", data={"LastName": "x"}))
    async with asyncio.timeout(30):
        while not any(seen.method == "POST" and "/sobjects/" in seen.path for seen in acme.requests):
            await asyncio.sleep(0.01)
    await stage.update("ada", granting(revoked=("acme",)))
    done, late = await under_way, await call(server, "salesforce_create_contact", "acme", data={"LastName": "y"})

    assert code_of(done) is None
    assert code_of(late) == "UNKNOWN_ORG"
    outcomes = [(entry.outcome.value, entry.decision) for entry in await stage.entries(principal="ada")]
    assert outcomes == [("succeeded", None), ("denied", "no grant")]


async def test_a_principal_that_is_disabled_in_the_middle_of_a_bulk_job_sees_nothing_after_it(
    stage: Stage, acme: SandboxOrg
) -> None:
    for number in range(300):
        acme.records.add(schema.load(CONTACT), {"LastName": f"N{number}"})
    await stage.app.registry.update(stage.admin, "acme", policy={"confirm_above": 1_000})
    await stage.add("ada", "acme:read,write")
    server = await stage.server("ada")
    acme.bulk_delay = 2
    change = {"object": CONTACT, "action": "update", "soql": "SELECT Id FROM Contact", "data": {"Title": "x"}}

    under_way = asyncio.create_task(call(server, "salesforce_change_records", "acme", **change))
    async with asyncio.timeout(30):
        while not any("/jobs/ingest" in seen.path for seen in acme.requests):
            await asyncio.sleep(0.01)
    await stage.update("ada", PrincipalChanges(enabled=False))
    done = await under_way
    cursor = {"object": CONTACT, "action": "update", "cursor": done["next_cursor"]}
    late = await call(server, "salesforce_change_records", "acme", **cursor)
    orgs = json.loads((await server.call_tool("salesforce_list_orgs", {})).content[0].text)  # type: ignore[union-attr]

    assert done["succeeded"] == done["total"] >= 300
    assert code_of(late) == "UNKNOWN_ORG"
    assert orgs["orgs"] == []
    (entry,) = await stage.entries(principal="ada", action="bulk", outcome="succeeded")
    assert entry.row_count == done["total"]


async def test_under_load_no_call_that_begins_after_a_grant_is_revoked_succeeds(stage: Stage) -> None:
    await stage.add("ada", "acme:read")
    servers = [await stage.server("ada"), await stage.server("ada")]
    count = {"soql": "SELECT COUNT() FROM Contact"}
    is_over = False
    codes: set[str | None] = set()

    async def hammer(server: Client) -> None:
        while not is_over:
            codes.add(code_of(await call(server, "salesforce_query", "acme", **count)))

    load = [asyncio.create_task(hammer(server)) for server in servers * 3]
    for _ in range(12):
        await stage.update("ada", granting(revoked=("acme",)))
        after = await asyncio.gather(*(call(server, "salesforce_query", "acme", **count) for server in servers * 2))
        assert [code_of(each) for each in after] == ["UNKNOWN_ORG"] * 4
        await stage.update("ada", granting("acme:read"))
        back = await asyncio.gather(*(call(server, "salesforce_query", "acme", **count) for server in servers * 2))
        assert [code_of(each) for each in back] == [None] * 4
    is_over = True
    await asyncio.gather(*load)

    assert codes == {None, "UNKNOWN_ORG"}


async def test_a_grant_on_an_alias_follows_its_org_and_never_an_alias_that_is_used_again(
    stage: Stage, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await stage.add("ada", "acme:read")
    server = await stage.server("ada")
    page = await call(server, "salesforce_query", "acme", **IDS)

    await stage.app.registry.update(stage.admin, "acme", rename=alias("north"))
    old, new = (
        await call(server, "salesforce_query", "acme", **IDS),
        await call(server, "salesforce_query", "north", **IDS),
    )
    on = await call(server, "salesforce_query", "north", **IDS, cursor=page["next_cursor"])
    globex.requests.clear()
    await stage.app.registry.update(stage.admin, "globex", rename=alias("acme"))
    taken = [
        await call(server, "salesforce_query", "acme", **IDS),
        await call(server, "salesforce_query", "acme", **IDS, cursor=page["next_cursor"]),
    ]
    await stage.app.registry.remove(stage.admin, "north", keep_token=True)
    await stage.app.enrolment.add(
        stage.admin, registration(acme, "north", (await stage.app.registry.one("acme")).policy)
    )
    again = await call(server, "salesforce_query", "north", **IDS)

    assert [code_of(each) for each in (page, old, new, on)] == [None, "UNKNOWN_ORG", None, None]
    assert [code_of(each) for each in taken] == ["UNKNOWN_ORG"] * 2
    assert code_of(again) == "UNKNOWN_ORG"
    assert globex.requests == []


async def test_an_emptied_group_grants_nothing_any_more(stage: Stage) -> None:
    await stage.add("ada")
    groups = stage.app.people.groups
    await groups.add(stage.admin, "ops", GroupChanges(members=("ada",), grants=GrantChanges(read_grants(["a*:read"]))))
    server = await stage.server("ada")
    before = await call(server, "salesforce_list_contacts", "acme")

    await groups.update(stage.admin, "ops", GroupChanges(no_members=("ada",)))
    after = await call(server, "salesforce_list_contacts", "acme")
    await groups.update(stage.admin, "ops", GroupChanges(members=("ada",)))
    back = await call(server, "salesforce_list_contacts", "acme")

    assert [code_of(each) for each in (before, after, back)] == [None, "UNKNOWN_ORG", None]


# -- what belongs to another principal


async def test_cursors_keys_and_approvals_of_another_principal_are_worth_nothing(
    stage: Stage, acme: SandboxOrg
) -> None:
    await stage.app.registry.update(stage.admin, "acme", policy={"confirm_deletes": True})
    await stage.add("ada", "acme:read,write,delete")
    await stage.add("bob", "acme:read,write,delete")
    ada, bob = await stage.server("ada"), await stage.server("bob")
    values = {"data": {"LastName": "Lovelace"}, "idempotency_key": "same"}

    page = await call(ada, "salesforce_query", "acme", **IDS)
    stolen = await call(bob, "salesforce_query", "acme", **IDS, cursor=page["next_cursor"])
    mine, theirs = [await call(each, "salesforce_create_contact", "acme", **values) for each in (ada, bob)]
    replayed = await call(ada, "salesforce_create_contact", "acme", **values)
    asked = await call(ada, "salesforce_delete_contact", "acme", contact_id=mine["id"])
    approving = Approving(stage.app.store, stage.app.access)
    (request,) = await approving.waiting()
    await approving.approve(stage.admin, request)
    taken = await call(bob, "salesforce_delete_contact", "acme", contact_id=mine["id"])
    await stage.update("ada", granting("acme:read,write"))
    late = await call(ada, "salesforce_delete_contact", "acme", contact_id=mine["id"])
    await stage.update("ada", granting("acme:read,write,delete"))
    passed = await call(ada, "salesforce_delete_contact", "acme", contact_id=mine["id"])

    assert (code_of(stolen), stolen["error"]["fields"]) == ("INVALID_ARGUMENT", ["cursor"])
    assert mine["id"] != theirs["id"]
    assert replayed["id"] == mine["id"]
    assert (code_of(asked), code_of(taken)) == ("CONFIRMATION_REQUIRED",) * 2
    assert code_of(late) == "FORBIDDEN"
    assert code_of(passed) is None


async def test_a_principals_own_limits_hold_beside_the_orgs_in_every_server(stage: Stage, acme: SandboxOrg) -> None:
    for number in range(9):
        acme.records.add(schema.load(CONTACT), {"LastName": f"N{number}"})
    await stage.app.registry.update(stage.admin, "acme", policy={"row_limit": 6})
    await stage.add("ada", "acme:read,write,delete")
    await stage.add("bob", "acme:read,write,delete")
    limits = Policy(row_limit=3, api_budget=4, confirm_above=0)
    await stage.update("ada", PrincipalChanges(limits=PolicyEdit.replacing(limits)))
    servers = [await stage.server("ada"), await stage.server("ada")]
    bob = await stage.server("bob")

    asked = await call(servers[0], "salesforce_create_contact", "acme", data={"LastName": "x"})
    pages = [await call(each, "salesforce_query", "acme", soql=IDS["soql"], limit=50) for each in (*servers, bob)]
    rest = [await call(each, "salesforce_query", "acme", soql=IDS["soql"], limit=50) for each in servers * 2]
    free = await call(bob, "salesforce_create_contact", "acme", data={"LastName": "x"})

    assert code_of(asked) == "CONFIRMATION_REQUIRED"
    assert [(len(page["records"]), page["has_more"]) for page in pages] == [(3, False), (3, False), (6, False)]
    assert [code_of(each) for each in rest] == [None, None, "API_BUDGET_USED", "API_BUDGET_USED"]
    assert code_of(free) is None
    denied = {entry.decision for entry in await stage.entries(principal="ada", outcome="denied") if entry.decision}
    assert "principal:api-budget" in denied


async def test_show_org_tells_what_agents_used_up_today(stage: Stage, acme: SandboxOrg) -> None:
    async def show(*options: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orgserver", "show-org", *options,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=environment(stage.home),
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    before = await show("acme"), json.loads(await show("acme", "--json"))
    await stage.app.registry.update(stage.admin, "acme", policy={"api_budget": 1_000})
    await stage.add("ada", "acme:read")
    server = await stage.server("ada")
    for _ in range(2):
        await call(server, "salesforce_query", "acme", soql="SELECT COUNT() FROM Contact")
    after, facts = await show("acme"), json.loads(await show("acme", "--json"))

    assert "api calls today" not in before[0]
    assert "api_calls_today" not in before[1]
    assert "api calls today  2 of 1,000 (ada 2)" in after
    assert facts["api_calls_today"] == {"total": 2, "by_principal": {"ada": 2}}
    assert set(facts) == set(before[1]) | {"api_calls_today"}
