"""What proves who calls, read whole: API keys by their digests, and who a subject of an identity provider is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.principals import Subject
from orgserver.store.catalog_version import read_changes
from orgserver.store.people import tables
from orgserver.store.transaction import PreparedStatement

_keys, _subjects = tables.api_keys, tables.subjects
_EVERY_KEY = PreparedStatement(
    select(_keys.c.digest, _keys.c.id, _keys.c.principal, _keys.c.until, _keys.c.revoked_at, _keys.c.last_used_at)
)


class StoredKey(NamedTuple):
    """An API key, whether or not it still opens anything; its times are the store's."""

    digest: bytes
    id: str
    principal: str
    until: int | None
    revoked_at: int | None
    last_used_at: int | None
    """When this was read; writing a use down makes nobody read anew."""


@dataclass(frozen=True, slots=True)
class IdentitySnapshot:
    """Every key and every subject, as of one version of the store."""

    version: int
    keys: Mapping[bytes, StoredKey]
    """By digest."""
    subjects: Mapping[Subject, str]
    """Principals, by who they are for identity providers."""
    disabled: frozenset[str]
    """Principals that may use nothing."""


async def read_identities(connection: AsyncConnection, before: IdentitySnapshot | None = None) -> IdentitySnapshot:
    """Read them in one snapshot; where only orgs have changed since ``before``, they are those."""
    version, changes = await read_changes(connection, before.version if before else None)
    if before is not None and changes is not None and all(change.kind == "org" for change in changes):
        return replace(before, version=version)
    keys = await connection.run_sync(lambda sync: _EVERY_KEY.run(sync).all())
    subjects = (await connection.execute(select(_subjects))).all()
    is_disabled = tables.principals.c.enabled.is_(False)
    disabled = await connection.execute(select(tables.principals.c.name).where(is_disabled))
    return IdentitySnapshot(
        version,
        {row.digest: StoredKey._make(row) for row in keys},
        {Subject(row.issuer, row.subject): row.principal for row in subjects},
        frozenset(disabled.scalars()),
    )
