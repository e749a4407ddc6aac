"""The OAuth scopes that stand for permissions."""

from __future__ import annotations

from collections.abc import Iterable

from orgserver.model.access.principals import PERMISSIONS, Permission

_PREFIX = "orgs:"


def scope_of(permission: Permission) -> str:
    """The scope of one permission: ``orgs:read``."""
    return f"{_PREFIX}{permission}"


def scope_text(permissions: Iterable[Permission]) -> str:
    """The scopes of permissions, always in one order: ``orgs:read orgs:write``."""
    permissions = frozenset(permissions)
    return " ".join(scope_of(each) for each in PERMISSIONS if each in permissions)
