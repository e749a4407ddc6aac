"""What a host may write back, whole, byte by byte and in two halves: each reply is read, or the exchange is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orgserver.salesforce.http1.failures import ReplyLost
from orgserver.salesforce.http1.sender import HttpSender
from tests.wire import senders
from tests.wire import upstream as acts
from tests.wire.reply_cases import CASES, OK, PLAIN, Case
from tests.wire.senders import request_to, runner
from tests.wire.upstream import Act, Form, Upstream

__all__ = ["runner"]  # the fixture


@asynccontextmanager
async def answering(*acts_: Act) -> AsyncIterator[tuple[HttpSender, Upstream]]:
    """A sender, and a host that does these with its first requests, then answers as it should."""
    async with Upstream.start() as host:
        host.then(*acts_)
        host.usual = acts.raw(PLAIN)
        async with senders.sender() as made:
            yield made, host


async def outcome(sender: HttpSender, host: Upstream, method: str = "GET") -> tuple[int | None, bytes]:
    """Status and body; no status if the answer is lost."""
    request = request_to(host.address, method)
    try:
        reply = await sender.send(request, seconds=5)
    except ReplyLost:
        assert request.written
        return None, b""
    assert not reply.headers.keys() & {"content-encoding", "content-length", "transfer-encoding"}
    return reply.status, reply.content


def in_pieces(case: Case, size: int) -> Act:
    """Write the answer in segments of this size."""

    async def act(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form) -> bool:
        for start in range(0, len(case.content), size):
            writer.write(case.content[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)
        return case.keep

    return act


async def exchange_twice(act: Act, method: str, pause: float = 0) -> tuple[tuple[int | None, bytes], list[int]]:
    """What became of the first exchange, and the connections of both; the second one must be answered."""
    async with answering(act) as (sender, host):
        first = await outcome(sender, host, method)
        await asyncio.sleep(pause)
        assert await outcome(sender, host) == (200, OK)
        return first, host.carriers


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_read_or_lost_and_its_connection_used_again_only_where_nothing_is_in_doubt(
    runner: asyncio.Runner, name: str
) -> None:
    case = CASES[name]

    first, carriers = runner.run(exchange_twice(acts.raw(case.content, keep=case.keep), case.method))

    assert first == (case.status, case.body)
    assert carriers == ([1, 1] if case.reused else [1, 2])


BEHIND = {"a second answer", "the beginning of a second answer", "garbage behind", "garbage behind chunks"}
BEHIND |= {"a body behind no content", "a body behind not modified", "a body behind HEAD", "more than the length"}
BEHIND |= {"a last one, and bytes behind it"}
SHORT = [name for name in CASES if len(CASES[name].content) < 2_000 and name not in BEHIND]


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("name", SHORT)
def test_it_makes_no_difference_in_which_segments_an_answer_comes(runner: asyncio.Runner, name: str, size: int) -> None:
    case = CASES[name]

    first, carriers = runner.run(exchange_twice(in_pieces(case, size), case.method))

    assert first == (case.status, case.body)
    assert carriers == ([1, 1] if case.reused else [1, 2])


@pytest.mark.parametrize("name", sorted(BEHIND))
def test_what_comes_behind_an_answer_a_moment_later_is_never_taken_for_the_next_one(
    runner: asyncio.Runner, name: str
) -> None:
    case = CASES[name]

    first, carriers = runner.run(exchange_twice(in_pieces(case, 1), case.method, 0.05))

    assert first[0] in {None, 200, 204, 304}
    assert carriers == [1, 2]
