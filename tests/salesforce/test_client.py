"""The client over a transport of the test's own: what is sent for a token, an identity and the API's versions."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import httpx
import pytest
import respx

from orgserver.model.errors import NotSent, StaleToken, Unanswered
from orgserver.model.orgs import Credential, OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.auth import identity, oauth
from orgserver.salesforce.client import FormReply, SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.protocol import rest
from tests.senders import HttpxSenders

LOGIN, INSTANCE = "https://login.salesforce.com", "https://acme.my.salesforce.com"
ORG_ID, USER_ID = "00DSb0000000001MAA", "005Sb0000000001IAA"
HOSTS = OrgHosts("row", INSTANCE, LOGIN)
TOKENS = {"access_token": "00Dx!y", "instance_url": INSTANCE, "id": f"{LOGIN}/id/{ORG_ID}/{USER_ID}"}
IDENTITY = {"organization_id": ORG_ID, "urls": {"rest": f"{INSTANCE}/services/data/v{{version}}/"}}
CREDENTIAL = Credential("3MVG9", Secret("s3cret"), refresh_token=Secret("5Aep"))


@pytest.fixture
def router() -> respx.Router:
    return respx.Router()


@pytest.fixture
async def client(router: respx.Router) -> AsyncIterator[SalesforceClient]:
    opened = SalesforceClient(senders=HttpxSenders(lambda _url: httpx.MockTransport(router.handler)))
    yield opened
    await opened.aclose()


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


async def test_a_refresh_is_one_form_at_the_login_host(router: respx.Router, client: SalesforceClient) -> None:
    route = router.post(f"{LOGIN}/services/oauth2/token").respond(json=TOKENS)

    reply = await client.request_token(HOSTS, oauth.build_token_form(CREDENTIAL, 0))

    assert oauth.read_tokens(reply.status, reply.body).org_id == ORG_ID
    assert dict(parse_qsl(route.calls.last.request.content.decode())) == {
        "grant_type": "refresh_token",
        "client_id": "3MVG9",
        "client_secret": "s3cret",
        "refresh_token": "5Aep",
    }
    assert "authorization" not in route.calls.last.request.headers
    assert route.call_count == 1


@pytest.mark.parametrize("lost", [httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError])
async def test_a_refresh_whose_answer_is_lost_is_not_sent_again(
    router: respx.Router, client: SalesforceClient, lost: type[httpx.HTTPError]
) -> None:
    route = router.post(f"{LOGIN}/services/oauth2/token").mock(side_effect=lost)

    with pytest.raises(Unanswered):
        await client.request_token(HOSTS, oauth.build_token_form(CREDENTIAL, 0))

    assert route.call_count == 1


async def test_a_login_host_that_is_not_trusted_gets_no_form(router: respx.Router, client: SalesforceClient) -> None:
    hosts = OrgHosts("row", INSTANCE, "https://login.salesforce.com.evil.example")

    with pytest.raises(NotSent, match="may not be called"):
        await client.request_token(hosts, oauth.build_token_form(CREDENTIAL, 0))

    assert not router.calls


async def test_an_identity_is_read_at_the_login_host_with_the_new_token(
    router: respx.Router, client: SalesforceClient
) -> None:
    answer = oauth.read_tokens(200, TOKENS)
    route = router.get(f"{LOGIN}/id/{ORG_ID}/{USER_ID}").respond(json=IDENTITY)

    request = identity.request_identity(answer, LOGIN, ())
    reply = await client.send_to_login_host(HOSTS, answer.access_token, request, deadline=soon())

    assert identity.read_identity(reply, ()) == identity.Identity(ORG_ID, frozenset({INSTANCE}))
    assert route.calls.last.request.headers["authorization"] == "Bearer 00Dx!y"


async def test_the_versions_are_asked_of_the_orgs_own_host(router: respx.Router, client: SalesforceClient) -> None:
    router.get(f"{INSTANCE}/services/data").respond(json=[{"version": "66.0"}, {"version": "60.0"}])

    versions = await client.call(
        HOSTS, Secret("00Dx!y"), rest.versions(), rest.read_versions, deadline=soon(), trace=Trace()
    )

    assert versions == ["v60.0", "v66.0"]


async def test_a_stale_token_is_told_and_not_sent_again(router: respx.Router, client: SalesforceClient) -> None:
    refusal = [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
    route = router.get(f"{INSTANCE}/services/data").respond(401, json=refusal)

    with pytest.raises(StaleToken):
        await client.send(HOSTS, Secret("00Dx!y"), rest.versions(), deadline=soon(), trace=Trace())

    assert route.call_count == 1


def test_a_clock_is_ahead_by_ours_less_theirs() -> None:
    noon = datetime(2026, 11, 28, 12, tzinfo=UTC)

    assert FormReply(200, None, noon).ahead(noon.timestamp() - 3_600) == timedelta(hours=-1)
    assert FormReply(200, None, None).ahead(noon.timestamp()) is None
