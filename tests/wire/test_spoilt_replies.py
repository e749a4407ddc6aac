"""Whatever an org answers, a call ends in a result or in one of the contract's errors, and never in a defect of ours."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest
from mcp.client.client import Client

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Scope
from orgserver.salesforce.client import SalesforceClient
from orgserver.services.calls.access import Access
from orgserver.services.composition import Services, make_services
from orgserver.serving.server import build_server
from tests.senders import HttpxSenders
from tests.wire.spoiling import Spoiler

CATEGORIES = {
    "unknown_org", "forbidden", "policy", "invalid_argument", "not_found", "conflict", "auth_expired", "rate_limited",
    "upstream",
}  # fmt: skip
SEEDS = 25
ID = "003Sb0000000002IAA"
CALLS: dict[str, dict[str, Any]] = {
    "salesforce_create_contact": {"data": {"LastName": "Once"}},
    "salesforce_get_contact": {"contact_id": "{contact}"},
    "salesforce_update_contact": {"contact_id": "{contact}", "data": {"Title": "x"}},
    "salesforce_delete_contact": {"contact_id": "{contact}"},
    "salesforce_list_contacts": {"limit": 3},
    "salesforce_list_appointments": {"limit": 3, "start": "2020-01-01"},
    "salesforce_create_appointment": {
        "data": {"Subject": "x", "StartDateTime": "2026-02-20T18:00:00Z", "EndDateTime": "2026-02-20T19:00:00Z"}
    },
    "salesforce_query": {"soql": "SELECT Id, LastName, Account.Name, (SELECT Id FROM Cases) FROM Contact"},
    "salesforce_search": {"text": "Ada Lovelace"},
    "salesforce_describe_object": {"object": "Account", "detail": True},
    "salesforce_list_objects": {},
    "salesforce_limits": {},
    "salesforce_get_record": {"object": "Account", "record_id": "{account}"},
    "salesforce_change_records": {
        "object": "Contact",
        "action": "create",
        "records": [{"LastName": "A"}, {"LastName": "B"}],
    },
    "salesforce_query_orgs": {"orgs": ["acme"], "soql": "SELECT COUNT(Id) n FROM Contact", "merge": True},
    "salesforce_upsert_record": {
        "object": "Custom__c",
        "external_id_field": "External_Id__c",
        "external_id": "k1",
        "data": {"Name": "x"},
    },
    "salesforce_update_record": {
        "object": "Contact",
        "record_id": "{contact}",
        "data": {"Title": "y"},
        "preview": True,
    },
    "salesforce_delete_record": {"object": "Contact", "record_id": "{contact}", "preview": True},
}


@pytest.fixture
def spoiler() -> Spoiler:
    return Spoiler()


async def at_once(_seconds: float) -> None:
    """A pause that tests need not wait for."""


@pytest.fixture
async def operations(app: App, spoiler: Spoiler) -> AsyncIterator[Services]:
    client = SalesforceClient(senders=HttpxSenders(spoiler.transport), pause=at_once)
    access = Access(app.store, client, Scope())
    made = make_services(app.store, access, 30)
    yield made
    await made.executor.close()
    await client.aclose()


Connect = Callable[[], Any]


@pytest.fixture
def connect(operations: Services) -> Connect:
    def connecting() -> Client:
        scope = Scope(toolsets=frozenset({"all"}))
        return Client(build_server(operations, principal=Principal("local:tester"), scope=scope), raise_exceptions=True)

    return connecting


def filled(arguments: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    return {
        name: value.format(**ids) if isinstance(value, str) and value.startswith("{") else value
        for name, value in arguments.items()
    }


async def ids_of(client: Any) -> dict[str, str]:
    found = {}
    for name in ("contact", "account"):
        soql = f"SELECT Id FROM {name.capitalize()} LIMIT 1"
        result = await client.call_tool("salesforce_query", {"org": "acme", "soql": soql})
        found[name] = json.loads(result.content[0].text)["records"][0]["Id"]
    return found


@pytest.mark.parametrize("tool", CALLS)
async def test_a_spoilt_reply_is_a_result_or_an_error_of_the_contract(
    connect: Connect, spoiler: Spoiler, caplog: pytest.LogCaptureFixture, tool: str
) -> None:
    caplog.set_level(logging.ERROR)
    async with connect() as client:
        ids = await ids_of(client)
        for seed in range(SEEDS):
            spoiler.chance = Random(f"{tool} {seed}")
            arguments = {**({} if "orgs" in CALLS[tool] else {"org": "acme"})} | filled(CALLS[tool], ids)
            result = await client.call_tool(tool, arguments)
            told = json.loads(result.content[0].text)
            errors = [told["error"]] if result.is_error else []
            errors += [each["error"] for each in told.get("results", []) if "category" in each.get("error", {})]
            for error in errors:
                assert error["code"] != "INTERNAL", (seed, error)
                assert error["category"] in CATEGORIES, (seed, error)
                assert not any(letter in str(error) for letter in "\u202e\u061c\x1b\U000e0041"), (seed, error)
            assert [record.getMessage() for record in caplog.records] == [], seed


@pytest.mark.parametrize("tool", CALLS)
async def test_the_same_replies_unspoilt_are_results(connect: Connect, tool: str) -> None:
    async with connect() as client:
        ids = await ids_of(client)
        result = await client.call_tool(
            tool, {**({} if "orgs" in CALLS[tool] else {"org": "acme"})} | filled(CALLS[tool], ids)
        )

    assert not result.is_error, result.content[0].text
