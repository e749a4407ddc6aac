"""What is left of people's own logins, and one of the ways in which they end."""

from datetime import datetime
from typing import Any

from sqlalchemy import select

from orgserver.app import App
from orgserver.model.access.principals import Selector
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.orgs import Caller, Connection
from orgserver.services.people.requests import GrantChanges, PrincipalChanges, read_grants
from orgserver.store import tables
from orgserver.store.orgs.login_tables import OWN


def granting(*texts: str, revoked: tuple[str, ...] = (), until: datetime | None = None) -> GrantChanges:
    return GrantChanges(read_grants(texts), until, tuple(map(Selector, revoked)))


async def living(app: App) -> list[str]:
    """Whose logins have something left that could be used."""
    async with app.store.database.reading() as connection:
        own = select(OWN.state.c.principal).join(OWN.credentials, OWN.credentials.c.id == OWN.state.c.id)
        return sorted((await connection.execute(own)).scalars())


async def left_of(app: App, own: Connection) -> list[Any]:
    """What is still there of a login's secrets."""
    found: list[Any] = []
    secrets = ((OWN.credentials, "id"), (OWN.access_tokens, "id"), (tables.data_keys, "owner"))
    async with app.store.database.reading() as connection:
        for table, column in secrets:
            found += (await connection.execute(select(table).where(table.c[column] == own.id))).all()
    return found


async def waiting(app: App) -> int:
    async with app.store.database.reading() as connection:
        return (await app.store.revocations.waiting(connection))[0]


async def ends_on_record(app: App) -> list[AuditEntry]:
    await app.store.audit.catch_up()
    every = [entry async for entry in app.audit_log.entries(EntryFilter(action="enrol"))]
    return [entry for entry in every if "connection" in entry.fields and entry.identity == "own"]


async def disable(app: App, caller: Caller) -> None:
    await app.people.principals.update(caller, "ada", PrincipalChanges(enabled=False))
