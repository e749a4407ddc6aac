"""People's own logins to orgs: each is given once, lasts until it is ended, and stays on record after that.

What is sealed of one lies under a data key of its own, which is destroyed when it ends. Whoever logs in again gets
another login, with another id: nothing that was begun with the earlier one goes on with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, insert, not_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.logins import Approvals, LoginKey
from orgserver.model.names import OrgId, RowId
from orgserver.model.orgs import AccessToken, Connection, Credential, OrgState, OrgUser
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.orgs import rows
from orgserver.store.orgs.credentials import Credentials
from orgserver.store.orgs.login_tables import OWN, SHARED
from orgserver.store.people import connection_tables
from orgserver.store.transaction import Transaction, to_microseconds
from orgserver.vault.keys import Unsealable

_connections, _credentials = OWN.state, OWN.credentials
_of, _map = _connections.c, connection_tables.username_map
ENDED = "ended"
"""What people call the state of a login that was ended on purpose: nothing of it is left, and nothing is to be done."""


class Connections:
    """Reads and changes of them. Methods ``…_in`` are changes for the writer."""

    def __init__(self, credentials: Credentials) -> None:
        self._logins = credentials

    # -- reading

    async def read_all(self, connection: AsyncConnection) -> dict[tuple[RowId, str], Connection]:
        """Every one, also those that have ended, by org and principal."""
        every = map(rows.read_connection, await connection.execute(select(_connections)))
        return {(each.row_id, each.principal): each for each in every}

    async def find(self, connection: AsyncConnection, row_id: RowId, principal: str) -> Connection | None:
        """A principal's login to an org."""
        row = (await connection.execute(_query(row_id, principal))).first()
        return rows.read_connection(row) if row is not None else None

    async def read_living(self, connection: AsyncConnection) -> list[tuple[RowId, str]]:
        """Orgs and principals of those that have something left to end."""
        living = select(_of.row_id, _of.principal).join(_credentials, _credentials.c.id == _of.id)
        return [(RowId(row.row_id), row.principal) for row in await connection.execute(living)]

    async def count_by_state(self, connection: AsyncConnection) -> dict[str, int]:
        """How many there are in each state; those that were ended on purpose, of which nothing is left, apart."""
        waits = and_(_of.kind == "jwt", _of.confirmed_at.is_(None))
        is_ended = and_(_of.state == OrgState.NEEDS_LOGIN.value, _credentials.c.id.is_(None), not_(waits))
        state = select(case((is_ended, ENDED), else_=_of.state).label("state"))
        every = state.outerjoin_from(_connections, _credentials, _credentials.c.id == _of.id).subquery().c
        counts = await connection.execute(select(every.state, func.count()).group_by(every.state))
        by_state = {each.value: 0 for each in OrgState if each is not OrgState.DISABLED} | {ENDED: 0}
        return by_state | {row[0]: row[1] for row in counts}

    async def count_approvals(self, connection: AsyncConnection, client_id: str, user_id: str) -> int:
        """How many living refresh tokens this store has of one Salesforce user and app: Salesforce lets five live."""
        shared, own = SHARED.credentials.c, _credentials.c
        orgs = SHARED.state.c
        of_shared = select(shared.row_id).join(SHARED.state, orgs.row_id == shared.row_id)
        of_own = select(own.id).join(_connections, _of.id == own.id)
        living = union_all(
            of_shared.where(shared.refresh_token.is_not(None), shared.client_id == client_id, orgs.user_id == user_id),
            of_own.where(own.refresh_token.is_not(None), own.client_id == client_id, _of.user_id == user_id),
        ).subquery()
        return (await connection.execute(select(func.count()).select_from(living))).scalar_one()

    async def find_overdue_holders(self, connection: AsyncConnection, before: int) -> list[str]:
        """Of people's logins what ``diagnostics.find_overdue_holders`` says of those that all share."""
        leases, own = tables.leases.c, _credentials.c
        overdue = (
            select(leases.holder)
            .join(_connections, _of.id == leases.row_id)
            .join(_credentials, and_(own.id == leases.row_id, own.fencing == leases.fencing))
            .where(leases.expires_at < before, leases.sent_at.is_not(None), _of.state == OrgState.READY.value)
        )
        return list((await connection.execute(overdue)).scalars())

    async def read_approvals(self, connection: AsyncConnection, least: int = 1) -> list[Approvals]:
        """The same of every user and app of which there are so many at least, by user."""
        orgs, shared, own = SHARED.state.c, SHARED.credentials.c, _credentials.c
        of_shared = (
            select(shared.client_id, orgs.user_id, orgs.username, orgs.alias)
            .join(SHARED.state, orgs.row_id == shared.row_id)
            .where(shared.refresh_token.is_not(None), orgs.user_id.is_not(None))
        )
        of_own = (
            select(own.client_id, _of.user_id, _of.username, orgs.alias)
            .join(_connections, _of.id == own.id)
            .join(SHARED.state, orgs.row_id == _of.row_id)
            .where(own.refresh_token.is_not(None), _of.user_id.is_not(None))
        )
        every = union_all(of_shared, of_own).subquery().c
        count = func.count()
        grouped = select(every.user_id, func.min(every.username), func.min(every.alias), count)
        crowded = grouped.group_by(every.client_id, every.user_id).having(count >= least).order_by(every.user_id)
        return [Approvals(*row) for row in await connection.execute(crowded)]

    def find_in(self, tx: Transaction, row_id: RowId, principal: str) -> Connection | None:
        """The same as ``find``, in a change."""
        row = tx.connection.execute(_query(row_id, principal)).first()
        return rows.read_connection(row) if row is not None else None

    def of_in(self, tx: Transaction, *, principal: str | None = None, row_id: RowId | None = None) -> list[Connection]:
        """Every one of a principal, of an org, or of both, also those that have ended."""
        return _read(tx, select(_connections).where(*_holder(principal, row_id)))

    def ends_of_in(
        self, tx: Transaction, *, principal: str | None = None, row_id: RowId | None = None
    ) -> list[Connection]:
        """Of the same those that have something left to end."""
        living = select(_connections).join(_credentials, _credentials.c.id == _of.id)
        return _read(tx, living.where(*_holder(principal, row_id)))

    def user_is_taken_in(self, tx: Transaction, org_id: OrgId, user_id: str, principal: str) -> bool:
        """Whether a Salesforce user is another principal's login already, by whatever alias of its org."""
        return _is_taken(tx, org_id, principal, _of.user_id == user_id)

    def username_is_taken_in(self, tx: Transaction, org_id: OrgId, username: str, principal: str) -> bool:
        """The same of a username, where no user is known yet."""
        return _is_taken(tx, org_id, principal, func.lower(_of.username) == username.lower())

    # -- changing

    def add_in(
        self, tx: Transaction, connection: Connection, credential: Credential | None, access: AccessToken | None
    ) -> Credential | None:
        """Write a login that was proven, or one that waits (no credential); what it replaces, to be revoked."""
        earlier = self.find_in(tx, connection.row_id, connection.principal)
        replaced = self.forget_in(tx, earlier.key) if earlier is not None else None
        tx.connection.execute(insert(_connections).values(_columns(connection)))
        if credential is not None:
            self._logins.add_own_in(tx, connection.key, credential, access)
        if access is not None:
            self._logins.touch_in(tx, connection.key)
        changed_in(tx, "connection", connection.id)
        return replaced

    def end_in(self, tx: Transaction, login: LoginKey, cause: str) -> Credential | None:
        """End a login: its tokens, its lease and its data key are gone; what is to be revoked of it, if it opens."""
        credential = self._destroy_in(tx, login)
        ended = {"state": OrgState.NEEDS_LOGIN.value, "cause": cause, "problem": None, "held": False}
        tx.connection.execute(update(_connections).where(_of.id == login.id).values(ended))
        changed_in(tx, "connection", login.id)
        return credential

    def forget_in(self, tx: Transaction, login: LoginKey) -> Credential | None:
        """End a login and forget that it was there; what is to be revoked of it, if it opens."""
        credential = self._destroy_in(tx, login)
        tx.connection.execute(delete(_connections).where(_of.id == login.id))
        changed_in(tx, "connection", login.id)
        return credential

    def confirm_in(self, tx: Transaction, login: LoginKey, by: str) -> bool:
        """Let a login by assertion go on: somebody has seen whose it is. False where there is no such."""
        values = {"state": OrgState.READY.value, "cause": None, "confirmed_at": tx.now, "confirmed_by": by}
        waits = _of.id == login.id, _of.principal == login.principal, _of.kind == "jwt"
        if tx.connection.execute(update(_connections).where(*waits).values(values)).rowcount == 0:
            return False
        if self._logins.fencing_in(tx, login) is None:
            client_id = tx.connection.execute(_app_of(login.row_id)).scalar_one()
            self._logins.add_own_in(tx, login, Credential(client_id, None, None), None)
        changed_in(tx, "connection", login.id)
        return True

    def pin_in(self, tx: Transaction, login: LoginKey, user: OrgUser) -> bool:
        """Note which Salesforce user answered to an assertion first; False where one is noted already."""
        unpinned = _of.id == login.id, _of.user_id.is_(None)
        values = {"user_id": user.id, "username": user.username, "user_time_zone": user.time_zone}
        if tx.connection.execute(update(_connections).where(*unpinned).values(values)).rowcount == 0:
            return False
        changed_in(tx, "connection", login.id)
        return True

    # -- which user a principal is, where one key logs everybody in

    async def read_map(self, connection: AsyncConnection, org_id: OrgId) -> dict[str, str]:
        """The usernames that an administrator's file gives to principals."""
        query = select(_map.c.principal, _map.c.username).where(_map.c.org_id == org_id).order_by(_map.c.principal)
        return {row.principal: row.username for row in await connection.execute(query)}

    async def mapped_username(self, connection: AsyncConnection, org_id: OrgId, principal: str) -> str | None:
        """The one that it gives to this principal."""
        username: str | None = (await connection.execute(_mapped(org_id, principal))).scalar()
        return username

    def mapped_username_in(self, tx: Transaction, org_id: OrgId, principal: str) -> str | None:
        """The same, in a change."""
        username: str | None = tx.connection.execute(_mapped(org_id, principal)).scalar()
        return username

    def map_in(self, tx: Transaction, org_id: OrgId, usernames: Mapping[str, str]) -> None:
        """Write what the file says over what an earlier one said; no username is there twice, in whatever case."""
        tx.connection.execute(delete(_map).where(_map.c.org_id == org_id))
        rows_of = [{"org_id": org_id, "principal": who, "username": name.lower()} for who, name in usernames.items()]
        if rows_of:
            tx.connection.execute(insert(_map), rows_of)

    def unmap_in(self, tx: Transaction, principal: str) -> None:
        """Forget what it says of a principal, in every org."""
        tx.connection.execute(delete(_map).where(_map.c.principal == principal))

    def _destroy_in(self, tx: Transaction, login: LoginKey) -> Credential | None:
        """Take away everything with which a login could be used again; what is to be revoked of it.

        In a copy of a store that is nothing, until the login has been tried: the original goes on with its token.
        """
        is_held = tx.connection.execute(select(_of.held).where(_of.id == login.id)).scalar()
        try:
            credential = None if is_held else self._logins.credential_in(tx, login)
        except Unsealable:  # it is ended all the same
            credential = None
        for table, column in _SECRETS:
            tx.connection.execute(delete(table).where(table.c[column] == login.id))
        tx.after_commit.append(partial(self._logins.forget_data_key, login.id))
        return credential


_SECRETS = ((OWN.access_tokens, "id"), (_credentials, "id"), (tables.leases, "row_id"), (tables.data_keys, "owner"))
"""Where something of a login stands, and the column that says of which."""


def _mapped(org_id: OrgId, principal: str) -> Select[Any]:
    return select(_map.c.username).where(_map.c.org_id == org_id, _map.c.principal == principal)


def _query(row_id: RowId, principal: str) -> Select[Any]:
    return select(_connections).where(*_holder(principal, row_id))


def _holder(principal: str | None, row_id: RowId | None) -> list[ColumnElement[bool]]:
    who = [_of.principal == principal] if principal is not None else []
    return [*who, *([_of.row_id == row_id] if row_id is not None else [])]


def _read(tx: Transaction, query: Select[Any]) -> list[Connection]:
    return [rows.read_connection(row) for row in tx.connection.execute(query.order_by(_of.row_id, _of.principal))]


def _is_taken(tx: Transaction, org_id: OrgId, principal: str, same: ColumnElement[bool]) -> bool:
    orgs = SHARED.state.c
    others = select(_of.id).join(SHARED.state, orgs.row_id == _of.row_id)
    query = others.where(orgs.org_id == org_id, _of.principal != principal, same)
    return tx.connection.execute(query.limit(1)).first() is not None


def _app_of(row_id: RowId) -> Select[Any]:
    credentials = SHARED.credentials.c
    return select(credentials.client_id).where(credentials.row_id == row_id)


def _columns(connection: Connection) -> dict[str, Any]:
    """The columns of a new row."""
    user, confirmed_at = connection.user, connection.confirmed_at
    return {
        "id": connection.id,
        "row_id": connection.row_id,
        "principal": connection.principal,
        "kind": connection.kind,
        "user_id": user.id if user is not None else None,
        "username": connection.username,
        "user_time_zone": user.time_zone if user is not None else None,
        "state": connection.state.value,
        "cause": connection.cause,
        "problem": rows.problem_column(connection.problem),
        "held": connection.refresh_suspended,
        "created_at": to_microseconds(connection.created_at),
        "refreshed_at": to_microseconds(connection.refreshed_at) if connection.refreshed_at is not None else None,
        "confirmed_at": to_microseconds(confirmed_at) if confirmed_at is not None else None,
    }


def is_waiting(connection: Connection) -> bool:
    """Whether an administrator is to say that it may be used."""
    return connection.kind == "jwt" and connection.confirmed_at is None


def is_ended(connection: Connection, holders: Collection[tuple[RowId, str]]) -> bool:
    """Whether it was ended on purpose, so that nobody is to do anything about it; as ``count_by_state`` counts.

    ``holders`` are the orgs and principals of whose logins something is kept (``read_living``).
    """
    is_kept = (connection.row_id, connection.principal) in holders
    return connection.state is OrgState.NEEDS_LOGIN and not is_kept and not is_waiting(connection)
