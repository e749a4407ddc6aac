"""Documents say how long they are fresh; forms are answered, or not, within the same bounds."""

import asyncio
import socket
import ssl
import threading
from typing import Any

import httpx
import pytest
import respx

from orgserver.oauth import documents
from orgserver.oauth.documents import MAX_BYTES, DocumentFetcher
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import check_client_id, check_issuer

URL = "https://idp.example.com/x"
FORM = "grant_type=authorization_code&code=code-canary"


@pytest.fixture
def fetcher() -> DocumentFetcher:
    return DocumentFetcher(ssl.create_default_context)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"cache-control": "max-age=300"}, 300),
        ({"cache-control": 'public, Max-Age="60", must-revalidate'}, 60),
        ({"cache-control": "max-age=300", "age": "100"}, 200),
        ({"cache-control": "max-age=300", "age": "900"}, 0),
        ({"cache-control": "max-age=300", "age": "x"}, 300),
        ({"cache-control": "no-store, max-age=300"}, 0),
        ({"cache-control": "no-cache"}, 0),
        ({"cache-control": "max-age=1, max-age=2"}, None),
        ({"cache-control": "max-age=-1"}, None),
        ({"cache-control": "max-age=99999999999"}, None),
        ({"cache-control": "max-age=1e9"}, None),
        ({"cache-control": "s-maxage=9"}, None),
    ],
)
async def test_a_document_says_how_long_it_is_fresh(
    fetcher: DocumentFetcher, headers: dict[str, str], seconds: float | None
) -> None:
    with respx.mock() as web:
        web.get(URL).respond(json={"a": 1}, headers=headers)
        document = await fetcher.fetch_document(check_issuer(URL))

    assert document is not None and (document.object, document.fresh_seconds) == ({"a": 1}, seconds)


async def test_a_document_may_be_bounded_more_closely(fetcher: DocumentFetcher) -> None:
    with respx.mock() as web:
        web.get(URL).respond(json={"a": "x" * 2_000})
        assert await fetcher.fetch_document(check_issuer(URL), max_bytes=4_096) is not None
        with pytest.raises(IssuerUnavailable, match="more than 1 KiB"):
            await fetcher.fetch_document(check_issuer(URL), max_bytes=1_024)


@pytest.mark.parametrize(
    ("response", "status", "content"),
    [
        (httpx.Response(200, json={"a": 1}), 200, {"a": 1}),
        (httpx.Response(400, json={"error": "invalid_grant"}), 400, {"error": "invalid_grant"}),
        (httpx.Response(401, text=""), 401, {}),
        (httpx.Response(403, text="<html>"), 403, {}),
        (httpx.Response(200, json=[1]), 200, {}),
    ],
)
async def test_a_form_is_answered(
    fetcher: DocumentFetcher, response: httpx.Response, status: int, content: dict[str, object]
) -> None:
    with respx.mock() as web:
        route = web.post(URL).mock(return_value=response)
        reply = await fetcher.post_form(check_issuer(URL), FORM, {"authorization": "Basic x"})

    request = route.calls.last.request
    assert (reply.status, reply.object) == (status, content)
    assert request.content.decode() == FORM and request.headers["authorization"] == "Basic x"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(307, headers={"location": "https://evil.example.com/"}), "a redirect, which is not followed"),
        (httpx.Response(302, headers={"location": URL}), "a redirect, which is not followed"),
        (httpx.Response(500, json={"error": "invalid_grant"}), "HTTP status 500"),
        (httpx.Response(400, content=b" " * MAX_BYTES + b"{}"), "more than 256 KiB"),
        (httpx.Response(200, content=b"x", headers={"content-encoding": "gzip"}), "packed|no valid answer"),
        (httpx.ConnectError(FORM), "no connection"),
    ],
)
async def test_a_form_that_is_not_answered_goes_nowhere_else_and_is_not_told(
    fetcher: DocumentFetcher, answer: httpx.Response | Exception, reason: str
) -> None:
    with respx.mock() as web:
        route = web.post(URL).mock(side_effect=[answer])
        with pytest.raises(IssuerUnavailable, match=reason) as away:
            await fetcher.post_form(check_issuer(URL), FORM, {})
        assert route.call_count == len(web.calls) == 1

    assert "canary" not in str(away.value)


async def test_names_that_are_never_answered_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "SECONDS", 0.2)
    may_end = threading.Event()

    def look_up(*_arguments: object, **_more: object) -> list[Any]:
        may_end.wait(20)
        raise OSError("no name server answers")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    fetcher = DocumentFetcher(ssl.create_default_context)
    urls = [check_client_id(f"https://slow{number}.example.com/id", may_be_loopback=False) for number in range(40)]
    try:
        fetches = [fetcher.fetch(url, must_be_public=True) for url in urls]
        results = await asyncio.gather(*fetches, return_exceptions=True)
        assert {type(each) for each in results} == {IssuerUnavailable}
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(sum, (1, 2)) == 3
    finally:
        may_end.set()
