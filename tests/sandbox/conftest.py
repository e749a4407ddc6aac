"""A plain HTTP client with a session at acme: it knows nothing of orgserver."""

from collections.abc import AsyncIterator

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg


@pytest.fixture
async def web(acme: SandboxOrg) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {acme.new_session()['access_token']}"}
    async with httpx.AsyncClient(base_url=acme.url, headers=headers, trust_env=False, timeout=10) as client:
        yield client
