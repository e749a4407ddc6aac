"""The person's word on a login that Salesforce has given: it is stored, or revoked, and never left lying about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from orgserver.model.access.logins import MOST_APPROVALS
from orgserver.model.audit import Outcome
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import AccessToken, Connection, Credential, Org, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.services.calls.access import Access
from orgserver.services.connections import entries
from orgserver.services.connections.checks import Checks
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.services.connections.visitors import Visitor
from orgserver.services.observer import Observer
from orgserver.store import tables
from orgserver.store.orgs import rows
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.orgs.connect_links import ConnectLink
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction, to_datetime
from orgserver.vault.ring import retry_behind

_NOT_CONFIRMED = "NOT_CONFIRMED"


@dataclass(frozen=True, slots=True)
class Answered:
    """A login that waits for the person's word."""

    link: ConnectLink
    org: Org
    user: OrgUser
    before: str | None
    """The Salesforce user whose login it takes the place of."""
    ends_oldest: bool
    """Whether Salesforce ends the oldest login of that user for it."""


class Storing:
    """Asks for it, and does as it says."""

    def __init__(self, store: Store, access: Access, checks: Checks, observer: Observer | None = None) -> None:
        self._store = store
        self._observer = observer or Observer()
        self._access = access
        self._checks = checks
        self._links = store.connect_links

    async def find(self, link_id: str, visitor: Visitor | None) -> ConnectLink | Refusal:
        """The login of an id that waits for a word of this browser's person."""
        async with self._store.database.reading() as connection:
            link = await self._links.find(connection, link_id=link_id)
        if link is None or link.stage != "answered" or link.expires_at <= self._store.database.clock():
            return Refusal(RefusalKind.OVER)
        if visitor is None:
            return Refusal(RefusalKind.OTHER_BROWSER)
        return visitor.check_begun(link) or link

    async def show(self, link: ConnectLink) -> Answered | Refusal:
        """What the person is asked."""
        org = await self._checks.find_org(link)
        if isinstance(org, Refusal):
            return org
        secrets = await retry_behind(lambda: self._store.database.write(lambda tx: self._links.open_in(tx, link)))
        user = _user_of(secrets)
        if user is None:  # cut off before Salesforce had said who it is
            return Refusal(RefusalKind.OVER)
        async with self._store.database.reading() as connection:
            count = await self._store.orgs.connections.count_approvals(connection, secrets["client_id"], user.id)
        before = await self.find_connection(link)
        name = before.username if before is not None else None
        return Answered(link, org, user, name, count >= MOST_APPROVALS)

    async def find_connection(self, link: ConnectLink) -> Connection | None:
        """The login that the principal of a link has to its org, whether or not it still works."""
        return (await self._access.catalog()).connections.get((link.row_id, link.principal))

    def check_user(self, link: ConnectLink, org: Org, catalog: OrgSnapshot, user: OrgUser) -> Refusal | None:
        """Why this Salesforce user may not become the link's principal's login, if that may not be."""
        own = catalog.connections.get((org.row_id, link.principal))
        pinned = own.user if own is not None else None
        if pinned is not None and pinned.id != user.id and not link.replace:
            return Refusal(RefusalKind.OTHER_USER, {"pinned": pinned.username, "came": user.username})
        for (row_id, principal), each in catalog.connections.items():
            there = catalog.by_row.get(row_id)
            is_same_org = there is not None and there.org_id == org.org_id
            if is_same_org and principal != link.principal and each.user is not None and each.user.id == user.id:
                return Refusal(RefusalKind.USER_TAKEN, {"came": user.username})
        return None

    async def keep(self, link: ConnectLink) -> Connection | Refusal:
        """Store a login as the person said, if everything is still as it was shown."""

        def change(tx: Transaction, org: Org, catalog: OrgSnapshot) -> Connection | Refusal:
            secrets = self._links.open_in(tx, link)
            user = _user_of(secrets)
            if user is None:
                return Refusal(RefusalKind.OVER)
            refusal = self.check_user(link, org, catalog, user)
            if refusal is None and _client_id_in(tx, org) != secrets["client_id"]:
                refusal = Refusal(RefusalKind.APP_CHANGED)
            if refusal is None and self._links.remove_in(tx, link, "answered") is None:
                refusal = Refusal(RefusalKind.OVER)
            return refusal or self._add_in(tx, link, org, user, secrets)

        result = await self._checks.write(link, link.proof, change)
        if isinstance(result, Refusal):
            return await self.give_up(link, result)
        self._observer.connected(Outcome.SUCCEEDED)
        await self._access.reload()
        return result

    async def discard(self, link: ConnectLink) -> None:
        """Do away with a login as the person said."""

        def change(tx: Transaction) -> bool:
            secrets = self._links.remove_in(tx, link, link.stage)
            if secrets is not None:
                self._revoke_in(tx, link, secrets)
                entries.record_in(tx, self._store, link, Outcome.DENIED, entries.DISCARDED, _user_of(secrets))
            return secrets is not None

        if await retry_behind(lambda: self._store.database.write(change)):
            self._observer.connected(Outcome.DENIED)

    async def give_up(
        self, link: ConnectLink, refusal: Refusal, secrets: Mapping[str, Any] | None = None, org: Org | None = None
    ) -> Refusal:
        """End a login of which nothing comes, on record.

        ``secrets`` are those that only the caller has; ``org`` is where they came from, which may be removed by now.
        """

        def change(tx: Transaction) -> bool:
            there = self._links.remove_in(tx, link, link.stage)
            is_first = there is not None or secrets is not None
            if is_first:
                self._revoke_in(tx, link, secrets or there, org)
                entries.record_refusal_in(tx, self._store, link, refusal)
            return is_first

        if await retry_behind(lambda: self._store.database.write(change)):
            record = refusal.kind.record
            self._observer.connected(record if isinstance(record, Outcome) else Outcome.DENIED)
        return refusal

    async def sweep(self) -> int:
        """Take out links that nobody goes on with, and have revoked what Salesforce gave; how many."""

        def change(tx: Transaction) -> list[str]:
            late = self._links.sweep_in(tx)
            for link, secrets in late:
                self._revoke_in(tx, link, secrets)
                if link.stage == "answered":
                    entries.record_in(tx, self._store, link, Outcome.DENIED, _NOT_CONFIRMED, _user_of(secrets))
            return [link.stage for link, _ in late]

        async with self._store.database.reading() as connection:
            if not await self._links.count(connection):
                return 0
        stages = await retry_behind(lambda: self._store.database.write(change))
        for _ in range(stages.count("answered")):
            self._observer.connected(Outcome.DENIED)
        return len(stages)

    def _add_in(
        self,
        tx: Transaction,
        link: ConnectLink,
        org: Org,
        user: OrgUser,
        secrets: Mapping[str, Any],
    ) -> Connection:
        connection = Connection(
            id=RowId(new_id()),
            row_id=org.row_id,
            principal=link.principal,
            kind="web",
            user=user,
            username=user.username,
            state=OrgState.READY,
            cause=None,
            problem=None,
            created_at=to_datetime(tx.now),
            refreshed_at=to_datetime(tx.now),
        )
        credential = Credential(secrets["client_id"], None, Secret(secrets["refresh_token"]), fencing=1)
        access = AccessToken(Secret(secrets["access_token"]), org.instance_url, 1)
        old = self._store.orgs.connections.add_in(tx, connection, credential, access)
        if old is not None and old.refresh_token is not None:
            self._store.revocations.add_in(tx, org, link.principal, old.refresh_token)
        entries.record_in(tx, self._store, link, Outcome.SUCCEEDED, user=user)
        return connection

    def _revoke_in(
        self, tx: Transaction, link: ConnectLink, secrets: Mapping[str, Any] | None, org: Org | None = None
    ) -> None:
        """Have Salesforce told that what it gave to a link is over: the refresh token, or else the access token."""
        text = (secrets or {}).get("refresh_token") or (secrets or {}).get("access_token")
        org = rows.one_in(tx, link.row_id) or org
        if text is not None and org is not None:
            self._store.revocations.add_in(tx, org, link.principal, Secret(text))


def _user_of(secrets: Mapping[str, Any] | None) -> OrgUser | None:
    """Who logged in; None while that is not known."""
    if not secrets or "username" not in secrets:
        return None
    return OrgUser(secrets["user_id"], secrets["username"], secrets["time_zone"])


def _client_id_in(tx: Transaction, org: Org) -> str | None:
    credentials = tables.credentials
    own = select(credentials.c.client_id).where(credentials.c.row_id == org.row_id)
    return tx.connection.execute(own).scalar()
