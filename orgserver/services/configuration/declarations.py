"""What files say is to be: orgs without their secrets, groups and principals, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orgserver.model.access.logins import Identity, UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Permission, PrincipalKind, Role, Selector, Subject
from orgserver.model.names import Alias
from orgserver.model.orgs import AuthKind

SECTIONS = ("orgs", "groups", "principals")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is: never the secret itself."""

    kind: str
    """``env``, ``file`` or ``command``."""
    target: str
    place: Place
    folder: str
    """Of the file that names it: paths are relative to it."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.target.partition(' ')[0] if self.kind == 'command' else self.target}"


@dataclass(frozen=True, slots=True)
class GrantDeclaration:
    """Permissions on the orgs of a selector, perhaps until a date."""

    selector: Selector
    permissions: frozenset[Permission]
    until: datetime | None
    place: Place


@dataclass(frozen=True, slots=True)
class OrgDeclaration:
    """An org. What is None is not said, and stays as it is."""

    alias: Alias
    place: Place
    enabled: bool | None = None
    tags: tuple[str, ...] = ()
    policy: Policy | None = None
    identity: Identity | None = None
    username_from: UsernameFrom | None = None
    usernames: Mapping[str, str] | None = None
    """Of principals, where they come from a map."""
    auth: AuthKind | None = None
    client_id: str | None = None
    login_url: str | None = None
    instance_url: str | None = None
    username: str | None = None
    audience: str | None = None
    api_version: str | None = None
    trusted_hosts: tuple[str, ...] | None = None
    secrets: Mapping[str, SecretReference] = field(default_factory=dict)
    """By what they are: ``client_secret``, ``refresh_token``, ``private_key``."""


@dataclass(frozen=True, slots=True)
class GroupDeclaration:
    """A group: filled by a claim, or by hand where members are said."""

    name: str
    place: Place
    claim: str | None = None
    members: tuple[str, ...] | None = None
    grants: tuple[GrantDeclaration, ...] = ()


@dataclass(frozen=True, slots=True)
class PrincipalDeclaration:
    """A principal. What is None is not said, and stays as it is."""

    name: str
    place: Place
    kind: PrincipalKind | None = None
    enabled: bool | None = None
    roles: tuple[Role, ...] = ()
    subjects: tuple[Subject, ...] = ()
    limits: Policy | None = None
    grants: tuple[GrantDeclaration, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of it."""

    source: str
    """The file or folder, as people call it."""
    orgs: Mapping[Alias, OrgDeclaration] = field(default_factory=dict)
    groups: Mapping[str, GroupDeclaration] = field(default_factory=dict)
    principals: Mapping[str, PrincipalDeclaration] = field(default_factory=dict)
    sections: frozenset[str] = frozenset()
    """Those that any file has."""
