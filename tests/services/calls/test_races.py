"""Grants and logins that change while calls run in several processes: each call has what holds when it begins."""

import asyncio

from orgserver.app import App
from orgserver.model.access.principals import Selector
from orgserver.model.errors import CallError
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.people.requests import GrantChanges, PrincipalChanges, read_grants
from tests import operations
from tests.conftest import OpenApp
from tests.own_logins import caller_of, connect, set_identity, user_of
from tests.services.calls.test_limits import add

REVOKED = PrincipalChanges(grants=GrantChanges(revoked=(Selector("acme"),)))
GRANTED = PrincipalChanges(grants=GrantChanges(read_grants(["acme:read"])))


async def test_under_load_what_is_revoked_ends_and_what_is_granted_begins_with_the_next_call(
    app: App, caller: Caller, open_again: OpenApp
) -> None:
    ada = await add(app, caller, "ada", "acme:read")
    is_over = False

    async def call(where: App) -> str | None:
        try:
            await operations.query(where, ada, "t", "acme", "SELECT COUNT() FROM Contact")
        except CallError as error:
            return error.code
        return None

    async def hammer(where: App) -> None:
        while not is_over:
            await call(where)

    async with open_again() as one, open_again() as other, asyncio.timeout(100):
        load = [asyncio.create_task(hammer(where)) for where in (one, other) * 3]
        codes = []
        for _ in range(12):
            for change in (REVOKED, GRANTED):
                await app.people.principals.update(caller, "ada", change)
                codes.append(await asyncio.gather(*(call(where) for where in (one, other) * 2)))
        is_over = True
        await asyncio.gather(*load)

    assert codes == [["UNKNOWN_ORG"] * 4, [None] * 4] * 12


async def test_under_load_a_login_ends_and_begins_with_the_next_call_and_nobody_has_anothers(
    app: App, acme: SandboxOrg, caller: Caller, open_again: OpenApp
) -> None:
    await set_identity(app, "acme", "own")
    ada, bob = (caller_of(name, caller) for name in ("local:ada", "local:bob"))
    await connect(app, acme, "local:bob")
    made: dict[str, list[str]] = {"local:ada": [], "local:bob": []}
    is_over = False

    async def call(where: App, who: Caller) -> str | None:
        name = who.principal.name
        try:
            made[name].append((await operations.create(where, who, "t", "acme", CONTACT, {"LastName": "L"})).id)
        except CallError as error:
            return error.code
        return None

    async def hammer(where: App, who: Caller) -> None:
        while not is_over:
            await call(where, who)

    async with open_again() as one, open_again() as other, asyncio.timeout(100):
        load = [asyncio.create_task(hammer(where, who)) for where in (one, other) for who in (ada, bob)]
        codes = []
        for _ in range(4):
            login = (await connect(app, acme, "local:ada")).key
            codes.append(await asyncio.gather(*(call(where, ada) for where in (one, other) * 2)))
            await app.store.database.write(
                lambda tx, login=login: app.store.orgs.connections.end_in(tx, login, "it was ended")
            )
            codes.append(await asyncio.gather(*(call(where, ada) for where in (one, other) * 2)))
        is_over = True
        await asyncio.gather(*load)

    assert codes == [[None] * 4, ["LOGIN_REQUIRED"] * 4] * 4
    for name, ids in made.items():
        assert {acme.records.tables["Contact"][each]["CreatedById"] for each in ids} == {user_of(acme, name).id}
    assert acme.counters.reuses == 0
