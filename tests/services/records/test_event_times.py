"""The rules of an Event's times hold for every way of writing one (the list of them: services/records/event_times.py)."""

from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.errors import InvalidArgument
from orgserver.model.names import EVENT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.records.upsert import Upsert
from tests import operations

BOOK, MOVE, RECORD = "salesforce_create_appointment", "salesforce_update_appointment", "salesforce_update_record"
DAY = {"IsAllDayEvent": True, "StartDateTime": "2026-12-24", "EndDateTime": "2026-12-25"}
TIMED = {"StartDateTime": "2026-12-24T10:00:00Z", "EndDateTime": "2026-12-24T11:00:00Z"}
BERLIN = {"StartDateTime": "2026-12-28T00:00:00+01:00", "EndDateTime": "2026-12-29T00:00:00+01:00"}
ZONES = [
    BERLIN,
    {"StartDateTime": "2026-12-28", "EndDateTime": "2026-12-29"},
    {"StartDateTime": "2026-12-28T00:00 Pacific/Auckland", "EndDateTime": "2026-12-29T00:00 Pacific/Auckland"},
    {"StartDateTime": "2026-12-28T20:00:00-10:00", "EndDateTime": "2026-12-29T20:00:00-10:00"},
    {"startdatetime": "2026-12-28T00:00:00Z", "enddatetime": "2026-12-29T00:00:00Z"},
]


class Calendar:
    """One org's events, and every way of changing one."""

    def __init__(self, app: App, caller: Caller, org: SandboxOrg) -> None:
        self.app, self.caller, self.org = app, caller, org
        org.objects.change("Event", "Ext__c", {"externalId": True, "idLookup": True})

    async def booked(self, values: dict[str, Any]) -> str:
        data = {"Subject": "Tea", "Ext__c": "e1"} | values
        return (await operations.create(self.app, self.caller, BOOK, "acme", EVENT, data)).id

    def times(self, identifier: str) -> tuple[str, str, bool]:
        event = self.org.records.tables["Event"][identifier]
        return event["StartDateTime"][:16], event["EndDateTime"][:16], bool(event["IsAllDayEvent"])

    async def update_appointment(self, identifier: str, values: dict[str, Any]) -> None:
        await operations.update(self.app, self.caller, MOVE, "acme", EVENT, identifier, values)

    async def update_record(self, identifier: str, values: dict[str, Any]) -> None:
        await operations.update(self.app, self.caller, RECORD, "acme", EVENT, identifier, values)

    async def upsert_record(self, identifier: str, values: dict[str, Any]) -> None:
        wanted = Upsert(EVENT, "Ext__c", "e1", values)
        await operations.upsert(self.app, self.caller, "salesforce_upsert_record", "acme", wanted)

    async def change_records(self, identifier: str, values: dict[str, Any]) -> None:
        other = await operations.create(self.app, self.caller, BOOK, "acme", EVENT, {"Subject": "Other", "StartDateTime": "2031-01-01T10:00Z",
                                               "EndDateTime": "2031-01-01T11:00Z"})  # fmt: skip
        moved = {"Id": other.id, "StartDateTime": "2031-01-02T10:00 Europe/Berlin", "DurationInMinutes": 60}
        await self._change(BulkArguments(EVENT, "update", [moved, {"Id": identifier} | values]))
        assert self.times(other.id)[0] == "2031-01-02T09:00"  # of both kinds in one call, each by its own rule

    async def upsert_records(self, identifier: str, values: dict[str, Any]) -> None:
        await self._change(BulkArguments(EVENT, "upsert", [{"Ext__c": "e1"} | values], external_id_field="Ext__c"))

    async def _change(self, given: BulkArguments) -> None:
        result = await operations.change(self.app, self.caller, "t", "acme", given)
        assert not result.counts.failed, result.results


CHANGES = ["update_appointment", "update_record", "upsert_record", "change_records", "upsert_records"]


@pytest.fixture
def calendar(app: App, caller: Caller, acme: SandboxOrg) -> Calendar:
    return Calendar(app, caller, acme)


@pytest.mark.parametrize("way", CHANGES)
async def test_an_all_day_event_that_is_moved_keeps_its_day_whatever_zone_its_times_are_in(
    calendar: Calendar, way: str
) -> None:
    identifier = await calendar.booked(DAY)

    for times in ZONES:
        await calendar.update_record(identifier, {"StartDateTime": "2026-12-24", "EndDateTime": "2026-12-25"})
        await getattr(calendar, way)(identifier, dict(times))
        assert calendar.times(identifier) == ("2026-12-28T00:00", "2026-12-29T00:00", True)


@pytest.mark.parametrize("way", CHANGES)
async def test_an_event_with_times_is_moved_to_instants_and_a_plain_date_is_none(calendar: Calendar, way: str) -> None:
    identifier = await calendar.booked(TIMED)

    await getattr(calendar, way)(identifier, dict(BERLIN))
    assert calendar.times(identifier) == ("2026-12-27T23:00", "2026-12-28T23:00", False)
    with pytest.raises(InvalidArgument) as refused:
        await getattr(calendar, way)(identifier, {"StartDateTime": "2026-12-30"})
    assert "StartDateTime must be a time with its offset or zone" in str(refused.value)
    assert "IsAllDayEvent" in (refused.value.hint or "")
    assert calendar.times(identifier)[0] == "2026-12-27T23:00"


@pytest.mark.parametrize("way", CHANGES)
async def test_what_a_change_says_of_being_all_day_counts_before_what_the_event_is(
    calendar: Calendar, way: str
) -> None:
    identifier = await calendar.booked(TIMED)
    await getattr(calendar, way)(identifier, {"IsAllDayEvent": "yes"} | BERLIN)
    assert calendar.times(identifier) == ("2026-12-28T00:00", "2026-12-29T00:00", True)

    await getattr(calendar, way)(identifier, {"IsAllDayEvent": False} | BERLIN)
    assert calendar.times(identifier) == ("2026-12-27T23:00", "2026-12-28T23:00", False)


@pytest.mark.parametrize("way", CHANGES)
async def test_an_empty_checkbox_says_that_the_event_is_not_all_day(calendar: Calendar, way: str) -> None:
    identifier = await calendar.booked(DAY)

    await getattr(calendar, way)(identifier, {"isAllDayEvent": None} | BERLIN)

    assert calendar.times(identifier) == ("2026-12-27T23:00", "2026-12-28T23:00", False)


@pytest.mark.parametrize("tool", [BOOK, "salesforce_change_records"])
async def test_a_length_in_minutes_will_do_for_the_end(calendar: Calendar, tool: str) -> None:
    values = {"Subject": "Brief", "StartDateTime": "2026-12-24T10:15:00Z", "DurationInMinutes": "30"}
    if tool == "salesforce_change_records":
        await calendar._change(BulkArguments(EVENT, "create", [values]))
    else:
        other = await calendar.booked(TIMED)
        created = await operations.create(calendar.app, calendar.caller, tool, "acme", EVENT, values)
        assert other in created.warnings[0]  # they overlap

    (made,) = [each["Id"] for each in calendar.org.records.tables["Event"].values() if each["Subject"] == "Brief"]
    assert calendar.times(made) == ("2026-12-24T10:15", "2026-12-24T10:45", False)


@pytest.mark.parametrize("way", CHANGES)
async def test_an_event_that_becomes_all_day_keeps_the_day_that_its_user_sees(calendar: Calendar, way: str) -> None:
    catalog = await calendar.app.access.catalog()
    org = catalog.by_alias["acme"]  # type: ignore[index]
    object.__setattr__(org.user, "time_zone", "America/New_York")
    late = {"StartDateTime": "2026-12-24T20:00 America/New_York", "EndDateTime": "2026-12-24T21:00 America/New_York"}
    identifier = await calendar.booked(late)

    await getattr(calendar, way)(identifier, {"IsAllDayEvent": True})

    assert calendar.times(identifier) == ("2026-12-24T00:00", "2026-12-24T00:00", True)


@pytest.mark.parametrize("tool", [BOOK, "salesforce_create_record", "salesforce_change_records"])
async def test_a_new_all_day_event_has_the_days_that_are_written(calendar: Calendar, tool: str) -> None:
    values = {"Subject": "Feast", "IsAllDayEvent": "true"} | BERLIN
    if tool == "salesforce_change_records":
        await calendar._change(BulkArguments(EVENT, "create", [values]))
    else:
        await operations.create(calendar.app, calendar.caller, tool, "acme", EVENT, values)

    (made,) = [each["Id"] for each in calendar.org.records.tables["Event"].values() if each["Subject"] == "Feast"]
    assert calendar.times(made) == ("2026-12-28T00:00", "2026-12-29T00:00", True)


async def test_all_that_a_query_finds_is_moved_only_where_the_change_says_which_kind(calendar: Calendar) -> None:
    identifier = await calendar.booked(DAY)
    soql = "SELECT Id FROM Event WHERE Ext__c = 'e1'"

    with pytest.raises(InvalidArgument) as refused:
        await calendar._change(BulkArguments(EVENT, "update", soql=soql, data=dict(BERLIN)))
    await calendar._change(BulkArguments(EVENT, "update", soql=soql, data={"IsAllDayEvent": True} | BERLIN))

    assert refused.value.fields == ("data.IsAllDayEvent",)
    assert calendar.times(identifier) == ("2026-12-28T00:00", "2026-12-29T00:00", True)


async def test_a_preview_shows_the_days_that_would_be_written(calendar: Calendar) -> None:
    identifier = await calendar.booked(DAY)

    shown = await operations.update(
        calendar.app, calendar.caller, MOVE, "acme", EVENT, identifier, dict(BERLIN), preview=True
    )
    many = await operations.change(
        calendar.app,
        calendar.caller,
        "t",
        "acme",
        BulkArguments(EVENT, "update", [{"Id": identifier} | BERLIN], preview=True),
    )

    assert {each.field: each.after for each in shown.changes}["StartDateTime"] == "2026-12-28T00:00:00Z"
    assert {each["field"]: each["to"] for each in many.results[0]["changes"]}["StartDateTime"] == "2026-12-28T00:00:00Z"
    assert calendar.times(identifier)[0] == "2026-12-24T00:00"


async def test_a_change_without_times_reads_no_event(calendar: Calendar) -> None:
    identifier = await calendar.booked(DAY)
    calendar.org.requests.clear()

    await calendar.update_record(identifier, {"Subject": "Coffee"})

    assert [seen.method for seen in calendar.org.requests] == ["PATCH"]
