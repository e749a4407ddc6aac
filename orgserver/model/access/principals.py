"""Who calls, what groups they are in, and what they were granted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import translate
from functools import cached_property
from typing import Literal

from orgserver.model.names import RowId
from orgserver.model.text import replace_unsafe

Permission = Literal["read", "write", "delete"]
PERMISSIONS: tuple[Permission, ...] = ("read", "write", "delete")
EVERY_PERMISSION: frozenset[Permission] = frozenset(PERMISSIONS)
PrincipalKind = Literal["person", "service"]
Role = Literal["auditor", "admin"]
ROLES: tuple[Role, ...] = ("auditor", "admin")
LOCAL = "local:"
"""How the names of those begin who use orgserver on its own machine; nobody else's may."""
MADE_BY_SIGN_IN = "person-"
"""How the names of those begin who became somebody by signing in."""
SelectorKind = Literal["alias", "all", "glob", "tag"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}")
_GLOB = re.compile(r"[a-z0-9*?\[\]_-]{1,63}")
_TAG = "tag:"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, as the transport has proven it. ``local:…`` holds every permission on every org."""

    name: str
    claims: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """What an issuer's access token says of them in this call, as far as it may be believed."""

    @property
    def is_local(self) -> bool:
        """Whether it is the user of this machine, to whom no grants apply."""
        return self.name.startswith(LOCAL)


@dataclass(frozen=True)
class Selector:
    """Which orgs a grant is about: an alias, ``*``, a glob on aliases (``emea-*``), or ``tag:NAME``."""

    text: str

    @cached_property
    def kind(self) -> SelectorKind:
        """Which of the four forms it has."""
        if self.text == "*":
            return "all"
        if self.text.startswith(_TAG):
            return "tag"
        return "glob" if any(letter in self.text for letter in "*?[") else "alias"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a glob matches, compiled once for all who hold the grant."""
        return re.compile(translate(self.text))

    @cached_property
    def tag(self) -> str:
        """The tag that ``tag:NAME`` names."""
        return self.text.removeprefix(_TAG)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a principal, or each member of a group, may do in the orgs of a selector."""

    id: str
    holder: str
    """The principal's or the group's name."""
    selector: Selector
    permissions: frozenset[Permission]
    created_at: datetime
    row_id: RowId | None = None
    """Of a selector that is an alias: the org it meant then. The grant follows its renames and ends with it."""
    until: datetime | None = None
    """From then on it counts for nothing."""
    by: str = ""
    """Who granted it."""

    def is_over(self, now: datetime) -> bool:
        """Whether its time has ended."""
        return self.until is not None and now >= self.until


def grant_text(permissions: frozenset[Permission], until: datetime | None, timespec: str = "seconds") -> str:
    """What a grant gives, and its end: ``read,write until 2027-01-01T00:00:00+00:00``."""
    return ",".join(each for each in PERMISSIONS if each in permissions) + end_text(until, timespec)


def end_text(until: datetime | None, timespec: str = "seconds") -> str:
    """The end of a grant or a key, to stand behind what ends; empty where it has none."""
    return f" until {until.isoformat(timespec=timespec)}" if until is not None else ""


@dataclass(frozen=True, slots=True)
class Group:
    """Principals that share grants. Members by hand, or, with ``claim``, those whose identity provider says so."""

    name: str
    created_at: datetime
    claim: str | None = None
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it is kept: its digest stays in the store."""

    id: str
    """What people say of it: ``--revoke-key ID``."""
    principal: str
    created_at: datetime
    until: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether it opens nothing any more."""
        return self.revoked_at is not None or (self.until is not None and now >= self.until)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a principal is for an identity provider."""

    issuer: str
    subject: str


def read_principal_name(text: str) -> str:
    """Read a principal's or a group's name; ValueError says what is wrong with it."""
    if text.startswith(LOCAL):
        raise ValueError(f"names that begin with {LOCAL} are those of this machine's own users")
    if not _NAME.fullmatch(text):
        raise ValueError("a name has 1 to 127 letters, digits and . _ @ + -, and begins with a letter or digit")
    return text


def read_selector(text: str) -> Selector:
    """Read a selector; ValueError says what is wrong with it."""
    selector = Selector(text)
    if selector.kind == "tag":
        if not selector.tag or replace_unsafe(selector.tag) != selector.tag:
            raise ValueError("a tag is named behind the colon: tag:NAME")
    elif not _GLOB.fullmatch(text) or text.count("[") != text.count("]"):
        raise ValueError("a selector is an alias, *, a glob on aliases such as emea-*, or tag:NAME")
    return selector


def read_permissions(text: str) -> frozenset[Permission]:
    """Read ``read,write,delete`` or some of it; ValueError names what is none."""
    words = [word.strip() for word in text.split(",")]
    unknown = [word for word in words if word not in PERMISSIONS]
    if unknown:
        raise ValueError(f"{unknown[0] or 'an empty word'} is no permission; there are {', '.join(PERMISSIONS)}")
    return frozenset(permission for permission in PERMISSIONS if permission in words)
