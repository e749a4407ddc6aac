"""Every process on a store refreshes an org's rotating token once between them, and never sends a spent one."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.errors import CallError
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.listing import Listing
from orgserver.store import leases


async def read(app: App, caller: Caller) -> int:
    listing = Listing(CONTACT, limit=1)
    return (await app.operations.list(caller, "salesforce_list_contacts", "acme", listing)).total_size


@pytest.mark.parametrize("seed", [1, 2])
async def test_one_refresh_for_four_processes_at_every_expiry(
    open_again: Any, app: App, caller: Caller, acme: SandboxOrg, seed: int
) -> None:
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        processes = [app, *[await stack.enter_async_context(open_again()) for _ in range(3)]]
        await asyncio.gather(*(read(each, caller) for each in processes))
        for expiry in range(1, 6):
            acme.counters.refreshes = 0
            acme.fault("delay", path=".*/token", seconds=chance.uniform(0, 0.1))
            acme.expire_access_tokens()

            results = await asyncio.gather(*(read(each, caller) for each in processes * 16))

            assert len(results) == 64
            assert (acme.counters.refreshes, acme.counters.reuses) == (1, 0), expiry
    assert (await app.enrolment.one("acme")).state is OrgState.READY


async def test_a_lease_is_one_holders_until_it_ends(app: App) -> None:
    write = app.store.database.write

    assert await write(lambda tx: leases.take_in(tx, "row", "one", 60_000_000))
    assert not await write(lambda tx: leases.take_in(tx, "row", "two", 60_000_000))
    assert await write(lambda tx: leases.take_in(tx, "other row", "two", 60_000_000))
    await write(lambda tx: leases.release_in(tx, "row", "two"))
    assert not await write(lambda tx: leases.take_in(tx, "row", "two", 60_000_000))
    await write(lambda tx: leases.release_in(tx, "row", "one"))
    assert await write(lambda tx: leases.take_in(tx, "row", "two", 60_000_000))


async def test_a_lease_of_a_dead_holder_ends(app: App) -> None:
    assert await app.store.database.write(lambda tx: leases.take_in(tx, "row", "dead", 0))
    assert await app.store.database.write(lambda tx: leases.take_in(tx, "row", "living", 60_000_000))


async def test_a_lease_from_a_clock_that_was_set_back_does_not_count(app: App) -> None:
    assert await app.store.database.write(lambda tx: leases.take_in(tx, "row", "future", 3_600_000_000))
    assert await app.store.database.write(lambda tx: leases.take_in(tx, "row", "now", 60_000_000))


async def test_a_refresh_gives_its_lease_back_also_when_it_fails(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("status", path=".*/token", status=503, body="")
    acme.expire_access_tokens()
    with pytest.raises(Exception, match="gave no token"):
        await read(app, caller)

    async with asyncio.timeout(5):
        assert await read(app, caller) == 4


async def test_a_process_two_expiries_behind_gets_a_token_that_works(
    open_again: Any, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    assert await read(app, caller) == 4
    async with open_again() as other:
        acme.expire_access_tokens()
        assert await read(other, caller) == 4
    acme.counters.refreshes = 0
    acme.expire_access_tokens()

    assert await read(app, caller) == 4  # its own token is dead, and so is the one in the store

    assert (acme.counters.refreshes, acme.counters.reuses) == (1, 0)


async def test_an_org_that_takes_no_token_is_asked_twice_and_refreshed_once(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    assert await read(app, caller) == 4
    body = '[{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]'
    acme.fault("status", path=".*/query.*", status=401, body=body, times=10)
    acme.counters.refreshes, acme.requests[:] = 0, []

    with pytest.raises(CallError, match="INVALID_SESSION_ID|expired"):
        await read(app, caller)

    assert acme.counters.refreshes == 1
    assert sum("/query" in seen.path for seen in acme.requests) == 2
