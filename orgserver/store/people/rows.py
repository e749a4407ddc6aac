"""Principals, groups, grants and API keys from their rows, and as columns."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import ApiKey, Grant, Group, Permission, Role, Selector
from orgserver.model.names import RowId
from orgserver.store.transaction import to_datetime


def read_grant(row: Row[Any]) -> Grant:
    """A grant from its row."""
    return Grant(
        id=row.id,
        holder=row.principal or row.group,
        selector=read_selector(row.selector),
        permissions=read_permissions(row.permissions),
        created_at=to_datetime(row.created_at),
        row_id=RowId(row.row_id) if row.row_id is not None else None,
        until=to_datetime(row.until) if row.until is not None else None,
        by=row.created_by,
    )


def read_group(row: Row[Any], members: tuple[str, ...] = ()) -> Group:
    """A group from its row."""
    return Group(row.name, to_datetime(row.created_at), row.claim, members)


def read_key(row: Row[Any]) -> ApiKey:
    """What is known of an API key, from its row."""
    times = (row.until, row.last_used_at, row.revoked_at)
    until, last_used_at, revoked_at = (to_datetime(time) if time is not None else None for time in times)
    return ApiKey(row.id, row.principal, to_datetime(row.created_at), until, last_used_at, revoked_at)


# Of thousands of grants, most have one of a few texts.


@lru_cache(maxsize=4096)
def read_selector(text: str) -> Selector:
    """A selector from its column."""
    return Selector(text)


@lru_cache(maxsize=16)
def read_permissions(text: str) -> frozenset[Permission]:
    """Permissions from their column."""
    return frozenset(json.loads(text))


@lru_cache(maxsize=16)
def read_roles(text: str) -> frozenset[Role]:
    """Roles from their column."""
    return frozenset(json.loads(text))


@lru_cache(maxsize=256)
def read_limits(text: str) -> Policy:
    """A principal's own limits from their column."""
    return Policy.read(json.loads(text))
