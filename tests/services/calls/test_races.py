"""Grants that change while calls run at once in several processes: each call is decided by what holds when it begins."""

import asyncio

from orgserver.app import App
from orgserver.model.access.principals import Selector
from orgserver.model.errors import CallError
from orgserver.model.orgs import Caller
from orgserver.services.people.requests import GrantChanges, PrincipalChanges, read_grants
from tests import operations
from tests.conftest import OpenApp
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
