"""A provider in a process of its own for all tests of this folder, honest when each begins."""

import ssl
from collections.abc import AsyncIterator, Iterator

import pytest

from orgserver.model.secret import Secret
from orgserver.oauth.provider.client import Provider, make_provider
from tests.provider.running import CLIENT_ID, CLIENT_SECRET, RunningProvider, running_provider

CALLBACK = "http://127.0.0.1:9/signin/callback"


@pytest.fixture(scope="session")
def idp_process() -> Iterator[RunningProvider]:
    with running_provider(CALLBACK) as provider:
        yield provider


@pytest.fixture
async def idp(idp_process: RunningProvider) -> RunningProvider:
    await idp_process.reset()
    return idp_process


@pytest.fixture
async def provider(idp: RunningProvider) -> AsyncIterator[Provider]:
    client = make_provider(idp.issuer, CLIENT_ID, Secret(CLIENT_SECRET), "groups", CALLBACK, ssl.create_default_context)
    yield client
    await client.aclose()
