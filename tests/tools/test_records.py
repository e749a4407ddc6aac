"""The tools for any object, for searching and for limits: what they ask, answer and refuse."""

import pytest

from orgserver.model.audit import Action
from orgserver.model.names import CONTACT, SObjectName
from orgserver.model.results import SearchResult, Upserted, Usage

ID = "001Ws000003xYzAIAU"
ACCOUNT = SObjectName("Account")


@pytest.mark.parametrize(
    ("tool", "arguments", "verb", "asked"),
    [
        ("create", {"data": {"Name": "Acme"}, "idempotency_key": "k"}, "create", ({"Name": "Acme"}, "k")),
        ("get", {"record_id": ID, "fields": ["Name"]}, "read", (ID, ["Name"])),
        ("update", {"record_id": ID, "data": {"Name": None}}, "update", (ID, {"Name": None}, None, False)),
        ("delete", {"record_id": ID, "preview": True}, "delete", (ID, True)),
    ],
)
async def test_a_tool_for_any_object_asks_with_the_object_that_was_named(
    connect, operations, tool, arguments, verb, asked
) -> None:
    async with connect(toolsets=frozenset({"records"})) as client:
        result = await client.call_tool(f"salesforce_{tool}_record", {"org": "acme", "object": "Account"} | arguments)

    assert not result.is_error
    assert operations.calls == [(verb, (f"salesforce_{tool}_record", "acme", ACCOUNT, *asked))]


async def test_an_object_that_we_know_is_the_same_in_any_case(connect, operations) -> None:
    async with connect(toolsets=frozenset({"records"})) as client:
        await client.call_tool("salesforce_get_record", {"org": "acme", "object": "contact", "record_id": ID})

    assert operations.calls[0][1][2] == CONTACT


@pytest.mark.parametrize(("created", "named"), [(True, "created_fields"), (False, "updated_fields")])
async def test_an_upsert_tells_whether_it_created(connect, operations, data_of, created, named) -> None:
    operations.result = Upserted(ID, f"https://acme.example/{ID}", fields=("Name",), created=created)
    given = {"external_id_field": "Erp__c", "external_id": "1", "data": {"Name": "Acme"}}

    async with connect(toolsets=frozenset({"records"})) as client:
        result = await client.call_tool("salesforce_upsert_record", {"org": "acme", "object": "Account"} | given)

    made = {"org": "acme", "id": ID, "url": f"https://acme.example/{ID}", "created": created, named: ["Name"]}
    assert data_of(result) == made
    assert operations.calls == [("perform", ("salesforce_upsert_record", Action.UPSERT, "acme", ACCOUNT))]


@pytest.mark.parametrize(("named", "recorded"), [("Invoice__c", "Invoice__c"), ("Bad Name", None), (7, None)])
async def test_a_refused_call_is_on_record_with_its_object_where_that_is_one(
    connect, operations, error_of, named, recorded
) -> None:
    async with connect(toolsets=frozenset({"records"})) as client:
        given = {"org": "acme", "object": named, "record_id": ID, "limit": 1}
        error = error_of(await client.call_tool("salesforce_get_record", given))

    assert ("object" in error["fields"]) is (recorded is None)
    assert "Bad Name" not in error["message"]
    ((_, action, _, sobject, _),) = operations.refusals
    assert (action, sobject) == (Action.READ, recorded)


async def test_a_search_and_the_limits_have_their_own_shapes(client, operations, data_of) -> None:
    operations.result = SearchResult([{"object": "Contact", "Id": ID}], ("there is more",))
    found = await client.call_tool("salesforce_search", {"org": "acme", "text": "Ada"})
    operations.result = Usage({"DailyApiRequests": {"max": 10, "remaining": 5, "used_percent": 50.0}})
    limits = await client.call_tool("salesforce_limits", {"org": "acme"})

    assert data_of(found)["records"] == [{"object": "Contact", "Id": ID}]
    assert data_of(found)["warnings"] == ["there is more"]
    assert data_of(limits)["limits"]["DailyApiRequests"]["used_percent"] == 50.0
    assert [call[1][1] for call in operations.calls] == [Action.SEARCH, Action.LIMITS]


@pytest.mark.parametrize("text", ["a", "x" * 1_001])
async def test_a_text_too_short_or_too_long_is_refused(client, operations, error_of, text) -> None:
    error = error_of(await client.call_tool("salesforce_search", {"org": "acme", "text": text}))

    assert error["fields"] == ["text"]
    assert operations.refusals[0][1] is Action.SEARCH
