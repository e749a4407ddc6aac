"""Answers of Salesforce's that come when nobody waits for them any more: what was given is kept, or to be revoked."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from orgserver.salesforce.client import SalesforceClient
from orgserver.services.tokens import login_ends
from orgserver.store.people.connection_tables import connect_links
from orgserver.store.transaction import Transaction
from tests.people import OPERATOR
from tests.serving.over_http.connect.world import World, log_in

pytestmark = pytest.mark.both_stores


@dataclass
class _Answer:
    """Salesforce's answer to a code, which has come and is held up."""

    has_come: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> _Answer:
    answer, ask = _Answer(), SalesforceClient.request_token

    async def request_token(client: SalesforceClient, *arguments: Any) -> Any:
        reply = await ask(client, *arguments)
        answer.has_come.set()
        await answer.may_go_on.wait()
        return reply

    monkeypatch.setattr(SalesforceClient, "request_token", request_token)
    return answer


async def test_a_browser_that_goes_away_loses_no_token(world: World, held: _Answer) -> None:
    alice, path = world.browser(), await world.ask("alice")
    await alice.sign_in("alice")
    answer = await log_in(await alice.begin(path))

    coming = asyncio.create_task(alice.http.get("/connect/callback", params=answer))
    await held.has_come.wait()
    coming.cancel()
    await asyncio.sleep(0)
    held.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await coming

    async with world.app.store.database.reading() as connection:
        stages = (await connection.execute(select(connect_links.c.stage))).scalars().all()
    assert stages == ["answered"]


async def test_a_token_that_comes_when_its_org_was_removed_is_revoked_all_the_same(world: World, held: _Answer) -> None:
    alice, path = world.browser(), await world.ask("alice")
    await alice.sign_in("alice")
    coming = asyncio.create_task(alice.come_back(await alice.begin(path)))
    await held.has_come.wait()
    org = await world.org()

    def remove(tx: Transaction) -> None:
        login_ends.end_of_org_in(tx, world.app.store, org, login_ends.ORG_REMOVED, OPERATOR, "remove-org")
        world.app.store.orgs.remove_in(tx, org.row_id)

    await world.app.store.database.write(remove)
    held.may_go_on.set()

    assert (await coming).status_code == 410
    assert await world.revocations() == 1
