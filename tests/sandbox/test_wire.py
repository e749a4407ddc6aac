"""The sandbox's replies travel as Salesforce's do, by default; and plainly where that is asked for."""

import asyncio
import gzip
import http.client
import json
import re
import zlib
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from orgserver.sandbox import wire
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox

DATA = "/services/data/v60.0"
QUERY = f"{DATA}/query?q=SELECT+Id,Name+FROM+Contact"
Reply = tuple[int, list[tuple[str, str]], bytes]


async def asked(
    org: SandboxOrg, path: str = QUERY, method: str = "GET", body: bytes | None = None, **headers: str
) -> Reply:
    """Status, headers as they were written, and the body as it travelled."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("Authorization", f"Bearer {org.new_session()['access_token']}")
    named.setdefault("Content-Type", "application/json")

    def ask() -> Reply:
        connection = http.client.HTTPConnection(urlsplit(org.url).netloc, timeout=10)
        try:
            connection.request(method, path, body, named)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


def values(reply: Reply, name: str) -> list[str]:
    return [value for each, value in reply[1] if each.lower() == name.lower()]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip;q=0.1", "gzip"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0", ""),
        ("identity", ""),
        ("br", ""),
        ("", ""),
        ("gzip;q=1.2.3, ;;q, =, \tdeflate ;Q=0.001", "deflate"),
    ],
)
async def test_a_reply_is_packed_for_whoever_asks(acme: SandboxOrg, accepted: str, coding: str) -> None:
    reply = await asked(acme, Accept_Encoding=accepted)

    assert values(reply, "content-encoding") == ([coding] if coding else [])
    unpack: dict[str, Any] = {"gzip": gzip.decompress, "deflate": zlib.decompress, "": bytes}
    content = unpack[coding](reply[2])
    assert len(json.loads(content)["records"]) == 4


@pytest.mark.parametrize(("accepted", "coding"), [("gzip", ["gzip"]), ("deflate", []), ("deflate, gzip", ["gzip"])])
async def test_bulk_jobs_know_gzip_alone(acme: SandboxOrg, accepted: str, coding: list[str]) -> None:
    reply = await asked(acme, f"{DATA}/jobs/ingest", Accept_Encoding=accepted)

    assert reply[2]
    assert values(reply, "content-encoding") == coding


@pytest.mark.parametrize("accepted", ["gzip", "deflate", "identity"])
async def test_a_plain_sandbox_packs_for_nobody(acme: SandboxOrg, accepted: str) -> None:
    acme.plain = True

    reply = await asked(acme, Accept_Encoding=accepted)

    assert {name.lower() for name, _ in reply[1]} == {
        "date", "content-type", "x-request-id", "sforce-limit-info", "content-length",
    }  # fmt: skip
    assert len(json.loads(reply[2])["records"]) == 4
    assert values(reply, "content-length") == [str(len(reply[2]))]


async def test_replies_come_in_chunks_with_salesforces_headers_and_three_cookies(acme: SandboxOrg) -> None:
    reply = await asked(acme, Accept_Encoding="gzip")

    assert values(reply, "transfer-encoding") == ["chunked"]
    assert values(reply, "content-length") == []
    assert values(reply, "content-type") == ["application/json;charset=UTF-8"]
    assert values(reply, "strict-transport-security")[0].startswith("max-age=")
    assert values(reply, "x-content-type-options") == ["nosniff"]
    assert values(reply, "vary") == ["Accept-Encoding"]
    assert values(reply, "cache-control") == ["no-cache,must-revalidate,max-age=0,no-store,private"]
    cookies = [value.partition("=")[0] for value in values(reply, "set-cookie")]
    assert cookies == ["BrowserId", "CookieConsentPolicy", "LSKey-c$CookieConsentPolicy"]


async def test_header_names_are_written_in_one_case_and_then_in_another(acme: SandboxOrg) -> None:
    names = [{name for name, _ in (await asked(acme))[1]} for _ in range(2)]

    assert {"Content-Type", "content-type"} <= names[0] | names[1]
    assert not {"Content-Type", "content-type"} <= names[0]


async def test_calls_are_counted_truly_where_salesforce_counts_them(acme: SandboxOrg) -> None:
    said = [values(await asked(acme), "sforce-limit-info") for _ in range(3)]
    refused = await asked(acme, f"{DATA}/query?q=NONSENSE")
    discovery = await asked(acme, "/services/data")
    stale = await asked(acme, Authorization="Bearer 00Dx!stale")
    token = await asked(acme, "/services/oauth2/token", "POST", b"grant_type=refresh_token")

    assert said == [["api-usage=1/15000"], ["api-usage=2/15000"], ["api-usage=3/15000"]]
    assert (refused[0], values(refused, "sforce-limit-info")) == (400, ["api-usage=4/15000"])
    for other in (discovery, stale, token):
        assert values(other, "sforce-limit-info") == []
        assert len(values(other, "date")) == 1
    assert acme.counters.api_calls == 4


async def test_refusals_and_pages_of_the_edge_are_packed_too(acme: SandboxOrg) -> None:
    acme.fault("html", path=f"{DATA}/limits")
    replies = [
        await asked(acme, f"{DATA}/query?q=NONSENSE", Accept_Encoding="gzip"),
        await asked(acme, Authorization="Bearer 00Dx!stale", Accept_Encoding="gzip"),
        await asked(acme, f"{DATA}/limits", Accept_Encoding="gzip"),
        await asked(acme, "/services/oauth2/token", "POST", b"grant_type=nonsense", Accept_Encoding="gzip"),
        await asked(acme, f"{DATA}/query?q={'x' * 20_000}", Accept_Encoding="gzip"),
    ]

    assert [reply[0] for reply in replies] == [400, 401, 503, 400, 414]
    for reply in replies:
        assert values(reply, "content-encoding") == ["gzip"]
        assert gzip.decompress(reply[2])
        assert len(values(reply, "date")) == 1


async def test_an_update_is_answered_with_nothing_and_nothing_is_packed(acme: SandboxOrg) -> None:
    (identifier, *_) = acme.records.tables["Contact"]

    reply = await asked(
        acme, f"{DATA}/sobjects/Contact/{identifier}", "PATCH", b'{"Title":"CTO"}', Accept_Encoding="gzip"
    )

    assert (reply[0], reply[2]) == (204, b"")
    for name in ("content-encoding", "transfer-encoding", "content-length", "content-type"):
        assert values(reply, name) == []


# -- packed requests


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "identity", ""])
async def test_a_packed_request_is_read(acme: SandboxOrg, coding: str) -> None:
    codings: dict[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress}
    pack = codings.get(coding.lower(), bytes)
    body = pack(b'{"LastName": "Byron"}')

    reply = await asked(acme, f"{DATA}/sobjects/Contact", "POST", body, Content_Encoding=coding)

    assert reply[0] == 201
    assert acme.records.tables["Contact"][json.loads(reply[2])["id"]]["LastName"] == "Byron"
    assert acme.requests[-1].body == '{"LastName": "Byron"}'


@pytest.mark.parametrize(
    ("coding", "body", "status", "code"),
    [
        ("gzip", b'{"LastName": "Byron"}', 400, "JSON_PARSER_ERROR"),
        ("gzip", gzip.compress(b'{"LastName": "Byron"}')[:-9], 400, "JSON_PARSER_ERROR"),
        ("br", b"\x0b\x00\x80", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
    ids=["not packed", "cut off", "unknown coding"],
)
async def test_a_packed_request_that_cannot_be_read_is_refused(
    acme: SandboxOrg, coding: str, body: bytes, status: int, code: str
) -> None:
    before = len(acme.records.tables["Contact"])

    reply = await asked(acme, f"{DATA}/sobjects/Contact", "POST", body, Content_Encoding=coding)

    assert (reply[0], json.loads(reply[2])[0]["errorCode"]) == (status, code)
    assert len(acme.records.tables["Contact"]) == before


def test_a_request_that_unpacks_without_an_end_is_refused() -> None:
    with pytest.raises(Refusal, match="too large"):
        wire.unpacked(gzip.compress(bytes(51 * 1024 * 1024)), "gzip")


# -- connections


@pytest.mark.parametrize(("plain", "connections"), [(False, 3), (True, 1)], ids=["like Salesforce", "plain"])
async def test_a_connection_ends_after_a_hundred_replies_and_says_so(plain: bool, connections: int) -> None:
    async with Sandbox.start(1, plain=plain) as sandbox:
        (acme,) = sandbox.orgs
        made = 0

        async def trace(name: str, _info: Any) -> None:
            nonlocal made
            made += name == "connection.connect_tcp.complete"

        async with httpx.AsyncClient(base_url=acme.url, trust_env=False) as client:
            for _ in range(250):
                reply = await client.get("/services/data", extensions={"trace": trace})
                assert reply.status_code == 200

    assert made == connections


@pytest.mark.parametrize("plain", [False, True], ids=["like Salesforce", "plain"])
async def test_an_idle_connection_is_closed(plain: bool) -> None:
    async with Sandbox.start(1, plain=plain, idle_seconds=1) as sandbox:
        place = urlsplit(sandbox.orgs[0].url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(b"GET /services/data HTTP/1.1\r\nHost: x\r\n\r\n")

        async with asyncio.timeout(10):
            content = await reader.read()  # to the end, which only closing gives

        assert re.match(rb"HTTP/1.1 200 ", content)
        writer.close()
        await writer.wait_closed()
