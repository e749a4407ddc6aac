"""Each person's own login is refreshed by itself: once for all processes, and never with another's token."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from orgserver.app import App
from orgserver.model.errors import NeedsLogin, NotSent
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Connection, Credential, Org, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.store import tables
from orgserver.store.transaction import Transaction


async def connect(app: App, acme: SandboxOrg, principal: str) -> Connection:
    """As if a person had logged in in a browser as a user of their own."""
    org = await app.registry.one("acme")
    user = acme.add_user(f"{principal}@acme.test")
    family = acme.logins.begin(acme.client_id, "refresh_token api", user.id)
    connection = Connection(
        id=RowId(new_id()), row_id=org.row_id, principal=principal, kind="web",
        user=OrgUser(user.id, user.username, user.time_zone), username=user.username, state=OrgState.READY, cause=None,
        problem=None, created_at=datetime.now(UTC), refreshed_at=None,
    )  # fmt: skip

    def add(tx: Transaction) -> None:
        credential = Credential(acme.client_id, None, Secret(family.refresh_token or ""))
        app.store.orgs.connections.add_in(tx, connection, credential, None)

    await app.store.database.write(add)
    return connection


async def as_met_by(app: App, principal: str | None) -> Org:
    """The org with this person's login laid over it."""
    snapshot = await app.access.reload()
    org = snapshot.by_alias["acme"]
    return org if principal is None else org.with_connection(snapshot.connections[org.row_id, principal])


def user_of(acme: SandboxOrg, token: Secret) -> str:
    session = acme.logins.session(token.reveal())
    assert session is not None
    return session.family.user_id


async def test_one_refresh_for_each_login_at_every_expiry_and_each_has_its_own_user(
    open_again: Any, app: App, acme: SandboxOrg
) -> None:
    connections = [await connect(app, acme, principal) for principal in ("ada", "bob")]
    users: dict[str | None, str] = {each.principal: each.user.id for each in connections if each.user}
    users[None] = acme.user_id
    people = [*users]
    async with AsyncExitStack() as stack:
        processes = [app, *[await stack.enter_async_context(open_again()) for _ in range(3)]]
        for expiry in range(1, 4):
            old = {who: await app.access.tokens.current(await as_met_by(app, who)) for who in people}
            acme.counters.refreshes = 0

            async def ask(process: App, who: str | None, old: Any = old) -> tuple[str | None, str]:
                org = await as_met_by(process, who)
                token = await process.access.tokens.current(org, not_this=old[who])
                return who, user_of(acme, token.token)

            answers = await asyncio.gather(*(ask(each, who) for each in processes for who in people for _ in range(3)))

            assert all(users[who] == user for who, user in answers)
            assert (acme.counters.refreshes, acme.counters.reuses) == (len(people), 0), expiry


async def test_the_death_of_one_login_is_not_that_of_another(app: App, acme: SandboxOrg) -> None:
    await connect(app, acme, "ada")
    await connect(app, acme, "bob")
    (adas,) = [each for each in acme.logins.families if acme.users.by_id[each.user_id].username.startswith("ada@")]
    acme.logins.end(adas)

    with pytest.raises(NeedsLogin):
        await app.access.tokens.current(await as_met_by(app, "ada"))

    states = {who: (await as_met_by(app, who)).state for who in ("ada", "bob", None)}
    assert states == {"ada": OrgState.NEEDS_LOGIN, "bob": OrgState.READY, None: OrgState.READY}
    assert await app.access.tokens.current(await as_met_by(app, "bob"))
    with pytest.raises(NeedsLogin):
        await app.access.tokens.current(await as_met_by(app, "ada"))


async def test_an_answer_for_another_salesforce_user_is_not_used(app: App, acme: SandboxOrg) -> None:
    """As where somebody has put another person's refresh token into a login."""
    ada, bob = await connect(app, acme, "ada"), await connect(app, acme, "bob")

    def swap(tx: Transaction) -> None:
        connections = app.store.orgs.connections
        credential = connections.forget_in(tx, bob.key)
        assert credential is not None
        connections.add_in(tx, replace(ada, id=RowId(new_id())), replace(credential, fencing=0), None)

    await app.store.database.write(swap)
    with pytest.raises(NeedsLogin, match="another Salesforce user"):
        await app.access.tokens.current(await as_met_by(app, "ada"))
    assert (await as_met_by(app, "ada")).state is OrgState.QUARANTINED
    assert (await as_met_by(app, None)).state is OrgState.READY


async def test_a_token_that_comes_after_the_end_of_its_login_is_revoked(app: App, acme: SandboxOrg) -> None:
    ada = await connect(app, acme, "ada")
    org, store = await as_met_by(app, "ada"), app.store
    acme.fault("delay", path=".*/token", seconds=1.0)
    refresh = asyncio.ensure_future(app.access.tokens.current(org))
    while not await is_sent(app, ada):
        await asyncio.sleep(0.01)

    given_back = await store.database.write(lambda tx: store.orgs.connections.end_in(tx, ada.key, "disabled"))
    with pytest.raises(NotSent) as refused:
        await refresh

    assert refused.value.code == "TOKEN_RACE"
    (family,) = [each for each in acme.logins.families if ada.user and each.user_id == ada.user.id]
    async with store.database.reading() as connection:
        (left,) = await store.revocations.due(connection, store.database.clock(), 10)
    assert left.token == Secret(family.refresh_token or "")
    assert given_back.refresh_token != left.token
    assert left.principal == "ada"


async def is_sent(app: App, connection: Connection) -> bool:
    """Whether a refresh token of a login is on its way."""
    of = tables.leases.c
    async with app.store.database.reading() as reading:
        return (await reading.execute(select(of.sent_at).where(of.row_id == connection.id))).scalar() is not None


async def test_keep_alive_refreshes_logins_that_nobody_uses(app: App, acme: SandboxOrg) -> None:
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    connection = await connect(app, acme, "ada")

    def age(tx: Transaction) -> None:
        old = replace(connection, id=RowId(new_id()), created_at=long_ago)
        credential = app.store.orgs.connections.end_in(tx, connection.key, "made anew by the test")
        app.store.orgs.connections.add_in(tx, old, credential, None)

    await app.store.database.write(age)
    refreshed = await app.keep_alive.refresh_idle()

    assert [each.org.connection.principal for each in refreshed if each.org.connection] == ["ada"]
    assert all(each.error is None for each in refreshed)
