"""A provider in a process of its own for all tests of this folder, honest when each begins."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from orgserver.model.secret import Secret
from orgserver.oauth.provider.client import Provider, make_provider
from tests.provider.running import CLIENT_ID, CLIENT_SECRET, RunningProvider, running_provider

CALLBACK = "http://127.0.0.1:9/signin/callback"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Everything is on loopback, without TLS."""
MakeProvider = Callable[..., Provider]


@pytest.fixture(scope="session")
def idp_process() -> Iterator[RunningProvider]:
    with running_provider(CALLBACK) as provider:
        yield provider


@pytest.fixture
async def idp(idp_process: RunningProvider) -> RunningProvider:
    await idp_process.reset()
    return idp_process


@pytest.fixture
async def make(idp: RunningProvider) -> AsyncIterator[MakeProvider]:
    """Makes clients of the provider, which remember nothing of it yet."""
    clients: list[Provider] = []

    def make_one(client_id: str = CLIENT_ID, secret: str | None = CLIENT_SECRET, **more: Any) -> Provider:
        every = {"issuer": idp.issuer, "groups_claim": "groups"} | more
        clients.append(
            make_provider(
                every["issuer"], client_id, Secret(secret) if secret is not None else None, every["groups_claim"],
                CALLBACK, lambda: NO_TLS,
            )
        )  # fmt: skip
        return clients[-1]

    yield make_one
    for each in clients:
        await each.aclose()


@pytest.fixture
def provider(make: MakeProvider) -> Provider:
    return make()
