"""The whole way of a person: from a client's first request to a tool's answer, over real HTTP."""

from collections.abc import AsyncIterator, Iterator

import pytest

from orgserver.app import App
from orgserver.model.access.principals import Subject
from orgserver.model.audit import EntryFilter
from orgserver.sandbox.server import Sandbox
from tests.conftest import OpenApp, register
from tests.people import add_principal
from tests.provider.running import RunningProvider, running_provider
from tests.serving.over_http.signin.walk import Walk, settings_of, walking


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    with running_provider() as running:
        yield running


@pytest.fixture
async def app(open_again: OpenApp, sandbox: Sandbox, provider: RunningProvider) -> AsyncIterator[App]:
    await provider.reset()
    async with open_again(**settings_of(provider)) as opened:
        await register(opened, sandbox)
        subject = Subject(provider.issuer, "sub-ada")
        await add_principal(opened, "ada", "acme:read,write", subjects=(subject,))
        yield opened


@pytest.fixture
async def walk(app: App, provider: RunningProvider) -> AsyncIterator[Walk]:
    async with walking(app, provider) as begun:
        yield begun


async def test_a_person_comes_from_connect_to_a_first_call(walk: Walk, app: App) -> None:
    tokens = await walk.get_tokens("orgs:read", "orgs:write")

    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3600
    assert tokens["scope"] == "orgs:read orgs:write"
    async with walk.served.client(tokens["access_token"]) as client:
        answer = await client.call_tool("salesforce_list_contacts", {"org": "acme"})
    assert not answer.is_error, answer
    newest = await app.audit_log.newest(EntryFilter(principal="ada"), 10)
    assert list(dict.fromkeys(each.tool for each in newest))[:3] == ["salesforce_list_contacts", "sign-in", "consent"]
