"""The world of these tests: at the end of each no secret stands in the store or in the log.

Beside it a whole server, a client that is registered there, and a person's browser.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.principals import Subject
from orgserver.sandbox.server import Sandbox
from tests.conftest import Clock, OpenApp, register
from tests.people import add_principal
from tests.provider.running import RunningProvider, running_provider

from .walk import Walk, settings_of, walking
from .world import World


@pytest.fixture
async def world(opener: Callable[..., Any], clock: Clock, caplog: pytest.LogCaptureFixture) -> AsyncIterator[World]:
    caplog.set_level(logging.DEBUG)
    store = await opener(clock=clock)
    opened = World(store)
    await opened.prepare()
    yield opened
    await opened.close()
    records = [record for record in caplog.get_records("call") if not record.name.startswith("httpx2")]
    log = "\n".join(record.getMessage() for record in records)
    assert opened.find_canaries(log) == []
    await store.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    with running_provider() as running:
        yield running


@pytest.fixture
async def app(open_again: OpenApp, sandbox: Sandbox, provider: RunningProvider) -> AsyncIterator[App]:
    """One with an org, in which ada, who is known at the provider, may read and write."""
    await provider.reset()
    async with open_again(**settings_of(provider)) as opened:
        await register(opened, sandbox)
        await add_principal(opened, "ada", "acme:read,write", subjects=(Subject(provider.issuer, "sub-ada"),))
        yield opened


@pytest.fixture
async def walk(app: App, provider: RunningProvider) -> AsyncIterator[Walk]:
    async with walking(app, provider) as begun:
        yield begun


@pytest.fixture
def _as_many_requests_as_a_test_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source has ten a second, and here everything comes from one."""
    monkeypatch.setattr("orgserver.serving.http.signin.endpoints.RATE", 1_000.0)
