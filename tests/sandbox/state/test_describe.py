"""Describe tells what an org's objects are, since when, and that they have not changed."""

from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from tests.sandbox.shapes import recorded

DATA = "/services/data/v60.0"
ROWS = f"{DATA}/sobjects"


@pytest.mark.parametrize("path", ["/sobjects", "/sobjects/Contact", "/sobjects/Contact/describe"])
async def test_what_has_not_changed_is_not_sent_again(web: httpx.AsyncClient, path: str) -> None:
    first = await web.get(DATA + path)

    again = await web.get(DATA + path, headers={"If-Modified-Since": first.headers["last-modified"]})

    assert (again.status_code, again.content) == (304, b"")


async def test_a_changed_field_moves_last_modified_and_is_obeyed(
    web: httpx.AsyncClient, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    path = f"{ROWS}/Contact/describe"
    since = {"If-Modified-Since": (await web.get(path)).headers["last-modified"]}
    told = {"object": "Contact", "field": "Title", "values": {"length": 3, "label": "Rank"}}

    assert (await web.post("/sandbox/fields", json=told)).status_code == 200

    reply = await web.get(path, headers=since)
    assert reply.status_code == 200
    (title,) = [field for field in reply.json()["fields"] if field["name"] == "Title"]
    assert (title["length"], title["label"]) == (3, "Rank")
    assert (await web.get(ROWS, headers=since)).status_code == 200
    refused = await web.post(f"{ROWS}/Contact", json={"LastName": "x", "Title": "Queen"})
    assert refused.json()[0]["errorCode"] == "STRING_TOO_LONG"
    again = {"If-Modified-Since": reply.headers["last-modified"]}
    assert (await web.get(path, headers=again)).status_code == 304
    assert (await web.get(f"{ROWS}/Account/describe", headers=since)).status_code == 304
    assert globex.objects.own == {}


async def test_a_new_field_can_be_written_read_and_queried(web: httpx.AsyncClient) -> None:
    await web.post("/sandbox/fields", json={"object": "contact", "field": "Nick__c"})

    made = (await web.post(f"{ROWS}/Contact", json={"LastName": "x", "Nick__c": "y"})).json()["id"]

    query = {"q": "SELECT Id FROM Contact WHERE Nick__c = 'y'"}
    assert (await web.get(f"{DATA}/query", params=query)).json()["records"][0]["Id"] == made
    everybody = (await web.get(f"{DATA}/query", params={"q": "SELECT Nick__c FROM Contact"})).json()
    assert {each["Nick__c"] for each in everybody["records"]} == {None, "y"}


@pytest.mark.parametrize("told", [{}, {"object": "Nothing", "field": "x"}, {"object": "Contact", "field": 1}])
async def test_a_field_of_no_object_cannot_be_changed(web: httpx.AsyncClient, told: dict[str, Any]) -> None:
    assert (await web.post("/sandbox/fields", json=told)).status_code == 400


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("Lead", {"LastName": "Byron", "Company": "X"}, {"Name": "Byron", "Status": "Open - Not Contacted"}),
        ("Case", {"Subject": "x"}, {"Status": "New", "Priority": "Medium", "IsClosed": False}),
        (
            "Opportunity",
            {"Name": "x", "StageName": "Closed Won", "CloseDate": "2026-12-01", "Amount": 5},
            {"IsWon": True, "IsClosed": True, "ExpectedRevenue": 5.0},
        ),
        ("Custom__c", {"Status__c": "Done"}, {"Status__c": "Done", "Amount__c": None}),
    ],
)
async def test_every_kind_of_record_lives(
    web: httpx.AsyncClient, name: str, values: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = (await web.post(f"{ROWS}/{name}", json=values)).json()["id"]

    row = (await web.get(f"{ROWS}/{name}/{made}")).json()
    assert {key: row[key] for key in expected} == expected
    assert row.keys() == {"attributes", *(field.name for field in schema.load(name).fields.values())}
    assert (await web.delete(f"{ROWS}/{name}/{made}")).status_code == 204


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("Lead", {"LastName": "x"}, "REQUIRED_FIELD_MISSING"),
        ("Opportunity", {"Name": "x", "StageName": "New"}, "REQUIRED_FIELD_MISSING"),
        ("OpportunityContactRole", {"Role": "x"}, "REQUIRED_FIELD_MISSING"),
        ("Custom__c", {"Status__c": "Nope"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ("Custom__c", {"Contact__c": "001Sb0000999999IAA"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Custom__c", {"CreatedDate": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ("Case", {"CaseNumber": "1"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ],
)
async def test_every_kind_of_record_has_its_rules(
    web: httpx.AsyncClient, name: str, values: dict[str, Any], code: str
) -> None:
    reply = await web.post(f"{ROWS}/{name}", json=values)

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, code)


async def test_guests_of_an_event_are_records_of_their_own(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    event = next(iter(acme.records.tables["Event"]))
    guest = next(iter(acme.records.tables["Contact"]))

    told = {"EventId": event, "RelationId": guest, "IsInvitee": True, "Status": "Accepted"}
    made = (await web.post(f"{ROWS}/EventRelation", json=told)).json()["id"]

    query = f"SELECT Id, Status, Relation.Name FROM EventRelation WHERE EventId = '{event}'"
    (row,) = (await web.get(f"{DATA}/query", params={"q": query})).json()["records"]
    assert (row["Id"], row["Status"], row["Relation"]["Name"]) == (made, "Accepted", "Ada Lovelace")


async def test_an_event_of_a_series_can_be_put_in_and_read(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    values = {
        "Subject": "Weekly",
        "StartDateTime": "2026-12-01T09:00:00.000+0000",
        "EndDateTime": "2026-12-01T10:00:00.000+0000",
        "IsRecurrence2": True,
        "Recurrence2PatternText": "RRULE:FREQ=WEEKLY;COUNT=4",
    }

    made = (await web.post("/sandbox/records", json={"object": "Event", "values": values})).json()["id"]

    row = (await web.get(f"{ROWS}/Event/{made}")).json()
    assert (row["IsRecurrence2"], row["Recurrence2PatternText"]) == (True, "RRULE:FREQ=WEEKLY;COUNT=4")
    wrong = await web.post("/sandbox/records", json={"object": "Event", "values": {"Nope": 1}})
    assert wrong.status_code == 400


async def test_an_org_may_have_person_accounts(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    query = {"q": "SELECT Name, IsPersonAccount FROM Contact"}
    assert (await web.get(f"{DATA}/query", params=query)).status_code == 400
    await web.post("/sandbox/knobs", json={"person_accounts": True})

    made = (await web.post(f"{ROWS}/Account", json={"LastName": "Byron", "PersonEmail": "b@x.example"})).json()["id"]

    row = (await web.get(f"{ROWS}/Account/{made}")).json()
    assert (row["Name"], row["IsPersonAccount"]) == ("Byron", True)
    contact = (await web.get(f"{ROWS}/Contact/{row['PersonContactId']}")).json()
    assert (contact["Email"], contact["IsPersonAccount"], contact["AccountId"]) == ("b@x.example", True, made)
    people = (await web.get(f"{DATA}/query", params=query)).json()["records"]
    assert sorted(each["IsPersonAccount"] for each in people) == [False] * 4 + [True]
    await web.post("/sandbox/knobs", json={"person_accounts": False})
    assert (await web.get(f"{DATA}/query", params=query)).status_code == 400


async def test_an_object_may_be_hidden(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    assert (await web.post("/sandbox/knobs", json={"hidden_objects": ["EventRelation"]})).status_code == 200

    listed = {each["name"] for each in (await web.get(ROWS)).json()["sobjects"]}
    assert listed == set(schema.NAMES) - {"EventRelation"}
    assert (await web.get(f"{ROWS}/EventRelation/describe")).status_code == 404
    refused = await web.get(f"{DATA}/query", params={"q": "SELECT Id FROM EventRelation"})
    assert refused.json()[0]["errorCode"] == "INVALID_TYPE"
    assert (await web.post("/sandbox/knobs", json={"hidden_objects": ["Nothing"]})).status_code == 400


async def test_the_list_of_objects_has_the_recorded_shape(web: httpx.AsyncClient) -> None:
    real = recorded("describe_global")
    ours = (await web.get(ROWS)).json()

    assert ours.keys() == real.keys()
    assert all(each.keys() == real["sobjects"][0].keys() for each in ours["sobjects"])
