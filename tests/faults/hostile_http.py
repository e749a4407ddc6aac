"""Hostile requests against a server on HTTP: nobody gets in, nothing leaks, nothing fails inside, nothing hangs.

Of each request that ``hostile_callers`` makes it is known whether it may be answered. Its connection is read until the
answer is whole or the server closes; one that the server cannot know to be whole is closed by the client. Afterwards a
good request must be answered as before, no record may have been created by a request that should not have been heard,
and neither the answers nor the log may hold a secret, a traceback, or what the server is made of.
"""

import asyncio
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.sandbox.server import Sandbox
from orgserver.services.people.requests import KeyChanges
from tests.people import OPERATOR, principal_changes

from .hostile_callers import HostileCallers
from .http_process import serving_http
from .http_requests import LIST, Hostile

CONNECTIONS = 48
ANSWER_SECONDS = 20.0
UNKNOWN_SECONDS = 0.25
"""How long an answer to a request is waited for that may never become whole for the server."""
CLOSE_SECONDS = 15.0
SLOW_SECONDS = 45.0
"""A body may take 30 s; the server looks once a second."""
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Z]")
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
_MADE_OF = re.compile(
    rb"(?i)traceback|uvicorn|httptools|starlette|python|pydantic|site-packages|\.py\b|\r\n(server|x-powered-by|set-cookie):"
)
_OK = 200
_FAILURE = 500


@dataclass
class HostileHttp:
    """What came back."""

    seed: int
    count: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    closed: int = 0
    """Connections that ended without an answer."""
    unauthenticated: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    slowest: float = 0.0
    is_well: bool = False
    """Whether a good request was answered at the end."""

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong."""
        return self.is_well and not (self.unauthenticated or self.failures or self.leaks or self.hangs)

    def __str__(self) -> str:
        wrong = [*self.unauthenticated, *self.failures, *self.leaks, *self.hangs]
        return (
            f"seed {self.seed}: {self.count} hostile requests; {len(self.unauthenticated)} unauthenticated answers, "
            f"{len(self.failures)} of 5xx, {len(self.leaks)} leaks, {len(self.hangs)} hangs; "
            f"statuses {dict(sorted(self.statuses.items()))}, {self.closed} closed without one, "
            f"the slowest {self.slowest:.2f} s {wrong[:5] or ''}"
        )


class Attack:
    """Sends them, and judges."""

    def __init__(self, host: str, key: str, secrets: list[str], seed: int) -> None:
        self.figures = HostileHttp(seed)
        self._address, _, port = host.rpartition(":")
        self._port = int(port)
        self._key = key
        self._secrets = [secret.encode() for secret in secrets]
        self._generator = HostileCallers(host, key, seed)

    async def run(self, count: int, slow: int = 0) -> HostileHttp:
        """Send so many, of which so many slowly."""
        hostiles = iter(
            [self._generator.slow() for _ in range(slow)] + [self._generator.make() for _ in range(count - slow)]
        )
        await asyncio.gather(*(self._work(hostiles) for _ in range(CONNECTIONS)))
        good = Hostile("good", [self._generator.build_good(LIST)], may_be_answered=True)
        self.figures.is_well = b'"records"' in await self._exchange(good)
        return self.figures

    async def _work(self, hostiles: Iterator[Hostile]) -> None:
        for hostile in hostiles:
            began = time.monotonic()
            answer = await self._exchange(hostile)
            if hostile.kind != "slow":
                self.figures.slowest = max(self.figures.slowest, time.monotonic() - began)
            self.judge(hostile, answer)

    async def _exchange(self, hostile: Hostile) -> bytes:
        reader, writer = await asyncio.open_connection(self._address, self._port)
        answer = bytearray()
        reading = asyncio.create_task(_read(reader, answer, is_head=hostile.parts[0].startswith(b"HEAD ")))
        try:
            for part in hostile.parts:
                if reading.done():
                    break
                writer.write(part)
                await asyncio.sleep(hostile.pause)
            await asyncio.wait([reading], timeout=_seconds(hostile))
            if not reading.done() and not hostile.is_whole:
                with suppress(OSError):
                    writer.write_eof()
                await asyncio.wait([reading], timeout=CLOSE_SECONDS)
            if not reading.done():
                self.figures.hangs.append(_describe(hostile, answer))
        finally:
            reading.cancel()
            writer.close()
        return bytes(answer)

    def judge(self, hostile: Hostile, answer: bytes) -> None:
        """Count what came back, and what of it is wrong."""
        figures = self.figures
        figures.count += 1
        statuses = [int(status) for status in _STATUS.findall(answer)]
        figures.statuses.update(statuses)
        figures.closed += not statuses
        if any(status < _FAILURE and status // 100 == _OK // 100 for status in statuses) and not (
            hostile.may_be_answered or (hostile.is_public and len(answer) < 1_000)
        ):
            figures.unauthenticated.append(_describe(hostile, answer))
        if any(status >= _FAILURE for status in statuses):
            figures.failures.append(_describe(hostile, answer))
        if any(secret in answer for secret in self._secrets) or _MADE_OF.search(answer):
            figures.leaks.append(_describe(hostile, answer))


async def attack_process(count: int, *, seed: int, slow: int = 40) -> HostileHttp:
    """Attack a server process over pretend orgs."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with Sandbox.start(2) as sandbox:
            async with open_app(read_settings({"home": home}, {})) as app:
                await register(app, sandbox)
                changes = principal_changes("acme:read,write", keys=KeyChanges(new=True))
                changed = await app.people.principals.add(OPERATOR, "ada", changes)
            assert changed.key is not None
            key = changed.key.text.reveal()
            secrets = [key, *(each for org in sandbox.orgs for each in (org.client_secret, org.refresh_token))]
            async with _serving(home, Path(folder) / "log") as host:
                figures = await Attack(host, key, secrets, seed).run(count, slow)
            log = (Path(folder) / "log").read_bytes()
            figures.leaks += [f"the log holds {name}" for name in _search(log, secrets)]
            created = sum(
                request.method == "POST"
                for org in sandbox.orgs
                for request in org.requests
                if "/sobjects/" in request.path
            )
            if created:
                figures.unauthenticated.append(f"{created} records were created")
    return figures


def _search(log: bytes, secrets: list[str]) -> list[str]:
    hits = [f"secret {number}" for number, secret in enumerate(secrets) if secret.encode() in log]
    return hits + (["a traceback"] if b"Traceback" in log else [])


@asynccontextmanager
async def _serving(home: Path, log: Path) -> AsyncIterator[str]:
    limits = {"ORGSERVER_HTTP_RATE": "1000000", "ORGSERVER_HTTP_IN_FLIGHT": "1000"}
    async with serving_http(home, **limits) as served:
        copying = asyncio.create_task(_copy(served.process.stderr, log))
        try:
            yield served.url.removeprefix("http://")
        finally:
            served.process.terminate()
            await copying


async def _copy(stream: asyncio.StreamReader | None, log: Path) -> None:
    assert stream is not None
    with log.open("wb") as file:
        while data := await stream.read(1 << 16):
            file.write(data)


async def _read(reader: asyncio.StreamReader, answer: bytearray, *, is_head: bool) -> None:
    """Read one whole answer, or until the server closes."""
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            answer += data
            if _is_whole(bytes(answer), is_head=is_head):
                return


def _is_whole(answer: bytes, *, is_head: bool) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank or head.startswith(b"HTTP/1.1 100"):
        return False
    if b"connection: close" in head:
        return False  # the server closes, which must be seen
    if is_head:
        return True
    length = _LENGTH.search(head + b"\r\n")
    if length is not None:
        return len(body) >= int(length[1])
    return body.endswith(b"0\r\n\r\n") or head.startswith((b"HTTP/1.1 202", b"HTTP/1.1 204"))


def _seconds(hostile: Hostile) -> float:
    if hostile.kind == "slow":
        return SLOW_SECONDS
    return ANSWER_SECONDS if hostile.is_whole else UNKNOWN_SECONDS


def _describe(hostile: Hostile, answer: bytes | bytearray) -> str:
    sent = b"".join(hostile.parts)
    return f"{hostile.kind}: {sent[:300]!r} … {sent[-60:]!r} → {bytes(answer[:200])!r} … {bytes(answer[-100:])!r}"
