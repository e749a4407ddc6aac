"""What ended here is revoked at Salesforce: by whoever comes first, later where nobody answers, and never by a copy."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import NoConnection, StoreError
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import AccessToken, Caller, Connection, Credential, OrgState
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.connections.reachability import Reachability
from orgserver.services.connections.revoking import GIVEN_UP_US, Revoker
from orgserver.store import tables
from orgserver.store.orgs import refreshes
from orgserver.store.orgs.connect_links import LIFE_US, ConnectLink
from orgserver.store.orgs.revocations import Revocation
from tests.conftest import Clock
from tests.own_logins import set_identity
from tests.services.connections.ends import disable, living, waiting

pytestmark = pytest.mark.both_stores


class Away:
    """A client of login hosts that are all away."""

    async def post_form(self, *_args: object) -> object:
        raise NoConnection("no connection: refused", hint=None)

    async def close_org(self, _key: str) -> None:
        """Nothing is open."""


async def test_what_a_process_that_died_left_is_revoked_by_another(
    app: App, acme: SandboxOrg, caller: Caller, ada: Connection, open_again: Any
) -> None:
    await disable(app, caller)  # and here the process dies: nobody has told Salesforce
    family = acme.logins.families[-1]
    async with open_again() as other:
        assert family.alive
        assert await other.revoker.send_due() == 1
        assert not family.alive
    assert await app.revoker.send_due() == 0, "it was done once"


async def test_a_command_tells_salesforce_before_it_ends(
    acme: SandboxOrg, caller: Caller, ada: Connection, open_again: Any
) -> None:
    family = acme.logins.families[-1]
    async with open_again() as other:
        await disable(other, caller)
    assert not family.alive


async def test_a_login_by_assertion_has_its_session_ended(
    app: App, acme: SandboxOrg, caller: Caller, ada: Connection
) -> None:
    session = acme.logins.open_session(acme.logins.families[-1])

    def hold(tx: Any) -> None:  # as if the org's key had logged her in
        connections = app.store.orgs.connections
        credential = Credential(acme.client_id, None, None, fencing=1)
        by_key = replace(ada, id=RowId(new_id()), kind="jwt", confirmed_at=ada.created_at)
        connections.add_in(tx, by_key, credential, AccessToken(Secret(session), acme.url, 1))

    await app.store.database.write(hold)
    await app.access.reload()
    await disable(app, caller)
    assert await living(app) == ["bob"]
    assert await app.revoker.send_due() == 1
    assert acme.logins.session(session) is None


async def test_a_login_host_that_is_away_is_asked_again_later(
    app: App, acme: SandboxOrg, caller: Caller, ada: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = acme.logins.families[-1]
    await disable(app, caller)
    clock, ahead = app.store.database.clock, 0
    monkeypatch.setattr(app.store.database, "clock", lambda: clock() + ahead)
    revoker = Revoker(app.store, Away())  # type: ignore[arg-type]  # as much of a client as it asks for
    assert await revoker.send_due() == 0
    assert await app.revoker.send_due() == 0, "not at once again"
    assert await waiting(app) == 1
    ahead = 61_000_000
    assert await app.revoker.send_due() == 1
    assert not family.alive


async def test_one_that_fails_ends_no_other(
    app: App, acme: SandboxOrg, caller: Caller, ada: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    families = [each for each in acme.logins.families if each.alive]
    await disable(app, caller)
    org = (await app.access.reload()).by_alias["acme"]
    token = acme.logins.begin(acme.client_id, "refresh_token api web", acme.user_id).refresh_token or ""
    await app.store.database.write(lambda tx: app.store.revocations.add_in(tx, org, "spoilt", Secret(token)))
    send = app.revoker._send

    async def fail_one(revocation: Revocation) -> bool:
        if revocation.principal == "spoilt":
            raise StoreError("the disk is full")
        await asyncio.sleep(0)  # the other has failed by now
        return await send(revocation)

    monkeypatch.setattr(app.revoker, "_send", fail_one)
    with pytest.raises(StoreError):
        await app.revoker.send_due()

    assert await waiting(app) == 1, "ada's is done"
    assert sum(each.alive for each in families) == len(families) - 1


async def test_what_cannot_be_told_for_a_day_is_given_up_on_record(
    app: App, caller: Caller, ada: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disable(app, caller)
    clock = app.store.database.clock
    monkeypatch.setattr(app.store.database, "clock", lambda: clock() + GIVEN_UP_US)
    revoker = Revoker(app.store, Away())  # type: ignore[arg-type]  # as above
    assert await revoker.send_due() == 0
    assert await waiting(app) == 0
    await app.store.audit.catch_up()
    entries = [entry async for entry in app.audit_log.entries(EntryFilter(action="enrol"))]
    assert [(entry.error_code, entry.object) for entry in entries if entry.tool == "revoke"] == [("NOT_REVOKED", "ada")]


async def test_a_copy_of_a_store_revokes_nothing(app: App, acme: SandboxOrg, caller: Caller, ada: Connection) -> None:
    await disable(app, caller)
    assert await waiting(app) == 1

    def copy(tx: Any) -> None:
        tx.connection.execute(update(tables.store).values(copied_at=tx.now))
        refreshes.hold_copied_in(tx, str)

    await app.store.database.write(copy)
    assert await waiting(app) == 0
    bob = (await app.access.reload()).connections
    (held,) = [each for each in bob.values() if each.principal == "bob"]
    assert (held.state, held.refresh_suspended) == (OrgState.IN_DOUBT, True)
    await app.people.principals.remove(caller, "bob")
    assert await living(app) == []
    assert await waiting(app) == 0, "the original goes on with it"


async def test_what_a_killed_command_left_is_revoked_beside_whatever_server_runs(
    app: App, acme: SandboxOrg, caller: Caller, clock: Clock
) -> None:
    await set_identity(app, "acme", "own")
    org = (await app.access.reload()).by_alias["acme"]
    link = ConnectLink.to_org(org, caller.principal.name, clock(), stage="answered")
    family = acme.logins.begin(acme.client_id, "refresh_token api web", acme.user_id)
    facts = {"refresh_token": family.refresh_token}
    await app.store.database.write(lambda tx: app.store.connect_links.add_in(tx, link, b"n" * 32, facts=facts))
    beside = Reachability(app.store, app.access)

    await beside.end_late()
    assert await waiting(app) == 0
    clock.advance(LIFE_US / 1_000_000 + 1)
    await beside.end_late()

    assert await waiting(app) == 1
    await app.revoker.send_due()
    assert not family.alive
