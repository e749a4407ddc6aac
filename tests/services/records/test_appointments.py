"""Appointments as people have them: whole days, several days, overlaps, names, attendees, and fields an org may lack."""

from typing import Any

import httpx
import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import InvalidArgument, Rejected
from orgserver.model.names import CONTACT, EVENT
from orgserver.model.orgs import Caller
from orgserver.model.results import Created
from orgserver.services.queries.list_query import Listing
from tests import operations

BOOK, GET, LIST = "salesforce_create_appointment", "salesforce_get_appointment", "salesforce_list_appointments"
RELATIONS = "FROM%?.*EventRelation"


async def book(app: App, caller: Caller, start: str, end: str, **more: Any) -> Created:
    data = {"Subject": "Tea", "StartDateTime": start, "EndDateTime": end} | more
    return await operations.create(app, caller, BOOK, "acme", EVENT, data)


async def listed(app: App, caller: Caller, start: str, end: str, **more: Any) -> list[dict[str, Any]]:
    listing = Listing(EVENT, 50, start=start, end=end, **more)
    return (await operations.list_(app, caller, LIST, "acme", listing)).records


async def in_zone(app: App, zone: str) -> None:
    """Let the org's user live in another zone."""
    catalog = await app.access.catalog()
    org = catalog.by_alias["acme"]  # type: ignore[index]
    object.__setattr__(org.user, "time_zone", zone)


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "UTC", "Pacific/Auckland"])
async def test_an_all_day_event_belongs_to_its_day_wherever_its_user_lives(app: App, caller: Caller, zone: str) -> None:
    await in_zone(app, zone)
    made = await book(app, caller, "2031-11-24", "2031-11-25", IsAllDayEvent=True)

    on_the_day = await listed(app, caller, "2031-11-24", "2031-11-24")
    evening = await listed(app, caller, f"2031-11-24T22:00 {zone}", f"2031-11-24T23:00 {zone}")

    assert [each["Id"] for each in on_the_day] == [each["Id"] for each in evening] == [made.id]
    assert on_the_day[0]["local"]["start"] == "2031-11-24"
    for day in ("2031-11-23", "2031-11-25"):
        assert await listed(app, caller, day, day) == []


async def test_an_event_over_several_days_is_found_on_each(app: App, caller: Caller) -> None:
    made = await book(app, caller, "2031-11-24T22:00Z", "2031-11-27T06:00Z")

    for day in ("2031-11-24", "2031-11-26", "2031-11-27"):
        assert [each["Id"] for each in await listed(app, caller, day, day)] == [made.id]
    assert await listed(app, caller, "2031-11-28", "2031-11-28") == []


async def test_a_day_on_which_clocks_change_has_its_own_length(app: App, caller: Caller) -> None:
    await in_zone(app, "Europe/Berlin")
    late = await book(app, caller, "2031-10-26T23:30 Europe/Berlin", "2031-10-26T23:45 Europe/Berlin")

    (found,) = await listed(app, caller, "2031-10-26", "2031-10-26")

    assert found["Id"] == late.id
    assert found["StartDateTime"] == "2031-10-26T22:30:00.000+0000"
    assert found["local"] == {
        "start": "2031-10-26T23:30:00+01:00",
        "end": "2031-10-26T23:45:00+01:00",
        "time_zone": "Europe/Berlin",
    }


async def test_with_whom_and_about_what_are_told_by_name(app: App, caller: Caller) -> None:
    who = await operations.create(app, caller, "t", "acme", CONTACT, {"FirstName": "Ada", "LastName": "Byron"})
    made = await book(app, caller, "2031-01-01T10:00Z", "2031-01-01T11:00Z", WhoId=who.id)

    record = (await operations.read(app, caller, GET, "acme", EVENT, made.id)).values

    assert record["Who"] == {"Name": "Ada Byron", "Type": "Contact"}
    assert "What" not in record and "IsRecurrence" not in record
    named = (await operations.read(app, caller, GET, "acme", EVENT, made.id, ["Subject", "Location"])).values
    assert named == {"Id": made.id, "Subject": "Tea", "Location": None}


NAMED = [
    (["Subject", "StartDateTime"], {"start": "2027-03-10", "end": "2027-03-11"}),
    (["Subject", "startDateTime", "endDateTime"], {"start": "2027-03-10", "end": "2027-03-11"}),
    (["IsAllDayEvent", "StartDateTime"], {"start": "2027-03-10", "end": "2027-03-11"}),
    (["Subject", "EndDateTime"], None),
    (["Subject"], None),
]


@pytest.mark.parametrize(("fields", "local"), NAMED)
async def test_a_day_stays_a_day_whichever_fields_are_named_and_no_other_field_is_shown(
    app: App, caller: Caller, fields: list[str], local: dict[str, str] | None
) -> None:
    zone = "America/Los_Angeles"
    await in_zone(app, zone)
    made = await book(app, caller, "2027-03-10", "2027-03-12", IsAllDayEvent=True)

    single = (await operations.read(app, caller, GET, "acme", EVENT, made.id, fields)).values
    (row,) = await listed(app, caller, "2027-03-10", "2027-03-10", fields=fields)

    assert single == row
    assert single.pop("local", None) == (local and local | {"time_zone": zone})
    assert {name.lower() for name in single} == {name.lower() for name in ["Id", *fields]}


async def test_where_nobody_may_see_whether_it_is_all_day_no_local_times_are_told(
    app: App, caller: Caller, host, refuse
) -> None:
    made = await book(app, caller, "2027-03-10", "2027-03-11", IsAllDayEvent=True)
    hidden = refuse(400, "INVALID_FIELD", "No such column 'IsAllDayEvent' on sobject of type Event")
    host.on("GET", "IsAllDayEvent", hidden)

    for _ in range(2):
        record = (await operations.read(app, caller, GET, "acme", EVENT, made.id, ["StartDateTime"])).values
        assert record == {"Id": made.id, "StartDateTime": "2027-03-10T00:00:00.000+0000"}

    assert sum("IsAllDayEvent" in target for target in host.targets()) == 1  # and then it is known


# -- overlaps


async def test_what_the_owner_has_at_that_time_is_pointed_out(app: App, caller: Caller) -> None:
    first = await book(app, caller, "2031-05-01T10:00Z", "2031-05-01T11:00Z")

    second = await book(app, caller, "2031-05-01T10:30Z", "2031-05-01T11:30Z")
    after = await book(app, caller, "2031-05-01T11:30Z", "2031-05-01T12:00Z")

    assert first.warnings == after.warnings == ()
    assert second.warnings == (
        f"overlaps with other appointments of its owner: {first.id} (2031-05-01T10:00:00Z to 2031-05-01T11:00:00Z)",
    )
    entry = (await app.audit_log.newest(EntryFilter(action="create"), 1))[0]
    assert (entry.api_calls, entry.record_ids) == (2, (after.id,))


@pytest.mark.parametrize("trouble", ["refused", "lost"])
async def test_overlaps_that_cannot_be_looked_up_stop_no_appointment(
    app: App, caller: Caller, host, refuse, trouble: str
) -> None:
    answers = [refuse(403, "INSUFFICIENT_ACCESS")] if trouble == "refused" else [httpx.ReadError("gone")] * 5
    host.on("GET", "/query", *answers)

    made = await book(app, caller, "2031-05-01T10:00Z", "2031-05-01T11:00Z")

    assert made.id and made.warnings == ()


async def test_a_time_that_clocks_skip_is_refused_before_anything_is_sent(app: App, caller: Caller, host) -> None:
    with pytest.raises(InvalidArgument, match="data.StartDateTime does not exist in its zone"):
        await book(app, caller, "2031-03-30T02:30 Europe/Berlin", "2031-03-30T04:00 Europe/Berlin")

    assert host.asked == []


# -- attendees


async def test_who_was_invited_is_told(app: App, caller: Caller, host, say, refuse) -> None:
    made = await book(app, caller, "2031-01-01T10:00Z", "2031-01-01T11:00Z")
    row = {"RelationId": "003x", "Relation": {"Name": "Ada", "Type": "Contact"}, "Status": "Accepted"}
    page = {"totalSize": 51, "done": True, "records": [row] * 51}
    host.on("GET", RELATIONS, refuse(400, "INVALID_FIELD", "No such column 'IsInvitee'"), say(200, page))

    record = (await operations.read(app, caller, GET, "acme", EVENT, made.id)).values

    assert record["attendees"][0] == {"id": "003x", "name": "Ada", "type": "Contact", "status": "Accepted"}
    assert (len(record["attendees"]), record["more_attendees"]) == (50, True)
    assert "IsInvitee" not in host.queries()[-1]


async def test_an_org_without_attendees_is_asked_once(app: App, caller: Caller, host, refuse) -> None:
    made = await book(app, caller, "2031-01-01T10:00Z", "2031-01-01T11:00Z")
    host.on("GET", RELATIONS, refuse(400, "INVALID_TYPE"))

    for _ in range(2):
        assert "attendees" not in (await operations.read(app, caller, GET, "acme", EVENT, made.id)).values

    assert sum("EventRelation" in query for query in host.queries()) == 1


async def test_attendees_that_could_not_be_read_are_not_taken_for_none(app: App, caller: Caller, host, refuse) -> None:
    made = await book(app, caller, "2031-01-01T10:00Z", "2031-01-01T11:00Z")
    host.on("GET", RELATIONS, refuse(403, "INSUFFICIENT_ACCESS"))

    assert (await operations.read(app, caller, GET, "acme", EVENT, made.id)).values[
        "attendees_unread"
    ] == "INSUFFICIENT_ACCESS"


# -- fields that not every org has


async def test_a_person_account_is_told_apart_where_the_org_has_them(app: App, caller: Caller, host, say) -> None:
    row = {"attributes": {"type": "Contact"}, "Id": "003x", "IsPersonAccount": True, "Email": None}
    host.on("GET", "IsPersonAccount", say(200, {"totalSize": 1, "done": True, "records": [row]}))

    page = await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))

    assert page.records == [{"Id": "003x", "IsPersonAccount": True}]


async def test_an_org_without_person_accounts_is_asked_for_them_once(app: App, caller: Caller, host, refuse) -> None:
    host.on("GET", "IsPersonAccount", refuse(400, "INVALID_FIELD", "No such column 'IsPersonAccount'"))

    for _ in range(2):
        page = await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT, limit=1))
        assert len(page.records) == 1 and page.next_cursor

    more = Listing(CONTACT, limit=1, cursor=page.next_cursor)
    assert len((await operations.list_(app, caller, "salesforce_list_contacts", "acme", more)).records) == 1
    assert ["IsPersonAccount" in query for query in host.queries()] == [True, False, False, False]


async def test_a_field_that_the_agent_got_wrong_is_still_its_error(app: App, caller: Caller) -> None:
    with pytest.raises(Rejected, match="Nonsense__c"):
        await operations.list_(
            app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT, filter={"Nonsense__c": "1"})
        )


async def test_a_contact_is_found_by_its_email_in_any_case(app: App, caller: Caller) -> None:
    made = await operations.create(
        app, caller, "t", "acme", CONTACT, {"LastName": "Byron", "Email": "ada@byron.example"}
    )

    page = await operations.list_(
        app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT, filter={"Email": "ADA@Byron.Example"})
    )

    assert [each["Id"] for each in page.records] == [made.id]
