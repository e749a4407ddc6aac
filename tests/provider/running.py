"""A provider in a process of its own, for as long as a test needs it; and people at it, without a browser."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from tests.provider.state import CLIENT_ID, CLIENT_SECRET, PASSWORD, PUBLIC_CLIENT_ID

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "PUBLIC_CLIENT_ID", "RunningProvider", "read_callback", "running_provider"]


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Everything is on loopback, without TLS: nobody's certificates need to be read."""


class RunningProvider:
    """A provider that listens."""

    def __init__(self, process: subprocess.Popen[str], issuer: str) -> None:
        self.process = process
        self.issuer = issuer

    async def set(self, **conduct: Any) -> None:
        """Have it behave otherwise: names of ``state.Conduct``; ``rotate_key=True``; ``end=LOGIN`` ends grants."""
        await self._control("POST", conduct)

    async def reset(self) -> None:
        """Have it be honest again."""
        await self._control("POST", {"reset": True})

    async def look(self) -> dict[str, Any]:
        """How it behaves (``conduct``), what it was asked (``requests``), how many grants are live (``live_grants``)."""
        return await self._control("GET", None)

    async def requests(self, path: str) -> list[dict[str, str]]:
        """The parameters of requests to a path, in order."""
        return [each["values"] for each in (await self.look())["requests"] if each["path"] == path]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[PersonClient]:
        """Somebody's browser at this provider: it keeps its cookies."""
        async with httpx2.AsyncClient(verify=_NO_TLS, trust_env=False, timeout=30) as web:
            yield PersonClient(web)

    async def sign_in(self, url: str, login: str = "ada") -> str:
        """Sign in, in a new browser, where an authorization URL leads to; the URL that the provider sends back to."""
        async with self.client() as person:
            return await person.sign_in(url, login)

    async def _control(self, method: str, order: dict[str, Any] | None) -> dict[str, Any]:
        async with httpx2.AsyncClient(verify=_NO_TLS, trust_env=False, timeout=30) as web:
            response = await web.request(method, f"{self.issuer}/control", content=json.dumps(order))
            response.raise_for_status()
            return response.json()


class PersonClient:
    """A person at the provider, without a browser."""

    def __init__(self, web: httpx2.AsyncClient) -> None:
        self.web = web

    async def sign_in(self, url: str, login: str = "ada", *, password: str = PASSWORD) -> str:
        """Follow an authorization URL, sign in if the provider asks for it; the URL that it sends back to."""
        response = await self.web.get(url)
        if response.status_code == 200:
            response = await self.web.post(url, data={"login": login, "password": password, "answer": "yes"})
        return _read_location(response)

    async def cancel(self, url: str) -> str:
        """Do not sign in; the URL that the provider sends back to."""
        return _read_location(await self.web.post(url, data={"answer": "no"}))


def _read_location(response: httpx2.Response) -> str:
    assert response.status_code == 303, f"{response.status_code} {response.text}"
    return response.headers["location"]


def read_callback(url: str) -> dict[str, str]:
    """The parameters of a URL that the provider sends back to."""
    return dict(parse_qsl(urlsplit(url).query))


@contextmanager
def running_provider(*redirect_uris: str, port: int = 0) -> Iterator[RunningProvider]:
    """Run one until the block ends; its client may be sent back to ``redirect_uris``, and no others."""
    command = [sys.executable, "-W", "error", "-m", "tests.provider", "--port", str(port)]
    for each in redirect_uris:
        command += ["--redirect-uri", each]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            issuer = process.stdout.readline().strip()
            assert issuer.startswith("http://"), "the provider did not start"
            yield RunningProvider(process, issuer)
        finally:
            process.kill()
