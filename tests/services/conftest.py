"""An org's host that answers some requests from a script; the pretend org answers the rest."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from orgserver.app import App
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from tests.own_logins import caller_of, connect, set_identity
from tests.senders import HttpxSenders

Answer = httpx.Response | Exception


@dataclass
class Scripted(httpx.AsyncBaseTransport):
    """Answers in order of the script: the first line that fits method and target, as often as it says."""

    real: Callable[[str], httpx.AsyncBaseTransport]
    script: list[tuple[str, re.Pattern[str], list[Answer]]] = field(default_factory=list)
    asked: list[httpx.Request] = field(default_factory=list)
    _behind: httpx.AsyncBaseTransport | None = None

    def on(self, method: str, target: str, *answers: Answer) -> None:
        """Answer the next requests like this one so, one after another."""
        self.script.append((method, re.compile(target), list(answers)))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        target = request.url.raw_path.decode("ascii")
        for method, pattern, answers in self.script:
            if method == request.method and pattern.search(target) and answers:
                answer = answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer
        if self._behind is None:
            self._behind = self.real(str(request.url))
        return await self._behind.handle_async_request(request)

    async def aclose(self) -> None:
        if self._behind is not None:
            await self._behind.aclose()

    def bodies(self, method: str) -> list[Any]:
        return [json.loads(request.content) for request in self.asked if request.method == method]

    def targets(self) -> list[str]:
        return [request.url.raw_path.decode("ascii") for request in self.asked]

    def queries(self) -> list[str]:
        return [request.url.params["q"] for request in self.asked if "q" in request.url.params]


def reply(status: int, body: object = None) -> httpx.Response:
    """JSON, as Salesforce sends it."""
    if body is None:
        return httpx.Response(status)
    return httpx.Response(status, json=body, headers={"content-type": "application/json;charset=UTF-8"})


def refused(status: int, code: str, message: str = "No.", **more: object) -> httpx.Response:
    """A refusal in Salesforce's form."""
    return reply(status, [{"errorCode": code, "message": message} | more])


@pytest.fixture
async def host(app: App, transports: HttpxSenders) -> Scripted:
    scripted = Scripted(transports.open_real)
    await app.access.client.aclose()
    transports.open = lambda _url: scripted
    return scripted


@pytest.fixture
def say() -> Callable[..., httpx.Response]:
    return reply


@pytest.fixture
def refuse() -> Callable[..., httpx.Response]:
    return refused


@pytest.fixture
async def shared_by_two(app: App, acme: SandboxOrg, caller: Caller) -> tuple[Caller, Caller]:
    """Ada and Bob, each with a login of their own to one org."""
    await set_identity(app, "acme", "own-or-shared")
    await connect(app, acme, "local:ada")
    await connect(app, acme, "local:bob")
    acme.requests.clear()
    return caller_of("local:ada", caller), caller_of("local:bob", caller)
