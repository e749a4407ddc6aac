"""A new login gives an org another data key, and loses nothing of what was sealed under the one before."""

from typing import Any

import pytest
from sqlalchemy import select, update

from orgserver.app import App
from orgserver.cli.store.doctor import examine
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import PolicyDenied
from orgserver.model.names import CONTACT
from orgserver.model.orgs import AuthKind, Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.calls.approvals import Approving, Request
from orgserver.services.undo.eligibility import CannotUndo
from orgserver.store import tables
from orgserver.store.approvals import UNREADABLE
from orgserver.store.orgs.rewrapping import LEFT_BEHIND, ORG, SEALED
from orgserver.store.transaction import Transaction
from tests import operations
from tests.services.orgs.test_authentication import KEY, browser, registration


@pytest.fixture
async def world(app: App, caller: Caller, acme: SandboxOrg) -> App:
    """An org that keeps values, with a change that can be undone and a request that waits for a person."""
    acme.answers.jwt_public_key = KEY.public_key()
    await app.registry.update(caller, "acme", policy={"keep_values": True, "confirm_deletes": True})
    made = await operations.create(app, caller, "salesforce_create_contact", "acme", CONTACT, {"LastName": "Byron"})
    await operations.update(app, caller, "salesforce_update_contact", "acme", CONTACT, made.id, {"Phone": "5"})
    with pytest.raises(PolicyDenied):
        await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, made.id)
    return app


async def log_in_again(app: App, caller: Caller, acme: SandboxOrg, auth: AuthKind) -> None:
    await app.enrolment.add(caller, registration(acme, auth, replace=True), browser)


async def waiting(app: App) -> list[Request]:
    return await Approving(app.store, app.access).waiting()


async def undo(app: App, caller: Caller) -> None:
    (changed,) = await app.audit_log.newest(EntryFilter(action="update"), 1)
    restorer = app.restorer()
    await restorer.restore(caller, await restorer.preview_entry(caller, changed.id), force=False, moved={})


def phones(acme: SandboxOrg) -> list[Any]:
    return [each.get("Phone") for each in acme.records.tables["Contact"].values() if each["LastName"] == "Byron"]


async def renew_key_alone(app: App) -> None:
    """What versions up to 0.1 did: another data key, and only the credential and its access token under it."""
    vault = app.keys._wrapped_keys.vault

    def change(tx: Transaction) -> None:
        (row,) = tx.connection.execute(_acme_key()).all()
        old, new, wrapped = vault.next_data_key(row.wrapped, row.owner, ORG)
        tx.connection.execute(
            update(tables.data_keys).where(tables.data_keys.c.owner == row.owner).values(wrapped=wrapped)
        )
        for sealed in SEALED:
            if sealed.name not in LEFT_BEHIND:
                for each in sealed.find.run(tx.connection, {"first": row.owner, "last": row.owner}).mappings().all():
                    sealed.keep.run(tx.connection, sealed.moved(each, old, new))

    await app.store.database.write(change)


def _acme_key() -> Any:
    return (
        select(tables.data_keys)
        .join(tables.orgs, tables.orgs.c.row_id == tables.data_keys.c.owner)
        .where(tables.orgs.c.alias == "acme")
    )


async def sealed_values(app: App) -> list[tuple[str, str | None]]:
    """What doctor says of them."""
    return [
        (each.text, each.todo) for each in await examine(app.settings, offline=True) if each.name == "sealed values"
    ]


@pytest.mark.parametrize("auth", ["refresh-token", "web", "jwt", "client-credentials"])
async def test_after_a_new_login_of_any_kind_what_is_kept_can_be_undone_and_requests_be_approved(
    world: App, caller: Caller, acme: SandboxOrg, auth: AuthKind
) -> None:
    before = await waiting(world)

    await log_in_again(world, caller, acme, auth)
    (request,) = await waiting(world)
    await Approving(world.store, world.access).approve(caller, request)
    await undo(world, caller)

    assert [request] == before
    assert request.names and UNREADABLE not in request.names
    assert phones(acme) == [None]
    assert await sealed_values(world) == []


async def test_what_an_earlier_version_left_under_an_older_key_is_told_blocks_nothing_and_comes_back(
    world: App, caller: Caller, acme: SandboxOrg
) -> None:
    names = [request.names for request in await waiting(world)]

    await renew_key_alone(world)
    ((told, todo),) = await sealed_values(world)
    shown = [request.names for request in await waiting(world)]
    with pytest.raises(CannotUndo, match="cannot be opened"):
        await undo(world, caller)
    await world.keys.rotate(caller, reseal=True)
    await undo(world, caller)

    assert told.startswith("kept values and requests, 3 of acme: ")
    assert "rotate-key --reseal" in str(todo)
    assert shown == [(UNREADABLE,)]
    assert [request.names for request in await waiting(world)] == names
    assert phones(acme) == [None]
    assert await sealed_values(world) == []


async def test_what_a_new_login_finds_under_an_older_key_comes_along(
    world: App, caller: Caller, acme: SandboxOrg
) -> None:
    await renew_key_alone(world)

    await log_in_again(world, caller, acme, "web")
    await undo(world, caller)

    assert phones(acme) == [None]


async def test_what_nothing_opens_any_more_is_told_and_blocks_nothing(world: App, caller: Caller) -> None:
    await renew_key_alone(world)
    await renew_key_alone(world)

    ((told, todo),) = await sealed_values(world)

    assert told == "kept values and requests, 3 of acme: their key is gone, and nothing opens them any more"
    assert "audit erase" in str(todo)
    assert [request.names for request in await waiting(world)] == [(UNREADABLE,)]
