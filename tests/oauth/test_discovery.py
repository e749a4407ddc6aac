"""An issuer's keys are found by what it publishes; one that is away, slow, large or lies gives none, and leads nowhere."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import respx

from orgserver.oauth import addresses as addresses_of_hosts
from orgserver.oauth import documents
from orgserver.oauth.discovery import fetch_keys
from orgserver.oauth.documents import MAX_BYTES, DocumentFetcher
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import check_endpoint_url, check_issuer, find_metadata_urls
from tests.oauth.issuers import ISSUER, Issuer

ISSUED = Issuer()
OAUTH = "https://idp.example.com/.well-known/oauth-authorization-server/realms/company"
OPENID = "https://idp.example.com/.well-known/openid-configuration/realms/company"
OWN = f"{ISSUER}/.well-known/openid-configuration"
JWKS = f"{ISSUER}/jwks"


@pytest.fixture
def web() -> Iterator[respx.MockRouter]:
    """What is on the web: nothing else than a test says."""
    with respx.mock(assert_all_called=False) as router:
        for url in (OAUTH, OPENID, OWN):
            router.get(url).respond(404)
        router.get(JWKS).respond(json=ISSUED.jwks())
        yield router


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where hosts are, by name."""
    known: dict[str, str] = {}

    monkeypatch.setattr(addresses_of_hosts, "resolve", lambda host, _port: [known[host]])
    return known


async def count_keys(issuer: str = ISSUER) -> int:
    fetcher = DocumentFetcher(ssl.create_default_context)
    return len(await fetch_keys(fetcher, issuer, check_issuer(issuer)))


async def reason_without(issuer: str = ISSUER) -> str:
    with pytest.raises(IssuerUnavailable) as unavailable:
        await count_keys(issuer)
    return unavailable.value.reason


@pytest.mark.parametrize("place", [OAUTH, OPENID, OWN])
async def test_metadata_is_found_at_each_place_where_issuers_have_it(web: respx.MockRouter, place: str) -> None:
    web.get(place).respond(json=ISSUED.metadata())

    assert await count_keys() == 1
    assert all(call.request.headers["accept-encoding"] == "identity" for call in web.calls)
    assert all("authorization" not in call.request.headers for call in web.calls)


async def test_an_issuer_without_a_path_has_its_metadata_at_two_places(web: respx.MockRouter) -> None:
    issuer = Issuer("https://id.example.com/")
    web.get("https://id.example.com/.well-known/oauth-authorization-server").respond(404)
    web.get("https://id.example.com/.well-known/openid-configuration").respond(
        json=issuer.metadata(jwks_uri="https://id.example.com/keys?v=1")
    )
    web.get("https://id.example.com/keys?v=1").respond(json=issuer.jwks())

    assert await count_keys(issuer.url) == 1


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"issuer": "https://evil.example.com"}, "in another issuer's name"),
        ({"issuer": f"{ISSUER}/"}, "in another issuer's name"),
        ({"issuer": None}, "in another issuer's name"),
        ({"jwks_uri": None}, "does not say where its keys are"),
        ({"jwks_uri": ["x"]}, "does not say where its keys are"),
        ({"jwks_uri": "http://idp.example.com/jwks"}, "must be https"),
        ({"jwks_uri": "https://169.254.169.254/latest"}, "an address, not a name"),
        ({"jwks_uri": "https://idp.example.com@evil.example.com/jwks"}, "no user name"),
        ({"jwks_uri": "file:///etc/passwd"}, "must begin with https://"),
        ({"jwks_uri": f"{ISSUER}/none"}, "is not there"),
    ],
)
async def test_metadata_that_lies_leads_nowhere(web: respx.MockRouter, metadata: dict[str, Any], reason: str) -> None:
    web.get(OAUTH).respond(json=ISSUED.metadata(**metadata))
    web.get(f"{ISSUER}/none").respond(404)

    assert reason in await reason_without()
    assert {str(call.request.url.host) for call in web.calls} == {"idp.example.com"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(302, headers={"location": "https://evil.example.com/"}), "a redirect, which is not followed"),
        (httpx.Response(308, headers={"location": JWKS}), "a redirect, which is not followed"),
        (httpx.Response(500, text="x"), "HTTP status 500"),
        (httpx.Response(200, content=b" " * MAX_BYTES + b"{}"), "more than 256 KiB"),
        (httpx.Response(200, content=b"x", headers={"content-encoding": "gzip"}), ""),
        (httpx.Response(200, text="<html>"), "holds no JSON"),
        (httpx.Response(200, content=b"\xff\xfe"), "holds no JSON"),
        (httpx.Response(200, text="[" * 5_000), "holds no JSON"),
        (httpx.Response(200, text="[1]"), "holds no JSON object"),
        (httpx.ConnectError("x"), "no connection"),
        (httpx.ReadTimeout("x"), "no connection"),
    ],
)
async def test_documents_that_are_none_give_no_keys(
    web: respx.MockRouter, answer: httpx.Response | Exception, reason: str
) -> None:
    for url in (OAUTH, OPENID, OWN):
        web.get(url).mock(**_by_kind(answer))
    assert reason in await reason_without()

    web.get(OAUTH).respond(json=ISSUED.metadata())
    web.get(JWKS).mock(**_by_kind(answer))
    assert reason in await reason_without()
    assert {str(call.request.url.host) for call in web.calls} == {"idp.example.com"}


def _by_kind(answer: httpx.Response | Exception) -> dict[str, Any]:
    return {"side_effect": answer} if isinstance(answer, Exception) else {"return_value": answer}


async def test_an_answer_that_drips_is_given_up_in_time(web: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "SECONDS", 0.05)

    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.01)

    for url in (OAUTH, OPENID, OWN):
        web.get(url).respond(200, stream=Drip())

    assert "no answer in" in await reason_without()


async def test_keys_at_another_host_are_fetched_from_the_public_address_that_was_looked_at(
    web: respx.MockRouter, addresses: dict[str, str]
) -> None:
    addresses["keys.example.net"] = "93.184.216.34"
    web.get(OAUTH).respond(json=ISSUED.metadata(jwks_uri="https://keys.example.net/jwks"))
    route = web.get("https://93.184.216.34/jwks").respond(json=ISSUED.jwks())

    assert await count_keys() == 1
    (call,) = route.calls
    assert call.request.headers["host"] == "keys.example.net"
    assert call.request.extensions["sni_hostname"] == "keys.example.net"


async def test_a_proxy_is_used_but_for_what_is_on_this_machine() -> None:
    lines: list[bytes] = []

    async def note_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(note_line, "127.0.0.1") as proxy:
        port = proxy.sockets[0].getsockname()[1]
        fetcher = DocumentFetcher(ssl.create_default_context, f"http://127.0.0.1:{port}")
        for url in (ISSUER, "http://127.0.0.1:9"):
            with pytest.raises(IssuerUnavailable):
                await fetcher.fetch(check_issuer(url))

    assert lines == [b"CONNECT idp.example.com:443 HTTP/1.1\r\n"]


@pytest.mark.parametrize(
    "address",
    ["10.0.0.7", "127.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00::1", "::ffff:10.0.0.1", "224.0.0.1"],
)
async def test_keys_at_a_private_address_behind_a_name_are_not_fetched(
    web: respx.MockRouter, addresses: dict[str, str], address: str
) -> None:
    addresses["keys.example.net"] = address
    web.get(OAUTH).respond(json=ISSUED.metadata(jwks_uri="https://keys.example.net/jwks"))

    assert "that only this network can reach" in await reason_without()
    assert {str(call.request.url.host) for call in web.calls} == {"idp.example.com"}


HOSTILE = [
    "", "idp.example.com", "//idp.example.com", "ftp://idp.example.com", "http://idp.example.com",
    "https://user@idp.example.com", "https://user:pw@idp.example.com", "https://idp.example.com#x",
    "https://idp.example.com?x=1", "https://idp.example.com?", "https://idp.example.com:0", "https://idp.example.com:",
    "https://idp.example.com:99999", "https://idp.example.com:x", "https://", "https:///x", "https:idp.example.com",
    "https://10.0.0.1", "https://127.1", "https://2130706433", "https://0x7f000001", "https://0177.0.0.1",
    "https://[fe80::1]", "https://[fe80::1%25eth0]", "https://[::ffff:10.0.0.1]", "https://169.254.169.254/x",
    "https://id\u0440.example.com", "https://idp.example.com\\@evil.example", "https://idp.example.com/\\evil",
    "https://idp.example.com/a/../b", "https://idp.example.com/%2e%2e/b", "https://idp.example.com//x", "https://idp..com",
    "https://-idp.example.com", "https://idp.example.com./", "https://idp_example.com", "https://idp.example.com%00.evil",
    "https://idp.example.com\t", " https://idp.example.com", "https://idp.example.com\n.evil", "HTTPS://idp.example.com",
    "http://localhost.evil.example", "http://x.localhost", "http://127.0.0.1.evil.example", "http://127.0.0.1@evil.example",
    "https://" + "a" * 64 + ".example.com", "https://" + "a." * 130 + "com", "https://idp.example.com/" + "x" * 2_100,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_such_text_is_an_issuer_s_url(text: str) -> None:
    with pytest.raises(ValueError, match="URL|issuer"):
        check_issuer(text)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (ISSUER, OAUTH),
        ("https://id.example.com/", "https://id.example.com/.well-known/oauth-authorization-server"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/.well-known/oauth-authorization-server"),
        ("http://[::1]:9000/x", "http://[::1]:9000/.well-known/oauth-authorization-server/x"),
        ("http://localhost:9000", "http://localhost:9000/.well-known/oauth-authorization-server"),
        ("https://id.example.com:8443/t", "https://id.example.com:8443/.well-known/oauth-authorization-server/t"),
    ],
)
def test_an_issuer_is_reached_by_https_or_on_this_machine(text: str, first: str) -> None:
    assert find_metadata_urls(check_issuer(text))[0].text == first


def test_an_issuer_elsewhere_names_nothing_on_this_machine_and_one_on_this_machine_may() -> None:
    elsewhere, here = check_issuer(ISSUER), check_issuer("http://localhost:9000")

    assert check_endpoint_url("https://keys.example.net/x", elsewhere).text == "https://keys.example.net/x"
    assert check_endpoint_url("http://127.0.0.1:9001/x", here).port == 9001
    for text in ("https://localhost/x", "http://127.0.0.1/x", "https://keys.example.net:8443/x"):
        with pytest.raises(ValueError, match="another host may not name"):
            check_endpoint_url(text, elsewhere)
