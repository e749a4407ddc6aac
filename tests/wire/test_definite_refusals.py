"""What Salesforce refused before it worked on it is never called unknown, and never waited for in vain."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from orgserver.model.errors import CallError, Rejected, StaleToken, Unanswered
from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.protocol.messages import Reply, Request
from tests.wire import upstream as acts
from tests.wire.upstream import Upstream

CREATE = Request("POST", "/services/data/v60.0/sobjects/Contact", body={"LastName": "Once"})
BUSY = "SERVER_UNAVAILABLE"
NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


class Pauses:
    """Notes how long the client would have waited."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream.start() as started:
        yield started


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def client(pauses: Pauses) -> AsyncIterator[SalesforceClient]:
    made = SalesforceClient(pause=pauses)
    yield made
    await made.aclose()


async def failure(client: SalesforceClient, upstream: Upstream, trace: Trace, seconds: float = 30) -> CallError:
    url = f"http://{upstream.address}"
    deadline = asyncio.get_running_loop().time() + seconds
    with pytest.raises(CallError) as caught:
        await client.send(
            OrgHosts("row", url, url, (upstream.address,)), Secret("00Dx!y"), CREATE, deadline=deadline, trace=trace
        )
    return caught.value


async def test_a_write_that_is_refused_for_now_every_time_is_rejected_and_not_unknown(
    client: SalesforceClient, upstream: Upstream, pauses: Pauses
) -> None:
    upstream.usual = acts.refuse(503, BUSY, "Server busy", Retry_After="2")
    trace = Trace()

    error = await failure(client, upstream, trace)

    assert isinstance(error, Rejected)
    assert (error.code, error.category, error.outcome, error.retryable) == (BUSY, "upstream", "rejected", True)
    assert "2 s" in (error.hint or "")
    assert (trace.sent, len(upstream.requests), pauses.seconds[::2]) == (False, 4, [2.0, 2.0, 2.0])


async def test_a_write_that_fails_without_a_time_to_come_back_stays_unknown(
    client: SalesforceClient, upstream: Upstream
) -> None:
    upstream.usual = acts.refuse(503, BUSY, "Server busy")
    trace = Trace()

    error = await failure(client, upstream, trace)

    assert isinstance(error, Unanswered)
    assert (trace.sent, len(upstream.requests)) == (True, 1)


@pytest.mark.parametrize("after", ["31", "86400", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_time_beyond_the_deadline_ends_the_call_at_once(
    client: SalesforceClient, upstream: Upstream, pauses: Pauses, after: str
) -> None:
    upstream.usual = acts.refuse(503, BUSY, "Server busy", Retry_After=after)
    trace = Trace()

    error = await failure(client, upstream, trace, seconds=30)

    assert (error.code, error.outcome) == (BUSY, "rejected")
    assert (trace.sent, len(upstream.requests), pauses.seconds) == (False, 1, [])


async def test_a_time_before_the_deadline_is_waited_for(
    client: SalesforceClient, upstream: Upstream, pauses: Pauses
) -> None:
    upstream.then(acts.refuse(503, BUSY, "Server busy", Retry_After="29"))
    upstream.usual = acts.refuse(400, "DUPLICATE_VALUE")

    error = await failure(client, upstream, Trace(), seconds=30)

    assert (error.code, len(upstream.requests), pauses.seconds[0]) == ("DUPLICATE_VALUE", 2, 29.0)


@pytest.mark.parametrize(
    "after", ["-1", "soon", "²", "1e3", "0x10", "1, 2", "Fri, 99 Zzz 2026", "\xff", "NaN", "Infinity"]
)
async def test_a_time_that_is_none_is_no_time(client: SalesforceClient, upstream: Upstream, after: str) -> None:
    head = f"HTTP/1.1 503 Busy\r\nContent-Type: application/json\r\nRetry-After: {after}\r\nContent-Length: ".encode()
    body = b'[{"errorCode":"SERVER_UNAVAILABLE","message":"busy"}]'
    upstream.usual = acts.raw(head + str(len(body)).encode() + b"\r\n\r\n" + body)

    error = await failure(client, upstream, Trace())

    assert (error.code, error.outcome, len(upstream.requests)) == (BUSY, "unknown", 1)


async def test_a_stale_token_leaves_nothing_that_may_have_been_worked_on(
    client: SalesforceClient, upstream: Upstream
) -> None:
    upstream.usual = acts.refuse(401, "INVALID_SESSION_ID", "Session expired or invalid")
    trace = Trace()

    error = await failure(client, upstream, trace)

    assert isinstance(error, StaleToken)
    assert (trace.sent, trace.api_calls) == (False, 1)


async def test_a_loss_after_a_refusal_is_unknown(client: SalesforceClient, upstream: Upstream) -> None:
    upstream.then(acts.refuse(503, BUSY, "Server busy", Retry_After="1"))
    upstream.usual = acts.close
    trace = Trace()

    error = await failure(client, upstream, trace)

    assert isinstance(error, Unanswered)
    assert (trace.sent, len(upstream.requests)) == (True, 2)


async def test_a_refusal_does_not_settle_what_was_lost_before_it(client: SalesforceClient, upstream: Upstream) -> None:
    upstream.usual = acts.refuse(400, "REQUIRED_FIELD_MISSING")
    trace = Trace(sent=True)

    await failure(client, upstream, trace)

    assert trace.sent


async def test_time_that_runs_out_between_refusals_is_not_unknown(upstream: Upstream) -> None:
    upstream.usual = acts.refuse(400, "UNABLE_TO_LOCK_ROW")

    async def stand_still(_seconds: float) -> None:
        await asyncio.Event().wait()

    client, trace = SalesforceClient(pause=stand_still), Trace()

    error = await failure(client, upstream, trace, seconds=0.3)

    assert (error.code, error.outcome, trace.sent) == ("TIMEOUT", "not_sent", False)
    await client.aclose()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 7\t", 7.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Saturday, 28-Nov-26 12:00:05 GMT", 5.0),
        ("", None),
        ("-7", None),
        ("٣", None),
        ("1.5", None),
    ],
)
def test_a_time_to_come_back_is_seconds_or_a_date_by_the_hosts_own_clock(text: str, seconds: float | None) -> None:
    assert Reply(503, {"retry-after": text, "date": format_datetime(NOW, usegmt=True)}, None).retry_after == seconds


@pytest.mark.parametrize(
    "date", ["", "x", "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359", "9" * 500]
)
def test_a_date_of_the_host_that_is_none_does_no_harm(date: str) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    assert (Reply(503, {"retry-after": later, "date": date}, None).retry_after or 0) >= 0
