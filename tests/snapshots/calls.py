"""Calls of every tool through the MCP SDK's own client in this process: good ones, and ones that are refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.client.client import Client
from mcp_types import Implementation, ResourceTemplateReference
from pydantic import BaseModel

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Scope
from orgserver.serving.server import build_server
from tests.serving.line_client import client_past_sdk

from .shell import Shell

CONTACTS = ["LastName", "FirstName", "Email"]
MEETING = {
    "Subject": "Engines",
    "StartDateTime": "1999-03-04T09:00:00+01:00",
    "EndDateTime": "1999-03-04T10:30:00+01:00",
}
ALIASES = {"org": "acme", "other_org": "globex"}
ABSENT = "003000000000000AAA"


@asynccontextmanager
async def agent(shell: Shell, *, past_sdk: bool = False) -> AsyncIterator[Agent]:
    """An agent with every tool, over the shell's home; its calls go by the server's SDK, or past it."""
    label, scope = "night shift", Scope(toolsets=frozenset({"all"}))
    me = Implementation(name="snapshots", version="1")
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        if past_sdk:
            async with client_past_sdk(app, "local:agent", label=label, scope=scope, client_info=me) as client:
                yield Agent(shell, client)
            return
        server = build_server(app.services, principal=Principal("local:agent"), label=label, scope=scope)
        async with Client(server, client_info=me, raise_exceptions=True) as client:
            yield Agent(shell, client)


class Agent:
    """Calls tools, and writes each call and its result down on the page of its tool."""

    def __init__(self, shell: Shell, client: Client) -> None:
        self._shell = shell
        self._client = client

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; its result, or the error that it answers."""
        result = await self._client.call_tool(tool, arguments)
        texts = [content.text for content in result.content if content.type == "text"]
        answer = json.loads(texts[0]) if result.is_error else result.structured_content
        if not result.is_error and json.loads(texts[0]) != answer:
            answer = {"structured": answer, "text": texts}
        self._shell.write(tool, f"{_json(arguments)}\n{'error' if result.is_error else 'result'}: {_json(answer)}\n")
        return answer

    async def ask_for_the_rest(self) -> None:
        """Prompts, resources, completions, and what the server says of itself."""
        client, org = self._client, {"org": "acme"}
        prompts = await client.list_prompts()
        self._shell.write("mcp-server", f"{client.instructions}\n")
        self._note("server", await client.list_resources())
        self._note("prompts", prompts)
        for prompt in prompts.prompts:
            values = {each.name: ALIASES[each.name] for each in prompt.arguments or () if each.required}
            self._note("prompts", await client.get_prompt(prompt.name, values))
        self._note("resources", await client.list_resource_templates())
        self._note("resources", await client.read_resource("salesforce://acme/Contact/003Sb0000000002IAA"))
        for reference in (await client.list_resource_templates()).resource_templates:
            uri = ResourceTemplateReference(type="ref/resource", uri=reference.uri_template)
            self._note("completions", await client.complete(uri, {"name": "org", "value": "a"}))
            self._note("completions", await client.complete(uri, {"name": "object", "value": "Con"}, org))

    def _note(self, page: str, result: BaseModel) -> None:
        data = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        if page != "server":
            data.pop("_meta", None)  # the server says there who it is, in every result
        self._shell.write(f"mcp-{page}", f"{_json(data)}\n")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


async def make_calls(agent: Agent) -> None:
    """Call every tool in two orgs: acme keeps values, globex lets a person confirm deletes."""
    await _change_contacts(agent)
    await _change_appointments(agent)
    await _change_any_object(agent)
    await _read(agent)
    await _be_refused(agent)
    await agent.ask_for_the_rest()


async def _change_contacts(agent: Agent) -> None:
    ada = {"FirstName": "Ada", "LastName": "Byron", "Email": "ada@example.com"}
    created = await agent.call("salesforce_create_contact", org="acme", data=ada, idempotency_key="ada-1")
    await agent.call("salesforce_create_contact", org="acme", data=ada, idempotency_key="ada-1")
    name = {"org": "acme", "contact_id": created["id"]}
    await agent.call("salesforce_get_contact", **name, fields=CONTACTS)
    await agent.call("salesforce_update_contact", **name, data={"LastName": "Lovelace"}, preview=True)
    await agent.call("salesforce_update_contact", **name, data={"LastName": "Lovelace", "Phone": "+44 1"})
    other = await agent.call("salesforce_create_contact", org="acme", data={"LastName": "Menabrea"})
    await agent.call("salesforce_delete_contact", org="acme", contact_id=other["id"], preview=True)
    await agent.call("salesforce_delete_contact", org="acme", contact_id=other["id"])
    await agent.call(
        "salesforce_list_contacts", org="acme", fields=CONTACTS, filter={"LastName": {"starts": "L"}}, count=True
    )


async def _change_appointments(agent: Agent) -> None:
    created = await agent.call("salesforce_create_appointment", org="globex", data=MEETING)
    name = {"org": "globex", "event_id": created["id"]}
    await agent.call("salesforce_get_appointment", **name, fields=["Subject", "StartDateTime", "EndDateTime"])
    await agent.call("salesforce_update_appointment", **name, data={"Location": "Room 7"})
    await agent.call(
        "salesforce_list_appointments", org="globex", start="1999-03-04", end="1999-03-05", fields=["Subject"]
    )
    await agent.call("salesforce_delete_appointment", **name)


async def _change_any_object(agent: Agent) -> None:
    created = await agent.call("salesforce_create_record", org="acme", object="Account", data={"Name": "Engines Ltd"})
    name = {"org": "acme", "object": "Account", "record_id": created["id"]}
    await agent.call("salesforce_get_record", **name, fields=["Name", "Industry"])
    await agent.call("salesforce_update_record", **name, data={"Industry": "Engineering"})
    await agent.call("salesforce_delete_record", **name)
    for title in ("Countess", "Analyst"):
        await agent.call(
            "salesforce_upsert_record",
            org="acme",
            object="Custom__c",
            external_id_field="External_Id__c",
            external_id="E-1",
            data={"Name": f"{title} Ltd"},
        )
    people = [{"LastName": "One"}, {"LastName": "Two"}, {"FirstName": "No last name"}]
    await agent.call("salesforce_change_records", org="acme", object="Contact", action="create", records=people)
    await agent.call(
        "salesforce_change_records",
        org="acme",
        object="Contact",
        action="update",
        soql="SELECT Id FROM Contact WHERE LastName IN ('One', 'Two')",
        data={"Department": "Numbers"},
        preview=True,
    )


async def _read(agent: Agent) -> None:
    names = "SELECT FirstName, LastName FROM Contact ORDER BY LastName"
    page = await agent.call("salesforce_query", org="globex", soql=names, limit=3, count=True)
    await agent.call("salesforce_query", org="globex", soql=names, limit=3, cursor=page.get("next_cursor"))
    await agent.call("salesforce_search", org="globex", text="Turing")
    await agent.call("salesforce_query_orgs", orgs=["*"], soql="SELECT COUNT(Id) people FROM Contact", merge=True)
    await agent.call("salesforce_describe_object", org="acme", object="Contact")
    await agent.call("salesforce_describe_object", org="acme", object="Contact", fields=["LastName", "AccountId"])
    await agent.call("salesforce_list_objects", org="acme", match="contact")
    await agent.call("salesforce_limits", org="acme")
    await agent.call("salesforce_list_orgs")


async def _be_refused(agent: Agent) -> None:
    await agent.call("salesforce_create_contact", org="acne", data={"LastName": "X"})
    await agent.call("salesforce_create_contact", org="acme", data={"LastNam": "X", "LastName": "Y"})
    await agent.call("salesforce_create_contact", org="acme", data={"FirstName": "No last name"})
    await agent.call("salesforce_create_contact", org="acme")
    await agent.call("salesforce_get_contact", org="acme", contact_id=ABSENT)
    await agent.call("salesforce_get_contact", org="acme", contact_id="003")
    await agent.call("salesforce_create_appointment", org="acme", data={"Subject": "No time"})
    await agent.call("salesforce_query", org="acme", soql="DELETE FROM Contact")
    await agent.call("salesforce_query", org="acme", soql="SELECT Nope FROM Contact")
    await agent.call("salesforce_describe_object", org="acme", object="Nope__c")
    await agent.call("salesforce_delete_everything", org="acme")
    found = await agent.call("salesforce_query", org="globex", soql="SELECT Id FROM Contact WHERE LastName = 'Knuth'")
    await agent.call("salesforce_delete_contact", org="globex", contact_id=found["records"][0]["Id"])
