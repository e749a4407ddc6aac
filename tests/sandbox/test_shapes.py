"""The sandbox's replies have the keys and types of recorded real ones."""

from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.sandbox.shapes import recorded, shape


@pytest.fixture
async def http(acme: SandboxOrg) -> Any:
    headers = {"Authorization": f"Bearer {acme.new_session()['access_token']}"}
    async with httpx.AsyncClient(base_url=acme.url, headers=headers, trust_env=False) as client:
        yield client


DATA = "/services/data/v60.0"


async def test_created(http: httpx.AsyncClient) -> None:
    reply = await http.post(f"{DATA}/sobjects/Contact", json={"LastName": "x"})

    assert reply.status_code == 201
    assert shape(reply.json()) == shape(recorded("create_success_response"))


async def test_a_query_page(http: httpx.AsyncClient) -> None:
    ours = (await http.get(f"{DATA}/query", params={"q": "SELECT Id FROM Contact"})).json()
    real = recorded("query_success_response")

    assert ours.keys() == real.keys()
    assert shape(ours["records"][0]["attributes"]) == shape(real["records"][0]["attributes"])
    empty = (await http.get(f"{DATA}/query", params={"q": "SELECT Id FROM Contact WHERE Name = 'nobody'"})).json()
    assert shape(empty) == shape(recorded("query_empty_response"))


async def test_the_first_of_several_pages(http: httpx.AsyncClient, acme: SandboxOrg) -> None:
    from orgserver.sandbox.state import schema

    for number in range(300):
        acme.records.add(schema.load("Contact"), {"LastName": f"N{number}"})
    options = {"Sforce-Query-Options": "batchSize=200"}
    ours = (await http.get(f"{DATA}/query", params={"q": "SELECT Id FROM Contact"}, headers=options)).json()

    assert ours.keys() == recorded("query_paginated_first_page_response").keys()
    last = (await http.get(ours["nextRecordsUrl"])).json()
    assert (last["done"], len(last["records"])) == (True, 104)


@pytest.mark.parametrize("path", ["/sobjects/Contact/003000000000000AAA", "/sobjects/Nothing"])
async def test_not_found(http: httpx.AsyncClient, path: str) -> None:
    reply = await http.get(DATA + path)

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (404, "NOT_FOUND")
    assert shape(reply.json()) == shape(recorded("sobject_find_error_response"))


async def test_a_refused_write(http: httpx.AsyncClient) -> None:
    reply = await http.post(f"{DATA}/sobjects/Contact", json={"LastName": "x", "foo": 1})

    real = recorded("write_error_response")
    assert shape(reply.json()) == shape(real)
    assert reply.json()[0]["errorCode"] == real[0]["errorCode"]


async def test_a_stale_session(acme: SandboxOrg) -> None:
    async with httpx.AsyncClient(base_url=acme.url, trust_env=False) as nobody:
        reply = await nobody.get(f"{DATA}/query", params={"q": "x"}, headers={"Authorization": "Bearer 00Dold!x"})

    assert reply.status_code == 401
    assert reply.json() == recorded("expired_session_response") or shape(reply.json()) == shape(
        recorded("expired_session_response")
    )


async def test_versions(http: httpx.AsyncClient) -> None:
    assert shape((await http.get("/services/data/")).json()) == shape(recorded("services_data_success_response"))


async def test_tokens(http: httpx.AsyncClient, acme: SandboxOrg) -> None:
    form = {
        "grant_type": "refresh_token",
        "client_id": acme.client_id,
        "client_secret": acme.client_secret,
        "refresh_token": acme.refresh_token,
    }
    good = (await http.post("/services/oauth2/token", data=form)).json()
    reused = await http.post("/services/oauth2/token", data=form)

    assert set(recorded("refresh_success_response")) <= set(good)
    assert reused.status_code == 400
    assert reused.json() == recorded("refresh_error_response")
    assert (acme.counters.reuses, acme.refresh_token) == (1, "")


async def test_a_token_of_another_org_is_refused_and_counted(acme: SandboxOrg, globex: SandboxOrg) -> None:
    token = globex.new_session()["access_token"]
    async with httpx.AsyncClient(base_url=acme.url, trust_env=False) as client:
        reply = await client.get(f"{DATA}/sobjects", headers={"Authorization": f"Bearer {token}"})

    assert reply.status_code == 401
    assert acme.counters.foreign_tokens == 1


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (
            "SELECT Name FROM Contact WHERE FirstName IN ('Ada', 'Grace') ORDER BY Name DESC",
            ["Grace Hopper", "Ada Lovelace"],
        ),
        ("SELECT Name FROM Contact WHERE NOT (Name LIKE 'a%' OR Name LIKE '%o%') ORDER BY Name", ["Radia Perlman"]),
        (
            "SELECT Name FROM Contact WHERE Account.Name = 'acme corporation' AND Email != null ORDER BY Name LIMIT 1",
            ["Ada Lovelace"],
        ),
        ("SELECT Name FROM Contact WHERE CreatedDate = TODAY ORDER BY Name LIMIT 1 OFFSET 3", ["Radia Perlman"]),
        ("SELECT Name FROM Contact WHERE CreatedDate < LAST_N_DAYS:3", []),
        ("SELECT Name FROM Contact WHERE FirstName NOT IN ('Ada', 'Grace', 'Radia')", ["Katherine Johnson"]),
    ],
)
async def test_queries(http: httpx.AsyncClient, query: str, names: list[str]) -> None:
    reply = await http.get(f"{DATA}/query", params={"q": query})

    assert [record["Name"] for record in reply.json()["records"]] == names


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY"),
        ("SELECT Id, FROM Contact", "MALFORMED_QUERY"),
        ("SELECT Id FROM XYZZY", "INVALID_TYPE"),
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE LastName = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Contact GROUP BY Name", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("SELECT Id FROM Contact WHERE A = 1 AND B = 2 OR C = 3", "MALFORMED_QUERY"),
    ],
)
async def test_refused_queries(http: httpx.AsyncClient, query: str, code: str) -> None:
    reply = await http.get(f"{DATA}/query", params={"q": query})

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, code)
