"""Calls of the app in orgs whose policies limit objects and fields: what is fetched, refused, and left out in silence."""

from __future__ import annotations

from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.policies import Policy
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.errors import CallError, InvalidArgument, PolicyDenied
from orgserver.model.names import CONTACT, EVENT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.calls.plan import Call
from orgserver.services.queries.list_query import Listing
from orgserver.services.queries.search import Search, find_records
from tests import operations

BY_EMAIL = "SELECT Id FROM Contact ORDER BY Email"


async def limit(app: App, caller: Caller, **facts: Any) -> None:
    await app.registry.update(caller, "acme", policy=PolicyEdit.replacing(Policy.read(facts)))


async def query(app: App, caller: Caller, soql: str, **options: Any) -> Any:
    return await operations.query(app, caller, "salesforce_query", "acme", soql, **options)


async def list_contacts(app: App, caller: Caller, **arguments: Any) -> Any:
    listing = Listing(CONTACT, **arguments)
    return await operations.list_(app, caller, "salesforce_list_contacts", "acme", listing)


async def search(app: App, caller: Caller, text: str, objects: list[str] | None = None) -> Any:
    return await app.services.executor.run(
        Call(caller, "salesforce_search", "acme"), find_records(Search(text, objects))
    )


def asked(org: SandboxOrg, part: str) -> int:
    return sum(part in request.path for request in org.requests)


async def test_an_org_without_limits_is_asked_for_nothing_more(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await query(app, caller, BY_EMAIL)
    assert asked(acme, "/describe") == 0


async def test_a_formula_made_a_moment_ago_is_known_before_it_is_used(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await limit(app, caller, hide_fields=["Contact.Email"])
    await query(app, caller, "SELECT Id, Title FROM Contact")
    formula = {"type": "string", "calculated": True, "calculatedFormula": "UPPER(Email)"}
    acme.objects.change("Contact", "Copy__c", formula)

    with pytest.raises(PolicyDenied) as refused:
        await query(app, caller, "SELECT Copy__c FROM Contact")

    assert refused.value.rule == "policy:hide-field Contact.Email"
    assert "Email" not in f"{refused.value} {refused.value.hint}"


async def test_a_name_that_is_no_field_is_judged_by_salesforce(app: App, caller: Caller) -> None:
    await limit(app, caller, hide_fields=["Contact.Email"])
    with pytest.raises(CallError) as refused:
        await query(app, caller, "SELECT COUNT(Titel) FROM Contact")
    assert refused.value.code == "INVALID_FIELD"


async def test_where_the_describe_cannot_be_had_the_call_is_refused(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await limit(app, caller, hide_fields=["Contact.Email"])
    acme.fault("status", path=".*/describe", times=20, status=503)
    with pytest.raises(PolicyDenied) as refused:
        await query(app, caller, "SELECT Id, Title FROM Contact")
    assert refused.value.rule == "policy:not-understood"
    assert asked(acme, "/query") == 0


@pytest.mark.parametrize("kind", ["hide_fields", "mask_fields"])
async def test_the_usual_order_gives_way_to_limits_in_silence(
    app: App, caller: Caller, acme: SandboxOrg, kind: str
) -> None:
    await limit(app, caller, **{kind: ["Contact.LastModifiedDate"]})
    page = await list_contacts(app, caller)
    ids = [record["Id"] for record in page.records]
    assert ids == sorted(ids)
    assert {record.get("LastModifiedDate") for record in page.records} == {None}


async def test_a_list_of_appointments_that_would_compare_hidden_times_is_refused(app: App, caller: Caller) -> None:
    await limit(app, caller, hide_fields=["Event.StartDateTime"])
    with pytest.raises(PolicyDenied):
        await operations.list_(app, caller, "salesforce_list_appointments", "acme", Listing(EVENT))


async def test_default_fields_leave_out_what_is_hidden_without_a_word(app: App, caller: Caller) -> None:
    await limit(app, caller, hide_fields=["Contact.Email"])
    page = await list_contacts(app, caller)
    assert page.records
    assert not any("Email" in record for record in page.records)
    assert "Email" not in str(page.warnings)


async def test_each_page_is_judged_anew(app: App, caller: Caller) -> None:
    first = await query(app, caller, BY_EMAIL, limit=2)
    assert first.next_cursor is not None
    await limit(app, caller, mask_fields=["Contact.Email"])
    with pytest.raises(PolicyDenied):
        await query(app, caller, BY_EMAIL, limit=2, cursor=first.next_cursor)


async def test_a_page_in_an_order_that_is_hidden_since_is_not_gone_on_with(app: App, caller: Caller) -> None:
    first = await list_contacts(app, caller, limit=2)
    await limit(app, caller, hide_fields=["Contact.LastModifiedDate"])
    with pytest.raises(InvalidArgument):
        await list_contacts(app, caller, limit=2, cursor=first.next_cursor)
    second = await list_contacts(app, caller, limit=2)
    third = await list_contacts(app, caller, limit=2, cursor=second.next_cursor)
    assert {each["Id"] for each in second.records}.isdisjoint(each["Id"] for each in third.records)


async def test_a_search_where_fields_are_limited_looks_in_names_alone(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    found = await search(app, caller, "ada.lovelace@acme.example", ["Contact"])
    assert found.records
    await limit(app, caller, hide_fields=["Contact.Email"])
    assert (await search(app, caller, "ada.lovelace@acme.example", ["Contact"])).records == []
    assert (await search(app, caller, "Lovelace")).records
    assert "NAME" in f"{acme.requests[-1].query} {acme.requests[-1].body}"


async def test_a_search_that_names_no_objects_leaves_out_those_that_may_not_be_searched(
    app: App, caller: Caller
) -> None:
    await limit(app, caller, deny_objects=["Contact"])
    found = await search(app, caller, "Acme")
    assert {record["object"] for record in found.records} == {"Account"}
    with pytest.raises(PolicyDenied):
        await search(app, caller, "Acme", ["Contact"])
    await limit(app, caller, allow_objects=["Event"])
    with pytest.raises(PolicyDenied):
        await search(app, caller, "Acme")


async def test_a_search_in_a_name_that_is_hidden_is_refused(app: App, caller: Caller) -> None:
    await limit(app, caller, mask_fields=["Contact.LastName"])
    with pytest.raises(PolicyDenied):
        await search(app, caller, "Lovelace", ["Contact"])


async def test_fields_is_answered_with_what_to_name_instead(app: App, caller: Caller) -> None:
    await limit(app, caller, hide_fields=["Contact.Email"])
    with pytest.raises(PolicyDenied) as refused:
        await query(app, caller, "SELECT FIELDS(STANDARD) FROM Contact")
    assert refused.value.hint is not None
    names = refused.value.hint.partition(": ")[2]
    assert "LastName" in names
    assert "Email," not in names
    page = await query(app, caller, f"SELECT {names} FROM Contact LIMIT 1")
    assert len(page.records) == 1
