"""Idle refresh tokens are used before Salesforce ends them, by one process, and never earlier than the operator said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from orgserver.app import App
from orgserver.model.access.logins import LoginKey
from orgserver.model.errors import NotSent
from orgserver.model.names import Alias, RowId
from orgserver.model.orgs import AccessToken, Caller, Org, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.keepalive import LIFE, KeepAlive, choose_due, dies_at
from orgserver.store import tables
from orgserver.store.orgs.idleness import IdleLogin
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


NOW = datetime(2026, 11, 29, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep each quarter of an hour, so that a simulated day is short."""
    monkeypatch.setattr("orgserver.services.orgs.keepalive.SWEEP", QUARTER)


def simulate(count: int, idle_days: float) -> list[int]:
    """Sweep for a day and two hours as a server does; how many were refreshed in each quarter of an hour."""
    since = NOW - timedelta(days=idle_days)
    idle, now, quarters = (
        [IdleLogin(LoginKey.shared(RowId(f"row-{number}")), since) for number in range(count)],
        NOW,
        list[int](),
    )
    while now < NOW + timedelta(hours=26):
        chosen, _ = choose_due(idle, count, 7, now)
        assert all(now < each.since + LIFE for each in chosen)
        quarters.append(len(chosen))
        gone = {each.login for each in chosen}
        idle = [each for each in idle if each.login not in gone]
        now += QUARTER
    return quarters


@pytest.mark.usefixtures("coarse")
def test_orgs_of_one_import_are_refreshed_evenly_over_a_day() -> None:
    quarters = simulate(4_800, 7)
    assert sum(quarters) == 4_800
    assert max(quarters) <= 50
    assert min(quarters[1:94]) >= 30


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(("idle_days", "most"), [(20, 50), (28, 50), (29, 100)])
def test_after_a_long_sleep_all_are_caught_up_with_without_a_burst_and_none_dies(idle_days: float, most: int) -> None:
    quarters = simulate(4_800, idle_days)
    assert sum(quarters) == 4_800
    assert max(quarters) <= most


def test_a_few_orgs_do_not_wait_for_each_other() -> None:
    idle = [IdleLogin(LoginKey.shared(RowId(f"row-{number}")), NOW - timedelta(days=9)) for number in range(3)]
    assert choose_due(idle, 3, 7, NOW) == (idle, [])


async def test_one_that_cannot_be_refreshed_does_not_stand_before_the_others(
    app: App, globex: SandboxOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew = app.access.tokens.renew

    async def renew_others(org: Org) -> AccessToken:
        if org.alias == "acme":
            raise NotSent("away", code="UNREACHABLE")
        return await renew(org)

    monkeypatch.setattr(app.access.tokens, "renew", renew_others)
    monkeypatch.setattr("orgserver.services.orgs.keepalive.AT_ONCE", 1)
    for org, days in (("acme", 20), ("globex", 9)):
        await idle_for(app, org, days)
    keeping = KeepAlive(app.access, 7)
    globex.counters.refreshes = 0
    assert await keeping.sweep()
    assert not await keeping.sweep()
    assert globex.counters.refreshes == 1
