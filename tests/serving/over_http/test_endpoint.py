"""What ``/mcp`` answers to what is no call, and how a client that goes away takes its call with it."""

import asyncio
import json
import logging
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.sandbox.org import SandboxOrg
from tests.serving.both_ways import MODERN, VERSIONS, call_of, envelope, line_of
from tests.serving.over_http.both_ways import headers_of, serving
from tests.serving.over_http.served import serving as serving_app
from tests.serving.test_plain_calls import LIST

INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
BATCH = b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]'
RESPONSE = b'{"jsonrpc":"2.0","id":1,"result":{}}'


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orgserver.serving.http.messages.watch.SOON_SECONDS", 0.02)


@pytest.mark.parametrize("version", ["2025-11-25", MODERN])
async def test_what_is_no_message_of_a_client_is_refused_as_the_protocol_says(version: str) -> None:
    notification = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'
    cut = call_of(version, LIST, 7, org="acme")[:-5]
    async with serving(past_sdk=True) as posts:

        async def post(body: bytes, **headers: str) -> tuple[int, Any]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = await posts.post(body, headers_of(version, body) | named)
            return answer.status, answer.messages[0]["error"]["code"] if answer.messages else None

        unknown = {"Mcp_Method": "nothing/known"}
        meta = {"_meta": envelope()} if version == MODERN else {}
        assert await post(notification) == (202, None)
        assert await post(line_of("nothing/known", meta), **unknown) == (404 if version == MODERN else 200, -32601)
        assert await post(RESPONSE) == ((400, -32600) if version == MODERN else (202, None))
        assert await post(BATCH) == (400, -32600)
        assert await post(b"{}") == (400, -32600)
        assert await post(b"") == await post(b"{nothing") == await post(b'{"a":' * 5_000) == (400, -32700)
        assert await post(BATCH, Content_Type="text/plain") == (415, -32600)
        assert await post(BATCH, Accept="text/event-stream") == await post(BATCH, Accept="") == (406, -32600)
        assert await post(b" " * (1024 * 1024 + 1)) == (413, -32600)
        assert await post(BATCH, Content_Length="99999999") == (413, -32600)
        assert posts.recorded == []
        assert await post(cut) == (400, -32700)
        assert posts.recorded == [("7", LIST)]
        for method in ("GET", "DELETE", "PUT", "OPTIONS"):
            answer = await posts.post(b"", headers_of(version, b""), method=method)
            assert (answer.status, answer.headers[b"allow"]) == (405, b"POST")


@pytest.mark.parametrize("version", ["2025-11-25", MODERN])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1"])
async def test_a_message_in_another_encoding_is_none(version: str, encoding: str) -> None:
    body = call_of(version, LIST, 7, org="acme").decode()
    async with serving(past_sdk=True) as posts:
        odd = body.replace("acme", "acm\u00e9").encode(encoding)
        answer = await posts.post(odd, headers_of(version, body.encode()))

        assert (answer.status, answer.messages[0]["error"]["code"]) == (400, -32700)
        assert posts.operations.calls == []


async def test_both_generations_begin_without_a_session() -> None:
    async with serving(past_sdk=True) as posts:
        hello = line_of("initialize", INITIALIZE)
        begun = await posts.post(hello, headers_of(None, hello))
        question = line_of("server/discover", {"_meta": envelope()})
        discovered = await posts.post(question, headers_of(MODERN, question))
        old = line_of("server/discover", {"_meta": envelope() | {"io.modelcontextprotocol/protocolVersion": "1999"}})
        unsupported = await posts.post(old, headers_of(MODERN, old) | {"MCP-Protocol-Version": "1999"})

    assert not begun.is_stream
    assert begun.messages[0]["result"]["protocolVersion"] == "2025-06-18"
    assert b"mcp-session-id" not in begun.headers
    assert MODERN in discovered.messages[0]["result"]["supportedVersions"]
    assert (unsupported.status, unsupported.messages[0]["error"]["code"]) == (400, -32022)


@pytest.mark.parametrize("past_sdk", [True, False])
@pytest.mark.parametrize("version", [VERSIONS[-2], MODERN])
@pytest.mark.parametrize("accept", ["application/json, text/event-stream", "application/json"])
async def test_a_client_that_goes_away_cancels_its_call(
    version: str, past_sdk: bool, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving(past_sdk=past_sdk) as posts:
        posts.operations.blocked = asyncio.Event()
        gone = asyncio.Event()
        body = call_of(version, LIST, org="acme")
        posting = asyncio.create_task(posts.post(body, headers_of(version, body) | {"Accept": accept}, gone=gone))
        await asyncio.wait_for(posts.operations.began.wait(), 5)
        gone.set()
        answer = await asyncio.wait_for(posting, 5)
        async with asyncio.timeout(5):
            while not posts.operations.cut_off:
                await asyncio.sleep(0.01)

    assert not answer.is_complete or answer.is_stream
    assert not [each for each in caplog.records if each.exc_info]


async def test_a_call_whose_client_hangs_up_ends_as_one_that_is_cancelled(
    app: App, acme: SandboxOrg, caplog: pytest.LogCaptureFixture
) -> None:
    acme.fault("hang", path=".*/sobjects/Contact", seconds=30)
    async with serving_app(app) as served:
        key = await served.make_key("ada", "acme:read,write")
        host, port = served.url.removeprefix("http://").split(":")
        body = call_of(MODERN, "salesforce_create_contact", org="acme", data={"LastName": "Hopper"})
        lines = {"Host": f"{host}:{port}", "Authorization": f"Bearer {key}", "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **headers_of(MODERN, body)}.items())
        request = f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode()
        for part in (request + body, request + body[:20]):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(part)
            async with asyncio.timeout(10):
                while not any("sobjects/Contact" in each.path for each in acme.requests):
                    await asyncio.sleep(0.01)
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(10):
            while not (entries := await app.audit_log.newest(EntryFilter(outcome="unknown"), 5)):
                await asyncio.sleep(0.02)

    assert [(each.outcome, each.error_code) for each in entries] == [("unknown", "CANCELLED")]
    assert not [each for each in caplog.records if each.exc_info or each.levelno >= logging.ERROR]


async def test_a_silent_call_is_kept_alive_and_still_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orgserver.serving.http.messages.watch.PING_SECONDS", 0.05)
    async with serving(past_sdk=True) as posts:
        posts.operations.blocked = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, posts.operations.blocked.set)
        body = call_of("2025-11-25", LIST, org="acme")
        answer = await posts.post(body, headers_of("2025-11-25", body))

    assert answer.is_stream and answer.is_complete
    assert answer.body.startswith(b": ping\r\n\r\n: ping\r\n\r\n")
    assert json.loads(json.dumps(answer.messages))[0]["result"]["structuredContent"]["org"] == "acme"


async def test_a_page_that_may_read_answers_is_told_so_by_the_answer_to_a_call(app: App) -> None:
    body = call_of("2025-11-25", LIST, 7, org="acme")
    page = "https://app.example.com"
    async with serving_app(app, allowed_origins=(page,)) as served:
        key = await served.make_key("ada", "acme:read")
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        answers = []
        async with served.raw(key, **headers) as client:
            for origin in ({}, {"origin": page}):
                answers.append(await client.post("/mcp", content=body, headers=origin))

    assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [None, page]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["id"] for answer in answers] == [7, 7]
