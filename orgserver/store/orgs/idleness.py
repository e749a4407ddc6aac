"""Which logins nobody has used the refresh token of since an instant, and how many there are to be kept alive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, func, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.logins import LoginKey
from orgserver.model.names import RowId
from orgserver.model.orgs import REFRESH_TOKEN_KINDS, OrgState
from orgserver.store.orgs.login_tables import OWN, SHARED
from orgserver.store.transaction import to_datetime, to_microseconds

_orgs, _connections = SHARED.state.c, OWN.state.c


@dataclass(frozen=True, slots=True)
class IdleLogin:
    """A login whose refresh token is kept alive, and since when nobody has used it."""

    login: LoginKey
    since: datetime


async def find_idle(connection: AsyncConnection, before: datetime) -> tuple[list[IdleLogin], int]:
    """The logins that have been idle since before an instant; and how many there are, idle or not."""
    shared: Select[tuple[str, str, str | None, int]] = select(
        _orgs.row_id, _orgs.row_id.label("id"), cast(null(), Text).label("principal"), _since(_orgs)
    ).where(_orgs.state == OrgState.READY.value, _orgs.auth.in_(REFRESH_TOKEN_KINDS))
    own = select(_connections.row_id, _connections.id, _connections.principal, _since(_connections)).where(
        _connections.state == OrgState.READY.value, _connections.kind.in_(REFRESH_TOKEN_KINDS)
    )
    every = union_all(shared, own).subquery()
    rows = await connection.execute(select(every).where(every.c.since <= to_microseconds(before)))
    idle = [IdleLogin(LoginKey(RowId(of), RowId(own_id), who), to_datetime(then)) for of, own_id, who, then in rows]
    return idle, (await connection.execute(select(func.count()).select_from(every))).scalar_one()


def _since(of: Any) -> ColumnElement[int]:
    """When its refresh token was used last."""
    return func.coalesce(of.refreshed_at, of.created_at).label("since")
