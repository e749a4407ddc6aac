"""Records are held to the rules that Salesforce holds them to."""

import json
from typing import Any

import httpx
import pytest

from orgserver.model.names import record_id
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema

ROWS = "/services/data/v60.0/sobjects"
NOBODY = "003Sb0000999999IAA"


async def create(web: httpx.AsyncClient, sobject: str, values: dict[str, Any]) -> str:
    reply = await web.post(f"{ROWS}/{sobject}", json=values)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


async def read(web: httpx.AsyncClient, sobject: str, identifier: str) -> dict[str, Any]:
    return dict((await web.get(f"{ROWS}/{sobject}/{identifier}")).json())


async def test_a_record_lives_from_create_to_the_second_delete(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    made = await create(web, "Contact/", {"lastname": " Byron ", "Email": "", "MailingCity": "London"})

    assert made == record_id(made, "003")
    assert made not in {each["Id"] for each in acme.records.deleted["Contact"].values()}
    row = await read(web, "Contact", made[:15])
    assert row["attributes"] == {"type": "Contact", "url": f"{ROWS}/Contact/{made}"}
    assert (row["LastName"], row["Name"], row["Email"]) == ("Byron", "Byron", None)
    assert row["MailingAddress"]["city"] == "London"
    assert row["OtherAddress"] is None
    assert row["CreatedDate"].endswith(".000+0000")
    changed = await web.patch(f"{ROWS}/Contact/{made}/", json={"FirstName": "Ada"})
    assert (changed.status_code, changed.content) == (204, b"")
    assert (await read(web, "Contact", made))["Name"] == "Ada Byron"
    assert (await web.delete(f"{ROWS}/Contact/{made}")).status_code == 204
    again = await web.delete(f"{ROWS}/Contact/{made}")
    assert (again.status_code, again.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")


async def test_a_post_may_say_that_it_is_a_patch(web: httpx.AsyncClient) -> None:
    made = await create(web, "Contact", {"LastName": "Byron"})

    reply = await web.post(f"{ROWS}/Contact/{made}?_HttpMethod=PATCH", json={"Title": "Countess"})

    assert reply.status_code == 204
    assert (await read(web, "Contact", made))["Title"] == "Countess"


async def test_fields_name_what_is_returned(web: httpx.AsyncClient) -> None:
    made = await create(web, "Contact", {"LastName": "Byron"})

    row = (await web.get(f"{ROWS}/Contact/{made}", params={"fields": "LastName, email"})).json()

    assert row.keys() == {"attributes", "LastName", "Email", "Id"}


@pytest.mark.parametrize(
    ("sobject", "values", "code", "fields"),
    [
        ("Contact", {"FirstName": "Ada"}, "REQUIRED_FIELD_MISSING", ["LastName"]),
        ("Contact", {"LastName": "  "}, "REQUIRED_FIELD_MISSING", ["LastName"]),
        ("Account", {}, "REQUIRED_FIELD_MISSING", ["Name"]),
        ("Contact", {"LastName": "x", "Nope": 1}, "INVALID_FIELD", None),
        ("Contact", {"LastName": "x", "Name": "y"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Name"]),
        ("Contact", {"LastName": "x" * 81}, "STRING_TOO_LONG", ["LastName"]),
        ("Contact", {"LastName": "x", "Email": "nobody"}, "INVALID_EMAIL_ADDRESS", ["Email"]),
        ("Contact", {"LastName": 5}, "JSON_PARSER_ERROR", None),
        ("Contact", {"LastName": ["x"]}, "JSON_PARSER_ERROR", None),
        ("Contact", {"LastName": "x", "Birthdate": "2026-02-30"}, "JSON_PARSER_ERROR", None),
        ("Contact", {"LastName": "x", "AccountId": "001"}, "MALFORMED_ID", ["AccountId"]),
        ("Contact", {"LastName": "x", "AccountId": "001Sb0000999999IAA"}, "INVALID_CROSS_REFERENCE_KEY", []),
        ("Contact", {"LastName": "x", "AccountId": NOBODY}, "FIELD_INTEGRITY_EXCEPTION", ["AccountId"]),
        ("Account", {"Name": "x", "NumberOfEmployees": "many"}, "JSON_PARSER_ERROR", None),
        ("Account", {"Name": "x", "NumberOfEmployees": 1.5}, "JSON_PARSER_ERROR", None),
        ("Event", {"Subject": "x"}, "REQUIRED_FIELD_MISSING", ["DurationInMinutes", "ActivityDateTime"]),
        ("Event", {"StartDateTime": "2026-02-20T18:00:00Z"}, "REQUIRED_FIELD_MISSING", ["DurationInMinutes"]),
        ("Event", {"StartDateTime": "2026-13-20T18:00:00Z", "DurationInMinutes": 1}, "JSON_PARSER_ERROR", None),
        ("Event", {"StartDateTime": "2026-02-20T18:00:00", "DurationInMinutes": 1}, "JSON_PARSER_ERROR", None),
        (
            "Event",
            {"StartDateTime": "2026-02-20T18:00:00Z", "DurationInMinutes": 1, "ShowAs": "Dancing"},
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            ["ShowAs"],
        ),
        (
            "Event",
            {"StartDateTime": "2026-02-20T18:00:00Z", "DurationInMinutes": 10**9},
            "FIELD_INTEGRITY_EXCEPTION",
            ["DurationInMinutes"],
        ),
        (
            "Event",
            {"StartDateTime": "2026-02-20T18:00:00Z", "EndDateTime": "2026-02-20T17:00:00Z"},
            "FIELD_INTEGRITY_EXCEPTION",
            ["DurationInMinutes"],
        ),
        (
            "Event",
            {
                "StartDateTime": "2026-02-20T18:00:00Z",
                "EndDateTime": "2026-02-20T19:00:00Z",
                "DurationInMinutes": 61,
            },
            "FIELD_INTEGRITY_EXCEPTION",
            ["DurationInMinutes"],
        ),
        ("User", {"LastName": "x"}, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", []),
    ],
)
async def test_a_wrong_record_is_refused_as_salesforce_refuses_it(
    web: httpx.AsyncClient, acme: SandboxOrg, sobject: str, values: dict[str, Any], code: str, fields: list[str] | None
) -> None:
    before = acme.state()["records"]

    reply = await web.post(f"{ROWS}/{sobject}", json=values)

    (error,) = reply.json()
    assert (reply.status_code, error["errorCode"], error.get("fields")) == (400, code, fields)
    assert acme.state()["records"] == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
async def test_a_body_that_is_no_object_is_refused(web: httpx.AsyncClient, body: bytes) -> None:
    reply = await web.post(f"{ROWS}/Contact", content=body, headers={"Content-Type": "application/json"})

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


async def test_half_a_letter_does_no_harm(web: httpx.AsyncClient) -> None:
    reply = await web.post(
        f"{ROWS}/Contact", content=b'{"LastName": "\\ud800"}', headers={"Content-Type": "application/json"}
    )

    assert (await read(web, "Contact", reply.json()["id"]))["LastName"] == "?"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"Contact/{NOBODY}", "The requested resource does not exist"),
        ("Contact/nobody", "Provided external ID field does not exist or is not accessible: nobody"),
        ("Contact/a%2Fb", "Provided external ID field does not exist or is not accessible: a/b"),
        ("Nothing/001", "The requested resource does not exist"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_what_is_not_there_is_not_found(web: httpx.AsyncClient, method: str, path: str, message: str) -> None:
    reply = await web.request(method, f"{ROWS}/{path}", json={} if method == "PATCH" else None)

    assert (reply.status_code, reply.json()) == (404, [{"message": message, "errorCode": "NOT_FOUND"}])


async def test_an_update_can_be_bound_to_what_was_read(web: httpx.AsyncClient) -> None:
    made = await create(web, "Contact", {"LastName": "Byron"})

    async def change(since: str) -> int:
        headers = {"If-Unmodified-Since": since}
        reply = await web.patch(f"{ROWS}/Contact/{made}", json={"Title": "x"}, headers=headers)
        return reply.status_code

    assert await change("Fri, 20 Feb 2026 18:00:00 GMT") == 412
    assert await change("Fri, 20 Feb 2099 18:00:00 GMT") == 204
    assert await change("yesterday") == 400


async def test_what_has_not_changed_is_not_sent_again(web: httpx.AsyncClient) -> None:
    for path in ("Contact/describe", "Contact", ""):
        first = await web.get(f"{ROWS}/{path}")
        again = await web.get(f"{ROWS}/{path}", headers={"If-Modified-Since": first.headers["last-modified"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"StartDateTime": "2026-02-20T18:00:00+01:00", "EndDateTime": "2026-02-20T18:30:00Z"},
            ("2026-02-20T17:00:00.000+0000", "2026-02-20T18:30:00.000+0000", 90),
        ),
        (
            {"ActivityDateTime": "2026-02-20T18:00:00.000Z", "DurationInMinutes": "45"},
            ("2026-02-20T18:00:00.000+0000", "2026-02-20T18:45:00.000+0000", 45),
        ),
        (
            {"ActivityDate": "2026-02-20", "IsAllDayEvent": True},
            ("2026-02-20T00:00:00.000+0000", "2026-02-21T00:00:00.000+0000", 1_440),
        ),
    ],
)
async def test_an_events_times_follow_from_one_another(
    web: httpx.AsyncClient, given: dict[str, Any], expected: tuple[str, str, int]
) -> None:
    row = await read(web, "Event", await create(web, "Event", {"Subject": "Tea"} | given))

    assert (row["StartDateTime"], row["EndDateTime"], row["DurationInMinutes"]) == expected
    assert row["ActivityDate"] == "2026-02-20"


async def test_an_event_that_moves_keeps_its_length(web: httpx.AsyncClient) -> None:
    made = await create(web, "Event", {"StartDateTime": "2026-02-20T18:00:00Z", "DurationInMinutes": 45})

    await web.patch(f"{ROWS}/Event/{made}", json={"StartDateTime": "2026-02-21T08:00:00Z"})

    assert (await read(web, "Event", made))["EndDateTime"] == "2026-02-21T08:45:00.000+0000"


async def test_an_event_has_the_account_of_what_it_is_about(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    (account,) = acme.records.tables["Account"]
    contact = next(iter(acme.records.tables["Contact"]))
    times = {"StartDateTime": "2026-02-20T18:00:00Z", "DurationInMinutes": 45}

    for given in ({"WhatId": account}, {"WhoId": contact}):
        row = await read(web, "Event", await create(web, "Event", times | given))
        assert row["AccountId"] == account


@pytest.mark.parametrize("version", ["v50.0", "v59.0", "v68.0", "v99.0"])
async def test_every_version_is_served_and_echoed(web: httpx.AsyncClient, version: str) -> None:
    resources = (await web.get(f"/services/data/{version}")).json()
    describe = await web.get(f"/services/data/{version}/sobjects/Contact/describe")

    assert resources["query"] == f"/services/data/{version}/query"
    assert describe.json()["urls"]["sobject"] == f"/services/data/{version}/sobjects/Contact"
    assert "vxx.0" not in describe.text
    assert "orgname" not in describe.text


@pytest.mark.parametrize("name", schema.NAMES)
async def test_every_object_is_described(web: httpx.AsyncClient, name: str) -> None:
    told = (await web.get(f"{ROWS}/{name}/describe")).json()

    assert (told["name"], told["keyPrefix"]) == (name, schema.load(name).prefix)
    assert told["urls"]["sobject"].endswith(f"/{name}")


async def test_the_headers_are_salesforces(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    reply = await web.get(ROWS)

    assert reply.headers["content-type"] == "application/json;charset=UTF-8"
    assert reply.headers["sforce-limit-info"] == f"api-usage=1/{acme.daily_limit}"
    assert reply.headers["date"].endswith("GMT")
    assert reply.headers["x-request-id"] == acme.requests[-1].request_id


async def test_the_daily_limit_ends_the_day(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.daily_limit = 1

    assert (await web.get(ROWS)).status_code == 200
    reply = await web.get(ROWS)

    message = "TotalRequests Limit exceeded."
    assert (reply.status_code, reply.json()) == (403, [{"message": message, "errorCode": "REQUEST_LIMIT_EXCEEDED"}])
    assert (await web.get("/services/data")).status_code == 200


async def test_a_request_that_is_too_long_is_answered_in_html(web: httpx.AsyncClient) -> None:
    for query, headers, status in (("x" * 17_000, {}, 414), ("x" * 9_000, {"X-Long": "y" * 9_000}, 431)):
        reply = await web.get("/services/data/v60.0/query", params={"q": query}, headers=headers)
        assert reply.status_code == status
        assert reply.text.startswith("<h1>Bad Message")


async def test_orgs_share_neither_records_nor_ids(acme: SandboxOrg, globex: SandboxOrg) -> None:
    people = [{r["Name"] for r in org.records.tables["Contact"].values()} for org in (acme, globex)]
    ids = [set(org.records.tables["Contact"]) for org in (acme, globex)]

    assert not people[0] & people[1]
    assert not ids[0] & ids[1]
    assert json.dumps(acme.described())
