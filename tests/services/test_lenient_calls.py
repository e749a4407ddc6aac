"""Calls in the forms that clients send are the calls that they mean, down to the org, the log and the repeated create."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.client.client import Client

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.audit import EntryFilter
from orgserver.model.orgs import Scope
from orgserver.sandbox.org import SandboxOrg
from orgserver.serving.server import build_server

CREATE, UPDATE, LIST = "salesforce_create_contact", "salesforce_update_contact", "salesforce_list_contacts"
BULK, FLEET, UPSERT = "salesforce_change_records", "salesforce_query_orgs", "salesforce_upsert_record"
PERSON = {"LastName": "Somerville", "Title": "2.0", "Department": "true"}


class Calls:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The result of a call, or its error."""
        result = await self._client.call_tool(tool, arguments)
        return dict(result.structured_content or json.loads(result.content[0].text)["error"])  # type: ignore[union-attr]


@asynccontextmanager
async def calling(app: App) -> AsyncIterator[Calls]:
    server = build_server(app.services, principal=Principal("local:tester"), scope=Scope(toolsets=frozenset({"all"})))
    async with Client(server) as client:
        yield Calls(client)


def posts(org: SandboxOrg) -> int:
    return sum(seen.method == "POST" and "/sobjects" in seen.path for seen in org.requests)


async def test_a_repeated_create_is_the_same_call_in_every_form_of_it(app: App, acme: SandboxOrg) -> None:
    async with calling(app) as call:
        first = await call(CREATE, org="acme", data=PERSON, idempotency_key="k")
        again = await call(CREATE, org="acme", data=json.dumps(PERSON, indent=2), idempotency_key="k")
        other = await call(CREATE, org="acme", data=json.dumps(PERSON | {"Title": "2"}), idempotency_key="k")
        records = [PERSON, PERSON | {"LastName": "Byron"}]
        many = await call(BULK, org="acme", object="Contact", action="create", records=records, idempotency_key="m")
        sent = {"records": [json.dumps(each) for each in records], "all_or_none": "false", "soql": None, "data": None}
        repeated = await call(BULK, org="acme", object="Contact", action="create", idempotency_key="m", **sent)

    assert first["created_fields"] == list(PERSON)
    assert again == first
    assert other["category"] == "conflict"
    assert repeated["audit_id"] == many["audit_id"]
    assert posts(acme) == 2  # the one create, and the one of many
    entries = [entry async for entry in app.audit_log.entries(EntryFilter(tool=CREATE))]
    assert sorted(entry.api_calls or 0 for entry in entries if entry.outcome == "succeeded") == [0, 1]


async def test_values_arrive_as_they_were_sent_whatever_carried_them(app: App, acme: SandboxOrg) -> None:
    async with calling(app) as call:
        made = await call(CREATE, org="acme", data=json.dumps(PERSON))
        changed = await call(
            UPDATE,
            org="acme",
            contact_id=made["id"],
            data='{"Title": "null"}',
            preview="false",
            if_unmodified_since=None,
        )
        page = await call(LIST, org="acme", fields="Title", filter='{"LastName": "Somerville"}', limit="1", cursor="")
        fleet = await call(FLEET, orgs='["acme"]', soql="SELECT COUNT() FROM Contact", limit_per_org=2.0, merge="false")

    assert changed["updated_fields"] == ["Title"]
    assert page["records"] == [{"Id": made["id"], "Title": "null"}]
    assert fleet["answered"] == 1


async def test_a_guard_that_is_empty_is_refused_and_so_is_an_org_in_another_form(app: App, acme: SandboxOrg) -> None:
    async with calling(app) as call:
        made = await call(CREATE, org="acme", data=PERSON)
        before = len(acme.requests)
        unguarded = await call(UPDATE, org="acme", contact_id=made["id"], data={"Title": "x"}, if_unmodified_since="")
        unkeyed = await call(CREATE, org="acme", data=PERSON, idempotency_key="")
        bare = await call(FLEET, orgs="acme", soql="SELECT Id FROM Contact")
        listed = await call(LIST, org='["acme"]')

    assert unguarded["fields"] == ["if_unmodified_since"]
    assert unkeyed["fields"] == ["idempotency_key"]
    assert bare["message"] == "orgs must be a list; a text arrived"
    assert listed["category"] == "unknown_org"
    assert len(acme.requests) == before
