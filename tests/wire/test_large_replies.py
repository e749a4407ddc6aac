"""Large replies wait for memory; small ones, and those of other orgs, do not."""

import asyncio
import gc
import json
import sys
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from itertools import pairwise

import pytest

from orgserver.model.errors import CallError, Rejected, Unanswered
from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import (
    INLINE_BYTES,
    MIDDLE_BYTES,
    SMALL_BYTES,
    OrgReplyMemory,
    ReplyMemory,
    Reservation,
    Trace,
)
from orgserver.salesforce.protocol import bodies
from orgserver.salesforce.protocol.messages import Reply, Request
from orgserver.salesforce.retry import Refusal, read_refusal
from tests.wire import upstream as acts
from tests.wire.upstream import Act, Form, Upstream

READ = Request("GET", "/services/data/v60.0/query", (("q", "SELECT Id FROM Contact"),))
WRITE = Request("POST", "/services/data/v60.0/sobjects/Contact", body={"LastName": "Lovelace"})
LARGE = {"text": "x" * (MIDDLE_BYTES + 1)}
SMALL = {"text": "x"}


@pytest.fixture
async def orgs() -> AsyncIterator[list[Upstream]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Upstream.start(plain=True)) for _ in range(4)]


@pytest.fixture
async def client() -> AsyncIterator[SalesforceClient]:
    made = SalesforceClient()
    yield made
    await made.aclose()


async def send(client: SalesforceClient, org: Upstream, request: Request = READ, *, seconds: float = 60) -> Reply:
    address = org.address
    hosts = OrgHosts(address, f"http://{address}", f"http://{address}", (address,))
    deadline = asyncio.get_running_loop().time() + seconds
    return await client.send(hosts, Secret("00Dx!y"), request, deadline=deadline, trace=Trace())


def count_blocks_at_rests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many blocks of memory are taken at each rest of a thread that reads, which then rests at each step."""
    blocks = list[int]()
    monkeypatch.setattr("orgserver.salesforce.reply_reading._WORK", -1.0)
    monkeypatch.setattr(
        "orgserver.salesforce.reply_reading.time.sleep", lambda _seconds: blocks.append(sys.getallocatedblocks())
    )
    return blocks


def most_freed(blocks: list[int]) -> int:
    """How many blocks were given back in one go."""
    return max(earlier - later for earlier, later in pairwise([*blocks, sys.getallocatedblocks()]))


def unfinished(body: object, open_: asyncio.Event) -> Act:
    """All of a body but its last byte, which comes when the event is set."""
    content = json.dumps(body).encode()

    async def act(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, form: Form) -> bool:
        before, body = form.parts(content)
        writer.write(before + body[:-1])
        await writer.drain()
        await open_.wait()
        writer.write(body[-1:])
        await writer.drain()
        return True

    return act


async def test_ten_large_replies_of_an_org_come_one_after_another_and_all_arrive(
    client: SalesforceClient, orgs: list[Upstream]
) -> None:
    orgs[0].usual = acts.answer(LARGE)

    replies = await asyncio.gather(*(send(client, orgs[0]) for _ in range(10)))

    assert [reply.body for reply in replies] == [LARGE] * 10


async def test_an_org_that_never_ends_its_large_replies_leaves_room_for_another(
    client: SalesforceClient, orgs: list[Upstream]
) -> None:
    slow, other = orgs[:2]
    end = asyncio.Event()
    slow.usual, other.usual = unfinished(LARGE, end), acts.answer(LARGE)
    waiting = [asyncio.ensure_future(send(client, slow)) for _ in range(8)]
    await slow.came(8)

    assert [(await send(client, other)).body for _ in range(3)] == [LARGE] * 3

    assert not any(task.done() for task in waiting)
    end.set()
    assert [(await task).body for task in waiting] == [LARGE] * 8


async def test_small_replies_wait_for_no_large_ones(client: SalesforceClient, orgs: list[Upstream]) -> None:
    end = asyncio.Event()
    for org in orgs[:2]:
        org.usual = unfinished(LARGE, end)
    waiting = [asyncio.ensure_future(send(client, org)) for org in orgs[:2] for _ in range(2)]
    for org in orgs[:2]:
        await org.came(2)
        org.usual = acts.answer(SMALL)

    assert [(await send(client, org)).body for org in orgs] == [SMALL, SMALL, {}, {}]

    end.set()
    assert [(await task).body for task in waiting] == [LARGE] * 4


async def test_whoever_finds_no_room_before_its_deadline_is_told_so_and_others_go_on(
    client: SalesforceClient, orgs: list[Upstream]
) -> None:
    end = asyncio.Event()
    for org in orgs[:2]:
        org.usual = unfinished(LARGE, end)
    orgs[2].usual = acts.answer(LARGE)
    waiting = [asyncio.ensure_future(send(client, org)) for org in orgs[:2]]
    for org in orgs[:2]:
        await org.came()

    with pytest.raises(Unanswered, match="in time") as late:
        await send(client, orgs[2], seconds=0.5)

    assert late.value.code == "TIMEOUT"
    end.set()
    assert [(await task).body for task in waiting] == [LARGE] * 2
    assert (await send(client, orgs[2])).body == LARGE


@pytest.mark.parametrize("request_", [READ, WRITE], ids=lambda each: each.method)
async def test_a_reply_that_costs_too_much_is_asked_for_once_and_refused_as_too_large(
    client: SalesforceClient, orgs: list[Upstream], request_: Request
) -> None:
    content = b"[" + b",".join([b"[]"] * 1_500_000) + b"]"
    orgs[0].usual = acts.written(lambda form: form.reply(content))

    with pytest.raises(CallError, match="too large") as refused:
        await send(client, orgs[0], request_)

    assert (refused.value.code, refused.value.outcome) == ("REPLY_TOO_LARGE", "unknown")
    assert len(orgs[0].requests) == 1
    orgs[0].usual = acts.answer(LARGE)
    assert (await send(client, orgs[0])).body == LARGE


@contextmanager
def reserving(memory: ReplyMemory, org: OrgReplyMemory) -> Iterator[Reservation]:
    reservation = Reservation(memory, org)
    try:
        yield reservation
    finally:
        reservation.release()


async def test_a_place_is_given_back_when_the_thread_that_reads_has_ended_not_before() -> None:
    memory, org = ReplyMemory(), OrgReplyMemory()
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait(10)

    async def exchange() -> None:
        with reserving(memory, org) as reservation:
            await reservation.grow(MIDDLE_BYTES + 1)
            await reservation.read(MIDDLE_BYTES + 1, work)

    task = asyncio.ensure_future(exchange())
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert org.large.locked() and memory.reading.locked()
    end.set()
    with reserving(memory, org) as reservation:
        async with asyncio.timeout(10):
            await reservation.grow(MIDDLE_BYTES + 1)
            assert await reservation.read(MIDDLE_BYTES + 1, lambda: "read") == "read"
    assert not (org.large.locked() or memory.reading.locked())


async def test_a_reply_that_grows_gives_its_middle_place_to_others() -> None:
    memory, org = ReplyMemory(), OrgReplyMemory()

    with reserving(memory, org) as reservation:
        await reservation.grow(SMALL_BYTES)
        assert not org.large.locked() and org.middle._value == 2
        await reservation.grow(SMALL_BYTES + 1)
        assert org.middle._value == 1
        await reservation.grow(MIDDLE_BYTES + 1)
        assert org.large.locked() and org.middle._value == 2
    assert not org.large.locked() and memory.large._value == 2


@pytest.mark.parametrize(
    "content",
    [b"[" + b",".join([b"[]"] * 1_500_000) + b"]", b"9" * MIDDLE_BYTES, b'{"a":"' + b"x" * MIDDLE_BYTES],
    ids=["too costly", "one number", "cut off"],
)
async def test_an_error_does_not_keep_the_reply_that_it_was_found_in(
    client: SalesforceClient, orgs: list[Upstream], content: bytes
) -> None:
    orgs[0].usual = acts.written(lambda form: form.reply(content))
    with pytest.raises(CallError) as refused:
        await send(client, orgs[0], WRITE)
    error: BaseException | None = refused.value

    kept = []
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            kept += [
                value for value in frame.f_locals.values() if isinstance(value, str | bytes) and len(value) > 100_000
            ]
        kept += [value for value in vars(error).values() if isinstance(value, str) and len(value) > 100_000]
        error = error.__cause__ or error.__context__

    assert [len(value) for value in kept if value is not content] == []


@pytest.mark.parametrize("status", [400, 200], ids=["refused", "cut off"])
async def test_an_error_is_in_no_circle_of_objects_that_would_have_to_be_looked_for(
    status: int, client: SalesforceClient, orgs: list[Upstream]
) -> None:
    content = b'[{"errorCode":"INVALID_FIELD","message":"x"}]' if status == 400 else b'{"a":' * 20_000
    orgs[0].usual = acts.written(lambda form: form.reply(content, status))

    async def fail(times: int) -> None:
        for _ in range(times):
            with suppress(CallError):
                await send(client, orgs[0], WRITE)

    await fail(1)
    gc.collect()
    await fail(5)

    assert gc.collect() < 10


async def test_replies_below_the_middle_size_are_read_two_at_a_time_and_one_of_each_org() -> None:
    memory, orgs = ReplyMemory(), [OrgReplyMemory() for _ in range(3)]
    begun, end = list[int](), threading.Event()

    def work(org: int) -> None:
        begun.append(org)
        end.wait(10)

    async def exchange(org: int) -> None:
        with reserving(memory, orgs[org]) as reservation:
            await reservation.read(INLINE_BYTES + 1, partial(work, org))

    tasks = [asyncio.ensure_future(exchange(org)) for org in (0, 0, 0, 1, 2)]
    async with asyncio.timeout(10):
        while len(begun) < 2:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)

    assert begun == [0, 1]
    end.set()
    await asyncio.gather(*tasks)
    assert sorted(begun) == [0, 0, 0, 1, 2]


async def test_who_reads_a_large_reply_rests_while_other_calls_are_under_way_and_not_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = b"[" + b"[1]," * 100_000 + b"1]"
    rests = list[float]()
    monkeypatch.setattr("orgserver.salesforce.reply_reading.time.sleep", rests.append)

    async def read(calls: int) -> None:
        with reserving(ReplyMemory(calls=calls), OrgReplyMemory()) as reservation:
            work = partial(bodies.read, 200, {"content-type": "application/json"}, content, rest=reservation.rests())
            assert len(await reservation.read(len(content), work)) == 100_001

    await read(calls=1)
    assert rests == []

    await read(calls=2)
    assert len(rests) > 5
    assert all(0.004 <= rest <= 0.02 for rest in rests)


async def test_nobody_looks_for_circles_of_objects_while_a_large_reply_is_read() -> None:
    memory = ReplyMemory()

    with reserving(memory, OrgReplyMemory()) as reservation:
        assert not await reservation.read(SMALL_BYTES + 1, gc.isenabled)
        assert not gc.isenabled()

    assert gc.isenabled()


async def test_a_large_reply_comes_with_pauses_while_other_calls_are_under_way_and_not_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses = list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("orgserver.salesforce.exchange.asyncio.sleep", pause)

    async def grow(calls: int, size: int) -> int:
        pauses.clear()
        with reserving(ReplyMemory(calls=calls), OrgReplyMemory()) as reservation:
            for part in range(0, size + 1, SMALL_BYTES // 4):
                await reservation.grow(part)
        return len(pauses)

    assert await grow(1, 2 * MIDDLE_BYTES) == 0
    assert await grow(2, MIDDLE_BYTES) == 0
    assert MIDDLE_BYTES // SMALL_BYTES - 2 <= await grow(2, 2 * MIDDLE_BYTES) <= MIDDLE_BYTES // SMALL_BYTES
    assert sum(pauses) < 0.02


@pytest.mark.parametrize("fails", [False, True])
async def test_a_reply_is_gone_before_its_place_is(fails: bool) -> None:
    """Or the collector, which goes on then, would look at all of it."""

    class Body(list[int]):
        pass

    def read(reply: Reply) -> int:
        if fails:
            raise ValueError("not what was asked for")
        return len(reply.body)

    with reserving(ReplyMemory(), OrgReplyMemory()) as reservation:
        body = await reservation.read(SMALL_BYTES + 1, Body)
        alive = weakref.ref(body)
        reading = reservation.read(SMALL_BYTES + 1, partial(read, Reply(200, {}, body, 1)))
        del body
        with suppress(ValueError):
            await reading
        async with asyncio.timeout(5):
            while alive() is not None:  # the thread may be about to let go of it
                await asyncio.sleep(0.001)


RECORDS = b"[" + b'{"a":0},' * 200_000 + b"1]"
"""Which take 400,000 blocks of memory."""
READ_RECORDS = partial(bodies.read, 200, {"content-type": "application/json"}, RECORDS)
MOST_FREED = 10_000


@pytest.mark.parametrize("fails", [False, True])
async def test_what_a_large_reply_said_is_given_back_in_steps(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(body: list[object]) -> int:
        return len(body) if not fails else int("no number")

    with reserving(ReplyMemory(calls=2), OrgReplyMemory()) as reservation:
        work = partial(READ_RECORDS, containers=reservation.containers)
        reading = reservation.read(len(RECORDS), partial(read, await reservation.read(len(RECORDS), work)))
        blocks = count_blocks_at_rests(monkeypatch)
        before = sys.getallocatedblocks()
        with suppress(ValueError):
            await reading

    assert before - sys.getallocatedblocks() > 390_000
    assert most_freed(blocks) < MOST_FREED


async def test_what_nobody_reads_is_given_back_in_steps_before_its_place_is(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = ReplyMemory(calls=2)
    with reserving(memory, OrgReplyMemory()) as reservation:
        await reservation.read(len(RECORDS), partial(READ_RECORDS, containers=reservation.containers))
        blocks = count_blocks_at_rests(monkeypatch)
        before = sys.getallocatedblocks()

    assert memory.reading.locked()
    async with asyncio.timeout(10):
        await memory.reading.acquire()
    assert before - sys.getallocatedblocks() > 390_000
    assert most_freed(blocks) < MOST_FREED
    memory.reading.release()


async def test_a_large_refusal_is_read_in_a_thread_and_given_back_in_steps(
    client: SalesforceClient, orgs: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = b'{"errorCode":"INVALID_FIELD","message":"No such column","fields":["Rating"]},'
    content = b"[" + entry * 13_000 + b"{}]"
    orgs[0].usual = acts.written(lambda form: form.reply(content, 400))
    threads = set[int]()

    def read(reply: Reply, *, writes: bool) -> Refusal:
        threads.add(threading.get_ident())
        return read_refusal(reply, writes=writes)

    monkeypatch.setattr("orgserver.salesforce.client.read_refusal", read)
    with pytest.raises(Rejected, match="and 12990 more") as refused:
        await send(client, orgs[0])

    assert (refused.value.code, refused.value.fields) == ("INVALID_FIELD", ("Rating",))
    assert threads and threading.get_ident() not in threads
