"""Which orgs nobody has used the refresh token of since an instant, and how many have one that is to be kept alive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.names import RowId
from orgserver.model.orgs import REFRESH_TOKEN_KINDS, OrgState
from orgserver.store import tables
from orgserver.store.transaction import to_datetime, to_microseconds


@dataclass(frozen=True, slots=True)
class IdleOrg:
    """An org whose refresh token is kept alive, and since when nobody has used it."""

    row_id: RowId
    since: datetime


async def find_idle(connection: AsyncConnection, before: datetime) -> tuple[list[IdleOrg], int]:
    """The orgs that have been idle since before an instant; and how many there are, idle or not."""
    of = tables.orgs.c
    lives = (of.state == OrgState.READY.value, of.auth.in_(REFRESH_TOKEN_KINDS))
    since = func.coalesce(of.refreshed_at, of.created_at)
    idle = select(of.row_id, since).where(*lives, since <= to_microseconds(before))
    every = select(func.count()).select_from(tables.orgs).where(*lives)
    rows = await connection.execute(idle)
    return [IdleOrg(RowId(row_id), to_datetime(then)) for row_id, then in rows], (
        await connection.execute(every)
    ).scalar_one()
