"""sObject Collections keep each record's outcome apart, as Salesforce does."""

from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.sandbox.shapes import exchanged, shape

DATA = "/services/data/v60.0"
MANY = f"{DATA}/composite/sobjects"


def contact(**values: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Contact"}, **values}


async def send(web: httpx.AsyncClient, method: str, records: list[Any], path: str = "", **more: Any) -> httpx.Response:
    return await web.request(method, MANY + path, json={"records": records, **more})


async def test_recorded_creates_and_upserts_are_answered_in_the_recorded_shape(web: httpx.AsyncClient) -> None:
    (asked, real), *_ = exchanged("test_simple_upsert__rest", "/composite/sobjects")
    (asked_upsert, real_upsert), *_ = exchanged("test_simple_upsert__rest", "/composite/sobjects/Contact/Email")

    created = await web.post(MANY, json=asked)
    upserted = await web.patch(f"{MANY}/Contact/Email", json=asked_upsert)

    assert (created.status_code, shape(created.json())) == (200, shape(real))
    assert [shape(each) for each in upserted.json()] == [shape(each) for each in real_upsert]


async def test_each_record_has_its_own_outcome_in_the_order_asked(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    told = [contact(LastName="A"), contact(FirstName="B"), contact(LastName="x" * 81), contact(LastName="D")]

    outcomes = (await send(web, "POST", told)).json()

    assert [each["success"] for each in outcomes] == [True, False, False, True]
    assert outcomes[1] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [LastName]",
                "fields": ["LastName"],
            }
        ],
    }
    assert outcomes[2]["errors"][0]["statusCode"] == "STRING_TOO_LONG"
    assert acme.records.tables["Contact"][outcomes[3]["id"]]["Name"] == "D"


async def test_all_or_none_takes_everything_back(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    ids = list(acme.records.tables["Contact"])
    before = {identifier: dict(record) for identifier, record in acme.records.tables["Contact"].items()}
    told = [contact(id=ids[0], LastName="New"), contact(id=ids[1], LastName=None)]

    outcomes = (await send(web, "PATCH", told, allOrNone=True)).json()

    codes = [each["errors"][0]["statusCode"] for each in outcomes]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    gone = await web.delete(MANY, params={"ids": f"{ids[0]},003Sb0000999999IAA", "allOrNone": "true"})
    assert [each["success"] for each in gone.json()] == [False, False]
    assert {identifier: dict(record) for identifier, record in acme.records.tables["Contact"].items()} == before
    assert not acme.records.deleted["Contact"]


async def test_without_it_the_good_ones_stay(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    ids = list(acme.records.tables["Contact"])
    told = [contact(id=ids[0], LastName="New"), contact(Id=ids[1], LastName=None), contact(LastName="No id")]

    outcomes = (await send(web, "PATCH", told)).json()

    assert outcomes[0] == {"id": ids[0], "success": True, "errors": []}
    assert [each["errors"][0]["statusCode"] for each in outcomes[1:]] == ["REQUIRED_FIELD_MISSING", "MISSING_ARGUMENT"]
    assert acme.records.tables["Contact"][ids[0]]["LastName"] == "New"


async def test_records_are_deleted_by_id_once(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    ids = list(acme.records.tables["Contact"])

    first = (await web.delete(MANY, params={"ids": ",".join(ids[:2])})).json()
    again = (await web.delete(MANY, params={"ids": f"{ids[0]},nonsense,{ids[2]}"})).json()

    assert first == [{"id": each, "success": True, "errors": []} for each in ids[:2]]
    assert [each["success"] for each in again] == [False, False, True]
    assert [each["errors"][0]["statusCode"] for each in again[:2]] == ["ENTITY_IS_DELETED", "MALFORMED_ID"]


async def test_many_are_read_and_a_missing_one_is_null(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    known = next(iter(acme.records.tables["Contact"]))
    ids = [known, "003Sb0000999999IAA"]

    by_post = await web.post(f"{MANY}/Contact", json={"ids": ids, "fields": ["lastname", "AccountId"]})
    by_get = await web.get(f"{MANY}/Contact", params={"ids": ",".join(ids), "fields": "LastName,AccountId"})

    assert by_post.json() == by_get.json()
    assert by_post.json()[1] is None
    assert by_post.json()[0].keys() == {"attributes", "Id", "LastName", "AccountId"}


async def test_a_record_that_cannot_be_read_refuses_the_whole_call(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    before = len(acme.records.tables["Contact"])

    reply = await send(web, "POST", [contact(LastName="A"), contact(LastName="B", Nope=1)])

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, "INVALID_FIELD")
    assert len(acme.records.tables["Contact"]) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"records": [contact(LastName="x")] * 201}, "EXCEEDED_ID_LIMIT"),
        ({"records": []}, "MISSING_ARGUMENT"),
        ({"records": [1]}, "MISSING_ARGUMENT"),
        ({"records": [{"LastName": "x"}]}, "INVALID_INPUT"),
        ({"records": [{"attributes": {"type": "Nothing"}}]}, "INVALID_TYPE"),
        (
            {"records": [contact(LastName="x"), {"attributes": {"type": "Account"}, "Name": "x"}] * 6},
            "LIMIT_EXCEEDED",
        ),
        ([], "JSON_PARSER_ERROR"),
    ],
)
async def test_a_call_that_is_no_collection_is_refused(web: httpx.AsyncClient, body: Any, code: str) -> None:
    reply = await web.post(MANY, json=body)

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, code)


async def test_faults_strike_collections_too(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.fault("status", path=".*/composite/sobjects", status=503)

    assert (await send(web, "POST", [contact(LastName="x")])).status_code == 503
    assert (await send(web, "POST", [contact(LastName="x")])).status_code == 200


async def test_two_records_with_one_key_stop_only_their_own_upsert(web: httpx.AsyncClient) -> None:
    await send(web, "POST", [contact(LastName="A", Email="two@x.example")] * 2)
    told = [contact(LastName="C", Email="two@x.example"), contact(LastName="D", Email="one@x.example"), contact()]

    outcomes = (await send(web, "PATCH", told, "/Contact/Email")).json()

    assert outcomes[1]["created"] is True
    assert outcomes[0]["errors"][0]["statusCode"] == "DUPLICATE_EXTERNAL_ID"
    assert outcomes[2]["errors"][0]["statusCode"] == "MISSING_ARGUMENT"
