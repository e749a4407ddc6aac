"""A parent is named by an external id of its, in single calls and in columns, and checked against the describe."""

import re
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import CallError, InvalidArgument, Rejected
from orgserver.model.names import CONTACT, EVENT, SObjectName
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.bulk.run import Pace
from orgserver.services.records.upsert import Upsert
from tests import operations

CUSTOM = SObjectName("Custom__c")
BY_KEY = {"Contact__r": {"Ext__c": "ada"}}
WHO = {"Who": {"type": "Contact", "Ext__c": "ada"}}
TIMES = {"Subject": "Tea", "StartDateTime": "2031-01-01T10:00Z", "EndDateTime": "2031-01-01T11:00Z"}


@pytest.fixture
def ada(app: App, acme: SandboxOrg) -> str:
    app.services.bulk.pace = Pace(first_pause=0.02, longest_pause=0.05, request_seconds=10.0)
    acme.objects.change("Contact", "Ext__c", {"externalId": True, "idLookup": True})
    return acme.records.add(acme.objects.find("Contact"), {"LastName": "Lovelace", "Ext__c": "ada"})


def customs(org: SandboxOrg) -> list[dict[str, Any]]:
    return list(org.records.tables["Custom__c"].values())


async def create(app: App, caller: Caller, values: dict[str, Any], sobject: SObjectName = CUSTOM) -> str:
    return (await operations.create(app, caller, "t", "acme", sobject, values)).id


async def change(app: App, caller: Caller, given: BulkArguments) -> list[dict[str, Any]]:
    person = Caller(caller.principal, "cli")
    result = await operations.change(app, person, "t", "acme", given)
    return [each for each in result.results if "error" in each]


async def test_a_single_call_names_a_parent_by_its_key_and_the_log_has_the_names_alone(
    app: App, caller: Caller, acme: SandboxOrg, ada: str
) -> None:
    made = await create(app, caller, {"Name": "One"} | BY_KEY)
    other = await create(app, caller, {"Name": "Two"})
    await operations.update(app, caller, "t", "acme", CUSTOM, other, {"contact__R": {"ext__C": "ada"}})
    wanted = Upsert(CUSTOM, "External_Id__c", "three", {"Name": "Three"} | BY_KEY)
    await operations.upsert(app, caller, "t", "acme", wanted)

    assert [each["Contact__c"] for each in customs(acme)] == [ada] * 3
    entries = await app.audit_log.newest(EntryFilter(object="Custom__c"), 10)
    assert [entry.fields for entry in entries if entry.action == "update"] == [("contact__R.ext__C",)]
    assert ("Contact__r.Ext__c", "Name") in [entry.fields for entry in entries]
    assert not re.search(r"\bada\b", str([entry.as_json() for entry in entries]))  # hexadecimal ids may hold it
    assert made in {each["Id"] for each in customs(acme)}


@pytest.mark.parametrize("count", [2, 201])
async def test_many_records_name_their_parents_in_a_request_or_in_columns(
    app: App, caller: Caller, acme: SandboxOrg, ada: str, count: int
) -> None:
    records = [{"Name": f"N {n}"} | (BY_KEY if n % 2 else {}) for n in range(count)]

    assert await change(app, caller, BulkArguments(CUSTOM, "create", records)) == []

    assert [each["Contact__c"] for each in customs(acme)] == [ada if n % 2 else None for n in range(count)]
    soql = "SELECT Id FROM Custom__c"
    given = BulkArguments(CUSTOM, "update", soql=soql, data={"Contact__r": {"Ext__c": "ada"}})
    assert await change(app, caller, given) == []
    assert {each["Contact__c"] for each in customs(acme)} == {ada}


@pytest.mark.parametrize("count", [1, 201])
async def test_a_parent_that_may_be_of_several_objects_has_its_type(
    app: App, caller: Caller, acme: SandboxOrg, ada: str, count: int
) -> None:
    before = len(acme.records.tables["Event"])
    for who in (WHO, {"Who": {"Ext__c": "ada"}}, {"Who": {"attributes": {"type": "contact"}, "Ext__c": "ada"}}):
        assert await change(app, caller, BulkArguments(EVENT, "create", [TIMES | who] * count)) == []

    made = list(acme.records.tables["Event"].values())[before:]
    assert {each["WhoId"] for each in made} == {ada}
    assert len(made) == 3 * count


@pytest.mark.parametrize("count", [1, 201])
async def test_no_parent_or_two_are_salesforces_errors(
    app: App, caller: Caller, acme: SandboxOrg, ada: str, count: int
) -> None:
    acme.records.add(acme.objects.find("Contact"), {"LastName": "Twin", "Ext__c": "twin"})
    twin = acme.records.add(acme.objects.find("Contact"), {"LastName": "Twin", "Ext__c": "twin"})
    for key, code, words in (
        ("nobody", "INVALID_FIELD", "Foreign key external ID: nobody not found for field Ext__c in entity Contact"),
        ("twin", "DUPLICATE_EXTERNAL_ID", twin),
    ):
        named = {"Name": "X", "Contact__r": {"Ext__c": key}}
        try:
            errors = await change(app, caller, BulkArguments(CUSTOM, "create", [named] * count))
            told = errors[0]["error"]
        except Rejected as refused:  # Salesforce reads all records of a request before it saves the first
            told = {"code": refused.code, "message": str(refused), "hint": refused.hint or ""}
        assert told["code"] == code
        assert ("create that one first" in told.get("hint", "")) is (code == "INVALID_FIELD" and "hint" in told)
        assert words in told["message"]
    assert customs(acme) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"Contact__r": {"Ext__c": "  "}}, "blank"),
        ({"Contact__r": {"Ext__c": "\u200b"}}, "blank"),
        ({"Contact__r": {"Ext__c": ""}}, "blank"),
        ({"Contact__r": {}}, "one external id"),
        ({"Contact__r": {"Ext__c": "a", "Email": "b"}}, "one external id"),
        ({"Contact__r": {"LastName": "x"}}, "not named by an external id of Contact; these are: Contact.Email"),
        ({"Contact__r": {"Nope__c": "x"}}, "not named by an external id of Contact"),
        ({"Contact__r": {"type": "Lead", "Email": "x"}}, "cannot be a Lead; Contact"),
        ({"Contract__r": {"Ext__c": "x"}}, "no relationship 'Contract__r' on Custom__c; did you mean Contact__r?"),
        ({"Contact__c": {"Ext__c": "x"}}, "stands under Contact__r"),
        ({"Contact__c": None, "Contact__r": {"Ext__c": "x"}}, "the same parent"),
        ({"CreatedBy": {"Username": "x"}}, "cannot be set"),
    ],
)
async def test_what_names_no_parent_is_refused_before_anything_is_written(
    app: App, caller: Caller, acme: SandboxOrg, ada: str, values: dict[str, Any], words: str
) -> None:
    for _ in range(2):  # before a describe is at hand, and after
        with pytest.raises(InvalidArgument) as refused:
            await create(app, caller, {"Name": "X"} | values)
        assert words in str(refused.value)
        assert refused.value.fields == (f"data.{list(values)[-1]}",)
    with pytest.raises(InvalidArgument):
        await change(app, caller, BulkArguments(CUSTOM, "create", [{"Name": "X"} | values]))
    assert [seen for seen in acme.requests if seen.method == "POST"] == []


async def test_a_parents_id_or_null_under_the_relationship_is_the_lookup_itself(
    app: App, caller: Caller, acme: SandboxOrg, ada: str
) -> None:
    made = await create(app, caller, {"Name": "X", "Contact__r": {"Id": ada[:15]}})
    assert acme.records.tables["Custom__c"][made]["Contact__c"] == ada
    await operations.update(app, caller, "t", "acme", CUSTOM, made, {"Contact__r": None})

    assert acme.records.tables["Custom__c"][made]["Contact__c"] is None


async def test_a_preview_shows_the_lookup_and_an_undo_puts_it_back(
    app: App, caller: Caller, acme: SandboxOrg, ada: str
) -> None:
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    grace = acme.records.add(acme.objects.find("Contact"), {"LastName": "Hopper", "Ext__c": "grace"})
    made = await create(app, caller, {"Name": "X", "Contact__r": {"Ext__c": "grace"}})
    shown = await operations.update(app, caller, "t", "acme", CUSTOM, made, dict(BY_KEY), preview=True)
    await operations.update(app, caller, "t", "acme", CUSTOM, made, dict(BY_KEY))
    restorer = app.restorer()
    (entry,) = await app.audit_log.newest(EntryFilter(action="update"), 1)

    undo = await restorer.preview_entry(caller, entry.id)
    await restorer.restore(caller, undo, force=False, moved={})

    assert [(each.field, each.before) for each in shown.changes] == [("Contact__c", grace)]
    assert undo.problem is None
    assert acme.records.tables["Custom__c"][made]["Contact__c"] == grace


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0", "\u200b\ufeff", "\u3164"])
async def test_blank_external_ids_are_refused_everywhere(
    app: App, caller: Caller, acme: SandboxOrg, blank: str
) -> None:
    wanted = Upsert(CUSTOM, "External_Id__c", blank, {"Name": "X"})
    record = {"External_Id__c": blank, "Name": "X"}

    with pytest.raises(InvalidArgument, match="external_id"):
        await operations.upsert(app, caller, "t", "acme", wanted)
    with pytest.raises(InvalidArgument, match="needs External_Id__c"):
        await change(app, caller, BulkArguments(CUSTOM, "upsert", [record], external_id_field="External_Id__c"))
    with pytest.raises(CallError, match="blank"):
        await create(app, caller, {"LastName": "X", "ReportsTo": {"Email": blank}}, CONTACT)
    assert acme.requests == []
