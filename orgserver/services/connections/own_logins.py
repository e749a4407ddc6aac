"""A person's own logins: in which orgs they have one or may give one, and how they give, replace and end it."""

from __future__ import annotations

from dataclasses import dataclass

from orgserver.model.names import RowId
from orgserver.model.orgs import Caller, Connection, Org
from orgserver.services.calls.access import Access
from orgserver.services.connections.links import ConnectLinks
from orgserver.services.tokens import login_ends
from orgserver.store.orgs import rows
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.vault.ring import retry_behind


@dataclass(frozen=True, slots=True)
class OwnLogin:
    """An org that takes logins of people's own, and the caller's, if it was ever given."""

    org: Org
    connection: Connection | None

    @property
    def is_living(self) -> bool:
        """Whether calls can use it."""
        return self.connection is not None and self.connection.state == "ready"

    @property
    def is_by_browser(self) -> bool:
        """Whether the person gives it; else the org's key logs everybody in."""
        return self.org.username_from is None


class OwnLogins:
    """Reads and changes them."""

    def __init__(self, store: Store, access: Access, links: ConnectLinks) -> None:
        self._access = access
        self._links = links
        self._store = store

    async def read(self, caller: Caller) -> list[OwnLogin]:
        """Those of a caller, by alias of their orgs."""
        orgs = await self._access.visible(caller)
        return [OwnLogin(each, each.connection) for each in orgs if each.identity != "shared"]

    async def make_link(self, caller: Caller, row_id: str, *, replace: bool) -> str | None:
        """Where the caller gives a login to an org; None for one where they cannot."""
        for own in await self.read(caller):
            if own.org.row_id == row_id and own.is_by_browser:
                return (await self._links.make(caller.principal.name, own.org, replace=replace)).url
        return None

    async def end(self, caller: Caller, row_id: str) -> bool:
        """End the caller's login to an org; False where there is none."""

        def change(tx: Transaction) -> int:
            name, org = caller.principal.name, rows.one_in(tx, RowId(row_id))
            return login_ends.end_of_person_in(tx, self._store, org, name, login_ends.BY_ITSELF, caller) if org else 0

        is_ended = bool(await retry_behind(lambda: self._store.database.write(change)))
        if is_ended:
            await self._access.reload()
        return is_ended
