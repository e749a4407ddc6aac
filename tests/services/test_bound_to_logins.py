"""What was begun with one login goes on with no other: describes, cursors, a person's yes, kept values, an undo."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from sqlalchemy import update

from orgserver.app import App
from orgserver.model.errors import InvalidArgument, LoginRequired, PolicyDenied
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.calls.approvals import Approving
from orgserver.store import tables
from orgserver.store.audit import snapshots
from orgserver.vault.keys import Unsealable
from tests import operations
from tests.own_logins import connect, newest, set_identity, user_of

ADA, BOB = "local:ada", "local:bob"
SOQL = "SELECT Id FROM Contact"


async def test_a_field_that_is_hidden_from_one_person_is_not_told_from_the_others_describe(
    app: App, acme: SandboxOrg, shared_by_two: tuple[Caller, Caller]
) -> None:
    ada, bob = shared_by_two
    acme.change_user(user_of(acme, BOB), hidden_fields={"Contact": frozenset({"Phone"})})

    seen = []
    for who in (ada, bob, ada, bob):
        view = await operations.describe(app, who, "t", "acme", "Contact")
        seen.append("Phone" in {each.name for each in view.fields})

    assert seen == [True, False, True, False]


async def test_a_cursor_ends_with_the_login_that_began_the_result(
    app: App, acme: SandboxOrg, shared_by_two: tuple[Caller, Caller]
) -> None:
    ada, _ = shared_by_two
    for number in range(3):
        await operations.create(app, ada, "t", "acme", CONTACT, {"LastName": f"L{number}"})
    page = await operations.query(app, ada, "t", "acme", SOQL, limit=1)
    again = await operations.query(app, ada, "t", "acme", SOQL, limit=1, cursor=page.next_cursor)
    assert again.records != page.records

    await connect(app, acme, ADA)

    with pytest.raises(InvalidArgument, match="cursor"):
        await operations.query(app, ada, "t", "acme", SOQL, limit=1, cursor=page.next_cursor)


async def test_a_yes_is_for_the_login_that_was_shown(
    app: App, acme: SandboxOrg, caller: Caller, shared_by_two: tuple[Caller, Caller]
) -> None:
    ada, _ = shared_by_two
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    made = [await operations.create(app, ada, "t", "acme", CONTACT, {"LastName": "L"}) for _ in range(2)]
    approving = Approving(app.store, app.access)
    for each in made:
        with pytest.raises(PolicyDenied):
            await operations.delete(app, ada, "t", "acme", CONTACT, each.id)
    for request in await approving.waiting():
        await approving.approve(caller, request)
    await operations.delete(app, ada, "t", "acme", CONTACT, made[0].id)

    await connect(app, acme, ADA)

    with pytest.raises(PolicyDenied, match="a person must allow this"):
        await operations.delete(app, ada, "t", "acme", CONTACT, made[1].id)


async def test_a_repeated_create_is_answered_without_a_login(app: App, acme: SandboxOrg, caller: Caller) -> None:
    made = await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "L"}, idempotency_key="k")
    await set_identity(app, "acme", "own")
    acme.requests.clear()

    again = await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "L"}, idempotency_key="k")

    assert again.id == made.id
    with pytest.raises(LoginRequired):
        await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "M"}, idempotency_key="new")
    await connect(app, acme, caller.principal.name)
    assert acme.requests == []
    later = await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "M"}, idempotency_key="new")
    assert later.id != made.id


async def test_an_undo_is_done_as_the_person_who_undoes(
    app: App, acme: SandboxOrg, caller: Caller, shared_by_two: tuple[Caller, Caller]
) -> None:
    ada, bob = shared_by_two
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    made = await operations.create(app, ada, "t", "acme", CONTACT, {"LastName": "L"})
    created = await newest(app, record_id=made.id)
    await operations.update(app, ada, "t", "acme", CONTACT, made.id, {"LastName": "M"})
    restorer = app.restorer()

    undo = await restorer.preview_entry(bob, (await newest(app, action="update")).id)
    await restorer.restore(bob, undo, force=False, moved={})
    second = await restorer.preview_entry(bob, created.id)

    assert undo.acts_as == user_of(acme, BOB).username
    record = acme.records.tables["Contact"][made.id]
    assert (record["LastName"], record["LastModifiedById"]) == ("L", user_of(acme, BOB).id)
    entry = await newest(app, action="undo")
    assert (entry.principal, entry.identity) == (BOB, "own")
    assert entry.salesforce_user is not None
    assert entry.salesforce_user.id == user_of(acme, BOB).id
    assert second.problem is not None  # Bob, and not Ada who made it, has changed it last
    await set_identity(app, "acme", "own")
    with pytest.raises(LoginRequired):
        await restorer.preview_entry(caller, created.id)


async def test_kept_values_belong_to_the_login_that_read_them(
    app: App, caller: Caller, shared_by_two: tuple[Caller, Caller]
) -> None:
    ada, _ = shared_by_two
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    made = await operations.create(app, ada, "t", "acme", CONTACT, {"LastName": "L"})
    entry = await newest(app, record_id=made.id)
    rows = tables.kept_values

    async with app.store.database.reading() as connection:
        kept = await snapshots.load(connection, app.store.orgs, entry.id)
    await app.store.database.write(lambda tx: tx.connection.execute(update(rows).values(login_id=None)))

    assert kept is not None
    assert kept.login_id == (await app.access.current_org(ada, "acme")).login.id  # type: ignore[union-attr]  # it is there
    async with app.store.database.reading() as connection:
        with pytest.raises(Unsealable):
            await snapshots.load(connection, app.store.orgs, entry.id)


class Person:
    """Somebody at the client who says yes, after a while."""

    answer = None

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._meanwhile = meanwhile

    async def ask(self, _question: str, _state: str) -> str:
        await self._meanwhile()
        return "accept"


async def test_a_login_that_is_given_while_a_person_thinks_is_not_what_they_said_yes_to(
    app: App, acme: SandboxOrg, caller: Caller, shared_by_two: tuple[Caller, Caller]
) -> None:
    ada, _ = shared_by_two
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    made = await operations.create(app, ada, "t", "acme", CONTACT, {"LastName": "L"})

    async def nothing() -> None:
        """Nothing happens meanwhile."""

    asked = replace(ada, elicitor=Person(lambda: connect(app, acme, ADA)))
    with pytest.raises(PolicyDenied) as changed:
        await operations.delete(app, asked, "t", "acme", CONTACT, made.id)
    assert changed.value.code == "ORG_CHANGED"
    assert made.id in acme.records.tables["Contact"]

    await operations.delete(app, replace(ada, elicitor=Person(nothing)), "t", "acme", CONTACT, made.id)
    assert made.id not in acme.records.tables["Contact"]
