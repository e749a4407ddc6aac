"""What real orgs said, byte by byte through the transport that ships: packed and plain, in chunks and with a length."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from orgserver.model.errors import CallError, Rejected, StaleToken, Unanswered
from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.protocol import bulk, describe, rest
from orgserver.salesforce.protocol.messages import Reply, Request, strip_attributes
from tests.wire import upstream as acts
from tests.wire.recordings import FORMS, Recording, exchanges, replies
from tests.wire.upstream import Upstream

EXCHANGES = list(exchanges())
BODIES = {each.name: each for each in replies()}
every_form = pytest.mark.parametrize(
    ("packed", "chunks"), FORMS, ids=[f"{'gzip' if p else 'plain'}-{'chunks' if c else 'length'}" for p, c in FORMS]
)


async def at_once(_seconds: float) -> None:
    """A pause that tests need not wait for."""


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream.start() as started:
        yield started


@pytest.fixture
async def client() -> AsyncIterator[SalesforceClient]:
    made = SalesforceClient(pause=at_once)
    yield made
    await made.aclose()


def hosts(upstream: Upstream) -> OrgHosts:
    return OrgHosts("row", f"http://{upstream.address}", f"http://{upstream.address}", (upstream.address,))


async def replayed(
    client: SalesforceClient, upstream: Upstream, recording: Recording, *, packed: bool, chunks: bool
) -> Reply:
    """The reply as the client hands it on, the same from a new connection and from one that was kept alive."""
    upstream.usual = acts.raw(recording.bytes(packed=packed, chunks=chunks))
    accept = recording.kind.partition(";")[0]
    request = Request(recording.method, recording.path, accept=accept)
    deadline = asyncio.get_running_loop().time() + 30
    first, second = [
        await client.send(hosts(upstream), Secret("00Dx!y"), request, deadline=deadline, trace=Trace())
        for _ in range(2)
    ]
    assert first == second
    assert upstream.carriers == [1, 1]
    return first


# -- exchanges


READERS: list[tuple[str, str, Callable[[Reply], Any], Callable[[Any], Any]]] = [
    ("GET", "query/?", lambda reply: len(rest.read_page(reply).records), lambda body: len(body["records"])),
    ("GET", r"sobjects/\w+/\w+", lambda reply: rest.read_record(reply)["Id"], lambda body: body["Id"]),
    ("POST|PATCH", "composite/sobjects.*", lambda reply: len(bulk.read_collection(reply, len(reply.body))), len),
]
"""Method and path, our reader, and what it must find in the body."""


@every_form
@pytest.mark.parametrize("recording", EXCHANGES, ids=lambda each: each.name)
async def test_a_recorded_exchange_is_read(
    client: SalesforceClient, upstream: Upstream, recording: Recording, packed: bool, chunks: bool
) -> None:
    if not recording.path.startswith("/services/"):  # a device flow, which another host's login pages answered
        upstream.usual = acts.raw(recording.bytes(packed=packed, chunks=chunks))
        assert (await client.post_form(hosts(upstream), recording.path, {}))[:2] == (recording.status, recording.body)
        return

    reply = await replayed(client, upstream, recording, packed=packed, chunks=chunks)

    assert (reply.status, reply.body) == (recording.status, recording.body)
    assert reply.headers["content-type"] == recording.kind
    for method, path, read, expected in READERS:
        if re.fullmatch(method, recording.method) and re.fullmatch(f"/services/data/[^/]+/{path}", recording.path):
            assert read(reply) == expected(recording.body)


def test_the_recorded_exchanges_are_all_here() -> None:
    assert len({each.name.rpartition("-")[0] for each in EXCHANGES}) == 12
    assert sum(bool(re.fullmatch(r".*/query/?", each.path)) for each in EXCHANGES) == 13


@every_form
async def test_a_recorded_create_names_its_record(
    client: SalesforceClient, upstream: Upstream, packed: bool, chunks: bool
) -> None:
    created = [each for each in EXCHANGES if each.status == 201]
    assert len(created) == 2
    for recording in created:
        upstream.carriers.clear()
        reply = await replayed(client, upstream, recording, packed=packed, chunks=chunks)
        if "ACCOUNTID" in reply.body["id"]:  # its recorder put this in place of the id
            with pytest.raises(Unanswered):
                rest.read_created(reply)
        else:
            assert rest.read_created(reply) == "0015500001QdQWfAAN"
        await client.close_org("row")
        upstream.connections = 0


# -- single bodies


TOLD: dict[str, Callable[[Reply], Any]] = {
    # Its second version, "100" at "Spring '86", is its author's joke: real ones end in ".0", and no other is taken.
    "services_data_success": lambda reply: rest.read_versions(Reply(reply.status, {}, reply.body[:1])),
    "query_success": lambda reply: rest.read_page(reply).total_size,
    "query_empty": lambda reply: rest.read_page(reply).records,
    "query_aggregate_success": lambda reply: [row["expr0"] for row in rest.read_page(reply).records],
    "query_paginated_first_page": lambda reply: rest.read_page(reply).next_path,
    "query_paginated_last_page": lambda reply: rest.read_page(reply).done,
    "org_query": lambda reply: rest.read_page(reply).records,
    "sobject_find_success": lambda reply: rest.read_record(reply)["Id"],
    "sobject_select_success": rest.read_record,
    "sobject_describe_success": lambda reply: describe.schema(reply.body).name,
    "describe_global": lambda reply: len(describe.object_list(reply.body).objects),
    "describe_sobjects_success": lambda reply: len(strip_attributes(reply.body)["sobjects"]),
    "search_success": lambda reply: [each["object"] for each in rest.read_search_results(reply)],
    "recent_success": lambda reply: [each["Name"] for each in rest.read_search_results(reply)],
}
EXPECTED: dict[str, Any] = {
    "services_data_success": ["v20.0"],
    "query_success": 1,
    "query_empty": [],
    "query_paginated_first_page": "/services/data/v26.0/query/01gD",
    "query_paginated_last_page": True,
    "org_query": [{"Id": "00Dx0000000BV7z"}],
    "sobject_find_success": "23foo",
    "sobject_select_success": {"External_Field__c": "1234", "Id": "23foo"},
    "sobject_describe_success": "Whizbang",
    "search_success": ["Whizbang", "Whizbang"],
}


@every_form
@pytest.mark.parametrize(
    "name", [name for name, each in BODIES.items() if each.status < 300 and "oauth" not in each.path]
)
async def test_a_recorded_success_is_read(
    client: SalesforceClient, upstream: Upstream, name: str, packed: bool, chunks: bool
) -> None:
    recording = BODIES[name]

    reply = await replayed(client, upstream, recording, packed=packed, chunks=chunks)

    assert (reply.status, reply.body) == (recording.status, recording.body)
    if name in TOLD:
        told = TOLD[name](reply)
        assert told == EXPECTED.get(name, TOLD[name](Reply(recording.status, {}, recording.body)))


REFUSED = {
    "delete_error": ("NOT_FOUND", "not_found"),
    "query_error": ("INVALID_FIELD", "invalid_argument"),
    "search_error": ("MALFORMED_SEARCH", "invalid_argument"),
    "sobject_describe_error": ("NOT_FOUND", "not_found"),
    "sobject_find_error": ("NOT_FOUND", "not_found"),
    "upsert_error": ("NOT_FOUND", "not_found"),
    "upsert_multiple_error": ("MULTIPLE_CHOICES", "conflict"),
    "write_error": ("INVALID_FIELD", "invalid_argument"),
    "expired_session": ("INVALID_SESSION_ID", "auth_expired"),
}


@every_form
@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("name", REFUSED)
async def test_a_recorded_refusal_is_told_as_what_it_is(
    client: SalesforceClient, upstream: Upstream, name: str, method: str, packed: bool, chunks: bool
) -> None:
    upstream.usual = acts.raw(BODIES[name].bytes(packed=packed, chunks=chunks))
    request = Request(method, "/services/data/v60.0/recorded", body={} if method == "PATCH" else None)
    deadline = asyncio.get_running_loop().time() + 30

    with pytest.raises(CallError) as refused:
        await client.send(hosts(upstream), Secret("00Dx!y"), request, deadline=deadline, trace=Trace())

    assert isinstance(refused.value, StaleToken if name == "expired_session" else Rejected)
    assert (refused.value.code, refused.value.category) == REFUSED[name]
    assert len(upstream.requests) == 1


def test_every_recorded_refusal_is_replayed() -> None:
    assert {name for name, each in BODIES.items() if each.status >= 300 and "oauth" not in each.path} == REFUSED.keys()


TOKENS = {
    "auth_error": "invalid_grant",
    "auth_success": None,
    "reauth_success": None,
    "refresh_error": "invalid_grant",
    "refresh_success": None,
}


@every_form
@pytest.mark.parametrize("name", TOKENS)
async def test_a_recorded_answer_of_the_token_endpoint_is_read(
    client: SalesforceClient, upstream: Upstream, name: str, packed: bool, chunks: bool
) -> None:
    recording = BODIES[name]
    upstream.usual = acts.raw(recording.bytes(packed=packed, chunks=chunks))

    status, body = (await client.request_token(hosts(upstream), {"grant_type": "refresh_token"}))[:2]

    assert (status, body) == (recording.status, recording.body)
    if TOKENS[name] is not None:
        with pytest.raises(oauth.TokenRefused):
            oauth.read_tokens(status, body)
    elif name == "auth_success":  # in the others the ids are elided
        assert oauth.read_tokens(status, body).instance_url == "https://na1.salesforce.com"


def test_every_recorded_token_answer_is_replayed() -> None:
    assert {name for name, each in BODIES.items() if "oauth" in each.path} == TOKENS.keys()
