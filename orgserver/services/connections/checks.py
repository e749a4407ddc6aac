"""May this link go on: the person, the proof of who they are, and the org, as the store has them now.

It is asked at every step, in the transaction that makes the step: a link must not outlive what it was given for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import select

from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller, Org
from orgserver.services.calls import decision
from orgserver.services.calls.access import Access
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.store import tables
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.orgs.connect_links import ConnectLink
from orgserver.store.people.tables import api_keys
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.vault.ring import retry_behind

T = TypeVar("T")
SESSION, KEY, COMMAND = "session", "key", "command"
_BY_BROWSER = frozenset({"web", "refresh-token"})


class Checks:
    """Makes changes that hold only as long as a link may go on."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    async def find_org(self, link: ConnectLink) -> Org | Refusal:
        """The org of a link, where its principal may log in to it now."""
        return self._check(link, await self._current())

    async def write(
        self, link: ConnectLink, proof: str | None, change: Callable[[Transaction, Org, OrgSnapshot], T | Refusal]
    ) -> T | Refusal:
        """Make a change if the link may go on; in the same transaction it is proven that this still holds."""
        while True:
            catalog = await self._current()
            org = self._check(link, catalog)
            if isinstance(org, Refusal):
                return org
            result = await self._write(link, proof, catalog, org, change)
            if result is not None:
                return result
            await self._access.reload()

    async def _write(
        self,
        link: ConnectLink,
        proof: str | None,
        catalog: OrgSnapshot,
        org: Org,
        change: Callable[[Transaction, Org, OrgSnapshot], T | Refusal],
    ) -> T | Refusal | None:
        """None where the store has newer orgs or people than those that were looked at."""

        def run(tx: Transaction) -> T | Refusal | None:
            if _version_in(tx) != catalog.version:
                return None
            if not self.is_alive_in(tx, proof, link.principal):
                return Refusal(RefusalKind.PROOF_OVER)
            return change(tx, org, catalog)

        attempt: Callable[[], Awaitable[T | Refusal | None]] = lambda: self._store.database.write(run)  # noqa: E731
        return await retry_behind(attempt)

    def is_alive_in(self, tx: Transaction, proof: str | None, principal: str) -> bool:
        """Whether what showed who somebody is still does."""
        kind, _, id_ = (proof or "").partition(":")
        if kind == COMMAND:  # whoever works at this store may give anybody's
            return True
        if kind == SESSION:
            session = self._store.signin_sessions.find_in(tx, id_)
            return session is not None and session.principal == principal and session.is_live(tx.now)
        if kind != KEY:
            return False
        row = tx.connection.execute(select(api_keys).where(api_keys.c.id == id_)).first()
        if row is None or row.principal != principal or row.revoked_at is not None:
            return False
        return row.until is None or tx.now < row.until

    async def _current(self) -> OrgSnapshot:
        return await self._access.reload() if await self._access.changed() else await self._access.catalog()

    def _check(self, link: ConnectLink, catalog: OrgSnapshot) -> Org | Refusal:
        """The org as it is now; a person who may not see it learns nothing of it."""
        now, scope = self._access.now(), self._access.scope
        principal, standing = Principal(link.principal), catalog.standings.get(link.principal)
        if not principal.is_local and (standing is None or not standing.enabled):
            return Refusal(RefusalKind.NOT_ALLOWED, reason="the principal is gone or disabled")
        org = catalog.by_row.get(link.row_id)
        if org is None:
            return Refusal(RefusalKind.GONE)
        if not decision.permissions_in(principal, standing, scope, org, now):
            return Refusal(RefusalKind.NOT_ALLOWED, reason="no grant")
        return _check_org(link, org)


def command_proof(caller: Caller) -> str:
    """What a link has that a command of this person goes on with."""
    return f"{COMMAND}:{caller.principal.name}"


def _check_org(link: ConnectLink, org: Org) -> Org | Refusal:
    if org.alias != link.alias:
        return Refusal(RefusalKind.CHANGED, {"now": org.alias})
    if org.org_id != link.org_id:
        return Refusal(RefusalKind.CHANGED)
    if not org.enabled:
        return Refusal(RefusalKind.DISABLED)
    if org.identity == "shared":
        return Refusal(RefusalKind.SHARED)
    if org.username_from is not None or org.auth not in _BY_BROWSER:
        return Refusal(RefusalKind.NO_BROWSER)
    return org


def _version_in(tx: Transaction) -> int:
    return int(tx.connection.execute(select(tables.store.c.catalog_version)).scalar_one())
