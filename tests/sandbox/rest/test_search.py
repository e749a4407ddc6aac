"""Searches find words where Salesforce would look for them."""

from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from tests.sandbox.shapes import recorded, shape

DATA = "/services/data/v60.0"


async def search(web: httpx.AsyncClient, text: str) -> Any:
    reply = await web.get(f"{DATA}/search", params={"q": text})
    assert reply.status_code == 200, reply.text
    return reply.json()["searchRecords"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("FIND {lovelace} RETURNING Contact(Name)", ["Ada Lovelace"]),
        ("find {ada} in name fields returning contact(Name)", ["Ada Lovelace"]),
        ("FIND {Love*} RETURNING Contact(Name)", ["Ada Lovelace"]),
        ("FIND {Love?ace} RETURNING Contact(Name)", ["Ada Lovelace"]),
        ("FIND {Lovela} RETURNING Contact(Name)", []),
        ("FIND {ada OR grace} RETURNING Contact(Name ORDER BY Name DESC)", ["Grace Hopper", "Ada Lovelace"]),
        ("FIND {ada AND hopper} RETURNING Contact(Name)", []),
        ("FIND {acme AND NOT (ada OR grace OR radia)} RETURNING Contact(Name)", ["Katherine Johnson"]),
        ('FIND {"ada lovelace"} RETURNING Contact(Name)', ["Ada Lovelace"]),
        ('FIND {"lovelace ada"} RETURNING Contact(Name)', []),
        (r"FIND {ada.lovelace@acme.example} IN EMAIL FIELDS RETURNING Contact(Name)", ["Ada Lovelace"]),
        (r"FIND {ada.lovelace@acme.example} IN PHONE FIELDS RETURNING Contact(Name)", []),
        (r"FIND {\+1 555 010000} IN PHONE FIELDS RETURNING Contact(Name)", ["Ada Lovelace"]),
        (r"FIND {O\'Hara\}} RETURNING Contact(Name)", ["Scarlett O'Hara}"]),
        (
            "FIND {acme} RETURNING Contact(Name WHERE FirstName != 'x LIMIT 1 )' ORDER BY Name LIMIT 2 OFFSET 1)",
            ["Grace Hopper", "Katherine Johnson"],
        ),
        ("FIND {acme} RETURNING Contact(Name ORDER BY Name), Account(Name) LIMIT 1", ["Ada Lovelace"]),
    ],
)
async def test_words_are_found(web: httpx.AsyncClient, acme: SandboxOrg, text: str, names: list[str]) -> None:
    acme.records.add(schema.load("Contact"), {"FirstName": "Scarlett", "LastName": "O'Hara}"})

    assert [record["Name"] for record in await search(web, text)] == names


async def test_without_returning_ids_of_everything_come(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    (account,) = acme.records.tables["Account"]

    found = await search(web, "FIND {acme}")

    assert account in [record["Id"] for record in found]
    assert {frozenset(record) for record in found} == {frozenset({"attributes", "Id"})}
    await web.post("/sandbox/knobs", json={"hidden_objects": ["Account"]})
    assert account not in [record["Id"] for record in await search(web, "FIND {acme}")]
    older = await web.get("/services/data/v36.0/search", params={"q": "FIND {acme}"})
    assert shape(older.json()) == shape(recorded("search_success_response"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("acme", "MALFORMED_SEARCH"),
        ("FIND acme", "MALFORMED_SEARCH"),
        (r"FIND {acme\}", "MALFORMED_SEARCH"),
        ("FIND {a}", "MALFORMED_SEARCH"),
        ("FIND {*}", "MALFORMED_SEARCH"),
        ('FIND {"acme}', "MALFORMED_SEARCH"),
        ("FIND {(acme}", "MALFORMED_SEARCH"),
        ("FIND {acme)}", "MALFORMED_SEARCH"),
        ("FIND {acme AND}", "MALFORMED_SEARCH"),
        ("FIND {acme} RETURNING", "MALFORMED_SEARCH"),
        ("FIND {acme} RETURNING Contact(Id", "MALFORMED_SEARCH"),
        ("FIND {acme} DELETE", "MALFORMED_SEARCH"),
        ("FIND {acme} RETURNING Nothing", "INVALID_TYPE"),
        ("FIND {acme} RETURNING EventRelation", "INVALID_SEARCH"),
        ("FIND {acme} RETURNING Contact(Nope)", "INVALID_FIELD"),
    ],
)
async def test_a_wrong_search_is_refused(web: httpx.AsyncClient, text: str, code: str) -> None:
    reply = await web.get(f"{DATA}/search", params={"q": text})

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, code)
    assert shape(reply.json()) == shape(recorded("search_error_response"))


async def test_braces_are_missed_in_salesforces_own_words(web: httpx.AsyncClient) -> None:
    assert (await web.get(f"{DATA}/search", params={"q": "FIND acme"})).json() == recorded("search_error_response")


async def test_a_parameterized_search_takes_a_persons_text_as_it_is(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.records.add(schema.load("Contact"), {"LastName": "O'Hara (new)"})
    told = {
        "q": "o'hara (new",
        "in": "NAME",
        "fields": ["id"],
        "sobjects": [{"name": "Contact", "fields": ["LastName"], "limit": 1, "where": "LastName != null"}],
    }

    by_post = await web.post(f"{DATA}/parameterizedSearch", json=told)
    by_get = await web.get(
        f"{DATA}/parameterizedSearch/",
        params={"q": "o'hara (new", "sobject": "Contact", "Contact.fields": "LastName", "Contact.limit": "1"},
    )

    assert [record["LastName"] for record in by_post.json()["searchRecords"]] == ["O'Hara (new)"]
    assert by_get.json() == by_post.json()
    assert (await web.post(f"{DATA}/parameterizedSearch", json={})).status_code == 400
