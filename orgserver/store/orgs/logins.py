"""What is not secret of how orgs are logged in to, for all of them at once: nothing is opened."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.names import RowId
from orgserver.store import tables


@dataclass(frozen=True, slots=True)
class Login:
    """The app of an org's credential and, of some kinds, whom it acts as and whom its assertions are meant for."""

    client_id: str
    username: str | None
    audience: str | None
    """Only one that an operator chose."""


async def logins(connection: AsyncConnection) -> dict[RowId, Login]:
    """The login of every org."""
    columns = tables.credentials.c
    query = select(columns.row_id, columns.client_id, columns.username, columns.audience, columns.explicit_audience)
    return {
        RowId(row.row_id): Login(row.client_id, row.username, row.audience if row.explicit_audience else None)
        for row in await connection.execute(query)
    }
