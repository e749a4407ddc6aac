"""Access tokens of an issuer open what their principal was granted and their scopes leave of it; others are told why not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.auth import TokenStorage
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from orgserver.app import App
from orgserver.model.access.principals import Subject
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.services.people.requests import KeyChanges, PrincipalChanges
from orgserver.tools.tool import ToolSpec
from tests.oauth.issuers import AUDIENCE
from tests.people import OPERATOR, add_principal, change_principal
from tests.serving.over_http.issuer import RunningIssuer, running_issuer
from tests.serving.over_http.served import Served, serving

SCOPES = "orgs:read orgs:write orgs:delete"
LIST = ("salesforce_list_contacts", {"org": "acme"})
CREATE = ("salesforce_create_contact", {"org": "acme", "data": {"LastName": "Token"}})
DELETE = ("salesforce_delete_contact", {"org": "acme", "contact_id": "003000000000000AAA"})


@dataclass
class Company:
    """A server, and the issuer whose tokens it takes; Ada may read and write in one org."""

    served: Served
    issuer: RunningIssuer

    async def post(self, token: str, tool: str, arguments: dict[str, Any]) -> httpx2.Response:
        """Call a tool as an old client does."""
        message = {
            "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": arguments},
        }  # fmt: skip
        return await self.send(token, message)

    async def send(self, token: str, message: dict[str, Any]) -> httpx2.Response:
        headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
        async with self.served.raw(token, **headers) as client:
            return await client.post("/mcp", json=message)

    def token(self, **claims: Any) -> str:
        return self.issuer.token(**{"scope": SCOPES} | claims)

    async def entries(self, **criteria: Any) -> list[AuditEntry]:
        return await self.served.app.audit_log.newest(EntryFilter(**criteria), 20)


@asynccontextmanager
async def company(app: App, **overrides: Any) -> AsyncIterator[Company]:
    async with running_issuer() as issuer:
        issuer.overrides |= overrides
        await add_principal(app, "ada", "acme:read,write", subjects=(Subject(issuer.url, "ada@idp"),))
        async with serving(app, issuer=issuer.url, audience=AUDIENCE) as served:
            yield Company(served, issuer)


@pytest.fixture
async def work(app: App) -> AsyncIterator[Company]:
    async with company(app) as running:
        yield running


def result_of(reply: httpx2.Response) -> dict[str, Any]:
    """The result of a call, in whichever of the two forms it came."""
    assert reply.status_code == 200, reply.text
    text = reply.text
    if not text.startswith("{"):
        text = next(line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {"))
    result: dict[str, Any] = json.loads(text)["result"]
    return result


def is_done(result: dict[str, Any]) -> bool:
    return not result.get("isError", False)


def error_of(result: dict[str, Any]) -> dict[str, Any]:
    assert result["isError"]
    error: dict[str, Any] = json.loads(result["content"][0]["text"])["error"]
    return error


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_token_opens_what_its_principal_was_granted(work: Company, mode: str) -> None:
    async with work.served.client(work.token(), mode=mode) as client:
        listed = await client.call_tool(*LIST)
        made = await client.call_tool(*CREATE)
        other = await client.call_tool("salesforce_list_contacts", {"org": "globex"})

    assert not listed.is_error
    assert not made.is_error
    assert json.loads(other.content[0].text)["error"]["category"] == "unknown_org"
    assert {entry.outcome for entry in await work.entries(org="acme", principal="ada")} == {"succeeded"}
    assert work.issuer.paths == ["/.well-known/oauth-authorization-server", "/jwks"]


async def test_scopes_narrow_and_a_call_that_needs_more_is_told_all_that_it_needs_before_it_begins(
    work: Company,
) -> None:
    reading = work.token(scope="orgs:read openid")
    metadata = f'resource_metadata="{work.served.url}/.well-known/oauth-protected-resource/mcp"'

    for call, scopes in (
        ((reading, *CREATE), "orgs:read orgs:write"),
        ((reading, *DELETE), "orgs:read orgs:delete"),
        ((work.token(scope=None), *LIST), "orgs:read"),
        ((work.token(scope="orgs:write"), "salesforce_list_orgs", {}), "orgs:read orgs:write"),
    ):
        reply = await work.post(*call)
        assert reply.status_code == 403
        challenge = reply.headers["www-authenticate"]
        assert 'error="insufficient_scope"' in challenge
        assert f'scope="{scopes}"' in challenge
        assert metadata in challenge

    assert is_done(result_of(await work.post(reading, *LIST)))
    changes = ("salesforce_update_contact", {**DELETE[1], "data": {"LastName": "X"}, "preview": True})
    assert error_of(result_of(await work.post(reading, *changes)))["category"] != "forbidden"
    denied = await work.entries(action="create")
    assert [(entry.principal, entry.outcome, entry.decision, entry.api_calls) for entry in denied] == [
        ("ada", "denied", "scope:write", 0),
    ]  # fmt: skip


async def test_what_is_not_seen_early_is_refused_where_calls_are_decided(
    work: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToolSpec, "find_permission", lambda _self, _arguments: "read")
    reading, writing = work.token(scope="orgs:read"), work.token(scope="orgs:write")

    error = error_of(result_of(await work.post(reading, *CREATE)))
    assert (error["code"], error["category"], error["outcome"]) == ("INSUFFICIENT_SCOPE", "forbidden", "denied")
    assert [entry.decision for entry in await work.entries(action="create")] == ["scope:write"]
    listed = result_of(await work.post(reading, "salesforce_list_orgs", {}))["structuredContent"]["orgs"]
    assert [(org["org"], org["permissions"]) for org in listed] == [("acme", ["read"])]
    resource = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "orgserver://orgs"}}
    assert (await work.send(writing, resource)).status_code == 403


async def test_a_body_that_is_no_request_is_answered_to_a_narrowed_token_as_to_any_other(work: Company) -> None:
    create = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"salesforce_create_contact"}}'
    for content in (
        b"", b"{", b"[]", b"7", b"\xff", b"[" * 5_000, b'{"method":[]}', b'{"method":{}}', b'{"method":"tools/call"}',
        b'{"method":"tools/call","params":[]}', b'{"method":"tools/call","params":{"name":[]}}', b"[" + create + b"]",
        create + create,
    ):  # fmt: skip
        answers = []
        for token in (work.token(scope="orgs:read"), work.token()):
            headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
            async with work.served.raw(token, **headers) as client:
                reply = await client.post("/mcp", content=content)
            answers.append((reply.status_code, reply.text))
        assert answers[0] == answers[1], content
        assert 400 <= answers[0][0] < 500, content


async def test_api_keys_are_not_narrowed(work: Company) -> None:
    changed = await work.served.app.people.principals.update(
        OPERATOR, "ada", PrincipalChanges(keys=KeyChanges(new=True))
    )
    assert changed.key is not None

    assert is_done(result_of(await work.post(changed.key.text.reveal(), *CREATE)))


async def test_bad_tokens_are_refused_with_a_challenge_and_an_entry_and_nothing_of_them_is_kept(work: Company) -> None:
    bad = {
        "expired": work.token(exp=1_000_000_000),
        "another audience": work.token(aud="https://other.example.com"),
        "another issuer": work.token(iss="https://evil.example.com"),
        "ID token": work.issuer.token(header={"typ": "JWT"}, scope=None, client_id=None, nonce="n"),
        "no JWT": "nonsense",
        "opens nothing here": "osk_" + "x" * 49,
    }
    for words, text in bad.items():
        reply = await work.post(text, *LIST)
        assert reply.status_code == 401
        challenge = reply.headers["www-authenticate"]
        assert 'error="invalid_token"' in challenge
        assert words in challenge
        assert f'scope="{SCOPES}"' in challenge
        assert text not in reply.text + challenge
    await work.served.app.people.auth_failures.close()

    failures = await work.entries(action="auth_failed")
    assert sum(entry.row_count or 0 for entry in failures) == len(bad)
    assert {entry.fields for entry in failures} == {("source:127.0.0.1",)}
    assert await work.entries(principal="ada", tool=LIST[0]) == []
    await work.served.app.store.audit.catch_up()
    folder = work.served.app.settings.database_file.parent
    kept = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    assert not any(text.encode() in kept for text in bad.values() if len(text) > 20)


async def test_a_subject_that_is_nobody_here_is_told_so_and_one_that_is_disabled_ends_at_once(work: Company) -> None:
    stranger = await work.post(work.token(sub="eve@idp"), *LIST)
    assert stranger.status_code == 403
    assert "no principal here is the subject eve@idp" in stranger.json()["error"]["message"]
    assert "resource_metadata=" in stranger.headers["www-authenticate"]

    token = work.token()
    assert (await work.post(token, *LIST)).status_code == 200
    await change_principal(work.served.app, "ada", enabled=False)
    assert (await work.post(token, *LIST)).status_code == 403
    await change_principal(work.served.app, "ada", enabled=True)
    assert (await work.post(token, *LIST)).status_code == 200
    await work.served.app.people.auth_failures.close()
    codes = {entry.error_code: entry for entry in await work.entries(action="auth_failed")}
    assert f"issuer:{work.issuer.url}" in codes["UNKNOWN_SUBJECT"].fields or "PRINCIPAL_DISABLED" in codes


async def test_a_machine_s_own_token_is_its_service_principal_and_a_person_behind_the_machine_is_not(
    work: Company,
) -> None:
    await add_principal(
        work.served.app, "agentforce", "acme:read", kind="service", subjects=(Subject(work.issuer.url, "client-1"),)
    )
    own = {"client_id": "client-1", "azp": "client-1"}

    for claims in ({"sub": "client-1"}, {"sub": "client-1@clients", "gty": "client-credentials"}):
        assert is_done(result_of(await work.post(work.token(**own | claims), *LIST)))
    assert (await work.post(work.token(sub="eve@idp", **own), *LIST)).status_code == 403
    assert {entry.principal for entry in await work.entries(tool=LIST[0])} == {"agentforce"}


async def test_an_issuer_that_is_away_or_lies_lets_nobody_in_and_comes_back(app: App) -> None:
    lie = {"issuer": "https://evil.example.com", "jwks_uri": ""}
    async with company(app, **{"/.well-known/oauth-authorization-server": lie}) as work:
        issuer = work.issuer
        reply = await work.post(work.token(), *LIST)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert "www-authenticate" not in reply.headers
        key = await work.served.make_key("bob", "acme:read")
        assert is_done(result_of(await work.post(key, *LIST)))  # nobody else's trouble

        issuer.overrides.clear()
        for _ in range(40):
            reply = await work.post(work.token(), *LIST)
            if reply.status_code != 503:
                break
            await asyncio.sleep(0.1)
        assert is_done(result_of(reply))
        assert "ISSUER_UNAVAILABLE" in {entry.error_code for entry in await work.entries(action="auth_failed")}


async def test_metadata_tell_where_tokens_are_had_at_both_places_and_nothing_without_an_issuer(
    work: Company, app: App
) -> None:
    async with work.served.raw(None) as client:
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
            reply = await client.get(path)
            assert reply.json() == {
                "resource": f"{work.served.url}/mcp",
                "authorization_servers": [work.issuer.url],
                "scopes_supported": SCOPES.split(" "),
                "bearer_methods_supported": ["header"],
                "resource_name": "orgserver",
            }
            assert (await client.post(path)).status_code == 405
        reply = await client.post("/mcp")
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == (
            'Bearer realm="orgserver", '
            f'resource_metadata="{work.served.url}/.well-known/oauth-protected-resource/mcp", scope="{SCOPES}"'
        )
    async with serving(app) as plain, plain.raw(None) as client:
        assert (await client.get("/.well-known/oauth-protected-resource")).status_code == 404
        assert (await client.post("/mcp")).headers["www-authenticate"] == 'Bearer realm="orgserver"'
        reply = await client.post("/mcp", headers={"authorization": f"Bearer {work.token()}"})
        assert reply.headers["www-authenticate"].startswith('Bearer realm="orgserver", error="invalid_token"')
        assert "resource_metadata" not in reply.headers["www-authenticate"]


async def test_a_machine_finds_the_issuer_by_what_it_is_told_and_asks_for_more_when_a_call_needs_it(
    work: Company,
) -> None:
    agent = Subject(work.issuer.url, "agent")
    await add_principal(work.served.app, "agent", "acme:read,write", kind="service", subjects=(agent,))
    work.issuer.first_scopes = ["orgs:read"]
    provider = ClientCredentialsOAuthProvider(
        f"{work.served.url}/mcp", Storage(), "agent", "secret", issuer=work.issuer.url
    )
    async with (
        httpx2.AsyncClient(auth=provider, trust_env=False) as http,
        Client(streamable_http_client(f"{work.served.url}/mcp", http_client=http), mode="2026-07-28") as client,
    ):
        listed = await client.call_tool(*LIST)
        made = await client.call_tool(*CREATE)

    assert not listed.is_error
    assert not made.is_error
    assert [request["resource"] for request in work.issuer.requests] == [f"{work.served.url}/mcp"] * 2
    assert [request["scope"] for request in work.issuer.requests] == [SCOPES] * 2  # it adds to what it asked before
    assert [entry.outcome for entry in await work.entries(action="create", principal="agent")] == [
        "succeeded",
        "denied",
    ]


class Storage(TokenStorage):
    """Keeps a client's token for a test."""

    def __init__(self) -> None:
        self._tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """It is always told who it is."""
