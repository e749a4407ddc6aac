"""Sessions from their rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row

from orgserver.model.access.principals import Subject


@dataclass(frozen=True, slots=True)
class Session:
    """What a consent gave one client, or a sign-in one browser at /me. Times are microseconds since 1970 UTC."""

    id: str
    kind: Literal["client", "browser"]
    principal: str
    subject: Subject
    person: str
    """As the provider calls them; to be shown."""
    client_id: str | None
    client_name: str | None
    redirect_uri: str | None
    resource: str | None
    scopes: tuple[str, ...]
    auth_time: int | None
    """When the person last showed the provider who they are, in seconds since 1970 UTC."""
    created_at: int
    redeemed_at: int | None
    """When a client came for its tokens; until then nobody sees the session."""
    used_at: int | None
    expires_at: int
    ended_at: int | None
    ended_why: str | None
    has_provider_token: bool

    def is_live(self, now: int) -> bool:
        """Whether it opens anything."""
        return self.redeemed_at is not None and self.ended_at is None and now < self.expires_at


def read_session(row: Row[Any]) -> Session:
    """A session from its row."""
    return Session(
        id=row.id,
        kind=row.kind,
        principal=row.principal,
        subject=Subject(row.issuer, row.subject),
        person=row.person,
        client_id=row.client_id,
        client_name=row.client_name,
        redirect_uri=row.redirect_uri,
        resource=row.resource,
        scopes=tuple(json.loads(row.scopes)),
        auth_time=row.auth_time,
        created_at=row.created_at,
        redeemed_at=row.redeemed_at,
        used_at=row.used_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_why=row.ended_why,
        has_provider_token=row.provider_token is not None,
    )
