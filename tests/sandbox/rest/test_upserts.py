"""Records are created or changed by a key of their own."""

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from tests.sandbox.shapes import recorded, shape

ROWS = "/services/data/v60.0/sobjects"
KEYED = f"{ROWS}/Custom__c/External_Id__c"


async def test_the_first_creates_and_the_second_changes(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    first = await web.patch(f"{KEYED}/a%2Fb%20c", json={"Amount__c": 5})
    second = await web.patch(f"{KEYED}/A%2FB%20C", json={"Amount__c": 6})

    made = first.json()["id"]
    assert (first.status_code, first.json()) == (201, {"id": made, "success": True, "errors": [], "created": True})
    assert (second.status_code, second.json()["created"], second.json()["id"]) == (200, False, made)
    record = acme.records.tables["Custom__c"][made]
    assert (record["External_Id__c"], record["Amount__c"], record["Status__c"]) == ("a/b c", 6.0, "New")
    assert (await web.get(f"{KEYED}/a%2Fb%20c")).json()["Id"] == made


async def test_before_version_46_a_change_had_no_body(web: httpx.AsyncClient) -> None:
    keyed = KEYED.replace("v60.0", "v45.0")

    assert "created" not in (await web.patch(f"{keyed}/1", json={})).json()
    assert ((await web.patch(f"{keyed}/1", json={})).status_code) == 204


async def test_several_matches_are_told_and_nothing_is_written(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    ids = [
        acme.records.add(schema.load("Contact"), {"LastName": name, "Email": "two@x.example"}) for name in ("A", "B")
    ]

    reply = await web.patch(f"{ROWS}/Contact/Email/two@x.example", json={"LastName": "C"})

    assert (reply.status_code, shape(reply.json())) == (300, shape(recorded("upsert_multiple_error_response")))
    assert [url.rpartition("/")[2] for url in reply.json()] == ids
    assert [acme.records.tables["Contact"][each]["LastName"] for each in ids] == ["A", "B"]


async def test_update_only_creates_nothing(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    reply = await web.patch(f"{KEYED}/1", params={"updateOnly": "true"}, json={"Amount__c": 5})

    assert (reply.status_code, acme.records.tables["Custom__c"]) == (404, {})


@pytest.mark.parametrize("field", ["Namez", "Amount__c"])
async def test_a_field_that_is_no_key_is_refused(web: httpx.AsyncClient, field: str) -> None:
    reply = await web.patch(f"{ROWS}/Custom__c/{field}/1", json={})

    real = recorded("upsert_error_response")
    assert (reply.status_code, shape(reply.json())) == (404, shape(real))
    assert reply.json()[0]["message"] == real[0]["message"].replace("Namez", field)


async def test_the_key_does_not_stand_in_the_body_too(web: httpx.AsyncClient) -> None:
    assert (await web.patch(f"{KEYED}/1", json={"External_Id__c": "1"})).status_code == 400


async def test_a_unique_field_is_unique(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    made = (await web.post(f"{ROWS}/Custom__c", json={"External_Id__c": "1"})).json()["id"]

    reply = await web.post(f"{ROWS}/Custom__c", json={"External_Id__c": "1"})

    assert reply.json()[0]["errorCode"] == "DUPLICATE_VALUE"
    assert made in reply.json()[0]["message"]
    await web.delete(f"{ROWS}/Custom__c/{made}")
    assert (await web.post(f"{ROWS}/Custom__c", json={"External_Id__c": "1"})).status_code == 201


async def test_a_parent_may_be_told_by_its_key(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    person = acme.records.add(schema.load("Contact"), {"LastName": "A", "Email": "a@x.example"})

    made = (await web.post(f"{ROWS}/Custom__c", json={"Contact__r": {"Email": "a@x.example"}})).json()["id"]
    lost = await web.post(f"{ROWS}/Custom__c", json={"Contact__r": {"Email": "b@x.example"}})

    assert acme.records.tables["Custom__c"][made]["Contact__c"] == person
    assert (lost.status_code, lost.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


async def test_a_duplicate_rule_tells_what_it_found(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    await web.post("/sandbox/knobs", json={"duplicate_rule": {"object": "Contact", "fields": ["lastname", "Email"]}})
    there = acme.records.add(schema.load("Contact"), {"LastName": "A", "Email": "a@x.example"})
    same = {"LastName": "a", "Email": "A@x.example"}

    alone = await web.post(f"{ROWS}/Contact", json=same)
    among = await web.post(
        "/services/data/v60.0/composite/sobjects", json={"records": [{"attributes": {"type": "Contact"}, **same}]}
    )

    (error,) = alone.json()
    assert (alone.status_code, error["errorCode"]) == (400, "DUPLICATES_DETECTED")
    found = error["duplicateResut"]["matchResults"][0]["matchRecords"][0]["record"]["Id"]
    assert found == there
    assert among.json()[0]["errors"][0]["duplicateResult"] == error["duplicateResut"]
    header = {"Sforce-Duplicate-Rule-Header": "allowSave=true; includeRecordDetails=true"}
    assert (await web.post(f"{ROWS}/Contact", json=same, headers=header)).status_code == 400
    warning = {"object": "Contact", "fields": ["Email"], "allow_save": True}
    await web.post("/sandbox/knobs", json={"duplicate_rule": warning})
    assert (await web.post(f"{ROWS}/Contact", json=same, headers=header)).status_code == 201
    await web.post("/sandbox/knobs", json={"duplicate_rule": None})
    assert (await web.post(f"{ROWS}/Contact", json=same)).status_code == 201
