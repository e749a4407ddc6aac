"""Stores that are large: of many orgs, or of many entries of the audit log, written by the product's own code.

Also a command, ``stores.py orgs|entries|principals HOME COUNT``, that needs orgserver and nothing of the tests: so that the Python
of another checkout can run it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Principal, Selector
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.names import Alias, RowId, new_id, org_id
from orgserver.model.orgs import AccessToken, Caller, Credential, Org, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.services.people.requests import GrantChanges, KeyChanges, PrincipalChanges, read_grants
from orgserver.store.people import changes, grants
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

_AT_ONCE = 500
_GROUPS = 20


@asynccontextmanager
async def open_store(home: Path) -> AsyncIterator[Store]:
    async with open_app(read_settings({"home": home, "log_level": "error"}, {})) as app:
        yield app.store


def made_up(number: int) -> tuple[Org, Credential, AccessToken]:
    """An org that no Salesforce knows, whose secrets tell its number."""
    now = datetime.now(UTC)
    org = Org(
        row_id=RowId(new_id()), alias=Alias(f"org-{number:05}"), org_id=None, name=f"Org {number}", kind="production",
        edition=None, login_url="https://login.salesforce.com", instance_url="https://x.my.salesforce.com",
        trusted_hosts=(), api_version="v66.0", user=None, state=OrgState.READY, cause=None, problem=None,
        policy=Policy(), tags=(), source="made up", created_at=now, refreshed_at=now,
    )  # fmt: skip
    credential = Credential(
        client_id="client",
        client_secret=Secret(f"client-secret-{number}"),
        refresh_token=Secret(f"refresh-token-{number}"),
        private_key=Secret(f"private-key-{number}"),
        fencing=number,
    )
    return org, credential, AccessToken(Secret(f"access-token-{number}"), org.instance_url, number)


async def fill(app: App, orgs: int) -> dict[RowId, int]:
    """Put made-up orgs into a store, a few hundred in one transaction; which number each has."""
    numbers: dict[RowId, int] = {}
    for first in range(0, orgs, _AT_ONCE):
        some = {number: made_up(number) for number in range(first, min(first + _AT_ONCE, orgs))}

        def change(tx: Transaction, some: Any = some) -> None:
            for org, credential, access in some.values():
                app.store.orgs.add_in(tx, org, credential, access)

        await app.store.database.write(change)
        numbers |= {org.row_id: number for number, (org, _, _) in some.items()}
    return numbers


async def add_orgs(home: Path, count: int) -> None:
    """Put so many made-up orgs into a home's store."""
    async with open_app(read_settings({"home": home, "log_level": "error"}, {})) as app:
        await fill(app, count)


async def add_entries(home: Path, count: int) -> None:
    """Let a home's store have so many entries more."""

    def record(number: int) -> Coroutine[Any, Any, None]:
        intent = Intent(
            new_id(), f"principal-{number % 50}", "stdio", Action.CREATE, tool=f"tool-{number % 20}",
            org=f"org-{number % 200}", object="Contact", record_ids=(f"003Sb{number % 100_000:010d}AAA",),
            fields=("LastName", "Email"),
        )  # fmt: skip
        return store.audit.record(intent, Completion(Outcome.SUCCEEDED, duration_us=7))

    async with open_store(home) as store:
        for first in range(0, count, _AT_ONCE):
            await asyncio.gather(*map(record, range(first, min(first + _AT_ONCE, count))))
        await store.audit.catch_up()


async def add_principals(home: Path, count: int) -> None:
    """Let so many principals call the quick org, which has limits; print their keys."""
    operator = Caller(Principal("local:operator"), "cli")
    changes = PrincipalChanges(grants=GrantChanges(read_grants(["bench:read,write"])), keys=KeyChanges(new=True))
    async with open_app(read_settings({"home": home, "log_level": "error"}, {})) as app:
        await app.registry.update(operator, "bench", policy={"row_limit": 500, "confirm_above": 100})
        for number in range(count):
            changed = await app.people.principals.add(operator, f"agent-{number}", changes)
            if changed.key is not None:
                print(changed.key.text.reveal())


def well_known(number: int) -> tuple[Org, *tuple[object, ...]]:
    """A made-up org as a proven one is: with its id, its user and some tags."""
    org, credential, token = made_up(number)
    known = replace(
        org,
        org_id=org_id(f"00D{number:012d}"),
        instance_url=f"https://org-{number}.my.salesforce.com",
        user=OrgUser(f"005{number:012d}AAA", f"agent@org-{number}.example.com", "Europe/Berlin"),
        tags=("emea" if number % 3 else "apac", f"team-{number % 50}"),
    )
    return known, replace(credential, given_digest=f"{number:064x}"), token


async def add_fleet(home: Path, orgs: int, principals: int) -> None:
    """Put orgs and principals with their grants and groups into a home's store."""
    async with open_store(home) as store:
        for first in range(0, orgs, _AT_ONCE):
            some = [well_known(number) for number in range(first, min(first + _AT_ONCE, orgs))]

            def change(tx: Transaction, some=some) -> None:
                for org, credential, token in some:
                    store.orgs.add_in(tx, org, credential, token)

            await store.database.write(change)
        await grant(store, principals)


async def grant(store: Store, principals: int) -> None:
    """Principals with grants on aliases, a glob and a tag, and those of two of twenty groups."""
    async with store.database.reading() as connection:
        by_alias = (await store.orgs.catalog(connection)).by_alias
    orgs, everything = [*by_alias.values()], frozenset({"read", "write"})

    def give_in(tx: Transaction, holder: str, name: str, number: int, shared: Sequence[str]) -> None:
        exact = [by_alias["bench"], *(orgs[(number * far) % len(orgs)] for far in (1, 7, 31))]
        for org in exact:
            grants.add_in(tx, holder, name, Selector(org.alias), everything, row_id=org.row_id, until=None, by="bench")
        for text in shared:
            grants.add_in(tx, holder, name, Selector(text), everything, row_id=None, until=None, by="bench")

    def change(tx: Transaction) -> None:
        for number in range(_GROUPS):
            changes.add_group_in(tx, f"group-{number}")
            give_in(tx, "group", f"group-{number}", number, (f"org-000{number % 10}*", "tag:apac"))
        for number in range(principals):
            name = f"principal-{number}"
            changes.add_principal_in(tx, name, "person")
            give_in(tx, "principal", name, number, (f"org-00{number % 10}*", f"tag:team-{number % 50}"))
            for far in (0, 7):
                changes.join_group_in(tx, f"group-{(number + far) % _GROUPS}", name)

    await store.database.write(change)


if __name__ == "__main__":
    what, folder, number = sys.argv[1:]
    fillings = {"orgs": add_orgs, "entries": add_entries, "principals": add_principals}
    asyncio.run(fillings[what](Path(folder), int(number)))
