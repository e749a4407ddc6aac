"""Which schemas of a store this version reads, and which it brings to its own."""

from __future__ import annotations

from orgserver.model.errors import StoreError
from orgserver.store.files import OLDER_SCHEMAS, SCHEMA


def needs_upgrade(version: str | None, store: str, *, migrate: bool) -> bool:
    """Whether a store of this schema must be migrated; None is one that holds nothing yet.

    StoreError for a schema of a newer version, and for an older one where nobody asked to migrate.
    """
    if version == SCHEMA:
        return False
    if version is not None and version not in OLDER_SCHEMAS:
        raise StoreError(
            f"the store {store} was written by a newer orgserver (schema {version}, this one knows {SCHEMA})",
            hint="update orgserver, or use the store's own version",
        )
    if version is not None and not migrate:
        raise StoreError(f"the store has schema {version}; {SCHEMA} is needed", hint="run: orgserver migrate")
    return True
