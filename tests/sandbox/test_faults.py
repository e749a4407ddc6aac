"""Every fault does what it says, to the requests it was ordered for, and is written down."""

import asyncio
import contextlib
import json
import logging
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from orgserver.model.errors import OperatorError
from orgserver.sandbox.faults import Fault
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox

DATA = "/services/data/v60.0"
CONTACTS = f"{DATA}/sobjects/Contact"
QUERY = f"{DATA}/query?q=SELECT+Id+FROM+Contact"
JSON = {"Content-Type": "application/json"}
BYRON = json.dumps({"LastName": "Byron"}).encode()


async def raw(org: SandboxOrg, request: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """What comes back on a bare connection, to its end; ConnectionResetError if it is reset."""
    place = urlsplit(org.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, ssl=context)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def post(org: SandboxOrg, body: bytes = BYRON) -> bytes:
    token = org.new_session()["access_token"]
    head = (
        f"POST {CONTACTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BYRON)}\r\n\r\n"
    )
    return head.encode() + body


def byrons(org: SandboxOrg) -> int:
    return sum(record["LastName"] == "Byron" for record in org.records.tables["Contact"].values())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> object:
    yield
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


@pytest.mark.parametrize("work", [False, True])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("plain", [False, True], ids=["chunks", "plain"])
@pytest.mark.parametrize("kind", ["close", "reset", "cut", "hang"])
async def test_a_connection_ends_after_the_request_was_read(
    tmp_path: Path, kind: str, plain: bool, tls: bool, work: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with Sandbox.start(1, tls_folder=tmp_path if tls else None, plain=plain) as sandbox:
        acme = sandbox.orgs[0]
        acme.fault(kind, path=CONTACTS, work=work, seconds=0.2)  # type: ignore[arg-type]

        try:
            got = await raw(acme, post(acme), ssl.create_default_context(cafile=sandbox.ca_file) if tls else None)
        except (ConnectionResetError, ssl.SSLError):
            got = b"reset"

        if kind == "cut":
            assert got.startswith(b"HTTP/1.1 200")
            head, _, body = got.partition(b"\r\n\r\n")
            assert (b"chunked" in head) == (not plain)
            content = body if plain else body.partition(b"\r\n")[2].removesuffix(b"\r\n")
            with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter"):
                json.loads(content)
        else:
            # TLS tells a close without goodbye from one with it; a plain connection cannot.
            assert got == b"reset" if kind == "reset" or (kind == "hang" and not tls) else got in (b"", b"reset")
        (seen,) = acme.requests
        assert (seen.method, seen.path, seen.body) == ("POST", CONTACTS, BYRON.decode())
        assert seen.status == (201 if work else 0)
        assert byrons(acme) == work


@pytest.mark.parametrize("kind", ["close", "reset", "hang"])
async def test_a_connection_can_end_before_the_body_is_read(acme: SandboxOrg, kind: str) -> None:
    acme.fault(kind, path=CONTACTS, unread=True, seconds=0.1)  # type: ignore[arg-type]

    with contextlib.suppress(ConnectionResetError):
        assert await raw(acme, post(acme, body=b"")) == b""

    assert [(seen.method, seen.status) for seen in acme.requests] == [("POST", 0)]


async def test_an_answer_without_a_body_is_cut_in_its_head(acme: SandboxOrg) -> None:
    acme.fault("cut", work=True)
    identifier = next(iter(acme.records.tables["Contact"]))
    token = acme.new_session()["access_token"]

    got = await raw(
        acme, f"DELETE {CONTACTS}/{identifier} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )

    assert got == b"HTTP/1.1 20"
    assert identifier in acme.records.deleted["Contact"]


async def test_half_a_request_is_no_request(acme: SandboxOrg) -> None:
    place = urlsplit(acme.url)
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(post(acme, body=BYRON[:5]))
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    assert byrons(acme) == 0
    assert acme.requests == []


async def test_a_delay_comes_before_the_work_or_after_it(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    for work in (False, True):
        acme.fault("delay", path=CONTACTS, work=work, seconds=0.3)
        before = byrons(acme)
        with pytest.raises(httpx.ReadTimeout):
            await web.post(CONTACTS, content=BYRON, headers=JSON, timeout=0.1)
        assert byrons(acme) == before + work
        async with asyncio.timeout(5):
            while byrons(acme) == before:
                await asyncio.sleep(0.01)


async def test_a_drip_is_slow(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.fault("drip", seconds=0.5)

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await web.get(QUERY)


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "begins"),
    [
        (Fault("status", status=503, body='[{"errorCode":"SERVER_UNAVAILABLE"}]'), 503, "application/json", b'[{"err'),
        (Fault("status", status=200, content_type="text/plain", body="hello"), 200, "text/plain", b"hello"),
        (Fault("html", status=502), 502, "text/html", b"<html>"),
        (Fault("html", status=503, body="<p>x</p>"), 503, "text/html", b"<p>x"),
        (Fault("redirect", location="http://127.0.0.1:1/"), 302, "application/json", b""),
        (Fault("bad_json"), 200, "application/json", b'{"totalSize": 1, '),
        (Fault("deep"), 200, "application/json", b"[[[["),
        (Fault("huge", megabytes=3), 200, "application/json", b'{"x":"yyy'),
    ],
)
async def test_a_false_answer(
    web: httpx.AsyncClient, acme: SandboxOrg, fault: Fault, status: int, content_type: str, begins: bytes
) -> None:
    acme.faults.append(fault)

    reply = await web.get(QUERY)

    assert (reply.status_code, reply.headers["content-type"].partition(";")[0]) == (status, content_type)
    assert reply.content.startswith(begins)
    assert (await web.get(QUERY)).status_code == 200


async def test_a_bomb_is_small_on_the_wire(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.fault("bomb")

    async with web.stream("GET", QUERY) as reply:
        assert reply.headers["content-encoding"] == "gzip"
        assert int(reply.headers["content-length"]) < 1024 * 1024


async def test_the_next_page_can_be_said_to_be_elsewhere(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.fault("next_url", location="https://evil.example/services/data/v60.0/query/0r8000000000000000-10")

    page = (await web.get(QUERY)).json()

    assert (page["done"], page["nextRecordsUrl"][:20]) == (False, "https://evil.example")
    assert len(page["records"]) == 4


async def test_a_fault_strikes_where_and_as_often_as_ordered(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.fault("status", path=".*/Contact", method="POST|PATCH", times=2, skip=1, status=599)

    statuses = [(await web.post(CONTACTS, content=BYRON, headers=JSON)).status_code for _ in range(4)]

    assert statuses == [201, 599, 599, 201]
    assert (await web.get(QUERY)).status_code == 200


def test_a_fault_that_does_not_exist_is_refused(acme: SandboxOrg) -> None:
    with pytest.raises(ValueError, match="there is no fault 'earthquake'"):
        acme.fault("earthquake")  # type: ignore[arg-type]


async def test_the_sandbox_ends_though_requests_hang() -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        async with Sandbox.start(2) as sandbox:
            acme = sandbox.orgs[0]
            acme.fault("hang", path=CONTACTS, seconds=600)
            acme.fault("delay", path=".*/limits", seconds=600)
            limits = f"GET {DATA}/limits HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            waiting = [tasks.create_task(_ended(acme, request)) for request in (post(acme), limits)]
            while any(fault.times for fault in acme.faults):
                await asyncio.sleep(0)
        del waiting


async def _ended(org: SandboxOrg, request: bytes) -> None:
    with contextlib.suppress(ConnectionResetError):
        await raw(org, request)


async def test_what_goes_wrong_inside_comes_out_as_it_was() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with Sandbox.start(1):
            raise KeyError("mine")


async def test_a_taken_port_is_one_clear_error(acme: SandboxOrg) -> None:
    port = urlsplit(acme.url).port or 0

    with pytest.raises(OperatorError, match=f"port {port} on 127.0.0.1 cannot be used"):
        async with Sandbox.start(2, port=port):
            pass


async def test_org_i_listens_at_port_plus_i_and_files_are_private(tmp_path: Path) -> None:
    async with Sandbox.start(1) as free:
        port = (urlsplit(free.orgs[0].url).port or 0) + 1
    with contextlib.suppress(OperatorError):
        async with Sandbox.start(3, port=port, tls_folder=tmp_path) as sandbox:
            assert [urlsplit(org.url).port for org in sandbox.orgs] == [port, port + 1, port + 2]
            assert [org.alias for org in sandbox.orgs] == ["acme", "globex", "initech"]
            assert len({org.org_id for org in sandbox.orgs}) == 3
            assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
            assert sandbox.described()["ca_file"] == str(sandbox.ca_file)
