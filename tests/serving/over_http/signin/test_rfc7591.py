"""RFC 7591, dynamic client registration: what it asks of a server, each by its section; all clients are public here."""

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from mcp.shared.auth import OAuthClientInformationFull
from sqlalchemy import func, select
from starlette.types import Receive, Scope, Send

from orgserver.model.access.people import OAuthClient
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.oauth.documents import DocumentFetcher
from orgserver.servers.signin import open_sign_in
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.people.auth_failures import AuthFailures
from orgserver.services.signin.clients import rates as registration_rates
from orgserver.services.signin.clients.registry import Clients
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.tokens.access_tokens import SignedIn
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import send_reply
from orgserver.serving.http.signin.endpoints import Endpoint, Endpoints
from orgserver.serving.http.signin.metadata import REGISTER_PATH
from orgserver.serving.http.signin.register import Registration
from orgserver.store.session import Store
from orgserver.store.signin import clients as stored_clients
from orgserver.store.signin import tables
from tests.conftest import OpenApp
from tests.oauth.clients.test_redirect_uris import GOOD, REFUSED

from .world import World

URL = "https://orgs.example.com"
SOURCE = "192.0.2.7"
CALLBACK = "https://claude.ai/api/mcp/auth_callback"
METADATA = {"client_name": "Claude", "redirect_uris": [CALLBACK]}
PLAIN = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")


@dataclass
class Server:
    """The endpoint, and what it works with."""

    store: Store
    clients: Clients
    failures: AuthFailures
    http: httpx.AsyncClient

    async def register(self, **metadata: Any) -> httpx.Response:
        body = {name: value for name, value in {**METADATA, **metadata}.items() if value is not ...}
        return await self.http.post(REGISTER_PATH, json=body)

    async def entries(self, action: str) -> list[AuditEntry]:
        return await AuditLogReader(self.store).newest(EntryFilter(action=action), 100)

    async def count(self) -> int:
        async with self.store.database.reading() as connection:
            return (await connection.execute(select(func.count()).select_from(tables.clients))).scalar_one()


@pytest.fixture
async def server(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr("orgserver.serving.http.signin.endpoints.RATE", 10_000.0)
    options = SignInOptions(URL, "https://idp.example.com", "orgserver", allow_registration=True)
    clients = Clients(store, options, DocumentFetcher(_make_no_tls))
    failures = AuthFailures(store)
    registration = Registration(clients, failures)
    endpoints = Endpoints(options.url, {REGISTER_PATH: Endpoint(registration.answer, ("POST",), False)}, Pages(URL))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, send)
        exchange.source = SOURCE
        await send_reply(send, await endpoints.answer(exchange, Admitted(SOURCE, "https", "orgs.example.com"), receive))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(answer), base_url=URL) as http:
        yield Server(store, clients, failures, http)
    await failures.close()
    await clients.close()


def _make_no_tls() -> Any:
    raise AssertionError("nothing is fetched to register a client")


async def assert_refused(server: Server, response: httpx.Response, error: str, status: int = 400) -> dict[str, Any]:
    """RFC 7591 §3.2.2, and RFC 6749 §5.2 of what a description may hold."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert response.headers["cache-control"] == "no-store" and response.headers["pragma"] == "no-cache"
    refusal = response.json()
    assert refusal["error"] == error and PLAIN.fullmatch(refusal["error_description"])
    assert await server.count() == 0 and not await server.entries("enrol")
    return refusal


# §3.1, §3.2.1: metadata as JSON; 201, an id that nobody else has, everything that was registered, defaults too.
async def test_a_client_gets_an_id_and_is_told_what_it_is_registered_with(server: Server) -> None:
    asked = {
        "client_name": "Claude Code",
        "redirect_uris": ["http://localhost:33418/callback", CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": "orgs:read orgs:write",
        "client_uri": "https://claude.ai/code",
        "software_id": "4NRB1-0XZABZI9E6-5SM3R",
        "software_version": "2.1",
        "contacts": ["ops@example.com"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    }

    response = await server.http.post(REGISTER_PATH, json=asked)

    assert (response.status_code, response.headers["content-type"]) == (201, "application/json")
    assert response.headers["cache-control"] == "no-store" and response.headers["pragma"] == "no-cache"
    answer = response.json()
    assert {name: answer[name] for name in asked} == asked
    assert set(answer) - set(asked) == {"client_id", "client_id_issued_at"}
    assert OAuthClientInformationFull.model_validate(answer).client_id == answer["client_id"]
    client = await server.clients.find(answer["client_id"])
    assert client.redirect_uris == tuple(asked["redirect_uris"]) and client.name == "Claude Code"
    (entry,) = await server.entries("enrol")
    assert (entry.tool, entry.object, entry.principal, entry.transport) == (
        "register-client", answer["client_id"], "(unknown)", "http",
    )  # fmt: skip
    assert entry.fields == ("name:Claude Code", "redirect-host:localhost", f"source:{SOURCE}")


# §3.2.1: unique for each registration, and what is left out has its default (§2).
async def test_each_registration_is_a_client_of_its_own_with_the_defaults_of_what_it_left_out(server: Server) -> None:
    answers = [(await server.register()).json() for _ in range(3)]

    assert len({answer["client_id"] for answer in answers}) == await server.count() == 3
    for answer in answers:
        assert answer["grant_types"] == ["authorization_code", "refresh_token"]
        assert answer["response_types"] == ["code"] and answer["token_endpoint_auth_method"] == "none"


# §3.2.1: the server may replace what was asked for; no secret is issued, so none expires.
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt", "none", ...])
async def test_no_client_gets_a_secret(server: Server, method: Any) -> None:
    response = await server.register(token_endpoint_auth_method=method, client_secret="mine")

    assert response.status_code == 201
    assert response.json()["token_endpoint_auth_method"] == "none" and "secret" not in response.text


async def test_a_client_that_can_do_without_its_key_is_told_that_nobody_asks(server: Server) -> None:
    methods = {"token_endpoint_auth_methods_supported": ["none", "private_key_jwt"]}

    response = await server.register(token_endpoint_auth_method="private_key_jwt", **methods)
    assert (response.status_code, response.json()["token_endpoint_auth_method"]) == (201, "none")


@pytest.mark.parametrize("method", ["private_key_jwt", "tls_client_auth", "other", 7, [["none"]], {}])
async def test_a_client_that_would_prove_that_it_has_a_key_is_told_that_nobody_asks(
    server: Server, method: str
) -> None:
    response = await server.register(token_endpoint_auth_method=method)

    refusal = await assert_refused(server, response, "invalid_client_metadata")
    assert refusal["error_description"] == "only public clients are served"


# §2: clients that use redirects MUST register where to; §5: by https, or on the person's own computer.
async def test_a_redirect_uri_that_nobody_may_have_is_refused_and_on_record(server: Server) -> None:
    several = [..., [], None, ["cursor://x", "x:y"], [CALLBACK, "http://x.example/cb"], *([uri] for uri in REFUSED)]

    for uris in several:
        await assert_refused(server, await server.register(redirect_uris=uris), "invalid_redirect_uri")
    await server.failures.close()
    entries = await server.entries("auth_failed")
    assert sum(entry.row_count or 0 for entry in entries) == len(several)
    for entry in entries:
        assert (entry.error_code, entry.decision, entry.outcome) == (
            "INVALID_REDIRECT_URI", "auth:invalid-redirect-uri", "denied",
        )  # fmt: skip
        assert f"source:{SOURCE}" in entry.fields and any(field.startswith("reason:") for field in entry.fields)


# §3.2.1: as Cursor registers, which uses any of the three.
async def test_a_client_that_has_a_scheme_of_its_own_too_is_registered_without_it(server: Server) -> None:
    hosted, local = "https://www.cursor.com/agents/mcp/oauth/callback", "http://localhost:8787/callback"

    answer = (
        await server.register(redirect_uris=["cursor://anysphere.cursor-mcp/oauth/callback", hosted, local])
    ).json()

    assert answer["redirect_uris"] == [hosted, local]
    client = await server.clients.find(answer["client_id"])
    assert client.redirect_uris == (hosted, local)


async def test_redirect_uris_are_registered_to_the_letter(server: Server) -> None:
    answer = (await server.register(redirect_uris=GOOD)).json()

    assert answer["redirect_uris"] == GOOD
    client = await server.clients.find(answer["client_id"])
    assert client.redirect_uris == tuple(GOOD)


# §2: what the server does not understand it MUST ignore; §2.3, §3.1.1: a software statement may be such a thing.
async def test_what_is_not_understood_is_ignored(server: Server) -> None:
    more = {"client_name#ja": "クロード", "software_statement": "e30.e30.", "jwks": {"keys": []}, "client_id": "mine"}

    answer = (await server.register(**more, issuer=URL, registration_client_uri="https://x.example")).json()

    assert not set(answer) & {"client_name#ja", "software_statement", "jwks", "issuer", "registration_client_uri"}
    assert answer["client_id"] != "mine"


# §2.1: grants and response types fit each other; §3.2.1: what is not offered here is left out.
async def test_grants_that_are_not_offered_are_left_out(server: Server) -> None:
    more = ["authorization_code", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "client_credentials"]

    answer = (await server.register(grant_types=more, response_types=["code", "token"])).json()

    assert (answer["grant_types"], answer["response_types"]) == (["authorization_code"], ["code"])


# §3.2.2
@pytest.mark.parametrize(
    "metadata",
    [
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["refresh_token"]},
        {"response_types": ["token"]},
        {"response_types": "code"},
        {"client_name": 7},
        {"client_name": "é" * 8_000},  # more than 16 KiB as it would be stored
        {"redirect_uris": CALLBACK},
        {"redirect_uris": [["x"]]},
        {"client_uri": "javascript:alert(1)"},
        {"logo_uri": "data:image/svg+xml,x"},
        {"application_type": "\u202e"},
        {"redirect_uris": ["https://xn--a.example/cb"]},
        {"jwks": {"keys": []}, "jwks_uri": "https://x.example/jwks"},  # §2: MUST NOT both be there
    ],
)
async def test_metadata_that_no_client_may_have_are_refused_and_on_record(server: Server, metadata: Any) -> None:
    await assert_refused(server, await server.register(**metadata), "invalid_client_metadata")
    (entry,) = await server.entries("auth_failed")
    assert (entry.error_code, entry.decision) == ("INVALID_CLIENT_METADATA", "auth:invalid-client-metadata")


async def test_at_most_20_redirect_uris(server: Server) -> None:
    many = [f"{CALLBACK}/{number}" for number in range(21)]

    await assert_refused(server, await server.register(redirect_uris=many), "invalid_redirect_uri")
    assert (await server.register(redirect_uris=many[1:])).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"\xff", b"{", b'{"redirect_uris": NaN}', b"[" * 10_000,
        json.dumps(METADATA)[:-1].encode() + b', "client_name": "Other"}',  # of two names people would see either
    ],
)  # fmt: skip
async def test_a_body_that_is_no_object_is_refused(server: Server, body: bytes) -> None:
    response = await server.http.post(REGISTER_PATH, content=body, headers={"content-type": "application/json"})

    await assert_refused(server, response, "invalid_client_metadata")


async def test_a_body_of_more_than_16_kib_is_not_read(server: Server) -> None:
    headers = {"content-type": "application/json"}
    large = json.dumps(METADATA).encode() + b" " * 16 * 1024
    chunks_left = 64

    async def drip() -> AsyncIterator[bytes]:
        nonlocal chunks_left
        while chunks_left:
            chunks_left -= 1
            yield b" " * 1024

    for content in (large, drip()):
        response = await server.http.post(REGISTER_PATH, content=content, headers=headers)
        await assert_refused(server, response, "invalid_client_metadata", 413)


# §3.1: by POST, as application/json.
async def test_only_json_by_post_is_read(server: Server) -> None:
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        response = await server.http.post(REGISTER_PATH, content=json.dumps(METADATA), headers=headers)
        await assert_refused(server, response, "invalid_client_metadata", 415)
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        response = await server.http.request(method, REGISTER_PATH)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_whoever_registers_many_keeps_nobody_else_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_clients, "MAX_UNCONSENTED", 2)
    used, unused = [(await server.register()).json()["client_id"] for _ in range(2)]
    await server.store.database.write(lambda tx: stored_clients.use_in(tx, used))

    for _ in range(3):
        assert (await server.register()).status_code == 201
    assert isinstance(await server.clients.find(used), OAuthClient)
    assert not isinstance(await server.clients.find(unused), OAuthClient)


async def test_one_address_registers_no_more_than_its_share(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration_rates, "MOST_OF_SOURCE", 2)
    assert [(await server.register()).status_code for _ in range(2)] == [201, 201]

    response = await server.register()
    assert response.status_code == 429
    assert 3_500 < int(response.headers["retry-after"]) <= 3_600
    assert response.json()["error"] == "temporarily_unavailable"
    (entry,) = await server.entries("auth_failed")
    assert (entry.error_code, entry.http_status) == ("TOO_MANY_CLIENTS", 429)


def test_a_share_is_of_one_address_and_an_hour_and_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration_rates, "MOST_OF_SOURCE", 1)
    monkeypatch.setattr(registration_rates, "MOST_SOURCES", 3)
    now = 0.0
    rates = registration_rates.RegistrationRates(lambda: now)
    assert rates.admit("192.0.2.1") is None
    assert rates.admit("2001:db8::1") is None
    now = 100.0
    assert rates.admit("2001:db8::2") == 3_500.0, "its network is the same"
    assert rates.admit("192.0.2.2") is None
    assert rates.admit("192.0.2.3") is None
    assert rates.admit("192.0.2.1") is None, "forgotten, as the oldest"
    now = 3_700.0
    assert rates.admit("192.0.2.2") is None


# §5: a name is a stranger's text.
async def test_a_name_is_shown_as_one_short_line(server: Server) -> None:
    names = {
        "Claude\u202e\x1b[2J\n<b>": "Claude <b>",
        "x" * 300: "x" * 199 + "…",
        "\u200b": "claude.ai",
        "": "claude.ai",
        ...: "claude.ai",
    }
    for name, shown in names.items():
        answer = (await server.register(client_name=name)).json()
        client = await server.clients.find(answer["client_id"])
        assert client.name == shown


# §3.2.1: the id is one that the authorization endpoint knows; where a client returns to is its own (RFC 8252 §7.3).
async def test_whoever_registered_gets_tokens_by_its_id(opener: Callable[..., Any]) -> None:
    store = await opener()
    world = World(store, allow_registration=True)
    await world.prepare()
    metadata = {"client_name": "Desktop", "redirect_uris": ["http://localhost:3118/callback"]}
    client_id = (await world.http.post(REGISTER_PATH, json=metadata)).json()["client_id"]
    own = {"client_id": client_id, "redirect_uri": "http://localhost:50123/callback"}

    tokens = (await world.token((await world.grant(**own)).form(**own))).json()
    assert isinstance(await world.check(tokens["access_token"]), SignedIn)
    await world.close()
    await store.close()


@pytest.mark.parametrize("is_allowed", [True, False])
async def test_nobody_registers_where_the_operator_has_not_allowed_it(open_again: OpenApp, is_allowed: bool) -> None:
    options = SignInOptions(URL, "https://idp.example.com", "orgserver", allow_registration=is_allowed)

    async with open_again() as app, open_sign_in(app, options) as sign_in:
        assert sign_in.endpoints.serves(REGISTER_PATH) == is_allowed
