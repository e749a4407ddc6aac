"""An identity provider that believes everybody."""

from __future__ import annotations

from dataclasses import dataclass, field

from orgserver.model.access.people import Person
from orgserver.model.access.principals import Subject
from orgserver.model.secret import Secret
from orgserver.oauth.provider.client import ProviderAnswer

IDP = "https://idp.example.com"


@dataclass
class Provider:
    """Says who somebody is as a test says, and counts how often it was asked."""

    answers: list[ProviderAnswer | Exception] = field(default_factory=list)
    """To refreshes, in order; without any the grant stands as it is."""
    refreshes: list[str] = field(default_factory=list)
    failure: Exception | None = None
    """Of asking where people sign in."""

    async def make_authorization_url(
        self, *, state: str, nonce: str, verifier: Secret, fresh: bool, offline: bool
    ) -> str:
        if self.failure is not None:
            raise self.failure
        return f"{IDP}/authorize?state={state}&nonce={nonce}"

    async def refresh(self, refresh_token: Secret, subject: Subject) -> ProviderAnswer:
        self.refreshes.append(refresh_token.reveal())
        answer = self.answers.pop(0) if self.answers else ProviderAnswer(Person(subject, "Ada"), None)
        if isinstance(answer, Exception):
            raise answer
        return answer
