"""Calls of every kind over an org that hides, masks and denies: what is refused, and what is left of the rest."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.policies import Policy, read_object_rule
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.access.principals import Principal
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import PolicyDenied, Rejected
from orgserver.model.names import CONTACT, EVENT, SObjectName
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.people.requests import GrantChanges, PrincipalChanges, read_grants
from orgserver.services.policies.masks import CUT
from orgserver.services.queries.list_query import Listing
from orgserver.services.records.upsert import Upsert
from tests import operations

T = "a test"
Limit = Callable[..., Awaitable[None]]


@pytest.fixture
def limit(app: App, caller: Caller, acme: SandboxOrg) -> Limit:
    async def limiting(**policy: Any) -> None:
        await app.registry.update(caller, "acme", policy=policy)
        acme.requests.clear()

    return limiting


def contact(org: SandboxOrg) -> str:
    return next(iter(org.records.tables["Contact"]))


CHANGES: dict[str, Callable[[App, Caller, str], Awaitable[Any]]] = {
    "create": lambda app, caller, _id: operations.create(
        app, caller, T, "acme", CONTACT, {"LastName": "x", "fax": "1"}
    ),
    "update": lambda app, caller, id_: operations.update(app, caller, T, "acme", CONTACT, id_, {"Fax": "1"}),
    "preview": lambda app, caller, id_: operations.update(
        app, caller, T, "acme", CONTACT, id_, {"FAX": "1"}, preview=True
    ),
    "upsert": lambda app, caller, _id: operations.upsert(
        app, caller, T, "acme", Upsert(CONTACT, "Fax", "1", {"LastName": "x"})
    ),
    "records": lambda app, caller, id_: operations.change(
        app, caller, T, "acme", BulkArguments(CONTACT, "update", records=[{"Id": id_, "Fax": "1"}])
    ),
    "data": lambda app, caller, _id: operations.change(
        app, caller, T, "acme", BulkArguments(CONTACT, "update", soql="SELECT Id FROM Contact", data={"Fax": "1"})
    ),
    "soql": lambda app, caller, _id: operations.change(
        app, caller, T, "acme", BulkArguments(CONTACT, "delete", soql="SELECT Id FROM Contact WHERE Fax = '1'")
    ),
}


@pytest.mark.parametrize("way", CHANGES)
@pytest.mark.parametrize("how", ["hide_fields", "mask_fields"])
async def test_a_guarded_field_is_neither_written_nor_are_records_found_by_it(
    app: App, caller: Caller, acme: SandboxOrg, limit: Limit, way: str, how: str
) -> None:
    await limit(**{how: ("Contact.Fax",)})
    before = dict(acme.records.tables["Contact"])

    with pytest.raises(PolicyDenied) as refused:
        await CHANGES[way](app, caller, contact(acme))

    assert refused.value.code == "FIELD_NOT_ALLOWED"
    assert acme.records.tables["Contact"] == before
    assert all(request.method == "GET" for request in acme.requests)


async def test_a_guard_that_compares_a_hidden_time_is_refused(
    app: App, caller: Caller, acme: SandboxOrg, limit: Limit
) -> None:
    await limit(hide_fields=("Contact.LastModifiedDate",))
    since = {"if_unmodified_since": "2026-02-20T18:00:00Z"}

    with pytest.raises(PolicyDenied):
        await operations.update(app, caller, T, "acme", CONTACT, contact(acme), {"Fax": "1"}, **since)
    await operations.update(app, caller, T, "acme", CONTACT, contact(acme), {"Fax": "1"})


@pytest.mark.parametrize(
    ("action", "change"),
    [
        ("create", "create"),
        ("update", "update"),
        ("update", "records"),
        ("create", "upsert"),
        ("update", "upsert"),
        ("delete", "soql"),
    ],
)
async def test_a_denied_action_is_refused(
    app: App, caller: Caller, acme: SandboxOrg, limit: Limit, action: str, change: str
) -> None:
    await limit(deny_objects=(read_object_rule(f"Contact:{action}"),))

    with pytest.raises(PolicyDenied) as refused:
        await CHANGES[change](app, caller, contact(acme))

    assert refused.value.code == "OBJECT_NOT_ALLOWED"


async def test_one_record_comes_without_what_is_hidden_and_its_entry_without_the_name(
    app: App, caller: Caller, acme: SandboxOrg, limit: Limit
) -> None:
    await limit(hide_fields=("Contact.Email", "Contact.FirstName"), mask_fields=("Contact.Phone",))

    record = await operations.read(app, caller, T, "acme", CONTACT, contact(acme))
    (entry,) = await app.audit_log.newest(EntryFilter(action="read"), 1)

    assert not {"Email", "FirstName", "Name"} & record.values.keys()
    assert record.values["LastName"] == "Lovelace"
    assert record.values["Phone"] == "…00"
    assert any("Contact.Phone" in warning for warning in record.warnings)
    assert not {"Email", "FirstName", "Name"} & set(entry.fields)


async def test_parents_of_denied_objects_and_overlaps_by_hidden_times_are_not_told(
    app: App, caller: Caller, acme: SandboxOrg, limit: Limit
) -> None:
    owner = next(iter(acme.records.tables["User"]))
    times = {"StartDateTime": "2030-01-01T09:00:00Z", "DurationInMinutes": 30, "OwnerId": owner}
    await operations.create(app, caller, T, "acme", EVENT, times | {"Subject": "first"}, idempotency_key="k")
    again = await operations.create(app, caller, T, "acme", EVENT, times | {"Subject": "second"}, idempotency_key="l")
    await limit(deny_objects=(read_object_rule("Account"),), hide_fields=("Event.ShowAs",))

    record = await operations.read(app, caller, T, "acme", CONTACT, contact(acme))
    replayed = await operations.create(
        app, caller, T, "acme", EVENT, times | {"Subject": "second"}, idempotency_key="l"
    )
    created = await operations.create(app, caller, T, "acme", EVENT, times | {"Subject": "third"})

    assert "Account" not in record.values
    assert "AccountId" in record.values
    assert again.warnings
    assert (replayed.id, replayed.warnings, created.warnings) == (again.id, (), ())


async def test_what_the_org_says_of_a_hidden_field_is_not_told(
    app: App, caller: Caller, acme: SandboxOrg, limit: Limit
) -> None:
    await limit(hide_fields=("Contact.Department",))
    body = '[{"errorCode":"DUPLICATE_VALUE","message":"duplicate value found: Department","fields":["Department"]}]'
    acme.fault("status", path=".*/sobjects/Contact.*", method="PATCH", status=400, body=body)

    with pytest.raises(Rejected) as refused:
        await operations.update(app, caller, T, "acme", CONTACT, contact(acme), {"Fax": "1"})

    assert "Department" not in repr(refused.value.as_json("acme"))
    assert refused.value.code == "DUPLICATE_VALUE"


async def test_a_parent_is_not_found_by_a_hidden_key(app: App, caller: Caller, acme: SandboxOrg, limit: Limit) -> None:
    acme.objects.change("Account", "Key__c", {"externalId": True, "idLookup": True})
    await limit(hide_fields=("Account.Key__c",))

    with pytest.raises(PolicyDenied) as refused:
        await operations.update(app, caller, T, "acme", CONTACT, contact(acme), {"Account": {"Key__c": "x"}})

    assert refused.value.code == "FIELD_NOT_ALLOWED"


async def test_a_principals_own_limits_hide_from_it_alone(app: App, caller: Caller, acme: SandboxOrg) -> None:
    limits = Policy(hide_fields=("Contact.Email",), mask_fields=("Contact.Phone",))
    ada = await add_principal(app, caller, "ada", limits)
    listing = Listing(CONTACT, limit=2, count=True)

    record = await operations.read(app, ada, T, "acme", CONTACT, contact(acme))
    page = await operations.list_(app, ada, T, "acme", listing)
    schema = await operations.describe(app, ada, T, "acme", CONTACT)
    with pytest.raises(PolicyDenied):
        await operations.query(app, ada, T, "acme", "SELECT Email FROM Contact")
    own = await operations.read(app, caller, T, "acme", CONTACT, contact(acme))

    assert "Email" not in record.values
    assert record.values["Phone"] == "…00"
    assert page.total_size is not None
    assert all("Email" not in each and CUT in each["Phone"] for each in page.records)
    assert schema.field("Email") is None
    assert "Email" not in await app.services.names.fields(ada, "acme", "Contact")
    assert "Email" in await app.services.names.fields(caller, "acme", "Contact")
    assert own.values["Email"]


async def add_principal(app: App, caller: Caller, name: str, limits: Policy) -> Caller:
    grants = GrantChanges(read_grants(["*:read,write,delete"]))
    changes = PrincipalChanges(grants=grants, limits=PolicyEdit.replacing(limits))
    await app.people.principals.add(caller, name, changes)
    return replace(caller, principal=Principal(name))


async def test_what_formulas_are_made_from_is_asked_before_every_field_is_read(
    app: App, caller: Caller, acme: SandboxOrg, limit: Limit
) -> None:
    for name, formula in (("Site__c", "Account.Inner__c"), ("Plain__c", "Account.Name"), ("Own__c", "Title & 'x'")):
        acme.objects.change("Contact", name, {"calculated": True, "calculatedFormula": formula})
    acme.objects.change("Account", "Inner__c", {"calculated": True, "calculatedFormula": "Website"})
    record = acme.records.tables["Contact"][contact(acme)]
    record |= {"Site__c": "secret", "Plain__c": "Acme", "Own__c": "Drx"}
    custom = acme.records.add(acme.objects.find("Custom__c"), {"Name": "Thing", "Contact__c": contact(acme)})
    acme.objects.change("Custom__c", "Deep__c", {"calculated": True, "calculatedFormula": "Contact__r.Site__c"})
    acme.records.tables["Custom__c"][custom] |= {"Deep__c": "secret", "Status__c": "Open"}
    await limit(hide_fields=("Account.Website",))

    read = await operations.read(app, caller, T, "acme", SObjectName("Custom__c"), custom)
    schema = await operations.describe(app, caller, T, "acme", "Contact")

    assert "secret" not in read.values.values()
    assert read.values["Status__c"] == "Open"
    assert (schema.field("Site__c"), schema.field("Inner__c")) == (None, None)
    assert schema.field("Plain__c") is not None
    assert schema.field("Own__c") is not None
