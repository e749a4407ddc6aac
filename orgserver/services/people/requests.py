"""What is to be changed of a principal or a group: each is done whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.access.principals import (
    Permission,
    PrincipalKind,
    Role,
    Selector,
    Subject,
    read_permissions,
    read_selector,
)


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """Permissions that are to be had in the orgs of a selector."""

    selector: Selector
    permissions: frozenset[Permission]
    until: datetime | None = None
    """Its end, where it has one of its own."""


@dataclass(frozen=True, slots=True)
class GrantChanges:
    """Grants to be given, which replace those with the same selector, and others to be taken back."""

    grants: tuple[GrantRequest, ...] = ()
    until: datetime | None = None
    """The end of those of ``grants`` that have none of their own."""
    revoked: tuple[Selector, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """API keys to be made and ended."""

    new: bool = False
    until: datetime | None = None
    """The end of the new one."""
    revoked: tuple[str, ...] = ()
    """Ids, or beginnings of them that no other key of the principal has."""


@dataclass(frozen=True, slots=True)
class PrincipalChanges:
    """What is to be another of a principal; None and empty: stays."""

    kind: PrincipalKind | None = None
    enabled: bool | None = None
    roles: tuple[Role, ...] = ()
    no_roles: tuple[Role, ...] = ()
    groups: tuple[str, ...] = ()
    no_groups: tuple[str, ...] = ()
    subjects: tuple[Subject, ...] = ()
    no_subjects: tuple[Subject, ...] = ()
    limits: PolicyEdit = field(default_factory=PolicyEdit)
    """Of its own limits."""
    grants: GrantChanges = GrantChanges()
    keys: KeyChanges = KeyChanges()


@dataclass(frozen=True, slots=True)
class GroupChanges:
    """What is to be another of a group."""

    claim: str | None = None
    """Empty: from now on it is filled by hand."""
    members: tuple[str, ...] = ()
    no_members: tuple[str, ...] = ()
    grants: GrantChanges = GrantChanges()


def read_grants(texts: Iterable[str]) -> tuple[GrantRequest, ...]:
    """Read ``SELECTOR:read,write,delete`` each; those with the same selector add up. ValueError says what is wrong."""
    requests: dict[str, GrantRequest] = {}
    for text in texts:
        request = _read_grant(text)
        before = requests.get(request.selector.text)
        permissions = request.permissions | (before.permissions if before else frozenset())
        requests[request.selector.text] = GrantRequest(request.selector, permissions)
    return tuple(requests.values())


def _read_grant(text: str) -> GrantRequest:
    selector, colon, permissions = text.rpartition(":")
    if not colon:
        raise ValueError("a grant is SELECTOR:read,write,delete, such as acme:read or 'emea-*:read,write'")
    return GrantRequest(read_selector(selector), read_permissions(permissions))
