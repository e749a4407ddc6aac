"""Every process on a store refreshes an org's rotating token once between them, and never sends a spent one."""

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import CallError
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller, Org, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.queries.list_query import Listing
from orgserver.store.orgs import refreshes
from tests import operations


async def read(app: App, caller: Caller) -> int:
    listing = Listing(CONTACT)
    return (await operations.list_(app, caller, "salesforce_list_contacts", "acme", listing)).total_size or 0


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
    assert (await app.registry.one("acme")).state is OrgState.READY


async def test_a_lease_is_one_holders_until_it_ends(app: App) -> None:
    write = app.store.database.write

    assert isinstance(await write(lambda tx: refreshes.take_lease_in(tx, "row", "one", 60_000_000)), refreshes.Lease)
    assert await write(lambda tx: refreshes.take_lease_in(tx, "row", "two", 60_000_000)) == "one"
    assert await write(lambda tx: refreshes.take_lease_in(tx, "other row", "two", 60_000_000))
    await write(lambda tx: refreshes.release_lease_in(tx, "row", "two"))
    assert await write(lambda tx: refreshes.take_lease_in(tx, "row", "two", 60_000_000)) == "one"
    await write(lambda tx: refreshes.release_lease_in(tx, "row", "one"))
    assert isinstance(await write(lambda tx: refreshes.take_lease_in(tx, "row", "two", 60_000_000)), refreshes.Lease)


async def test_a_lease_of_a_dead_holder_ends(app: App) -> None:
    assert await app.store.database.write(lambda tx: refreshes.take_lease_in(tx, "row", "dead", 0))
    lease = await app.store.database.write(lambda tx: refreshes.take_lease_in(tx, "row", "living", 60_000_000))
    assert isinstance(lease, refreshes.Lease)


async def test_a_lease_from_a_clock_that_was_set_back_does_not_count(app: App) -> None:
    assert await app.store.database.write(lambda tx: refreshes.take_lease_in(tx, "row", "future", 3_600_000_000))
    lease = await app.store.database.write(lambda tx: refreshes.take_lease_in(tx, "row", "now", 60_000_000))
    assert isinstance(lease, refreshes.Lease)


async def test_a_refresh_gives_its_lease_back_also_when_it_fails(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("status", path=".*/token", status=400, body='{"error": "invalid_request"}')
    acme.expire_access_tokens()
    with pytest.raises(Exception, match="refused the credential"):
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


async def _refreshes(app: App) -> list[tuple[str, str | None, str | None]]:
    found = [entry async for entry in app.audit_log.entries(EntryFilter(action="refresh"))]
    assert {(entry.principal, entry.org, entry.object) for entry in found} <= {("orgserver", "acme", None)}
    return [(entry.outcome.value, entry.error_code, entry.org_id) for entry in found]


@pytest.mark.parametrize(
    ("fault", "recorded"),
    [
        ({"kind": "status", "status": 400, "body": '{"error": "inactive_user"}'}, [("rejected", "inactive_user")]),
        ({"kind": "status", "status": 503, "body": ""}, [("unknown", "in_doubt"), ("succeeded", None)]),
        ({"kind": "close", "work": False}, [("unknown", "in_doubt"), ("succeeded", None)]),
        ({"kind": "close", "work": True}, [("unknown", "in_doubt"), ("rejected", "needs_login")]),
        ({}, [("succeeded", None)]),
    ],
    ids=str,
)
async def test_every_refresh_is_on_record_as_what_became_of_it(
    app: App, caller: Caller, acme: SandboxOrg, fault: dict[str, Any], recorded: list[tuple[str, str | None]]
) -> None:
    if fault:
        acme.fault(path=".*/token", **fault)
    acme.expire_access_tokens()

    with suppress(CallError):
        await read(app, caller)

    assert await _refreshes(app) == [(*one, acme.org_id) for one in recorded]


async def test_a_refresh_that_did_not_leave_and_an_answer_that_was_not_taken_are_on_record_as_that(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    org = await app.registry.one("acme")

    async def move(to: str) -> None:
        def moved(known: Org) -> Org:
            return replace(known, login_url=to, trusted_hosts=(*org.trusted_hosts, "127.0.0.1:9"))

        await app.store.database.write(lambda tx: app.store.orgs.change_in(tx, org.row_id, moved))
        await app.access.reload()

    acme.expire_access_tokens()
    await move("http://127.0.0.1:9")
    with pytest.raises(CallError):
        await read(app, caller)
    await move(org.login_url)
    acme.answers.org_id = "00DSb0009000001MAA"
    with pytest.raises(CallError):
        await read(app, caller)

    assert [one[:2] for one in await _refreshes(app)] == [("not_sent", "no_connection"), ("denied", "quarantined")]
