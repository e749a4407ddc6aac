"""Whoever comes with a link: the browser, and who is signed in there; and whether the link is theirs."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from orgserver.model.digests import digest_text
from orgserver.model.secret import Secret
from orgserver.services.connections.checks import SESSION
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.store.orgs.connect_links import ConnectLink


@dataclass(frozen=True, slots=True)
class Visitor:
    """A browser that comes with a link."""

    browser: Secret
    """The value of its cookie."""
    session_id: str | None = None
    """Of who is signed in there."""
    principal: str | None = None

    @property
    def digest(self) -> bytes:
        """What the store has of the browser."""
        return digest_text(self.browser.reveal())

    def is_browser_of(self, link: ConnectLink) -> bool:
        """Whether it is the one that goes on with a link."""
        return link.browser_digest is not None and hmac.compare_digest(link.browser_digest, self.digest)

    def find_proof(self, link: ConnectLink) -> str | Refusal | None:
        """What shows that a new link is this visitor's; None where nothing does yet."""
        if self.principal is not None and self.principal != link.principal:
            return Refusal(RefusalKind.OTHER_PERSON, reason="somebody else is signed in")
        if link.browser_digest is not None and not self.is_browser_of(link):
            return Refusal(RefusalKind.OTHER_BROWSER)
        if self.session_id is not None:
            return f"{SESSION}:{self.session_id}"
        return link.proof

    def check_begun(self, link: ConnectLink) -> Refusal | None:
        """Why a login that has begun is not this visitor's to go on with, if it is not."""
        if not self.is_browser_of(link):
            return Refusal(RefusalKind.OTHER_BROWSER)
        if self.principal is not None and self.principal != link.principal:
            return Refusal(RefusalKind.OTHER_PERSON, reason="somebody else is signed in")
        kind, _, session_id = (link.proof or "").partition(":")
        if kind == SESSION and session_id != self.session_id:
            return Refusal(RefusalKind.PROOF_OVER, reason="the sign-in of this browser is another one")
        return None
