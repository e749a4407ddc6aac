"""Several requests in one are answered together, and stand or fall as Salesforce has them."""

from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from tests.sandbox.shapes import exchanged, recorded, shape

DATA = "/services/data/v60.0"


def asked(reference: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    told = {"method": method, "url": DATA + path, "referenceId": reference}
    return told | ({"body": body} if body is not None else {})


ACCOUNT = asked("acc", "POST", "/sobjects/Account", {"Name": "New"})
CONTACT = asked("con", "POST", "/sobjects/Contact", {"LastName": "Byron", "AccountId": "@{acc.id}"})
WRONG = asked("bad", "POST", "/sobjects/Contact", {"FirstName": "Ada"})


async def composite(web: httpx.AsyncClient, *requests: Any, **more: Any) -> list[dict[str, Any]]:
    reply = await web.post(f"{DATA}/composite", json={"compositeRequest": requests, **more})
    assert reply.status_code == 200, reply.text
    return list(reply.json()["compositeResponse"])


async def test_recorded_requests_are_answered_in_the_recorded_shape(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.records.tables["Account"].clear()
    pairs = exchanged("test_errors", "/composite") + exchanged("test_reference_ids", "/composite")

    assert len(pairs) == 3
    for body, real in pairs:
        for each in body["compositeRequest"]:
            each["url"] = each["url"].replace("vxx.0", "v60.0")
        ours = (await web.post(f"{DATA}/composite", json=body)).json()
        assert [shape(each) for each in ours["compositeResponse"]] == [
            shape(each) for each in real["compositeResponse"]
        ]


async def test_a_later_request_refers_to_an_earlier_one(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    query = asked("found", "GET", "/query?q=SELECT Id, Name FROM Account WHERE Id = '@{acc.id}'")
    read = asked("read", "GET", "/sobjects/Account/@{found.records[0].Id}?fields=Name")

    account, contact, found, again = await composite(web, ACCOUNT, CONTACT, query, read)

    assert [each["httpStatusCode"] for each in (account, contact, found, again)] == [201, 201, 200, 200]
    assert account["httpHeaders"] == {"Location": f"{DATA}/sobjects/Account/{account['body']['id']}"}
    assert acme.records.tables["Contact"][contact["body"]["id"]]["AccountId"] == account["body"]["id"]
    assert again["body"]["Name"] == "New"


async def test_what_depends_on_a_failure_is_not_run_and_the_rest_is(web: httpx.AsyncClient) -> None:
    lost = asked("lost", "PATCH", "/sobjects/Contact/@{bad.id}", {"Title": "x"})

    bad, halted, account = await composite(web, WRONG, lost, ACCOUNT)

    assert (bad["httpStatusCode"], bad["body"][0]["errorCode"]) == (400, "REQUIRED_FIELD_MISSING")
    assert (halted["httpStatusCode"], halted["body"][0]["errorCode"]) == (400, "PROCESSING_HALTED")
    assert account["httpStatusCode"] == 201


async def test_all_or_none_takes_everything_back(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    before = acme.state()["records"]

    responses = await composite(web, ACCOUNT, WRONG, CONTACT, allOrNone=True)

    codes = [each["body"][0]["errorCode"] for each in responses]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING", "PROCESSING_HALTED"]
    assert [each["referenceId"] for each in responses] == ["acc", "bad", "con"]
    assert acme.state()["records"] == before


@pytest.mark.parametrize(
    ("requests", "code"),
    [
        ([ACCOUNT, ACCOUNT], "INVALID_INPUT"),
        ([{"method": "GET", "url": f"{DATA}/limits"}], "INVALID_INPUT"),
        ([], "JSON_PARSER_ERROR"),
    ],
)
async def test_too_much_or_too_little_is_refused(web: httpx.AsyncClient, requests: Any, code: str) -> None:
    reply = await web.post(f"{DATA}/composite", json={"compositeRequest": requests})

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, code)


async def test_one_composite_holds_no_other(web: httpx.AsyncClient) -> None:
    (response,) = await composite(web, asked("r", "POST", "/composite", {"compositeRequest": [ACCOUNT]}))

    assert response["httpStatusCode"] == 400


async def test_a_composite_counts_as_one_call(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    before = acme.counters.api_calls

    await composite(web, ACCOUNT, CONTACT)

    assert acme.counters.api_calls == before + 1


async def test_a_batch_goes_on_or_halts(web: httpx.AsyncClient) -> None:
    wrong = {"method": "POST", "url": "v60.0/sobjects/Contact", "richInput": {}}
    right = {"method": "GET", "url": "v60.0/limits"}

    on = (await web.post(f"{DATA}/composite/batch", json={"batchRequests": [wrong, right]})).json()
    halted = await web.post(f"{DATA}/composite/batch", json={"batchRequests": [wrong, right], "haltOnError": True})

    assert (on["hasErrors"], [each["statusCode"] for each in on["results"]]) == (True, [400, 200])
    assert [each["statusCode"] for each in halted.json()["results"]] == [400, 412]


async def test_a_tree_grows_whole_or_not_at_all(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    def tree(**leaf: Any) -> dict[str, Any]:
        child = {"attributes": {"type": "Contact", "referenceId": "c"}, **leaf}
        top = {"attributes": {"type": "Account", "referenceId": "a"}, "Name": "Top", "Contacts": {"records": [child]}}
        return {"records": [top]}

    good = await web.post(f"{DATA}/composite/tree/Account", json=tree(LastName="Leaf"))
    before = acme.state()["records"]
    bad = await web.post(f"{DATA}/composite/tree/Account", json=tree(FirstName="Leaf"))

    ids = {each["referenceId"]: each["id"] for each in good.json()["results"]}
    assert (good.status_code, good.json()["hasErrors"]) == (201, False)
    assert acme.records.tables["Contact"][ids["c"]]["AccountId"] == ids["a"]
    assert (bad.status_code, bad.json()["results"][0]["referenceId"]) == (400, "c")
    assert bad.json()["results"][0]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert acme.state()["records"] == before


async def test_each_graph_stands_or_falls_by_itself(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    before = len(acme.records.tables["Account"])
    graphs = [
        {"graphId": "1", "compositeRequest": [ACCOUNT, CONTACT]},
        {"graphId": "2", "compositeRequest": [ACCOUNT, WRONG]},
    ]

    told = (await web.post(f"{DATA}/composite/graph", json={"graphs": graphs})).json()["graphs"]

    assert [(each["graphId"], each["isSuccessful"]) for each in told] == [("1", True), ("2", False)]
    assert len(acme.records.tables["Account"]) == before + 1


async def test_what_changed_and_what_went_is_told(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    span = {"start": "2020-01-01T00:00:00+00:00", "end": "2099-01-01T00:00:00Z"}
    gone, *rest = acme.records.tables["Contact"]
    acme.records.delete(schema.load("Contact"), gone)

    updated = (await web.get(f"{DATA}/sobjects/Contact/updated/", params=span)).json()
    deleted = (await web.get(f"{DATA}/sobjects/Contact/deleted/", params=span)).json()

    assert shape(updated) == shape(recorded("get_updated_success_response"))
    assert shape(deleted) == shape(recorded("get_deleted_success_response"))
    assert updated["ids"] == rest
    assert [each["id"] for each in deleted["deletedRecords"]] == [gone]
    backwards = {"start": span["end"], "end": span["start"]}
    assert (await web.get(f"{DATA}/sobjects/Contact/updated", params=backwards)).status_code == 400


async def test_limits_and_counts_are_told(web: httpx.AsyncClient) -> None:
    limits = (await web.get(f"{DATA}/limits/")).json()
    counts = (await web.get(f"{DATA}/limits/recordCount", params={"sObjects": "contact,Account"})).json()

    assert {frozenset(each) for each in limits.values()} == {frozenset({"Max", "Remaining"})}
    assert {"DailyApiRequests", "DailyBulkV2QueryJobs", "DataStorageMB", "SingleEmail"} <= limits.keys()
    assert counts == {"sObjects": [{"count": 4, "name": "Contact"}, {"count": 1, "name": "Account"}]}
