"""Three orgs that are asked the same by the real tools: guarded by a policy, as much with other values, and without.

What the second answers otherwise than the first tells of guarded values; what the third refuses, or answers otherwise,
tells of guarded fields.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.client.client import Client

from orgserver.app import open_app
from orgserver.cli.process import operator
from orgserver.config import read_settings
from orgserver.model import names
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Scope
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.services.orgs.enrolment import Registration
from orgserver.serving.server import build_server
from tests.leaks.records import fill, policy_of
from tests.leaks.scenarios import Scenario

_TOOLSETS = frozenset({"all"})
_VARYING = ("next_cursor", "url")


@dataclass(frozen=True, slots=True)
class Question:
    """One call of a tool, and what kind of attack it is."""

    category: str
    tool: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.category}: {self.tool} {json.dumps(self.arguments)}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a tool answered: its result, or its error."""

    result: Any = None
    error: dict[str, Any] | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the policy refused the call."""
        return self.error is not None and self.error["category"] == "policy"


class World:
    """Three orgs under one scenario."""

    def __init__(self, guarded: Client, other: Client, absent: Client) -> None:
        self._clients = {"guarded": guarded, "other": other, "absent": absent}

    async def ask(self, org: str, question: Question) -> Reply:
        """Ask one of the orgs."""
        called = await self._clients[org].call_tool(question.tool, question.arguments)
        body = json.loads(called.content[0].text)  # type: ignore[union-attr]  # every tool answers in text
        return Reply(error=body["error"]) if called.is_error else _read(question, _plain(body))


def _read(question: Question, body: Any) -> Reply:
    """A result, or of many orgs that of the one there is."""
    if question.tool == "salesforce_query_orgs" and "error" in body["results"][0]:
        return Reply(error=body["results"][0]["error"])
    return Reply(body)


def _plain(value: Any) -> Any:
    """A result without what is another in each org whatever it holds."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if name not in _VARYING}
    return [_plain(each) for each in value] if isinstance(value, list) else value


@asynccontextmanager
async def open_world(scenario: Scenario, folder: Path) -> AsyncIterator[World]:
    """Open the three orgs of a scenario, each with a store and a server of its own."""
    async with AsyncExitStack() as stack:
        clients = []
        for name in ("guarded", "other", "absent"):
            sandbox = await stack.enter_async_context(Sandbox.start(1))
            (org,) = sandbox.orgs
            fill(org, scenario, is_other=name == "other")
            if name == "absent":
                org.hidden_fields = dict(scenario.absent_fields)
                org.hidden_objects = scenario.absent_objects
            policy = policy_of(scenario, is_absent=name == "absent")
            clients.append(await stack.enter_async_context(_open_client(org, policy, folder / name)))
        yield World(*clients)


@asynccontextmanager
async def _open_client(org: SandboxOrg, policy: Policy, home: Path) -> AsyncIterator[Client]:
    settings = read_settings({"home": home}, {})
    scope = Scope(toolsets=_TOOLSETS)
    async with open_app(settings, scope) as app:
        credential = org.credentials()
        registration = Registration(
            alias=names.alias(org.alias),
            client_id=credential["client_id"],
            client_secret=Secret(credential["client_secret"]),
            refresh_token=Secret(credential["refresh_token"]),
            login_url=credential["login_url"],
            instance_url=credential["instance_url"],
            trusted_hosts=tuple(credential["trust_hosts"]),
            source="the sandbox",
            policy=policy,
        )
        await app.enrolment.add(operator(), registration)
        server = build_server(
            app.services, principal=Principal("local:attacker"), label=None, scope=scope, transport="stdio"
        )
        async with Client(server, raise_exceptions=True) as client:
            yield client
