"""The SDK's client from its first request to a refresh: through sign-in, consent, a call, and a call that needs more."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from orgserver.app import App
from orgserver.model.access.principals import Subject
from orgserver.model.audit import EntryFilter
from orgserver.sandbox.server import Sandbox
from orgserver.sandbox.tls import Certificates, certificates
from tests.conftest import OpenApp, register
from tests.people import add_principal, change_principal
from tests.provider.running import RunningProvider
from tests.serving.over_http.served import serving
from tests.serving.over_http.signin.oauth_client import Connector
from tests.serving.over_http.signin.test_client_documents import Web
from tests.serving.over_http.signin.walk import HERE, settings_of

pytestmark = pytest.mark.usefixtures("_as_many_requests_as_a_test_likes")

LIST = ("salesforce_list_contacts", {"org": "acme"})
CREATE = ("salesforce_create_contact", {"org": "acme", "data": {"LastName": "Walker"}})
ALL = ["orgs:read", "orgs:write", "orgs:delete"]
READING = frozenset({"orgs:read"})
EVERYWHERE = "http://localhost:4712"
"""What clients call two servers by, behind one balancer."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("pair"))


@pytest.fixture
async def app(
    open_again: OpenApp, sandbox: Sandbox, provider: RunningProvider, pair: Certificates
) -> AsyncIterator[App]:
    await provider.reset()
    async with open_again(**settings_of(provider, ca_file=pair.ca_file)) as opened:
        await register(opened, sandbox)
        await add_principal(opened, "ada", "acme:read,write", subjects=(Subject(provider.issuer, "sub-ada"),))
        yield opened


@asynccontextmanager
async def described_client(pair: Certificates) -> AsyncIterator[str]:
    """Serve a client's description; its URL, which is the client's id."""
    web = Web(more={"redirect_uris": [HERE]})
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_file, pair.key_file)
    async with await asyncio.start_server(web.answer, "127.0.0.1", 0, ssl=context) as server:
        web.port = server.sockets[0].getsockname()[1]
        yield web.url


@pytest.mark.parametrize(("is_described", "mode"), [(True, "2026-07-28"), (False, "legacy")])
async def test_a_client_comes_by_itself_from_a_first_call_to_a_refresh(
    app: App, provider: RunningProvider, pair: Certificates, is_described: bool, mode: str
) -> None:
    async with AsyncExitStack() as stack:
        document = await stack.enter_async_context(described_client(pair)) if is_described else None
        served = await stack.enter_async_context(serving(app, allow_registration=not is_described))
        await provider.set(redirect_uris=[f"{served.url}/signin/callback"])
        connector = Connector(served.url, provider, document, choices=[READING, frozenset({"orgs:write"})])
        client = await stack.enter_async_context(connector.connect(mode))

        listed = await client.call_tool(*LIST)
        assert not listed.is_error
        assert connector.questions == [ALL]
        made = await client.call_tool(*CREATE)
        assert not made.is_error
        assert connector.questions == [ALL, ["orgs:write", "orgs:delete"]]  # what is allowed already is not asked again
        connector.let_token_expire()
        again = await client.call_tool(*LIST)
        assert not again.is_error

    storage = connector.storage
    assert [tokens.scope for tokens in storage.tokens] == ["orgs:read", *["orgs:read orgs:write"] * 2]
    assert len({tokens.access_token for tokens in storage.tokens}) == 3
    assert len({tokens.refresh_token for tokens in storage.tokens}) == 3
    assert storage.information is not None
    assert (storage.information.client_id == document) is is_described
    assert storage.information.client_secret is None
    entries = await app.audit_log.newest(EntryFilter(principal="ada"), 50)
    assert [entry.tool for entry in entries if entry.action in ("grant", "key", "refresh")] == [
        "sign-in", "sign-in", "consent", "sign-in", "consent",
    ]  # fmt: skip
    resources = {
        resource
        for request in connector.requests
        if request.url.path == "/token"
        for resource in parse_qs(request.content.decode()).get("resource", [])
    }
    assert resources == {f"{served.url}/mcp"}


class Balancer(httpx2.AsyncBaseTransport):
    """Sends each request to the next of several servers, under the name that it was sent to."""

    def __init__(self, *urls: str) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self._ports = [urlsplit(url).port for url in urls]
        self.paths: list[set[str]] = [set() for _ in urls]
        """Where each of them was asked."""
        self._turn = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._turn = (self._turn + 1) % len(self._ports)
        self.paths[self._turn].add(request.url.path)
        url = request.url.copy_with(host="127.0.0.1", port=self._ports[self._turn])
        return await self._inner.handle_async_request(
            httpx2.Request(request.method, url, headers=request.headers, stream=request.stream)
        )

    async def aclose(self) -> None:
        """Stay open: a client and a browser have it together."""

    async def end(self) -> None:
        """Close what leads to the servers."""
        await self._inner.aclose()


async def test_two_servers_on_one_store_are_one_to_a_client(
    app: App, open_again: OpenApp, provider: RunningProvider, pair: Certificates
) -> None:
    await provider.set(redirect_uris=[f"{EVERYWHERE}/signin/callback"])
    options = {"public_url": EVERYWHERE, "allow_registration": True}
    async with (
        open_again(**settings_of(provider, ca_file=pair.ca_file)) as second,
        serving(app, **options) as here,
        serving(second, **options) as there,
    ):
        balancer = Balancer(here.url, there.url)
        connector = Connector(EVERYWHERE, provider, transport=balancer)
        async with connector.connect() as client:
            for _ in range(2):  # one by each
                assert not (await client.call_tool(*LIST)).is_error
            connector.let_token_expire()
            for _ in range(2):
                assert not (await client.call_tool(*CREATE)).is_error
        await balancer.end()
        assert connector.questions == [ALL]
        assert {"/mcp"} <= balancer.paths[0] & balancer.paths[1]

        await change_principal(second, "ada", enabled=False)
        for served in (here, there):  # at the very next request, in both processes
            async with served.raw(connector.storage.tokens[-1].access_token) as raw:
                assert (await raw.post("/mcp")).status_code == 401


async def test_a_token_of_one_server_opens_nothing_at_another_one(
    app: App, open_again: OpenApp, provider: RunningProvider, pair: Certificates
) -> None:
    async with (
        open_again(**settings_of(provider, ca_file=pair.ca_file)) as second,
        serving(app, allow_registration=True) as here,
        serving(second) as there,
    ):
        await provider.set(redirect_uris=[f"{here.url}/signin/callback"])
        connector = Connector(here.url, provider)
        async with connector.connect() as client:
            assert not (await client.call_tool(*LIST)).is_error
        async with there.raw(connector.storage.tokens[-1].access_token) as raw:
            refusal = await raw.post("/mcp")
        assert refusal.status_code == 401
        assert "this access token is for another server" in refusal.headers["www-authenticate"]
    await second.people.auth_failures.close()
    failures = await app.audit_log.newest(EntryFilter(action="auth_failed"), 10)
    assert "OTHER_RESOURCE_TOKEN" in {entry.error_code for entry in failures}
