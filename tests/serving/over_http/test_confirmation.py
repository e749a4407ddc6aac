"""A person's yes over HTTP: by a result that any replica understands and nobody else's call can use; or by an operator."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from orgserver.app import App
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.services.calls.approvals import Approving
from tests import operations
from tests.conftest import Clock, OpenApp
from tests.serving.both_ways import FORM, MODERN, call_of
from tests.serving.over_http.both_ways import headers_of
from tests.serving.over_http.served import Served, serving

DELETE = "salesforce_delete_contact"
YES = {"confirm": {"action": "accept", "content": {}}}


class Agents:
    """Those who call, at either of two replicas on one store."""

    def __init__(self, replicas: list[Served], keys: dict[str, str]) -> None:
        self._replicas = replicas
        self._keys = keys

    async def delete(
        self, contact: str, *, name: str = "ada", replica: int = 0, version: str = MODERN, **more: Any
    ) -> Any:
        """Call for a deletion; the result."""
        call = json.loads(call_of(version, DELETE, 1, FORM, org="acme", contact_id=contact))
        call["params"] |= more
        body = json.dumps(call).encode()
        headers: Any = {"Authorization": f"Bearer {self._keys[name]}"} | headers_of(version, body)
        async with httpx2.AsyncClient(base_url=self._replicas[replica].url, trust_env=False) as client:
            reply = await client.post("/mcp", content=body, headers=headers)
        assert reply.status_code == 200
        return reply.json()["result"]


def code_of(result: Any) -> str:
    return str(json.loads(result["content"][0]["text"])["error"]["code"])


@pytest.fixture
async def agents(app: App, open_again: OpenApp, caller: Caller) -> AsyncIterator[Agents]:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(open_again())
        replicas = [await stack.enter_async_context(serving(each)) for each in (app, other)]
        keys = {name: await replicas[0].make_key(name, "acme:read,write,delete") for name in ("ada", "bob")}
        yield Agents(replicas, keys)


@pytest.fixture
async def contacts(app: App, caller: Caller) -> list[str]:
    names = [{"FirstName": "Ada", "LastName": name} for name in ("Lovelace", "Byron")]
    return [
        (await operations.create(app, caller, "salesforce_create_contact", "acme", CONTACT, each)).id for each in names
    ]


async def test_any_replica_takes_the_answer_once_and_for_nobody_and_nothing_else(
    agents: Agents, contacts: list[str], clock: Clock
) -> None:
    contact, other = contacts
    asked = await agents.delete(contact)
    answer = {"requestState": asked["requestState"], "inputResponses": YES}
    assert asked["resultType"] == "input_required"
    assert contact not in asked["requestState"]

    assert code_of(await agents.delete(contact, name="bob", **answer)) == "CONFIRMATION_INVALID"
    assert code_of(await agents.delete(other, **answer)) == "CONFIRMATION_INVALID"
    forged = answer | {"requestState": asked["requestState"][:-4] + "AAAA"}
    assert code_of(await agents.delete(contact, **forged)) == "CONFIRMATION_INVALID"
    done = await agents.delete(contact, replica=1, **answer)
    assert done["structuredContent"]["deleted"] is True
    assert code_of(await agents.delete(contact, **answer)) == "CONFIRMATION_USED"

    asked = await agents.delete(other)
    clock.advance(301)
    late = await agents.delete(other, replica=1, requestState=asked["requestState"], inputResponses=YES)
    assert late["resultType"] == "input_required"


async def test_an_operator_allows_what_a_client_cannot_ask_of_its_person(
    agents: Agents, app: App, caller: Caller, contacts: list[str]
) -> None:
    contact = contacts[0]
    refused = await agents.delete(contact, version="2025-11-25")
    error = json.loads(refused["content"][0]["text"])["error"]
    approving = Approving(app.store, app.access)
    (request,) = await approving.waiting()
    await approving.approve(caller, request)
    elsewhere = await agents.delete(contact, version="2025-11-25", name="bob")
    done = await agents.delete(contact, version="2025-11-25", replica=1)

    assert (error["code"], error["outcome"]) == ("CONFIRMATION_REQUIRED", "denied")
    assert "an operator of this server" in error["hint"] and "orgserver approvals" in error["hint"]
    assert request.code not in json.dumps(refused)
    assert (request.principal, request.tool) == ("ada", DELETE)
    assert code_of(elsewhere) == "CONFIRMATION_REQUIRED"
    assert done["structuredContent"]["deleted"] is True
