"""Where each kind of login stands in the store, and what its secrets are sealed with.

The login that all share has the org's own tables; people's have theirs. The seal of a person's token names the login,
its org, its fencing number and whose it is: in another row it does not open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, and_, select

from orgserver.model.access.logins import LoginKey
from orgserver.store import tables
from orgserver.store.people import connection_tables
from orgserver.vault.keys import Context

_connections, _own = connection_tables.connections, connection_tables.connection_credentials
_keys, _shared = tables.data_keys, tables.credentials


@dataclass(frozen=True, slots=True)
class LoginTables:
    """The tables of one kind of login, and the column that says in them which login it is."""

    state: Table
    credentials: Table
    access_tokens: Table
    id_column: str

    def of(self, table: Table, login: LoginKey) -> ColumnElement[bool]:
        """Which row is this login's."""
        return table.c[self.id_column] == login.id

    def id_of(self, login: LoginKey) -> dict[str, str]:
        """The same in a row that is written."""
        return {self.id_column: login.id}


SHARED = LoginTables(tables.orgs, _shared, tables.access_tokens, "row_id")
OWN = LoginTables(_connections, _own, connection_tables.connection_access_tokens, "id")


def tables_of(login: LoginKey) -> LoginTables:
    """The tables in which a login stands."""
    return OWN if login.is_own else SHARED


def credential_of(login: LoginKey) -> Select[Any]:
    """The row from which a login's credential is opened."""
    if not login.is_own:
        shared = select(_shared, _keys.c.wrapped).join(_keys, _keys.c.owner == _shared.c.row_id)
        return shared.where(_shared.c.row_id == login.row_id)
    org_keys = _keys.alias("org_keys")
    app = (
        _shared.c.client_secret,
        _shared.c.private_key,
        _shared.c.explicit_audience,
        _shared.c.client_id.label("app_id"),
        _shared.c.audience.label("app_audience"),
        org_keys.c.wrapped.label("app_wrapped"),
    )
    holder = (_connections.c.row_id, _connections.c.principal, _connections.c.kind, _connections.c.username)
    return (
        select(_own, _keys.c.wrapped, *holder, *app)
        .join(_connections, _connections.c.id == _own.c.id)
        .join(_keys, _keys.c.owner == _own.c.id)
        .join(_shared, _shared.c.row_id == _connections.c.row_id)
        .join(org_keys, org_keys.c.owner == _shared.c.row_id)
        .where(_is_holder(login))
    )


def access_token_of(login: LoginKey) -> Select[Any]:
    """The row from which a login's cached access token is opened."""
    table = tables_of(login).access_tokens
    if not login.is_own:
        shared = select(table, _keys.c.wrapped).join(_keys, _keys.c.owner == table.c.row_id)
        return shared.where(table.c.row_id == login.row_id)
    own = select(table, _keys.c.wrapped).join(_keys, _keys.c.owner == table.c.id)
    return own.join(_connections, _connections.c.id == table.c.id).where(_is_holder(login))


def _is_holder(login: LoginKey) -> ColumnElement[bool]:
    """A connection as its key names it: the row of another person, or of another org, is none."""
    of = _connections.c
    return and_(of.id == login.id, of.row_id == login.row_id, of.principal == login.principal)


def find_app_change(login: LoginKey, row: Row[Any]) -> str | None:
    """Why nothing is sent of a row of ``credential_of``, if the org's app is not the one that this login is of."""
    if not login.is_own:
        return None
    if row.kind != "web":
        return None if row.private_key is not None else "the org is not logged in to with a key any more"
    if row.client_id != row.app_id:
        return "the org was given another app since"
    return None if row.refresh_token is not None else "it has no refresh token"


def private_key_context(row_id: str) -> Context:
    """Where a private key belongs."""
    return Context(row_id, "credentials", "private_key")


def client_secret_context(row_id: str) -> Context:
    """Where a client secret belongs."""
    return Context(row_id, "credentials", "client_secret")


def refresh_token_context(login: LoginKey, fencing: int) -> Context:
    """Where a refresh token belongs: to one fencing number, so that an older one put back does not open."""
    return _context(login, tables_of(login).credentials, "refresh_token", fencing)


def access_token_context(login: LoginKey, fencing: int) -> Context:
    """Where a cached access token belongs."""
    return _context(login, tables_of(login).access_tokens, "token", fencing)


def _context(login: LoginKey, table: Table, column: str, fencing: int) -> Context:
    holder = f":{login.row_id}:{login.principal}" if login.is_own else ""
    return Context(login.id, table.name, column, f"{fencing}{holder}")
