"""``&columns=true``, which the sf command asks for after each query."""

from typing import Any

import httpx

QUERY = "/services/data/v68.0/query"


async def test_a_query_tells_its_columns_in_their_order(web: httpx.AsyncClient) -> None:
    query = "SELECT Id, name, Account.Name, Account.Owner.Name FROM Contact"

    told = (await web.get(QUERY, params={"q": query, "columns": "true"})).json()

    assert (told["entityName"], told["keyPrefix"], told["idSelected"]) == ("Contact", "003", True)
    first, name, account = told["columnMetadata"]
    assert (first["columnName"], first["apexType"], name["columnName"], name["textType"]) == ("Id", "Id", "Name", True)
    assert (account["columnName"], account["foreignKeyName"]) == ("Account", "AccountId")
    assert [column["columnName"] for column in account["joinColumns"]] == ["Name", "Owner"]
    assert account["joinColumns"][1]["joinColumns"][0]["columnName"] == "Name"
    assert not any(column["aggregate"] for column in told["columnMetadata"])


async def test_a_count_has_no_columns(web: httpx.AsyncClient) -> None:
    told = (await web.get(QUERY, params={"q": "SELECT COUNT() FROM Contact", "columns": "true"})).json()

    assert (told["columnMetadata"], told["idSelected"]) == ([], False)


async def test_a_wrong_query_is_refused_all_the_same(web: httpx.AsyncClient) -> None:
    reply = await web.get(QUERY, params={"q": "SELECT Nonsense FROM Contact", "columns": "true"})

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


async def test_sums_and_children_tell_their_columns_as_the_sf_command_expects(web: httpx.AsyncClient) -> None:
    # The keys and values are those of plugin-data's queryFields.exemplars.ts.
    async def told(query: str) -> dict[str, Any]:
        return dict((await web.get(QUERY, params={"q": query, "columns": "true"})).json())

    grouped = await told("SELECT AccountId, AVG(MailingLatitude), COUNT(Id) n FROM Contact GROUP BY AccountId")
    account, average, count = grouped["columnMetadata"]
    nested = await told("SELECT Name, (SELECT LastName, Account.Name FROM Contacts) FROM Account")

    assert (grouped["groupBy"], grouped["entityName"], account["apexType"]) == (True, "Contact", "Id")
    assert average == {
        "aggregate": True,
        "apexType": None,
        "booleanType": False,
        "columnName": "expr0",
        "custom": False,
        "displayName": "avg(MailingLatitude)",
        "foreignKeyName": None,
        "insertable": False,
        "joinColumns": [],
        "numberType": True,
        "textType": False,
        "updatable": False,
    }
    assert (count["columnName"], count["displayName"], count["aggregate"]) == ("n", "count(Id)", True)
    contacts = nested["columnMetadata"][1]
    assert (contacts["columnName"], contacts["aggregate"], contacts["foreignKeyName"]) == ("Contacts", True, None)
    assert [column["columnName"] for column in contacts["joinColumns"]] == ["LastName", "Account"]
    assert contacts["joinColumns"][1]["foreignKeyName"] == "AccountId"


async def test_typeof_tells_the_columns_of_all_its_cases(web: httpx.AsyncClient) -> None:
    query = "SELECT TYPEOF What WHEN Account THEN Phone, Name ELSE Type END FROM Event"

    (what,) = (await web.get(QUERY, params={"q": query, "columns": "true"})).json()["columnMetadata"]

    assert (what["columnName"], what["foreignKeyName"], what["aggregate"]) == ("What", "WhatId", False)
    assert {column["columnName"] for column in what["joinColumns"]} == {"Phone", "Name", "Type"}
