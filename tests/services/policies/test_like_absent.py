"""A hidden field and a denied object are as if they were not there: two orgs, one guarded and one without, answer alike."""

import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.client.client import Client

from orgserver.app import App
from orgserver.model.access.policies import read_object_rule
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller, Scope
from orgserver.sandbox.org import SandboxOrg
from orgserver.serving.server import build_server

TABLES = ("Contact", "Account", "Event", "EventRelation", "Custom__c", "Case")
ABSENT: dict[str, dict[str, frozenset[str]]] = {
    "Contact.Email": {"Contact": frozenset({"Email"}), "Case": frozenset({"ContactEmail"})},
    "Contact.FirstName": {"Contact": frozenset({"FirstName", "Name"})},
    "Contact.Department": {"Contact": frozenset({"Department"})},
    "Contact.AccountId": {"Contact": frozenset({"AccountId"})},
    "Contact.MailingCity": {"Contact": frozenset({"MailingCity", "MailingAddress"})},
    "Account.Website": {"Account": frozenset({"Website"})},
    "Custom__c.Contact__c": {"Custom__c": frozenset({"Contact__c"})},
    "Custom__c.External_Id__c": {"Custom__c": frozenset({"External_Id__c"})},
    "Event.Location": {"Event": frozenset({"Location"})},
}
"""What an org lacks in which a field is really absent: with it, whatever is made of it."""
VARYING = frozenset({"next_cursor", "url", "audit_id", "part_of"})
"""What is another at each call; and that the sandbox names a compound field of which a part is absent."""
UNLIKE = [
    ("Contact.FirstName", "salesforce_get_appointment", {}),
    ("Contact.FirstName", "salesforce_list_appointments", {}),
    ("Contact.AccountId", "salesforce_describe_object", {"object": "Account", "detail": True}),
]
"""The sandbox shows the name of an event's person, and the way to an account's contacts, though a part is absent."""


def questions(contact: str, event: str, custom: str) -> list[tuple[str, dict[str, Any]]]:
    """Calls that name no field which any of the policies hides."""
    return [
        *(("salesforce_describe_object", {"object": name} | more) for name in ("Contact", "Custom__c", "Account", "Case")
          for more in ({}, {"detail": True})),
        ("salesforce_describe_object", {"object": "Contact", "fields": ["LastName", "Phone"]}),
        ("salesforce_describe_object", {"object": "Contact", "fields": ["Emial"]}),
        ("salesforce_describe_object", {"object": "Contact", "fields": ["Departmnet"]}),
        ("salesforce_describe_object", {"object": "Custom__c", "fields": ["ExternalId__c"]}),
        ("salesforce_list_objects", {}),
        ("salesforce_get_contact", {"contact_id": contact}),
        ("salesforce_get_contact", {"contact_id": contact, "fields": ["LastName", "Title", "Owner.Name"]}),
        ("salesforce_get_record", {"object": "Custom__c", "record_id": custom}),
        ("salesforce_list_contacts", {"order_by": "LastName"}),
        ("salesforce_list_contacts", {"fields": ["LastName", "Phone"], "limit": 2}),
        ("salesforce_get_appointment", {"event_id": event}),
        ("salesforce_list_appointments", {"start": "2020-01-01"}),
        ("salesforce_query", {"soql": "SELECT Id, LastName FROM Contact ORDER BY LastName"}),
        ("salesforce_query", {"soql": "SELECT Id, Emial FROM Contact"}),
        ("salesforce_query", {"soql": "SELECT Id, LastNam FROM Contact"}),
        ("salesforce_update_contact", {"contact_id": contact, "data": {"Title": "y"}, "preview": True}),
        ("salesforce_update_contact", {"contact_id": contact, "data": {"Emial": "y"}, "preview": True}),
        ("salesforce_delete_contact", {"contact_id": contact, "preview": True}),
        ("salesforce_delete_record", {"object": "Custom__c", "record_id": custom, "preview": True}),
        ("salesforce_change_records",
         {"object": "Contact", "action": "update", "records": [{"Id": contact, "Title": "z"}], "preview": True}),
    ]  # fmt: skip


@pytest.fixture
def twins(acme: SandboxOrg, globex: SandboxOrg) -> tuple[SandboxOrg, SandboxOrg]:
    """Two orgs with the same records, in which every guarded field has a value."""
    account = next(iter(acme.records.tables["Account"]))
    for number, record in enumerate(acme.records.tables["Contact"].values()):
        record |= {"Department": f"D{number}", "MailingCity": "Bonn", "MailingAddress": {"city": "Bonn"}}
    acme.records.tables["Account"][account]["Website"] = "a.example"
    for record in acme.records.tables["Event"].values():
        record["Location"] = "here"
    contact = next(iter(acme.records.tables["Contact"]))
    custom = {"Name": "Thing", "Contact__c": contact, "External_Id__c": "e", "Status__c": "Open"}
    acme.records.add(acme.objects.find("Custom__c"), custom)
    for name in TABLES:
        globex.records.tables[name].clear()
        globex.records.tables[name].update(copy.deepcopy(acme.records.tables[name]))
    globex.records.tables["User"].update(copy.deepcopy(acme.records.tables["User"]))
    return acme, globex


@asynccontextmanager
async def connect(app: App) -> AsyncIterator[Client]:
    server = build_server(
        app.services, principal=Principal("local:agent"), scope=Scope(toolsets=frozenset({"all"})), transport="stdio"
    )
    async with Client(server) as client:
        yield client


async def answer(client: Client, org: str, tool: str, arguments: dict[str, Any]) -> Any:
    called = await client.call_tool(tool, {"org": org} | arguments)
    return plain(json.loads(called.content[0].text.replace("globex", "acme")))  # type: ignore[union-attr]


def plain(value: Any) -> Any:
    """An answer without what is another at each call."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if name not in VARYING}
    return [plain(each) for each in value] if isinstance(value, list) else value


def differing(one: Any, other: Any) -> tuple[Any, Any]:
    """The innermost parts that differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next(differing(one[name], other[name]) for name in one if one[name] != other[name])
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(differing(*pair) for pair in zip(one, other, strict=True) if pair[0] != pair[1])
    return one, other


def asks(acme: SandboxOrg) -> list[tuple[str, dict[str, Any]]]:
    return questions(*(next(iter(acme.records.tables[name])) for name in ("Contact", "Event", "Custom__c")))


async def compare(app: App, acme: SandboxOrg, hidden: str) -> list[Any]:
    """Calls that the guarded org and the one without answer otherwise."""
    differences: list[Any] = []
    async with connect(app) as client:
        for tool, arguments in asks(acme):
            if any(tool == name and some.items() <= arguments.items() for what, name, some in UNLIKE if what == hidden):
                continue
            one, other = await answer(client, "acme", tool, arguments), await answer(client, "globex", tool, arguments)
            if one != other:
                differences.append((tool, arguments, *differing(one, other)))
    return differences


@pytest.mark.parametrize("hidden", ABSENT)
async def test_a_hidden_field_is_answered_like_an_absent_one(
    app: App, caller: Caller, twins: tuple[SandboxOrg, SandboxOrg], hidden: str
) -> None:
    acme, globex = twins
    await app.registry.update(caller, "acme", policy={"hide_fields": (hidden,)})
    globex.hidden_fields = ABSENT[hidden]

    assert await compare(app, acme, hidden) == []


async def test_the_twins_answer_alike_and_a_field_that_is_not_hidden_is_a_difference(
    app: App, twins: tuple[SandboxOrg, SandboxOrg]
) -> None:
    acme, globex = twins
    assert await compare(app, acme, "") == []

    globex.hidden_fields = ABSENT["Contact.Department"]
    assert await compare(app, acme, "") != []


async def test_a_denied_object_is_listed_like_an_absent_one(
    app: App, caller: Caller, twins: tuple[SandboxOrg, SandboxOrg]
) -> None:
    _, globex = twins
    await app.registry.update(caller, "acme", policy={"deny_objects": (read_object_rule("Case"),)})
    globex.hidden_objects = frozenset({"Case"})

    async with connect(app) as client:
        for tool, arguments in (
            ("salesforce_list_objects", {}),
            ("salesforce_list_objects", {"match": "cas"}),
            ("salesforce_query", {"soql": "SELECT Id FROM Caze"}),
        ):
            assert await answer(client, "acme", tool, arguments) == await answer(client, "globex", tool, arguments)
