"""One line a request: who, what, how it ended; no query, header or body, and no line that a stranger made up."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orgserver.app import App
from orgserver.config import Settings
from orgserver.logs import start_logging
from tests.faults.http_process import ACCEPTED
from tests.serving.over_http.served import serving
from tests.serving.over_http.test_ending import CREATE
from tests.telemetry.test_prometheus import read

FIELDS = {
    "time", "level", "logger", "message", "source", "method", "path", "status", "ms", "bytes", "principal", "key",
}  # fmt: skip


Log = Callable[..., io.StringIO]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Log]:
    """Starts logging into a buffer; what the test changed is put back."""
    root, ours = logging.getLogger(), logging.getLogger("orgserver")
    before = root.handlers[:], root.level, ours.level

    def start(**settings: str) -> io.StringIO:
        out = io.StringIO()
        monkeypatch.setattr("sys.stderr", out)
        start_logging(Settings(home=tmp_path, **settings))  # type: ignore[arg-type]
        return out

    yield start
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.captureWarnings(capture=False)


async def access_lines(out: io.StringIO, number: int) -> list[str]:
    """So many lines; each comes when its answer is gone."""
    async with asyncio.timeout(5):
        while len(lines := [line for line in out.getvalue().splitlines() if "orgserver.access" in line]) < number:
            await asyncio.sleep(0.01)
    return lines


async def test_a_line_tells_who_asked_what_and_how_it_ended(app: App, log: Log) -> None:
    async with serving(app) as served:
        key = await served.make_key("ada", "acme:read,write")
        out = log(log_format="json")
        async with served.raw(key, cookie="c00kie-of-ada") as client:
            await client.post("/mcp?token=c4nary-in-query", json=CREATE, headers=ACCEPTED)
            await client.get("/forged%0A12:00:00%20info%1B[2J")
            await client.get("/healthz")
        async with served.raw("osk_" + "x" * 49) as client:
            await client.post("/mcp", json=CREATE)
        lines = [json.loads(line) for line in await access_lines(out, 3)]

    call, refused, forged = sorted(lines, key=lambda line: (line["path"] != "/mcp", line["status"]))
    assert call.keys() == FIELDS | {"request"}
    assert (call["method"], call["path"], call["status"], call["request"], call["principal"]) == (
        "POST", "/mcp", 200, "1", "ada",
    )  # fmt: skip
    assert (call["source"], call["message"], call["level"]) == ("127.0.0.1", "request", "info")
    assert 0 < call["ms"] < 60_000 and call["bytes"] > 20
    (record,) = await app.people.principals.all()
    assert call["key"] == record.keys[0].id
    assert (forged["status"], forged["path"]) == (404, "/forged\n12:00:00 info\x1b[2J")
    assert refused["status"] == 401 and not {"principal", "request"} & refused.keys()
    assert "\x1b" not in out.getvalue()
    for secret in (key, key[4:20], "c00kie", "c4nary", "Byron", "Bearer"):
        assert secret not in out.getvalue()


async def test_nothing_is_told_above_the_level_that_is_set(app: App, log: Log) -> None:
    async with serving(app) as served, served.raw(None) as client:
        quiet = log(log_level="warning")
        await client.get("/mcp")
        loud = log(log_level="debug")
        await client.get("/healthz")
        (line,) = await access_lines(loud, 1)
        assert quiet.getvalue() == ""

    assert "request source=127.0.0.1 method=GET path=/healthz status=200 ms=" in line


async def test_what_is_no_request_is_told_by_its_source_and_status_alone(app: App, log: Log) -> None:
    async with serving(app) as served:
        admin = await served.make_key("root", roles=("admin",))
        out = log(log_format="json")
        host, port = served.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nhost: c4nary\r\n x-folded: c4nary\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
        (line,) = await access_lines(out, 1)
        async with served.raw(admin) as client:
            figures = read((await client.get("/metrics")).content)

    told = json.loads(line)
    assert (told["message"], told["source"], told["status"]) == ("no request", "127.0.0.1", 400)
    assert figures["orgserver_http_requests_total", "route=none", "status=400"] == 1
    assert "c4nary" not in out.getvalue()


async def test_what_follows_connect_is_not_told(app: App, log: Log) -> None:
    """It is a link that logs somebody in, or comes with a code of Salesforce's."""
    nonce = "n0nce" * 8 + "abc"
    async with serving(app) as served:
        out = log(log_format="json")
        async with served.raw(None) as client:
            await client.get(f"/connect/{nonce}")
            await client.post(f"/connect/{nonce}/key", data={"key": "osk_c4nary"})
            await client.get(f"/connect/callback?code=c0de&state={nonce}")
            await client.get("/connected")
        lines = [json.loads(line) for line in await access_lines(out, 4)]

    assert [line["path"] for line in lines] == ["/connect/*"] * 3 + ["/connected"]
    for secret in (nonce, "c0de", "c4nary"):
        assert secret not in out.getvalue()
