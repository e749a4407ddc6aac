"""What comes over a connection has one meaning, fits, and comes in time; else it is refused, and the connection closed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from orgserver.serving.http import server
from orgserver.serving.http.connections.places import ConnectionLimits, Connections
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.http.replies import JSON_ANSWER
from orgserver.serving.shutdown import Ending
from tests.serving.over_http.served import DRAIN_SECONDS

LIMITS = ConnectionLimits(
    body_bytes=1024, head_seconds=0.3, body_seconds=0.3, idle_seconds=0.6, unread_seconds=0.3, linger_seconds=0.3,
    per_source=8, refused=4, tick_seconds=0.05,
)  # fmt: skip
HEAD = b"POST /mcp HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /mcp HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\n"


@dataclass
class Echo:
    """An app that answers each request by what it read of it."""

    port: int = 0
    count: int = 0
    pause: float = 0.0
    size: int = 0
    is_whole: bool = False
    """Whether it answers in one message."""

    async def __call__(self, scope, receive, send) -> None:
        self.count += 1
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        await asyncio.sleep(self.pause)
        text = repr(
            (scope["method"], body, [value for name, value in scope["headers"] if name.startswith(b"x")])
        ).encode()
        text += b" " * self.size
        if self.is_whole:
            await send({"type": JSON_ANSWER, "body": text})
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    async def exchange(self, *parts: bytes, pause: float = 0.0, wait: float = 3.0) -> bytes:
        """What comes back until the server closes; ``wait`` seconds at most."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        reading = asyncio.create_task(reader.read())
        try:
            for part in parts:
                if reading.done():
                    break
                writer.write(part)
                await asyncio.sleep(pause)
            async with asyncio.timeout(wait):
                return await reading
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    echo: Echo, limits: ConnectionLimits = LIMITS, options: HttpOptions | None = None
) -> AsyncIterator[Echo]:
    async def drain_seconds() -> float:
        return DRAIN_SECONDS

    ending = Ending(drain_seconds, lambda: None)
    with server.listen("127.0.0.1", 0, "--http") as listener:
        echo.port = listener.getsockname()[1]
        task = asyncio.create_task(server.serve(echo, listener, ending, lambda: None, options, limits))
        await asyncio.sleep(0)
        try:
            yield echo
        finally:
            ending.requested.set()
            await task


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: 5, 5\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: +5\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nhello", 400),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: identity\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"X-A: a\r\n b\r\n\r\n", 400),
        (b"POST /mcp HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        (GET.replace(b"\r\n", b"\n"), 400),
        (HEAD + b"X-A: a\nX-B: b\r\n\r\n", 400),
        (HEAD + b"X-A: a\rX-B: b\r\n\r\n", 400),
        (HEAD + b"X-A : a\r\n\r\n", 400),
        (HEAD + b": a\r\n\r\n", 400),
        (HEAD + b"X-A: a\0b\r\n\r\n", 400),
        (CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED + b"5\r\nhelloX\r\n0\r\n\r\n", 400),
        (CHUNKED + b"fffffffffffffffff\r\nhello", 400),
        (CHUNKED + b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n", 400),
        (CHUNKED + b"5;" + b"x" * 300_000, 413),
        (CHUNKED + b"800\r\n" + b"x" * 0x800 + b"\r\n0\r\n\r\n", 413),
        (HEAD + b"Content-Length: 1025\r\n\r\n", 413),
        (HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        (HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (GET.replace(b"1.1", b"2.0"), 400),
        (GET.replace(b"1.1", b"1.2"), 400),
        (b"GET /mcp\r\n\r\n", 400),
        (GET.replace(b"/mcp", b"http://a/mcp"), 400),
        (GET.replace(b"/mcp", b"*"), 400),
        (GET.replace(b"/mcp", b"/mcp#a"), 400),
        (GET.replace(b"/mcp", b"/m\xffcp"), 400),
        (GET.replace(b"/mcp", b"/" + b"a" * 9_000), 414),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (GET.replace(b"GET", b"TRACE"), 405),
        (GET.replace(b"GET", b"get"), 400),
        (HEAD + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (HEAD + b"X-A: " + b"a" * 20_000, 431),
        (HEAD + b"X-A: a\r\n" * 101 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)  # fmt: skip
async def test_what_could_be_read_in_two_ways_is_refused(request_bytes: bytes, expected: int) -> None:
    async with serving(Echo()) as echo:
        answer = await echo.exchange(request_bytes + GET)
        part_by_part = await echo.exchange(*(request_bytes[i : i + 7_000] for i in range(0, len(request_bytes), 7_000)))

    for each in (answer, part_by_part):
        assert each.startswith(b"HTTP/1.1 %d " % expected)
        assert b"connection: close" in each
        assert each.count(b"HTTP/1.1 ") == 1


async def test_a_target_may_hold_a_long_code_and_state() -> None:
    async with serving(Echo()) as echo:
        answer = await echo.exchange(GET.replace(b"/mcp", b"/signin/callback?code=" + b"a" * 8_000))

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_blanks_around_a_header_s_value_are_none_of_it() -> None:
    async with serving(Echo()) as echo:
        answer = await echo.exchange(HEAD + b"X-A:  \ta b \t \r\nContent-Length: 5 \r\nConnection: close\r\n\r\nhello")

    assert b"('POST', b'hello', [b'a b'])" in answer


async def test_bodies_in_chunks_and_requests_one_after_another_are_served() -> None:
    async with serving(Echo()) as echo:
        answer = await echo.exchange(
            CHUNKED + b"5;name=value\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", GET, CHUNKED + b"0\r\n\r\n", pause=0.1
        )

    assert answer.count(ANSWER) == 3
    assert b"b'hello!'" in answer


async def test_who_waits_for_leave_to_send_its_body_gets_it() -> None:
    async with serving(Echo()) as echo:
        head = HEAD + b"Expect: 100-Continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
        answer = await echo.exchange(head, b"hello", pause=0.1)
        refusal = await echo.exchange(head.replace(b": 5", b": 5000"))

    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER)
    assert refusal.startswith(b"HTTP/1.1 413 ")


async def test_who_sends_a_second_request_before_it_has_its_answer_gets_the_first_one_s_and_the_end() -> None:
    async with serving(Echo(pause=0.2)) as echo:
        answer = await echo.exchange(GET + GET)
        garbage = await echo.exchange(GET + b"nonsense")

    assert answer.count(b"HTTP/1.1 ") == garbage.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(ANSWER)
    assert garbage.startswith(ANSWER)
    assert echo.count == 2


@pytest.mark.parametrize(
    ("parts", "pause", "expected"),
    [
        ((b"",), 0, b""),
        ((b"GET /mcp HTTP/1.1\r\n",), 0, b"HTTP/1.1 408 "),
        (tuple(bytes([byte]) for byte in GET), 0.03, b"HTTP/1.1 408 "),
        ((HEAD + b"Content-Length: 5\r\n\r\nhe",), 0, b"HTTP/1.1 408 "),
        ((CHUNKED, *(b"1\r\na\r\n",) * 40), 0.03, b"HTTP/1.1 408 "),
        ((b"\r\n" * 1_000,) * 20, 0.01, b"HTTP/1.1 431 "),
        ((GET, b"GET /m"), 0.1, ANSWER),
        ((GET,), 0, ANSWER),
    ],
)
async def test_who_is_slow_is_not_waited_for(parts: tuple[bytes, ...], pause: float, expected: bytes) -> None:
    async with serving(Echo()) as echo:
        answer = await echo.exchange(*parts, pause=pause)

    assert answer.startswith(expected)


async def test_who_does_not_read_its_answer_is_not_waited_for() -> None:
    async with serving(Echo(size=64 * 1024 * 1024)) as echo:
        reader, writer = await asyncio.open_connection("127.0.0.1", echo.port, limit=1)
        writer.write(GET)
        size = len(await reader.read(1))  # it is being answered
        await asyncio.sleep(1.0)
        while part := await reader.read(1024 * 1024):
            size += len(part)
        writer.close()

    assert 0 < size < echo.size


async def test_a_source_has_its_share_of_connections() -> None:
    async with serving(Echo()) as echo:
        others = [await asyncio.open_connection("127.0.0.1", echo.port) for _ in range(LIMITS.per_source)]
        refusal = await echo.exchange(b"")
        others.pop()[1].close()
        answer = refusal
        async with asyncio.timeout(10):
            while answer.startswith(b"HTTP/1.1 429 "):  # until the server has seen that one has left
                answer = await echo.exchange(GET.replace(b"Host", b"Connection: close\r\nHost"))
        for _, writer in others:
            writer.close()

    assert refusal.startswith(b"HTTP/1.1 429 ")
    assert answer.startswith(ANSWER)


async def test_a_crowd_from_one_source_takes_no_place_from_others() -> None:
    async with serving(Echo()) as echo:
        crowd = [
            await asyncio.open_connection("127.0.0.1", echo.port) for _ in range(LIMITS.per_source + LIMITS.refused + 4)
        ]
        await asyncio.sleep(LIMITS.linger_seconds / 3)
        ends = [reader.at_eof() or reader.exception() is not None for reader, _ in crowd]
        told = [b"429" in await reader.read(12) for reader, _ in crowd[LIMITS.per_source : -4]]
        for _, writer in crowd:
            writer.close()

    assert ends[-4:] == [True] * 4  # cut off, without a word
    assert not any(ends[: LIMITS.per_source])
    assert told == [True] * LIMITS.refused


@dataclass(eq=False)
class Stranger:
    """A client of whom nothing is known but the address."""

    source: str

    def end_if_late(self, now: float) -> None:
        """Stay."""


def test_who_is_refused_takes_no_place_while_being_told_so() -> None:
    connections = Connections(ConnectionLimits(in_all=10, per_source=4, refused=3), lambda _source: False)
    crowd = [Stranger("192.0.2.1") for _ in range(20)]
    entered = [(connections.enter(each), connections.can_explain) for each in crowd]
    other = Stranger("192.0.2.2")

    assert entered == [(True, True)] * 4 + [(False, True)] * 3 + [(False, False)] * 13
    assert connections.enter(other)
    assert connections.reserve("192.0.2.3")
    for each in (*crowd, other):
        connections.leave(each)
    assert all(connections.enter(Stranger("192.0.2.1")) for _ in range(4))
    assert not connections.enter(Stranger("192.0.2.1"))


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 5\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        HEAD.replace(b"1.1", b"1.0") + b"Content-Length: 5\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\n\r\nhello" + HEAD + b"Content-Length: 5\r\n\r\nagain",
    ],
)
async def test_an_answer_in_one_message_is_the_same_as_one_in_parts(request_bytes: bytes) -> None:
    answers = []
    for is_whole in (False, True):
        async with serving(Echo(is_whole=is_whole)) as echo:
            answers.append(re.sub(rb"date: [^\r]+", b"date", await echo.exchange(request_bytes)))

    assert answers[0] == answers[1]
    assert answers[0].count(ANSWER) == 1


async def test_an_answer_in_one_message_waits_for_who_does_not_read_the_one_before_but_not_for_ever() -> None:
    async with serving(Echo(is_whole=True, size=20_000_000)) as echo:
        _, writer = await asyncio.open_connection("127.0.0.1", echo.port, limit=2**10)
        for _ in range(2):
            writer.write(HEAD + b"Content-Length: 0\r\n\r\n")
            await asyncio.sleep(0.1)

        async def write_on() -> None:
            while True:
                await asyncio.sleep(0.05)
                writer.write(b"G")
                await writer.drain()

        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(write_on(), 3)
