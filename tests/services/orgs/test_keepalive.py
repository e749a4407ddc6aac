"""Idle refresh tokens are used before Salesforce ends them, by one process, and never earlier than the operator said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from orgserver.app import App
from orgserver.model.names import Alias
from orgserver.model.orgs import Caller, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.keepalive import KeepAlive, dies_at
from orgserver.store import tables
from orgserver.store.transaction import Transaction, to_microseconds


async def idle_for(app: App, org: str, days: float) -> None:
    """As if an org's token had last been used so many days ago."""
    then = to_microseconds(datetime.now(UTC) - timedelta(days=days))

    def change(tx: Transaction) -> None:
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.alias == org).values(refreshed_at=then))

    await app.store.database.write(change)


async def test_an_idle_org_is_refreshed_and_others_are_left_alone(
    app: App, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await idle_for(app, "acme", 7.5)
    await idle_for(app, "globex", 6.5)
    acme.counters.refreshes = globex.counters.refreshes = 0

    kept = await app.keep_alive.refresh_idle()

    assert [(each.org.alias, each.error) for each in kept] == [("acme", None)]
    assert (acme.counters.refreshes, globex.counters.refreshes) == (1, 0)
    assert await app.keep_alive.refresh_idle() == []


async def test_two_processes_refresh_an_idle_org_once(open_again: Any, app: App, acme: SandboxOrg) -> None:
    await idle_for(app, "acme", 8)
    acme.counters.refreshes = 0
    async with open_again() as other:
        await app.keep_alive.refresh_idle()
        await other.keep_alive.refresh_idle()

    assert (acme.counters.refreshes, acme.counters.reuses) == (1, 0)


async def test_a_disabled_org_is_kept_alive_and_a_dead_one_is_not_asked(
    app: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await app.registry.update(caller, "acme", enabled=False)
    globex.refresh_token = ""
    await idle_for(app, "acme", 8)
    await idle_for(app, "globex", 8)

    first = {kept.org.alias: kept.error for kept in await app.keep_alive.refresh_idle()}
    await idle_for(app, "globex", 9)
    globex.requests.clear()
    await app.keep_alive.refresh_idle()

    assert first[Alias("acme")] is None
    assert first[Alias("globex")] is not None
    assert (await app.registry.one("globex")).state is OrgState.NEEDS_LOGIN
    assert globex.requests == []


async def test_zero_days_switch_it_off(app: App, acme: SandboxOrg) -> None:
    await idle_for(app, "acme", 29)
    acme.counters.refreshes = 0

    assert await KeepAlive(app.access, 0).refresh_idle() == []
    await KeepAlive(app.access, 0).run()
    assert acme.counters.refreshes == 0


@pytest.mark.parametrize(("days", "left"), [(0, 30), (20, 10)])
async def test_the_day_a_token_would_die_is_known(app: App, days: int, left: int) -> None:
    await idle_for(app, "acme", days)
    end = dies_at(await app.registry.one("acme"))

    assert end is not None
    assert round((end - datetime.now(UTC)) / timedelta(days=1)) == left
