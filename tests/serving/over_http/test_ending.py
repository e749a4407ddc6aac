"""The end of a server over HTTP: what is under way is answered and on record, and nothing new is taken."""

import asyncio
import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter, Outcome
from orgserver.sandbox import tls
from orgserver.sandbox.org import SandboxOrg
from tests.faults.http_process import ACCEPTED
from tests.serving.over_http.served import Served, serving

CREATE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": "salesforce_create_contact",
        "arguments": {"org": "acme", "data": {"LastName": "Byron"}},
    },
}
HALF = b"POST /mcp HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: 100\r\n\r\n{"


async def outcomes(app: App) -> list[tuple[Outcome, str | None]]:
    return [(e.outcome, e.error_code) async for e in app.audit_log.entries(EntryFilter(action="create"))]


async def posted(acme: SandboxOrg) -> None:
    async with asyncio.timeout(10):
        while not any(seen.method == "POST" and "sobjects" in seen.path for seen in acme.requests):
            await asyncio.sleep(0.01)


async def begin_create(client: httpx2.AsyncClient, acme: SandboxOrg) -> asyncio.Task[httpx2.Response]:
    call = asyncio.create_task(client.post("/mcp", json=CREATE, headers=ACCEPTED))
    await posted(acme)
    return call


def result_of(reply: httpx2.Response) -> dict[str, Any]:
    text = reply.text.rpartition("data: ")[2]
    result: dict[str, Any] = json.loads(text)["result"]
    return result


def drain_in(served: Served, seconds: float) -> None:
    async def drain_seconds() -> float:
        return seconds

    served.ending.drain_seconds = drain_seconds


async def test_a_call_under_way_is_answered_while_idle_connections_close_and_new_ones_are_refused(
    app: App, acme: SandboxOrg
) -> None:
    async with serving(app) as served:
        key = await served.make_key("ada", "acme:read,write")
        async with served.raw(key) as client, served.raw(key) as idle, served.raw(key) as late:
            await idle.get("/elsewhere")  # its connection is kept
            acme.fault("delay", path=".*/sobjects/Contact", seconds=1.0)
            call = await begin_create(client, acme)
            served.ending.requested.set()
            await asyncio.sleep(0.3)

            for each in (idle, late):
                with pytest.raises(httpx2.TransportError):
                    await each.get("/elsewhere")
            assert not result_of(await call).get("isError")
            async with asyncio.timeout(1):
                await served.end()  # though the client would keep its connection

    assert await outcomes(app) == [(Outcome.SUCCEEDED, None)]


async def test_a_call_that_does_not_end_is_given_up_and_answered(app: App, acme: SandboxOrg) -> None:
    async with serving(app) as served:
        drain_in(served, 0.3)
        key = await served.make_key("ada", "acme:read,write")
        async with served.raw(key) as client:
            acme.fault("hang", path=".*/sobjects/Contact", seconds=60)
            call = await begin_create(client, acme)
            served.ending.requested.set()
            error = json.loads(result_of(await call)["content"][0]["text"])["error"]
        async with asyncio.timeout(1):
            await served.end()

    assert (error["outcome"], error["code"]) == ("unknown", "CANCELLED")
    assert await outcomes(app) == [(Outcome.UNKNOWN, "CANCELLED")]


async def test_a_request_that_never_comes_whole_and_one_that_never_begins_hold_up_nothing(app: App) -> None:
    async with serving(app) as served:
        drain_in(served, 0.1)
        key = await served.make_key("ada", "acme:read")
        host, port = served.url.removeprefix("http://").split(":")
        half = await asyncio.open_connection(host, int(port))
        half[1].write(HALF % (f"{host}:{port}".encode(), key.encode()))
        silent = await asyncio.open_connection(host, int(port))
        async with served.raw(None) as client:
            await client.get("/healthz")  # by then the server has read what came before it
        served.ending.requested.set()
        async with asyncio.timeout(3):
            await served.end()
            answer, nothing = await half[0].read(), await silent[0].read()
        for _, writer in (half, silent):
            writer.close()

    assert answer.startswith(b"HTTP/1.1 503")
    assert nothing == b""


async def test_a_client_that_keeps_an_encrypted_connection_and_never_says_goodbye_holds_up_nothing(
    app: App, tmp_path: Path
) -> None:
    pair = tls.certificates(tmp_path)
    async with serving(app, tls_cert=pair.certificate_file, tls_key=pair.key_file) as served:
        host, port = served.url.removeprefix("http://").split(":")

        def ask() -> ssl.SSLSocket:
            trusted = ssl.create_default_context(cafile=pair.ca_file)
            keeping = trusted.wrap_socket(socket.create_connection((host, int(port))), server_hostname="localhost")
            keeping.sendall(f"GET /healthz HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
            assert keeping.recv(100).startswith(b"HTTP/1.1 200")
            return keeping

        keeping = await asyncio.to_thread(ask)
        began = time.monotonic()
        await served.end()
        keeping.close()

    assert time.monotonic() - began < 4  # what is under way has five
