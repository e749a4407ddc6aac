"""Arguments that mean nothing are refused by name, recorded, and never repeated."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orgserver.model.audit import Action
from orgserver.model.names import CONTACT, EVENT
from orgserver.tools import toolsets
from orgserver.tools.argument_errors import explain
from orgserver.tools.contacts import CreateContact

ID = "003Ws000003xYzAIAU"
WHEN = "2026-02-20T18:00:00Z"
CANARY = "CANARY-7f3a"
CREATE, UPDATE = "salesforce_create_contact", "salesforce_update_contact"
LIST, QUERY = "salesforce_list_contacts", "salesforce_query"
BOOK = "salesforce_create_appointment"
SCALAR = "must be a text, a number, true, false or null"

MANY = "salesforce_change_records"

BAD: list[tuple[str, dict[str, Any], list[str], str]] = [
    (CREATE, {"org": "acme", "data": {}}, ["data.LastName"], "data.LastName is required"),
    (CREATE, {"org": "acme"}, ["data"], "data is required"),
    (CREATE, {"data": {"LastName": "X"}}, ["org"], "org is required"),
    (CREATE, {"org": 7, "data": {"LastName": "X"}}, ["org"], "org must be a text"),
    (CREATE, {"org": "", "data": {"LastName": "X"}}, ["org"], "org must have at least 1 character"),
    (CREATE, {"org": None, "data": {"LastName": "X"}}, ["org"], "org must be a text"),
    (CREATE, {"org": "acme", "data": {"LastName": ""}}, ["data.LastName"], "must have at least 1 character"),
    (CREATE, {"org": "acme", "data": {"LastName": None}}, ["data.LastName"], "must be a text"),
    (CREATE, {"org": "acme", "data": {"LastName": "x" * 81}}, ["data.LastName"], "must have at most 80 characters"),
    (CREATE, {"org": "acme", "data": {"LastName": "X", "Email": 3}}, ["data.Email"], "data.Email must be a text"),
    (CREATE, {"org": "acme", "data": {"LastName": "X", "Tags__c": [[CANARY]]}}, ["data.Tags__c"], SCALAR),
    (CREATE, {"org": "acme", "data": {"LastName": "X", "Tags__c": {"a": [CANARY]}}}, ["data.Tags__c"], SCALAR),
    (CREATE, {"org": "acme", "data": {"LastName": "X", f"{CANARY} ": [[]]}}, ["data"], "no field can have"),
    (CREATE, {"org": "acme", "data": CANARY}, ["data"], "data must be an object"),
    (CREATE, {"org": "acme", "data": {"LastName": "X"}, "idempotency_key": 5}, ["idempotency_key"], "must be a text"),
    (CREATE, {"org": "acme", "data": {"LastName": "X"}, "surprise": CANARY}, ["surprise"], "is not an argument"),
    (CREATE, {"org": "acme", "data": {"LastName": "X"}, f"{CANARY}\n": 1}, ["arguments"], "no argument of this tool"),
    (UPDATE, {"org": "acme", "data": {"Email": "x"}}, ["contact_id"], "contact_id is required"),
    (UPDATE, {"org": "acme", "contact_id": ID, "data": {}, "preview": "yes"}, ["preview"], "must be true or false"),
    (UPDATE, {"org": "acme", "contact_id": ID, "data": {"Phone": "1" * 41}}, ["data.Phone"], "at most 40 characters"),
    (LIST, {"org": "acme", "limit": 0}, ["limit"], "must be greater than or equal to 1"),
    (LIST, {"org": "acme", "limit": 2_001}, ["limit"], "must be less than or equal to 2000"),
    (LIST, {"org": "acme", "limit": 10**30}, ["limit"], "must be less than or equal to 2000"),
    (LIST, {"org": "acme", "limit": "ten"}, ["limit"], "must be a whole number; a text arrived"),
    (LIST, {"org": "acme", "limit": True}, ["limit"], "must be a whole number"),
    (LIST, {"org": "acme", "fields": 5}, ["fields"], "must be a list; a number arrived"),
    (LIST, {"org": "acme", "fields": ["Email", 7]}, ["fields"], "must hold texts only"),
    (LIST, {"org": "acme", "filter": "LastName = 'x'"}, ["filter"], "must be an object"),
    (LIST, {"org": "acme", "cursor": 5}, ["cursor"], "must be a text"),
    (LIST, {"org": "acme", "order_by": ["Name"]}, ["order_by"], "must be a text"),
    (QUERY, {"org": "acme"}, ["soql"], "soql is required"),
    (QUERY, {"org": "acme", "soql": "SELECT Id FROM X", "include_deleted": 1}, ["include_deleted"], "true or false"),
    (
        BOOK,
        {"org": "acme", "data": {"Subject": "S", "StartDateTime": WHEN}},
        ["data.EndDateTime"],
        "is required, unless",
    ),
    ("salesforce_list_appointments", {"org": "acme", "start": 5}, ["start"], "must be a text"),
]


@pytest.mark.parametrize(("tool", "arguments", "fields", "words"), BAD)
async def test_a_bad_argument_is_named_recorded_and_asks_nothing(
    client, operations, error_of, tool, arguments, fields, words
) -> None:
    result = await client.call_tool(tool, arguments)

    error = error_of(result)
    assert error["fields"] == fields
    assert words in error["message"]
    assert (error["code"], error["category"]) == ("INVALID_ARGUMENT", "invalid_argument")
    assert (error["outcome"], error["retryable"]) == ("denied", False)
    assert CANARY not in str(result)
    assert operations.calls == []
    ((recorded, _, alias, _, reason),) = operations.refusals
    assert recorded == tool
    assert alias == (arguments.get("org") if isinstance(arguments.get("org"), str) else None) or alias is None
    assert list(reason.fields) == fields


@pytest.mark.parametrize(
    ("records", "field", "words"),
    [
        ([{"Name": "x"}, {"Name": [[CANARY]]}], "records[1].Name", SCALAR),
        ([{"Owner": {"Alias": {"a": {"b": CANARY}}}}], "records[0].Owner", SCALAR),
        ([{"Name": "x"}, CANARY], "records[1]", "must be an object; a text arrived"),
        ([{f"{CANARY} ": [[]]}], "records[0]", "no field can have"),
        (CANARY, "records", "must be a list; a text arrived"),
        ([{"Name": "x"}] * 20_001, "records", "must have at most 20000 items"),
    ],
)
async def test_of_many_records_the_bad_one_and_its_field_are_named(connect, error_of, records, field, words) -> None:
    async with connect(toolsets=frozenset({"bulk"})) as client:
        given = {"org": "acme", "object": "Account", "action": "create", "records": records}
        error = error_of(await client.call_tool(MANY, given))

    assert error["fields"] == [field]
    assert error["message"].startswith(f"{field} ")
    assert error["message"].endswith(words)
    assert CANARY not in str(error)


async def test_every_bad_argument_is_named_at_once(client, error_of) -> None:
    bad = {"org": "acme", "data": {"FirstName": 1, "Phone": []}, "limit": 3}

    error = error_of(await client.call_tool(CREATE, bad))

    assert error["fields"] == ["data.LastName", "data.FirstName", "data.Phone", "limit"]


@pytest.mark.parametrize(
    ("tool", "extra", "action", "sobject"),
    [
        ("salesforce_create_contact", {}, Action.CREATE, CONTACT),
        ("salesforce_get_contact", {}, Action.READ, CONTACT),
        ("salesforce_update_contact", {}, Action.UPDATE, CONTACT),
        ("salesforce_update_contact", {"preview": True}, Action.PREVIEW, CONTACT),
        ("salesforce_delete_contact", {"preview": True}, Action.PREVIEW, CONTACT),
        ("salesforce_delete_contact", {"preview": 1}, Action.DELETE, CONTACT),
        ("salesforce_list_contacts", {"limit": 0}, Action.LIST, CONTACT),
        ("salesforce_create_appointment", {}, Action.CREATE, EVENT),
        ("salesforce_get_appointment", {}, Action.READ, EVENT),
        ("salesforce_update_appointment", {}, Action.UPDATE, EVENT),
        ("salesforce_delete_appointment", {}, Action.DELETE, EVENT),
        ("salesforce_list_appointments", {"limit": 0}, Action.LIST, EVENT),
        ("salesforce_query", {}, Action.QUERY, None),
    ],
)
async def test_a_refused_call_is_recorded_as_what_it_would_have_been(
    client, operations, tool, extra, action, sobject
) -> None:
    result = await client.call_tool(tool, {"org": "acme"} | extra)

    assert result.is_error
    ((recorded, what, alias, on, _),) = operations.refusals
    assert (recorded, what, alias, on) == (tool, action, "acme", sobject)


async def test_a_bad_argument_of_list_orgs_is_refused_and_recorded(client, operations, error_of) -> None:
    error = error_of(await client.call_tool("salesforce_list_orgs", {"org": "acme"}))

    assert error["fields"] == ["org"]
    assert [each[:2] for each in operations.refusals] == [("salesforce_list_orgs", Action.LIST)]


async def test_a_very_long_alias_reaches_log_and_answer_cut(client, operations, error_of) -> None:
    error = error_of(await client.call_tool(LIST, {"org": "a" * 100_000}))

    assert error["fields"] == ["org"]
    assert error["org"] == "a" * 255
    assert operations.refusals[0][2] == "a" * 255


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_refused(number) -> None:
    with pytest.raises(ValidationError) as refused:
        CreateContact.model_validate({"org": "acme", "data": {"LastName": "X", "Score__c": number}})

    error = explain(refused.value)
    assert str(error) == f"data.Score__c {SCALAR}"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_SPECS = tuple(toolsets.chosen(()).values())


@given(
    spec=st.sampled_from(_SPECS),
    known=st.dictionaries(st.sampled_from(["org", "data", "fields", "filter", "limit", "soql", "contact_id"]), _JSON),
    other=st.dictionaries(st.text(max_size=10), _JSON, max_size=2),
)
def test_any_arguments_are_taken_or_refused_without_being_repeated(spec, known, other) -> None:
    canary = "Zq8-canary"
    arguments = known | other | {"unwanted": canary, "data": {"Odd__c": [canary], **dict.fromkeys(other, canary)}}

    with pytest.raises(ValidationError) as refused:
        spec.arguments.model_validate(arguments)

    error = explain(refused.value)
    assert canary not in str(error)
    assert canary not in str(refused.value)
    assert "unwanted" in error.fields or len(error.fields) == 10
    assert len(str(error)) < 2_000
