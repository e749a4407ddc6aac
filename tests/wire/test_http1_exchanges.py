"""One exchange over time: what is never sent, what is lost, what waits for what, and what closes a connection."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from orgserver.salesforce.http1.failures import NeverSent, ReplyLost
from orgserver.salesforce.http1.sender import HttpSender
from tests.wire import upstream as acts
from tests.wire.reply_cases import OK, PLAIN
from tests.wire.senders import Serve, listening, request_to, runner, sender
from tests.wire.upstream import Act, Form, Upstream, head

__all__ = ["runner"]  # the fixture

MEBIBYTE = 1 << 20
BODY = b"b" * (20 * MEBIBYTE)


async def ended(host: Upstream, count: int = 1) -> None:
    """Wait until the host has seen so many of its connections end."""
    async with asyncio.timeout(5):
        while len(host._under_way) > host.connections - count:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def both(*acts_: Act, **options: object) -> AsyncIterator[tuple[HttpSender, Upstream]]:
    async with Upstream.start() as host, sender(**options) as made:
        host.then(*acts_)
        host.usual = acts.raw(PLAIN)
        yield made, host


# -- never sent


@pytest.fixture
def refused_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_port_that_refuses_was_never_sent_anything(runner: asyncio.Runner, refused_port: int) -> None:
    async def act() -> None:
        async with sender() as made:
            request = request_to(f"127.0.0.1:{refused_port}", "POST", b"{}")
            with pytest.raises(NeverSent, match="no connection could be made"):
                await made.send(request, seconds=5)
            assert not request.written

    runner.run(act())


def test_a_name_that_is_none_was_never_sent_anything(runner: asyncio.Runner) -> None:
    async def act() -> None:
        async with sender() as made:
            request = request_to("nobody.has.this.name.invalid", "POST", b"{}")
            with pytest.raises(NeverSent, match=r"looked up|in time"):
                await made.send(request, seconds=5)
            assert not request.written

    runner.run(act())


def test_whoever_is_cancelled_while_connecting_sent_nothing(runner: asyncio.Runner) -> None:
    async def act() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            address = full.getsockname()
            # the queue of a listener that accepts nothing is full after a few
            waiting = [socket.socket() for _ in range(4)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(address)
            async with sender(connect_seconds=0.3) as made:
                request = request_to(f"127.0.0.1:{address[1]}", "POST", b"{}")
                task = asyncio.ensure_future(made.send(request, seconds=5))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert not request.written
                with pytest.raises(NeverSent, match="in time"):
                    await made.send(request, seconds=5)
                assert not request.written
            for each in waiting:
                each.close()

    runner.run(act())


# -- lost


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "kept alive"])
@pytest.mark.parametrize("kind", [acts.close, acts.reset, acts.cut, acts.hang], ids=lambda act: act.__name__)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_whatever_happens_behind_the_first_byte_the_answer_is_lost_and_nothing_is_sent_again(
    runner: asyncio.Runner, kind: Act, method: str, warm: bool
) -> None:
    async def act() -> None:
        async with both(*[acts.raw(PLAIN)] * warm, kind) as (made, host):
            if warm:
                await made.send(request_to(host.address), seconds=5)
            request = request_to(host.address, method, None if method == "GET" else b"{}")

            with pytest.raises(ReplyLost):
                await made.send(request, seconds=0.3 if kind is acts.hang else 5)

            assert request.written
            await asyncio.sleep(0.05)
            assert len(host.requests) == 1 + warm
            assert (await made.send(request_to(host.address), seconds=5)).content == OK
            assert host.carriers == [1, 1, 2] if warm else [1, 2]

    runner.run(act())


def test_whoever_is_cancelled_after_the_first_byte_may_have_sent_it_and_the_connection_ends(
    runner: asyncio.Runner,
) -> None:
    async def act() -> None:
        async with both(acts.hang) as (made, host):
            request = request_to(host.address, "POST", b"{}")
            task = asyncio.ensure_future(made.send(request, seconds=5))
            await host.came()

            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            assert request.written
            await ended(host)
            await made.send(request_to(host.address), seconds=5)
            assert host.carriers == [1, 2]

    runner.run(act())


def test_a_cancellation_that_meets_the_answer_leaves_no_connection_behind(runner: asyncio.Runner) -> None:
    async def act() -> None:
        open_ = asyncio.Event()

        async def wait(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form) -> bool:
            await open_.wait()
            writer.write(PLAIN)
            return True

        async with both(wait) as (made, host):
            task = asyncio.ensure_future(made.send(request_to(host.address), seconds=5))
            await host.came()
            (connection,) = made._open
            connection.data_received(PLAIN)  # it came, and nobody has looked yet
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            await ended(host, 0)
            await connection.ended
            assert made._open == set()
            open_.set()

    runner.run(act())


# -- kept-alive connections


def blocking_host(then: Callable[[socket.socket], None]) -> tuple[int, threading.Thread, list[int]]:
    """A host in a thread of its own: it answers the first request of each connection and does this; what it read."""
    listener = socket.create_server(("127.0.0.1", 0))
    sizes: list[int] = []

    def serve() -> None:
        with listener, contextlib.ExitStack() as stack:
            for _ in range(2):
                connection, _ = listener.accept()
                stack.enter_context(connection)
                sizes.append(len(connection.recv(65_536)))
                connection.sendall(PLAIN)
                then(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread, sizes


@pytest.mark.parametrize(
    "then",
    [
        lambda connection: connection.close(),
        lambda connection: connection.shutdown(socket.SHUT_WR),
        lambda connection: connection.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n"),
    ],
    ids=["closed", "half closed", "a word that nobody asked for"],
)
def test_a_connection_that_ended_before_the_first_byte_is_replaced_though_the_event_loop_has_not_seen_it(
    runner: asyncio.Runner, then: Callable[[socket.socket], None]
) -> None:
    port, thread, sizes = blocking_host(then)

    async def act() -> None:
        async with sender() as made:
            for _ in range(2):
                request = request_to(f"127.0.0.1:{port}", "POST", b"{}")
                assert (await made.send(request, seconds=5)).content == OK
                time.sleep(0.1)  # noqa: ASYNC251  # the event loop must not come to it

    runner.run(act())
    thread.join(5)
    assert len(sizes) == 2


def test_an_idle_connection_ends_after_its_time_and_leaves_no_timer(runner: asyncio.Runner) -> None:
    async def act() -> None:
        async with both(keep_alive_seconds=0.2) as (made, host):
            await made.send(request_to(host.address), seconds=45)
            await ended(host)
            assert (made._open, list(made._idle.values())) == (set(), [[]])

    runner.run(act())


def test_an_exchange_costs_no_timer_of_its_own(runner: asyncio.Runner) -> None:
    async def act() -> None:
        async with both() as (made, host):
            await made.send(request_to(host.address), seconds=45)
            await made.send(request_to(host.address), seconds=45)
            (connection,) = made._open
            timer = connection._timer
            for _ in range(100):
                await made.send(request_to(host.address), seconds=45)
            assert connection._timer is timer

    runner.run(act())


def test_requests_at_the_same_time_have_connections_of_their_own_and_later_ones_use_them(
    runner: asyncio.Runner,
) -> None:
    async def act() -> None:
        async with both() as (made, host):
            for _ in range(3):
                await asyncio.gather(*(made.send(request_to(host.address), seconds=5) for _ in range(5)))
            assert host.connections == 5
            assert len(host.requests) == 15

    runner.run(act())


def test_a_request_goes_to_its_own_origin_whatever_was_used_before(runner: asyncio.Runner) -> None:
    async def act() -> None:
        async with both() as (made, host), Upstream.start() as other:
            other.usual = acts.raw(PLAIN)
            for each in (host, other, host, other):
                await made.send(request_to(each.address), seconds=5)
            assert (host.carriers, other.carriers) == ([1, 1], [1, 1])
            assert [each["host"] for each in host.headers + other.headers] == [host.address] * 2 + [other.address] * 2

    runner.run(act())


def test_closing_loses_what_is_under_way_and_the_sender_can_be_used_again(runner: asyncio.Runner) -> None:
    async def act() -> None:
        async with both(acts.hang) as (made, host):
            task = asyncio.ensure_future(made.send(request_to(host.address), seconds=5))
            await host.came()

            await made.aclose()

            with pytest.raises(ReplyLost):
                await task
            assert (await made.send(request_to(host.address), seconds=5)).content == OK

    runner.run(act())


# -- large bodies, slow readers, slow writers


def reading(pause: float, then: bytes, *, whole: bool, size: int = MEBIBYTE) -> Serve:
    """A bare host: reads the head, then the body a part at a time with pauses, or not at all, and answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head_ = (await reader.readuntil(b"\r\n\r\n")).lower()
        left = int(head_.partition(b"content-length: ")[2].partition(b"\r\n")[0]) if whole else 0
        while left:
            await asyncio.sleep(pause)
            left -= len(await reader.readexactly(min(left, size)))
        writer.write(then)
        await writer.drain()
        await asyncio.sleep(5)

    return serve


def test_an_answer_that_comes_before_the_body_was_written_is_taken_and_the_connection_ends(
    runner: asyncio.Runner,
) -> None:
    async def act() -> None:
        refusal = head(413, Content_Length=str(len(OK))) + OK
        async with listening(reading(0, refusal, whole=False)) as port, sender() as made:
            request = request_to(f"127.0.0.1:{port}", "POST", BODY)

            reply = await made.send(request, seconds=5)

            assert (reply.status, reply.content, request.written) == (413, OK, True)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert made._open == set()

    runner.run(act())


def test_a_body_that_nobody_reads_waits_in_bounded_memory_until_the_silence_is_too_long(
    runner: asyncio.Runner,
) -> None:
    async def act() -> None:
        async with listening(reading(30, PLAIN, whole=True)) as port, sender() as made:
            task = asyncio.ensure_future(made.send(request_to(f"127.0.0.1:{port}", "POST", BODY), seconds=0.5))
            await asyncio.sleep(0.2)
            (connection,) = made._open
            assert connection._transport is not None
            assert connection._transport.get_write_buffer_size() < MEBIBYTE  # type: ignore[attr-defined]

            with pytest.raises(ReplyLost, match="in time"):
                await task

    runner.run(act())


def test_a_body_that_is_read_slowly_takes_as_long_as_it_takes(runner: asyncio.Runner) -> None:
    async def act() -> None:
        async with listening(reading(0.08, PLAIN, whole=True)) as port, sender() as made:
            began = asyncio.get_running_loop().time()

            assert (await made.send(request_to(f"127.0.0.1:{port}", "POST", BODY), seconds=1)).content == OK

            assert asyncio.get_running_loop().time() - began > 1

    runner.run(act())


def test_an_answer_that_comes_a_byte_at_a_time_is_read_while_each_comes_in_time(runner: asyncio.Runner) -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form) -> bool:
        for byte in PLAIN:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.03)
        return True

    async def act() -> None:
        async with both(drip) as (made, host):
            began = asyncio.get_running_loop().time()

            assert (await made.send(request_to(host.address), seconds=1)).content == OK

            assert asyncio.get_running_loop().time() - began > 1

    runner.run(act())


def test_an_answer_that_stops_half_way_is_lost_when_the_silence_is_too_long(runner: asyncio.Runner) -> None:
    async def stop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form) -> bool:
        writer.write(PLAIN[:-1])
        await reader.read()
        return False

    async def act() -> None:
        async with both(stop) as (made, host):
            began = asyncio.get_running_loop().time()

            with pytest.raises(ReplyLost, match="in time"):
                await made.send(request_to(host.address), seconds=0.2)

            seconds = round(asyncio.get_running_loop().time() - began, 3)  # uvloop's clock counts whole milliseconds
            assert 0.2 <= seconds < 5

    runner.run(act())


def test_a_large_answer_stays_with_its_sender_while_there_is_no_room_for_it(runner: asyncio.Runner) -> None:
    size = 16 * MEBIBYTE
    written = 0

    async def write(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form) -> bool:
        nonlocal written
        writer.write(head(200, Content_Length=str(size)))
        for _ in range(16):
            writer.write(b" " * MEBIBYTE)
            await writer.drain()
            written += MEBIBYTE
        return True

    async def act() -> None:
        room, sizes = asyncio.Event(), []

        async def grow(size: int) -> None:
            sizes.append(size)
            if size > MEBIBYTE:
                await room.wait()

        async with both(write) as (made, host):
            task = asyncio.ensure_future(made.send(request_to(host.address), seconds=0.2, grow=grow))
            await asyncio.sleep(0.6)  # longer than the silence may be: it is ours
            assert written < size
            assert sizes[-1] < 2 * MEBIBYTE
            room.set()
            assert len((await task).content) == sizes[-1] == size
            await made.send(request_to(host.address), seconds=5)
            assert host.carriers == [1, 1]

    runner.run(act())


def test_a_host_that_half_closes_behind_its_answer_is_not_asked_again_on_that_connection(
    runner: asyncio.Runner,
) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form) -> bool:
        writer.write(PLAIN)
        writer.write_eof()
        await reader.read()
        return False

    async def act() -> None:
        async with both(half) as (made, host):
            assert (await made.send(request_to(host.address), seconds=5)).content == OK
            await ended(host)
            assert (await made.send(request_to(host.address), seconds=5)).content == OK
            assert host.carriers == [1, 2]

    runner.run(act())


def test_a_host_that_half_closes_in_place_of_an_answer_has_lost_it(runner: asyncio.Runner) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form) -> bool:
        writer.write_eof()
        await reader.read()
        return False

    async def act() -> None:
        async with both(half) as (made, host):
            with pytest.raises(ReplyLost, match="ended before"):
                await made.send(request_to(host.address, "POST", b"{}"), seconds=5)
            assert len(host.requests) == 1

    runner.run(act())
