"""On the transport that ships: a write whose answer is lost is sent exactly once, and called unknown."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orgserver.model.errors import CallError, NoConnection, RateLimited, Rejected, StaleToken, Unanswered
from orgserver.model.names import CONTACT, record_id
from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.protocol.messages import Request
from orgserver.sandbox.org import SandboxOrg

ID = record_id("003Sb0000000002")
WRITES = {
    "POST": rest.create("v60.0", CONTACT, {"LastName": "Once"}),
    "PATCH": rest.update("v60.0", CONTACT, ID, {"Title": "Once"}),
    "DELETE": rest.delete("v60.0", CONTACT, ID),
}
READ = rest.query("v60.0", "SELECT Id FROM Contact", 200)
ROWS = ".*/sobjects/.*|.*/query"


async def at_once(_seconds: float) -> None:
    """A pause that tests need not wait for."""


@pytest.fixture
async def client() -> AsyncIterator[SalesforceClient]:
    made = SalesforceClient(pause=at_once)
    yield made
    await made.aclose()


def hosts(org: SandboxOrg, url: str | None = None) -> OrgHosts:
    target = url or org.url
    return OrgHosts("row", target, target, (target.partition("://")[2],))


async def send(
    client: SalesforceClient, org: SandboxOrg, request: Request, *, seconds: float = 10, trace: Trace | None = None
) -> object:
    token = Secret(org.new_session()["access_token"])
    deadline = asyncio.get_running_loop().time() + seconds
    return await client.send(hosts(org), token, request, deadline=deadline, trace=trace or Trace())


def arrived(org: SandboxOrg, method: str) -> int:
    return sum(seen.method == method for seen in org.requests)


@pytest.mark.parametrize("warm", [False, True], ids=["fresh connection", "kept-alive connection"])
@pytest.mark.parametrize("work", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("kind", ["close", "reset", "cut", "hang", "bad_json", "drip"])
@pytest.mark.parametrize("method", WRITES)
async def test_a_write_without_an_answer_is_unknown_and_arrives_once(
    client: SalesforceClient, acme: SandboxOrg, method: str, kind: str, work: bool, warm: bool
) -> None:
    if warm:
        await send(client, acme, READ)
    acme.fault(kind, path=ROWS, method=method, work=work, seconds=30)  # type: ignore[arg-type]
    trace = Trace()

    with pytest.raises(Unanswered):
        await send(client, acme, WRITES[method], seconds=0.7 if kind in ("hang", "drip") else 10, trace=trace)

    assert arrived(acme, method) == 1
    assert trace.sent


@pytest.mark.parametrize("kind", ["close", "reset", "cut", "bad_json"])
async def test_a_read_is_asked_again_and_answered(client: SalesforceClient, acme: SandboxOrg, kind: str) -> None:
    acme.fault(kind, path=ROWS, times=2)  # type: ignore[arg-type]

    await send(client, acme, READ)

    assert arrived(acme, "GET") == 3


async def test_a_read_that_is_never_answered_ends(client: SalesforceClient, acme: SandboxOrg) -> None:
    acme.fault("close", path=ROWS, times=100)

    with pytest.raises(Unanswered):
        await send(client, acme, READ)
    assert arrived(acme, "GET") == 4


async def test_a_closed_port_is_tried_three_times_and_proven_unsent(client: SalesforceClient, acme: SandboxOrg) -> None:
    trace = Trace()
    deadline = asyncio.get_running_loop().time() + 10

    with pytest.raises(NoConnection) as refused:
        await client.send(
            hosts(acme, "http://127.0.0.1:1"), Secret("00Dx!token"), WRITES["POST"], deadline=deadline, trace=trace
        )

    assert (trace.attempts, trace.sent, refused.value.retryable) == (3, False, True)
    assert "token" not in repr(refused.value)


BUSY = '[{"message":"Server too busy","errorCode":"SERVER_UNAVAILABLE"}]'


async def test_a_busy_signal_without_a_time_leaves_a_write_unknown(client: SalesforceClient, acme: SandboxOrg) -> None:
    acme.fault("status", path=ROWS, status=503, body=BUSY)

    with pytest.raises(Unanswered):
        await send(client, acme, WRITES["POST"])
    assert arrived(acme, "POST") == 1


async def test_a_busy_signal_with_a_time_to_come_back_lets_a_write_be_sent_again(
    client: SalesforceClient, acme: SandboxOrg
) -> None:
    acme.fault("status", path=ROWS, status=503, body=BUSY, headers={"retry-after": "1"}, times=2)

    await send(client, acme, WRITES["POST"])
    assert arrived(acme, "POST") == 3


async def test_a_request_limit_for_concurrency_lets_a_write_be_sent_again(
    client: SalesforceClient, acme: SandboxOrg
) -> None:
    body = '[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'
    acme.fault("status", path=ROWS, status=403, body=body, times=2)

    await send(client, acme, WRITES["POST"])

    assert arrived(acme, "POST") == 3


async def test_the_daily_limit_is_not_tried_again(client: SalesforceClient, acme: SandboxOrg) -> None:
    body = '[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'
    acme.fault("status", path=ROWS, status=403, body=body, times=9)

    with pytest.raises(Rejected) as refused:
        await send(client, acme, READ)

    assert (refused.value.category, arrived(acme, "GET")) == ("rate_limited", 1)


async def test_an_html_page_in_answer_to_a_write_is_unknown(client: SalesforceClient, acme: SandboxOrg) -> None:
    acme.fault("html", path=ROWS, status=503)

    with pytest.raises(Unanswered):
        await send(client, acme, WRITES["POST"])
    assert arrived(acme, "POST") == 1


async def test_a_locked_row_is_tried_four_times(client: SalesforceClient, acme: SandboxOrg) -> None:
    body = '[{"message":"unable to obtain exclusive access to this record","errorCode":"UNABLE_TO_LOCK_ROW"}]'
    acme.fault("status", path=ROWS, status=400, body=body, times=9)

    with pytest.raises(Rejected):
        await send(client, acme, WRITES["PATCH"])
    assert arrived(acme, "PATCH") == 4


async def test_a_stale_token_is_said_at_once(client: SalesforceClient, acme: SandboxOrg) -> None:
    deadline = asyncio.get_running_loop().time() + 10

    with pytest.raises(StaleToken):
        await client.send(hosts(acme), Secret("00Dstale!x"), WRITES["POST"], deadline=deadline, trace=Trace())
    assert arrived(acme, "POST") == 1


@pytest.mark.parametrize("kind", ["bomb", "huge", "deep"])
async def test_a_reply_without_bounds_ends_in_an_error(client: SalesforceClient, acme: SandboxOrg, kind: str) -> None:
    acme.fault(kind, path=ROWS, times=4)  # type: ignore[arg-type]

    with pytest.raises(CallError):
        await send(client, acme, READ)

    await send(client, acme, READ)


async def test_a_redirect_is_an_error_and_the_other_host_hears_nothing(
    client: SalesforceClient, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    acme.fault("redirect", path=ROWS, location=f"{globex.url}/services/data/v60.0/query")

    with pytest.raises(Rejected, match="redirect"):
        await send(client, acme, READ)
    assert globex.requests == []


@pytest.mark.parametrize(
    "url", ["https://evil.example", "http://10.0.0.1", "https://acme.my.salesforce.com.evil.example"]
)
async def test_a_token_never_leaves_for_a_host_that_is_not_pinned(
    client: SalesforceClient, acme: SandboxOrg, url: str
) -> None:
    where = OrgHosts("row", url, acme.url, (acme.url.partition("://")[2],))
    deadline = asyncio.get_running_loop().time() + 5

    with pytest.raises(CallError) as refused:
        await client.send(where, Secret("00Dx!y"), READ, deadline=deadline, trace=Trace())

    assert (refused.value.code, refused.value.outcome) == ("UNTRUSTED_HOST", "not_sent")


async def test_a_cancelled_write_was_sent_as_far_as_anybody_knows(client: SalesforceClient, acme: SandboxOrg) -> None:
    acme.fault("hang", path=ROWS, seconds=30)
    trace = Trace()
    task = asyncio.ensure_future(send(client, acme, WRITES["POST"], trace=trace))
    async with asyncio.timeout(5):
        while not acme.requests:
            await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.sent
    assert trace.api_calls == 1


async def test_an_org_that_fails_again_and_again_is_left_alone_for_a_while(
    client: SalesforceClient, acme: SandboxOrg
) -> None:
    nowhere = hosts(acme, "http://127.0.0.1:1")
    deadline = asyncio.get_running_loop().time() + 10
    for _ in range(4):
        with pytest.raises(NoConnection):
            await client.send(nowhere, Secret("00Dx!y"), READ, deadline=deadline, trace=Trace())

    with pytest.raises(NoConnection) as refused:
        client.admit(nowhere.key)
    assert refused.value.code == "ORG_DOWN"


async def test_a_place_that_is_given_up_can_be_taken_again(acme: SandboxOrg) -> None:
    client = SalesforceClient(concurrency=1, queue=1)
    where = hosts(acme)
    places = [client.admit(where.key) for _ in range(2)]

    with pytest.raises(RateLimited):
        client.admit(where.key)
    places[0]()
    client.admit(where.key)
    await client.aclose()


async def test_limits_and_request_ids_are_noted(client: SalesforceClient, acme: SandboxOrg) -> None:
    trace = Trace()
    await send(client, acme, READ, trace=trace)

    assert (trace.limit_info or "").startswith("api-usage=")
    assert trace.salesforce_request_id
    assert trace.server_date is not None
    assert (trace.http_status, trace.attempts, trace.api_calls) == (200, 1, 1)
