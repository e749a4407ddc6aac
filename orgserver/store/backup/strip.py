"""What a copy may not have, taken out of it, and the mark that it is one."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from orgserver.store import tables
from orgserver.store.people import connection_tables
from orgserver.store.people.tables import claim_members
from orgserver.store.signin import tables as signin_tables

_CONNECTING = (
    connection_tables.connection_access_tokens,
    connection_tables.connect_links,
    connection_tables.revocations,
)
"""Of people's own logins: what the original goes on with. What it revokes must not be revoked from here once more."""
_SIGNED_IN = (signin_tables.requests, signin_tables.tokens, signin_tables.sessions, claim_members)
"""What people are signed in with, and groups that last as long: a copy that is put in revives nobody."""


def strip(connection: Connection, made_at: int) -> tuple[str, ...]:
    """Take out what must not be used twice, and mark the copy."""
    pending = select(tables.enrolments.c.row_id)
    orgs = select(tables.orgs.c.row_id)
    left_out = connection.execute(select(tables.enrolments.c.alias).order_by(tables.enrolments.c.alias)).scalars().all()
    owner = tables.data_keys.c.owner
    connection.execute(delete(tables.data_keys).where(owner.in_(pending), owner.not_in(orgs)))
    for table in (tables.enrolments, tables.access_tokens, tables.leases, tables.processes, *_CONNECTING, *_SIGNED_IN):
        connection.execute(delete(table))
    connection.execute(update(tables.store).values(copied_at=made_at))
    return tuple(left_out)
