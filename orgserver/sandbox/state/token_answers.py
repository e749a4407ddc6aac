"""How an org's OAuth endpoints answer: as they should, until a test says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


@dataclass(slots=True)
class TokenAnswers:
    """How the OAuth endpoints behave, and misbehave."""

    org_id: str | None = None
    instance_url: str | None = None
    fields: dict[str, Any] = field(default_factory=dict, repr=False)
    """What token answers say in place of the truth, field by field."""
    without: list[str] = field(default_factory=list)
    """Fields that token answers lack."""
    identity_org_id: str | None = None
    identity_url: str | None = None
    """Where identity answers say the org lives, in place of the truth."""
    busy: int = 0
    """Answer this many requests with "already being processed"."""
    ip_refused: bool = False
    outside_login_hours: bool = False
    inactive_user: bool = False
    delay: tuple[float, float] | None = None
    """Seconds, at least and at most, before a token request is worked on."""
    delay_after: tuple[float, float] | None = None
    """Seconds between the work and the answer: whoever dies meanwhile has lost it."""
    random: Random = field(default_factory=Random)
    deny: bool = False
    """Whether a log-in in the browser ends with access_denied."""
    consent_page: bool = False
    """Whether a log-in in the browser waits for somebody to press Allow."""
    pkce_required: bool = False
    secret_required: bool = True
    """Whether the org's own app must show its secret ("Require Secret" in its settings)."""
    client_credentials: bool = True
    platform_cli: bool = True
    """Whether the sf command's app is installed, or the user may approve apps that are not."""
    connected_app: bool = False
    """Whether the org's app is one from before External Client Apps: it takes other audiences in assertions."""
    jwt_approved: bool = True
    """Whether an administrator approved the app for the user."""
    jwt_public_key: RSAPublicKey | None = field(default=None, repr=False)

    def pause_before(self) -> float:
        """Seconds to wait before the next token request is worked on."""
        return self.random.uniform(*self.delay) if self.delay else 0

    def pause_after(self) -> float:
        """Seconds to wait before its answer leaves."""
        return self.random.uniform(*self.delay_after) if self.delay_after else 0
