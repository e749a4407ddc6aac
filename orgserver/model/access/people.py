"""People as an identity provider knows them, and the clients that they sign in from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orgserver.model.access.principals import Subject


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in at the identity provider, in its words."""

    subject: Subject
    name: str
    """To be shown; never to find anybody by."""
    email: str | None = None
    is_email_verified: bool = False
    groups: tuple[str, ...] | None = None
    """Values of the claim that holds groups; None: the provider did not say, as in a refresh without an id token."""
    auth_time: int | None = None
    """When they last showed the provider who they are, in seconds since 1970 UTC; None: it does not say."""


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """An MCP client that asks for tokens. All are public: none has a secret."""

    client_id: str
    kind: Literal["registered", "document"]
    """Registered here, or described by the document at the URL that is its id."""
    name: str
    redirect_uris: tuple[str, ...]
