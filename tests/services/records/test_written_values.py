"""Values as people and models send them are written as the field takes them, or refused, on every way of writing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import InvalidArgument, Rejected
from orgserver.model.names import CONTACT, SObjectName
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.bulk.run import Pace
from orgserver.services.queries.list_query import Listing
from orgserver.services.records.upsert import Upsert
from tests import operations

CUSTOM = SObjectName("Custom__c")
QUICK = Pace(first_pause=0.02, longest_pause=0.05, request_seconds=10.0)
VALUES = [
    {"value": "hot", "label": "Very hot", "active": True, "defaultValue": False, "validFor": None},
    {"value": "Cold", "label": "Icy", "active": True, "defaultValue": False, "validFor": None},
]
SHAPES = {
    "Hot__c": "yes",
    "Amount__c": "1234.5",
    "Day__c": "24 December 2026",
    "Colours__c": ["Very hot", "cold"],
    "Status__c": "HOT",
    "Notes__c": "true",
}
KEPT = {
    "Hot__c": True,
    "Amount__c": 1234.5,
    "Day__c": "2026-12-24",
    "Colours__c": "hot;Cold",
    "Status__c": "hot",
    "Notes__c": "true",
}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"Hot__c": "perhaps"}, "must be true or false"),
    ({"Amount__c": "1,000.50"}, "must be a number such as 1234.5"),
    ({"Day__c": "03/04/2026"}, "may mean two days; write it as 2026-02-20"),
    ({"Day__c": "2026-12-24T10:00:00Z"}, "without a time of day"),
    ({"Status__c": "warm"}, "takes only hot, Cold"),
    ({"Status__c": ["hot", "Cold"]}, "takes one value"),
    ({"Notes__c": ["a"]}, "must be a text"),
    ({"Notes__c": "a", "notes__C": "b"}, "names Notes__c twice"),
    ({"Nonsense__c": ["a"]}, "no field 'Nonsense__c' on Custom__c"),
]


@pytest.fixture
def custom(acme: SandboxOrg) -> SandboxOrg:
    acme.objects.change("Custom__c", "Hot__c", {"type": "boolean", "length": 0, "defaultedOnCreate": True})
    for name, kind in (("Colours__c", "multipicklist"), ("Status__c", "picklist")):
        told = {"type": kind, "length": 4_099, "picklistValues": VALUES, "restrictedPicklist": True}
        acme.objects.change("Custom__c", name, told)
    return acme


class Ways:
    """One record written in each way; each gives the record as the org has it then."""

    def __init__(self, app: App, caller: Caller, org: SandboxOrg) -> None:
        self.app, self.caller, self.org = app, caller, org
        app.services.bulk.pace = QUICK

    def record(self, **found: Any) -> dict[str, Any]:
        name, value = next(iter(found.items()))
        return next(each for each in self.org.records.tables["Custom__c"].values() if each[name] == value)

    def old(self, key: str = "old") -> str:
        return self.org.records.add(self.org.objects.find("Custom__c"), {"Name": "Old", "External_Id__c": key})

    async def create(self, values: dict[str, Any]) -> dict[str, Any]:
        made = await operations.create(self.app, self.caller, "t", "acme", CUSTOM, {"Name": "New"} | values)
        return self.record(Id=made.id)

    async def update(self, values: dict[str, Any]) -> dict[str, Any]:
        identifier = self.old()
        await operations.update(self.app, self.caller, "t", "acme", CUSTOM, identifier, dict(values))
        return self.record(Id=identifier)

    async def upsert(self, values: dict[str, Any]) -> dict[str, Any]:
        wanted = Upsert(CUSTOM, "External_Id__c", "new", dict(values))
        made = await operations.upsert(self.app, self.caller, "t", "acme", wanted)
        return self.record(Id=made.id)

    async def many_created(self, values: dict[str, Any]) -> dict[str, Any]:
        await self._change(BulkArguments(CUSTOM, "create", [{"Name": "Many"}, {"Name": "Many 2"} | values]))
        return self.record(Name="Many 2")

    async def many_upserted(self, values: dict[str, Any]) -> dict[str, Any]:
        records = [{"External_Id__c": "a"}, {"External_Id__c": "b"} | values]
        await self._change(BulkArguments(CUSTOM, "upsert", records, external_id_field="External_Id__c"))
        return self.record(External_Id__c="b")

    async def many_found(self, values: dict[str, Any]) -> dict[str, Any]:
        self.old("found")
        soql = "SELECT Id FROM Custom__c WHERE External_Id__c = 'found'"
        await self._change(BulkArguments(CUSTOM, "update", soql=soql, data=dict(values)))
        return self.record(External_Id__c="found")

    async def in_jobs(self, values: dict[str, Any]) -> dict[str, Any]:
        records = [{"Name": f"Job {number}"} | (values if number == 200 else {}) for number in range(201)]
        await self._change(BulkArguments(CUSTOM, "create", records))
        return self.record(Name="Job 200")

    async def _change(self, given: BulkArguments) -> None:
        person = Caller(self.caller.principal, "cli")
        result = await operations.change(self.app, person, "t", "acme", given)
        if result.counts.failed or result.counts.unknown:
            raise Rejected(str(result.results[0]))


WAYS = ["create", "update", "upsert", "many_created", "many_upserted", "many_found", "in_jobs"]
Write = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@pytest.fixture
def ways(app: App, caller: Caller, custom: SandboxOrg) -> Ways:
    return Ways(app, caller, custom)


@pytest.mark.parametrize("way", WAYS)
async def test_what_has_one_meaning_is_written_as_the_field_takes_it(ways: Ways, way: str) -> None:
    record = await getattr(ways, way)(SHAPES)

    assert {name: record[name] for name in KEPT} == KEPT


@pytest.mark.parametrize("way", WAYS)
async def test_what_has_several_is_refused_with_the_shape_that_works(ways: Ways, custom: SandboxOrg, way: str) -> None:
    write: Write = getattr(ways, way)
    for values, words in WRONG:
        with pytest.raises(InvalidArgument) as refused:
            await write(values)
        assert words in str(refused.value)
        assert str(refused.value.fields[0]).endswith(next(iter(values)))

    assert not [seen for seen in custom.requests if seen.method in ("POST", "PATCH", "PUT")]


async def test_each_shape_is_told_by_the_field_and_not_by_the_record(ways: Ways, custom: SandboxOrg) -> None:
    custom.requests.clear()
    for _ in range(3):
        await ways.create({"Hot__c": "no", "Status__c": "Icy"})

    assert sum("describe" in seen.path for seen in custom.requests) == 1
    entries = await ways.app.audit_log.newest(EntryFilter(action="create"), 3)
    assert [entry.fields for entry in entries] == [("Hot__c", "Name", "Status__c")] * 3


async def test_a_describe_that_does_not_come_stops_nothing_that_needs_none(ways: Ways, custom: SandboxOrg) -> None:
    custom.fault("status", path=".*/describe", status=403, times=100)

    assert (await ways.create({"Notes__c": "plain"}))["Notes__c"] == "plain"
    with pytest.raises(Rejected):
        await ways.create({"Colours__c": ["hot"]})
    assert not any(each["Colours__c"] for each in custom.records.tables["Custom__c"].values())


async def test_a_picklist_value_that_was_added_since_the_describe_is_taken(ways: Ways, custom: SandboxOrg) -> None:
    await operations.describe(ways.app, ways.caller, "t", "acme", "Custom__c")
    added = [*VALUES, {"value": "Warm", "label": "Warm", "active": True, "defaultValue": False, "validFor": None}]
    custom.objects.change("Custom__c", "Status__c", {"picklistValues": added})

    assert (await ways.create({"Status__c": "warm"}))["Status__c"] == "Warm"


async def test_filters_compare_with_what_the_field_holds(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.objects.change("Contact", "Hot__c", {"type": "boolean", "length": 0, "defaultedOnCreate": True})
    acme.objects.change("Contact", "Count__c", {"type": "double", "length": 0})
    told = {"type": "picklist", "picklistValues": VALUES, "restrictedPicklist": True}
    acme.objects.change("Contact", "Status__c", told)
    values = {"LastName": "Byron", "Hot__c": True, "Count__c": 3, "Status__c": "hot"}
    acme.records.add(acme.objects.find("Contact"), values)

    for filter_ in (
        {"Hot__c": "yes"},
        {"Count__c": "3"},
        {"Count__c": {"gte": "2.5"}},
        {"Status__c": "Very hot"},
        {"Status__c": {"in": ["Very hot", "COLD"]}},
        {"LastName": "Byron", "CreatedDate": {"gt": "2001-01-01T00:00 Europe/Berlin"}},
    ):
        listing = Listing(CONTACT, filter=filter_)
        page = await operations.list_(app, caller, "salesforce_list_contacts", "acme", listing)
        assert [each["LastName"] for each in page.records] == ["Byron"], filter_
    with pytest.raises(InvalidArgument) as refused:
        await operations.list_(app, caller, "t", "acme", Listing(CONTACT, filter={"Count__c": "1,000"}))
    assert refused.value.fields == ("filter.Count__c",)
