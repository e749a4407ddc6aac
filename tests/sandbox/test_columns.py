"""``&columns=true``, which the sf command asks for after each query."""

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
