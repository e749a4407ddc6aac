"""Against bare sockets: what the shipped transport and the client make of answers that are lost, late or mad."""

import asyncio
import socket
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest

from orgserver.model.errors import CallError, NoConnection, NotSent, RateLimited, Rejected, StaleToken, Unanswered
from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.http1.reply_body import MAX_BODY
from orgserver.salesforce.http1.sender import HttpSender
from orgserver.salesforce.protocol.messages import Reply, Request
from tests.wire import upstream as acts
from tests.wire.upstream import Act, Upstream

TOKEN = "00DSb0000000001!AQwire.nobody_may_ever_read_this"
CONTACT = "/services/data/v60.0/sobjects/Contact"
ROW = f"{CONTACT}/003Sb0000000002AAA"
READ = Request("GET", "/services/data/v60.0/query", (("q", "SELECT Id FROM Contact"),))
WRITES = {
    "POST": Request("POST", CONTACT, body={"LastName": "Once"}),
    "PATCH": Request("PATCH", ROW, body={"Title": "Once"}),
    "DELETE": Request("DELETE", ROW),
}
STRUCK: dict[str, Act] = {
    "close": acts.close,
    "reset": acts.reset,
    "cut": acts.cut,
    "hang": acts.hang,
    "bad JSON": acts.bad_json(201),
    "no HTTP": acts.raw(b"220 mail.example.com ESMTP\r\n\r\n", keep=False),
}
PROMPT = [name for name in STRUCK if name != "hang"]
every_write = pytest.mark.parametrize("method", WRITES)


async def at_once(_seconds: float) -> None:
    """A pause that tests need not wait for."""


def path_of(request: Request) -> tuple[str, str]:
    return request.method, request.path


@pytest.fixture(params=[False, True], ids=["packed", "plain"])
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    async with Upstream.start(plain=request.param) as started:
        yield started


@pytest.fixture
async def other(upstream: Upstream) -> AsyncIterator[Upstream]:
    async with Upstream.start(plain=upstream.plain) as started:
        yield started


@pytest.fixture
async def client() -> AsyncIterator[SalesforceClient]:
    made = SalesforceClient(pause=at_once)
    yield made
    await made.aclose()


def hosts(address: str) -> OrgHosts:
    return OrgHosts(address, f"http://{address}", f"http://{address}", (address,))


async def send(
    client: SalesforceClient, address: str, request: Request, *, seconds: float = 30, trace: Trace | None = None
) -> Reply:
    deadline = asyncio.get_running_loop().time() + seconds
    return await client.send(hosts(address), Secret(TOKEN), request, deadline=deadline, trace=trace or Trace())


async def failure(
    client: SalesforceClient, address: str, request: Request, *, seconds: float = 30, trace: Trace | None = None
) -> CallError:
    """The error that a request ends in; the token is nowhere in it, nor in what led to it."""
    with pytest.raises(CallError) as caught:
        await send(client, address, request, seconds=seconds, trace=trace)
    for each in chain(caught.value):
        shown = [str(each), repr(each), repr(each.args), repr(vars(each)), *traceback.format_exception(each)]
        assert not [text for text in shown if TOKEN in text or TOKEN.partition("!")[2] in text]
    return caught.value


def chain(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [led for led in (each.__cause__, each.__context__) if led is not None]


# -- writes


@pytest.mark.parametrize("kind", STRUCK)
@every_write
async def test_a_write_whose_answer_is_lost_is_unknown_and_was_sent_once(
    client: SalesforceClient, upstream: Upstream, method: str, kind: str
) -> None:
    upstream.usual = STRUCK[kind]
    trace = Trace()

    error = await failure(client, upstream.address, WRITES[method], seconds=0.5 if kind == "hang" else 30, trace=trace)

    assert isinstance(error, Unanswered)
    assert error.outcome == "unknown"
    assert upstream.requests == [path_of(WRITES[method])]
    assert (trace.attempts, trace.sent) == (1, True)


@pytest.mark.parametrize("kind", STRUCK)
@every_write
async def test_a_write_lost_on_a_kept_alive_connection_is_unknown_and_was_sent_once(
    client: SalesforceClient, upstream: Upstream, method: str, kind: str
) -> None:
    upstream.then(acts.answer({"id": "003Sb0000000002AAA"}, 201))
    await send(client, upstream.address, WRITES["POST"])
    upstream.usual = STRUCK[kind]
    trace = Trace()

    error = await failure(client, upstream.address, WRITES[method], seconds=0.5 if kind == "hang" else 30, trace=trace)

    assert isinstance(error, Unanswered)
    assert upstream.requests == [path_of(WRITES["POST"]), path_of(WRITES[method])]
    assert upstream.carriers == [1, 1]
    assert (trace.attempts, trace.sent) == (1, True)


@pytest.mark.parametrize("status", [200, 204])
@every_write
async def test_after_a_lost_write_the_next_one_goes_through_on_a_new_connection(
    client: SalesforceClient, upstream: Upstream, method: str, status: int
) -> None:
    upstream.then(acts.close)
    upstream.usual = acts.answer(None, status)
    await failure(client, upstream.address, WRITES[method])

    reply = await send(client, upstream.address, WRITES[method])

    assert reply.status == status
    assert upstream.carriers == [1, 2]


@every_write
async def test_a_write_after_an_idle_connection_was_closed_goes_through_on_a_new_one(
    upstream: Upstream, method: str
) -> None:
    client = SalesforceClient(pause=at_once)
    upstream.then(acts.then_close(acts.answer({})))
    upstream.usual = acts.answer(None, 204)
    await send(client, upstream.address, READ)
    async with asyncio.timeout(10):  # until the client has heard of it: a write that crosses the end is a lost one
        while open_connections(client, upstream.address):
            await asyncio.sleep(0)

    reply = await send(client, upstream.address, WRITES[method])

    assert reply.status == 204
    assert upstream.carriers == [1, 2]
    await client.aclose()


def open_connections(client: SalesforceClient, address: str) -> int:
    sender = client._pool.get(address).sender
    assert isinstance(sender, HttpSender)
    return len(sender._open)


@every_write
async def test_a_write_that_is_not_answered_in_the_time_of_one_read_is_unknown(upstream: Upstream, method: str) -> None:
    upstream.usual = acts.hang
    client = SalesforceClient(pause=at_once, read_seconds=0.2)

    error = await failure(client, upstream.address, WRITES[method])

    assert isinstance(error, Unanswered)
    assert upstream.requests == [path_of(WRITES[method])]
    await client.aclose()


@every_write
async def test_a_busy_org_that_says_when_to_come_back_gets_the_write_again(
    client: SalesforceClient, upstream: Upstream, method: str
) -> None:
    busy = acts.refuse(503, "SERVER_UNAVAILABLE", "Server too busy", Retry_After="1")
    upstream.then(busy, busy)
    upstream.usual = acts.answer({"id": "003Sb0000000002AAA"}, 201)

    reply = await send(client, upstream.address, WRITES[method])

    assert reply.status == 201
    assert upstream.requests == [path_of(WRITES[method])] * 3


@every_write
async def test_a_busy_org_that_does_not_say_when_to_come_back_leaves_the_write_unknown(
    client: SalesforceClient, upstream: Upstream, method: str
) -> None:
    upstream.usual = acts.refuse(503, "SERVER_UNAVAILABLE", "Server too busy")

    error = await failure(client, upstream.address, WRITES[method])

    assert isinstance(error, Unanswered)
    assert upstream.requests == [path_of(WRITES[method])]


@every_write
async def test_an_html_page_in_place_of_an_answer_leaves_the_write_unknown(
    client: SalesforceClient, upstream: Upstream, method: str
) -> None:
    upstream.usual = acts.html(503)

    error = await failure(client, upstream.address, WRITES[method])

    assert isinstance(error, Unanswered)
    assert (error.code, error.http_status) == ("HTTP_503", 503)
    assert upstream.requests == [path_of(WRITES[method])]


@every_write
async def test_a_locked_row_is_tried_four_times(client: SalesforceClient, upstream: Upstream, method: str) -> None:
    upstream.usual = acts.refuse(400, "UNABLE_TO_LOCK_ROW")

    error = await failure(client, upstream.address, WRITES[method])

    assert isinstance(error, Rejected)
    assert (error.code, error.retryable) == ("UNABLE_TO_LOCK_ROW", True)
    assert upstream.requests == [path_of(WRITES[method])] * 4


async def test_a_row_that_is_unlocked_at_the_fourth_try_is_changed(
    client: SalesforceClient, upstream: Upstream
) -> None:
    upstream.then(*[acts.refuse(400, "UNABLE_TO_LOCK_ROW")] * 3)
    upstream.usual = acts.answer(None, 204)

    assert (await send(client, upstream.address, WRITES["PATCH"])).status == 204
    assert len(upstream.requests) == 4


# -- reads


@pytest.mark.parametrize("warm", [False, True], ids=["fresh connection", "kept-alive connection"])
@pytest.mark.parametrize("kind", PROMPT)
async def test_a_read_is_tried_four_times_and_then_has_no_answer(
    client: SalesforceClient, upstream: Upstream, kind: str, warm: bool
) -> None:
    if warm:
        await send(client, upstream.address, READ)
    upstream.usual = STRUCK[kind]
    trace = Trace()

    error = await failure(client, upstream.address, READ, trace=trace)

    assert isinstance(error, Unanswered)
    assert upstream.requests == [path_of(READ)] * (4 + warm)
    assert trace.attempts == 4


@pytest.mark.parametrize("kind", PROMPT)
async def test_a_read_that_is_answered_at_the_fourth_try_succeeds(
    client: SalesforceClient, upstream: Upstream, kind: str
) -> None:
    upstream.then(*[STRUCK[kind]] * 3)
    upstream.usual = acts.answer({"records": []})

    assert (await send(client, upstream.address, READ)).body == {"records": []}
    assert len(upstream.requests) == 4


async def test_a_read_that_hangs_is_tried_again_when_the_time_of_one_read_is_over(upstream: Upstream) -> None:
    upstream.usual = acts.hang
    client = SalesforceClient(pause=at_once, read_seconds=0.1)

    error = await failure(client, upstream.address, READ)

    assert isinstance(error, Unanswered)
    assert len(upstream.requests) == 4
    await client.aclose()


async def test_a_read_that_hangs_ends_at_the_deadline(client: SalesforceClient, upstream: Upstream) -> None:
    upstream.usual = acts.hang

    error = await failure(client, upstream.address, READ, seconds=0.5)

    assert (type(error), error.code) == (Unanswered, "TIMEOUT")
    assert len(upstream.requests) == 1


# -- no connection, no token, no place


@pytest.fixture
def refused_port() -> Iterator[int]:
    """A port that is taken, so that nobody else takes it, and that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("request_", [READ, *WRITES.values()], ids=lambda each: each.method)
async def test_a_refused_port_is_tried_three_times_and_nothing_was_sent(
    client: SalesforceClient, refused_port: int, request_: Request
) -> None:
    trace = Trace()

    error = await failure(client, f"127.0.0.1:{refused_port}", request_, trace=trace)

    assert isinstance(error, NoConnection)
    assert error.outcome == "not_sent"
    assert (trace.attempts, trace.api_calls, trace.sent) == (3, 0, False)


@pytest.mark.parametrize("request_", [READ, *WRITES.values()], ids=lambda each: each.method)
async def test_a_stale_token_is_said_at_once(client: SalesforceClient, upstream: Upstream, request_: Request) -> None:
    upstream.usual = acts.refuse(401, "INVALID_SESSION_ID", "Session expired or invalid")

    error = await failure(client, upstream.address, request_)

    assert isinstance(error, StaleToken)
    assert upstream.requests == [path_of(request_)]


async def test_a_second_call_has_no_place_while_the_only_one_is_taken(upstream: Upstream) -> None:
    upstream.usual = acts.hang
    client = SalesforceClient(concurrency=1, queue=0, pause=at_once)
    where = hosts(upstream.address)
    leave = client.admit(where.key)
    task = asyncio.ensure_future(send(client, upstream.address, WRITES["POST"]))
    await upstream.came()

    with pytest.raises(RateLimited) as refused:
        client.admit(where.key)

    assert refused.value.outcome == "not_sent"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    leave()
    client.admit(where.key)()
    assert len(upstream.requests) == 1
    await client.aclose()


async def test_a_call_that_waits_for_the_only_connection_until_its_deadline_was_not_sent(upstream: Upstream) -> None:
    upstream.usual = acts.hang
    client = SalesforceClient(concurrency=1, pause=at_once)
    task = asyncio.ensure_future(send(client, upstream.address, WRITES["POST"]))
    await upstream.came()
    trace = Trace()

    error = await failure(client, upstream.address, WRITES["DELETE"], seconds=0.2, trace=trace)

    assert isinstance(error, NotSent)
    assert (trace.sent, upstream.requests) == (False, [path_of(WRITES["POST"])])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await client.aclose()


@every_write
async def test_a_cancelled_write_counts_as_sent_and_its_connection_is_not_used_again(
    client: SalesforceClient, upstream: Upstream, method: str
) -> None:
    upstream.then(acts.hang)
    trace = Trace()
    task = asyncio.ensure_future(send(client, upstream.address, WRITES[method], trace=trace))
    await upstream.came()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert trace.sent
    await send(client, upstream.address, READ)
    assert upstream.requests == [path_of(WRITES[method]), path_of(READ)]
    assert upstream.carriers == [1, 2]


# -- answers that say more than was asked


@pytest.mark.parametrize(
    "cookie",
    [
        "BrowserId=b; domain=.salesforce.com; path=/; secure",
        "LSKey-c$CookieConsentPolicy=0:1",
        "sid=x",
        "ignore,all=1",
    ],
)
async def test_a_cookie_is_neither_read_nor_kept_nor_sent_back(
    client: SalesforceClient, upstream: Upstream, cookie: str, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.usual = acts.answer({"records": []}, Set_Cookie=cookie)

    for _ in range(2):
        assert (await send(client, upstream.address, READ)).body == {"records": []}

    assert ["cookie" in headers for headers in upstream.headers] == [False, False]
    assert caplog.records == []


# -- answers that mean harm


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("request_", [READ, *WRITES.values()], ids=lambda each: each.method)
async def test_a_redirect_is_refused_and_the_other_host_hears_nothing(
    client: SalesforceClient, upstream: Upstream, other: Upstream, request_: Request, status: int
) -> None:
    upstream.usual = acts.redirect(f"http://{other.address}{request_.path}", status)

    error = await failure(client, upstream.address, request_)

    assert isinstance(error, Rejected)
    assert (error.code, error.http_status) == ("REDIRECT", status)
    assert upstream.requests == [path_of(request_)]
    assert (other.requests, other.connections) == ([], 0)


MAD: dict[str, Act] = {
    "gzip bomb": acts.bomb,
    "huge body": acts.huge,
    "JSON too deep for us": acts.deep(100),
    "JSON too deep for Python": acts.deep(1_000_000),
}


@pytest.mark.parametrize("kind", MAD)
@pytest.mark.parametrize("request_", [READ, WRITES["POST"]], ids=lambda each: each.method)
async def test_an_answer_without_bounds_is_an_error_in_bounded_memory_and_others_go_on(
    client: SalesforceClient, upstream: Upstream, other: Upstream, kind: str, request_: Request
) -> None:
    upstream.usual = MAD[kind]
    if kind == "gzip bomb":
        acts.packed(acts.LARGE)  # packing it is not what is measured
    tracemalloc.start()
    try:
        error, *replies = await asyncio.gather(
            failure(client, upstream.address, request_), *(send(client, other.address, READ) for _ in range(20))
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(error, Unanswered)
    assert len(upstream.requests) == (1 if request_.writes else 4)
    assert [getattr(reply, "body", reply) for reply in replies] == [{}] * 20
    assert peak < 3 * MAX_BODY < acts.LARGE
    upstream.usual = acts.answer({"records": []})
    assert (await send(client, upstream.address, READ)).body == {"records": []}


@pytest.mark.parametrize("request_", [READ, *WRITES.values()], ids=lambda each: each.method)
async def test_an_answer_that_drips_ends_at_the_deadline(
    client: SalesforceClient, upstream: Upstream, request_: Request
) -> None:
    upstream.usual = acts.drip
    loop = asyncio.get_running_loop()
    began = loop.time()

    error = await failure(client, upstream.address, request_, seconds=0.5)

    assert (type(error), error.code) == (Unanswered, "TIMEOUT")
    assert 0.5 <= loop.time() - began < 5
    assert upstream.requests == [path_of(request_)]
