"""What a server with own sign-in was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from orgserver.model.secret import Secret
from orgserver.model.server_paths import MCP_PATH

CALLBACK_PATH = "/signin/callback"
ME_PATH = "/me"
CONSENT_PATH = "/signin/consent/"
CONTINUE_PATH = "/connect/continue"
"""Where those go on who signed in for a link to a login of their own."""
FORM_PATHS = (ME_PATH, CONSENT_PATH)
"""Where forms of pages for people lead, or begin the paths."""


@dataclass(frozen=True, slots=True)
class SignInOptions:
    """The identity provider, and how people come in by it."""

    url: str
    """Scheme, host and port by which people and clients reach this server; also its name as an issuer."""
    provider_issuer: str
    client_id: str
    client_secret: Secret | None = None
    """None: a public client of the provider."""
    new: Literal["refuse", "create"] = "refuse"
    """What becomes of people without a principal."""
    groups_claim: str | None = None
    match_email: bool = False
    """Whether a verified address finds the principal of that name, the first time."""
    session_hours: float = 12.0
    """How long a session lasts where the provider gives no refresh token."""
    allow_registration: bool = False
    names: frozenset[str] = frozenset()
    """Hosts, with their ports where these are not the scheme's own, by which requests may name this server."""

    @property
    def issuer(self) -> str:
        """The name of this authorization server, to the letter."""
        return self.url

    @property
    def resource(self) -> str:
        """What tokens are for (RFC 8707)."""
        return self.url + MCP_PATH

    @property
    def callback_url(self) -> str:
        """Where the provider sends people back to."""
        return self.url + CALLBACK_PATH

    @property
    def me_url(self) -> str:
        """Where people see what is theirs."""
        return self.url + ME_PATH

    def reads_resource(self, text: str) -> bool:
        """Whether a client means this server's MCP endpoint, by whichever of its names."""
        try:
            parts = urlsplit(text)
        except ValueError:
            return False
        if parts.path != MCP_PATH or parts.query or parts.fragment or "#" in text or "?" in text:
            return False
        own = urlsplit(self.url)
        return parts.scheme == own.scheme and parts.netloc.lower() in {own.netloc.lower(), *self.names}
