"""Whatever a request holds, the sandbox answers it, and never with a mistake of its own."""

from typing import Any

import httpx
import pytest

DATA = "/services/data/v60.0"
JUNK: list[Any] = [None, 1, "x", [], {}, [[]], {"a": 1}, True, ["x"], [None]]


def _requests(one: Any, other: Any) -> list[tuple[str, str, Any]]:
    contact = {"attributes": {"type": "Contact"}}
    account = {"attributes": {"type": "Account", "referenceId": "a"}, "Name": "x"}
    sub = {"method": one, "url": other, "referenceId": "a", "body": one, "httpHeaders": other}
    return [
        (
            "POST",
            "/composite/sobjects",
            {"allOrNone": one, "records": [{**contact, "LastName": one, "Account": other}]},
        ),
        ("PATCH", "/composite/sobjects", {"records": [{"attributes": one, "id": other}]}),
        ("PATCH", "/composite/sobjects", {"records": [{**contact, "id": other, "LastName": one}]}),
        ("PATCH", "/composite/sobjects/Contact/Email", {"records": [{**contact, "Email": other, "LastName": one}]}),
        ("POST", "/composite/sobjects/Contact", {"ids": one, "fields": other}),
        ("POST", "/composite", {"compositeRequest": [sub]}),
        ("POST", "/composite/batch", {"batchRequests": [{"method": one, "url": other, "richInput": one}]}),
        ("POST", "/composite/tree/Contact", {"records": [{"attributes": one, "LastName": "x", "Cases": other}]}),
        ("POST", "/composite/tree/Account", {"records": [{**account, "Contacts": {"records": other}}]}),
        ("POST", "/composite/graph", {"graphs": [{"graphId": one, "compositeRequest": other}]}),
        ("POST", "/jobs/ingest", {"object": "Contact", "operation": "insert", "columnDelimiter": one}),
        ("POST", "/jobs/ingest", {"object": "Contact", "operation": other, "lineEnding": one}),
        ("POST", "/jobs/ingest", {"object": one, "operation": "upsert", "externalIdFieldName": other}),
        ("POST", "/jobs/query", {"operation": "query", "query": one, "columnDelimiter": other}),
        ("POST", "/parameterizedSearch", {"q": "acme", "in": one, "sobjects": other, "fields": one}),
        (
            "POST",
            "/parameterizedSearch",
            {"q": "acme", "sobjects": [{"name": "Contact", "fields": one, "where": other}]},
        ),
        ("PATCH", "/sobjects/Custom__c/External_Id__c/1", {"Amount__c": one, "Contact__r": other}),
    ]


@pytest.mark.parametrize("one", JUNK)
async def test_junk_in_a_body_is_refused_or_borne(web: httpx.AsyncClient, one: Any) -> None:
    for other in JUNK:
        for method, path, body in _requests(one, other):
            reply = await web.request(method, DATA + path, json=body)
            assert reply.status_code < 500, (method, path, body)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/search",
        "/search?q=FIND%20%7B%5C",
        "/limits/x",
        "/composite",
        "/composite/sobjects?ids=,",
        "/composite/sobjects/Contact/x/y",
        "/jobs",
        "/jobs/ingest/x",
        "/jobs/query/x/results",
        "/sobjects/Contact/updated?start=x&end=y",
        "/sobjects/Contact/Email/%00",
    ],
)
async def test_every_path_has_an_answer(web: httpx.AsyncClient, method: str, path: str) -> None:
    reply = await web.request(method, DATA + path)

    assert 400 <= reply.status_code < 500
    assert reply.json()[0].keys() >= {"message", "errorCode"}
