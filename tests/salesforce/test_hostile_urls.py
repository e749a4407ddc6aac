"""Hostile URLs wherever an address comes from outside: not one socket is opened to where they lead, no name is asked for.

The places are an org's instance and its login host, the next page of a query, redirects of either host, an issuer, its
redirects, and where it says that its keys are.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orgserver.model.errors import CallError, Rejected
from orgserver.model.orgs import Credential, OrgHosts
from orgserver.model.secret import Secret
from orgserver.oauth import addresses
from orgserver.oauth.discovery import fetch_keys
from orgserver.oauth.documents import MAX_BYTES, DocumentFetcher
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import CheckedUrl, check_issuer
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.protocol.messages import Reply, Request
from tests.salesforce.test_hosts import BAD
from tests.wire.senders import listening

LOGIN, INSTANCE = "https://login.salesforce.com", "https://acme.my.salesforce.com"
TOKEN = Secret("00DSb0000000001!AQhostile.nobody_may_ever_read_this")
FORM = oauth.build_token_form(Credential("3MVG9", Secret("s3cret"), refresh_token=Secret("5Aep")), 0)
URLS = sorted(set(BAD))
ISSUER = "https://idp.example.com/realms/company"


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where sockets were connected to, and the names that were asked for; each name is found on this machine."""
    opened: list[Any] = []
    connect = socket.socket.connect

    def connect_noted(self: socket.socket, address: Any) -> None:
        opened.append(address)
        connect(self, address)

    async def look_up(_loop: object, host: Any, port: Any, **_more: object) -> list[Any]:
        if host != "127.0.0.1":
            opened.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket.socket, "connect", connect_noted)

    def resolve(host: str, _port: int) -> list[str]:
        opened.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    monkeypatch.setattr(addresses, "resolve", resolve)
    return opened


@pytest.fixture
async def client() -> AsyncIterator[SalesforceClient]:
    opened = SalesforceClient(token_seconds=2.0)
    yield opened
    await opened.aclose()


async def send(client: SalesforceClient, hosts: OrgHosts, request: Request) -> Reply:
    return await client.send(hosts, TOKEN, request, deadline=asyncio.get_running_loop().time() + 2, trace=Trace())


def test_there_are_enough_of_them() -> None:
    assert len(URLS) >= 250


async def test_no_token_leaves_for_a_hostile_instance_or_login_host(
    client: SalesforceClient, places: list[Any]
) -> None:
    for url in URLS:
        with pytest.raises((CallError, ValueError)):
            await send(client, OrgHosts("row", url, LOGIN), rest.versions())
        with pytest.raises((CallError, ValueError)):
            await client.request_token(OrgHosts("row", INSTANCE, url), FORM)

    assert places == []


async def test_a_hostile_next_page_is_followed_nowhere(client: SalesforceClient, places: list[Any]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n[]")

    async with listening(answer) as port:
        here = f"127.0.0.1:{port}"
        hosts = OrgHosts("row", f"http://{here}", LOGIN, (here,))
        for url in URLS:
            with pytest.raises(Rejected) as refusal:
                rest.read_page(Reply(200, {}, {"records": [], "totalSize": 9, "done": False, "nextRecordsUrl": url}))
            assert refusal.value.code == "BAD_NEXT_PAGE"
            with pytest.raises((CallError, ValueError)):
                await send(client, hosts, Request("GET", url))

    assert {place[1] for place in places} <= {port}


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_no_redirect_is_followed(client: SalesforceClient, places: list[Any], status: int) -> None:
    locations = iter(URLS)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            location = next(locations, "https://evil.example").encode("utf-8").replace(b"\n", b"").replace(b"\r", b"")
            head = b"HTTP/1.1 %d Elsewhere\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % (status, location)
            writer.write(head)

    async with listening(answer) as port:
        here = f"127.0.0.1:{port}"
        hosts = OrgHosts("row", f"http://{here}", f"http://{here}", (here,))
        fetcher = DocumentFetcher(ssl.create_default_context)
        for _ in range(len(URLS) // 5 + 1):
            with pytest.raises(CallError):
                await send(client, hosts, rest.versions())
            reply = await client.request_token(hosts, FORM)
            assert reply.status == status
            with pytest.raises(IssuerUnavailable):  # which asks at three places
                await fetch_keys(fetcher, f"http://{here}/realm", check_issuer(f"http://{here}/realm"))

    assert next(locations, None) is None
    assert {place[1] for place in places} == {port}


async def test_an_issuer_s_keys_are_fetched_from_nothing_that_only_this_machine_sees(places: list[Any]) -> None:
    for url in URLS:
        fetcher = _Liar(url)
        with pytest.raises(IssuerUnavailable):
            await fetch_keys(fetcher, ISSUER, check_issuer(ISSUER))

    names = [place for place in places if isinstance(place, str)]
    assert places == names  # names of other hosts may be keys' places: they are asked for, and all were found here
    assert not any(host in names for host in ("localhost", "169.254.169.254", "10.0.0.1", "127.0.0.1", "::1"))


async def test_an_issuer_is_a_host_by_its_own_name() -> None:
    for url in URLS:
        try:
            authority = check_issuer(url).authority
        except ValueError:
            continue
        assert url.lower().split("://")[1].split("/")[0].removesuffix(":443") == authority


class _Liar(DocumentFetcher):
    """An issuer whose metadata sends us anywhere."""

    def __init__(self, keys_url: str) -> None:
        super().__init__(ssl.create_default_context)
        self._keys_url = keys_url

    async def fetch(
        self, url: CheckedUrl, *, must_be_public: bool = False, max_bytes: int = MAX_BYTES
    ) -> dict[str, Any] | None:
        if "/.well-known/" in url.path and url.host == "idp.example.com":
            return {"issuer": ISSUER, "jwks_uri": self._keys_url}
        return await super().fetch(url, must_be_public=must_be_public, max_bytes=max_bytes)
