"""How people of the tests sign in, by a ``Provider``."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from orgserver.model.secret import Secret
from orgserver.oauth.provider.client import Provider, ProviderAnswer
from tests.provider.running import RunningProvider, read_callback


@dataclass
class Visit:
    """Somebody who has come back from the provider, whose code is not exchanged yet."""

    url: str
    callback: dict[str, str]
    verifier: Secret
    nonce: str
    is_fresh: bool

    async def finish(self, provider: Provider, nonce: str | None = None) -> ProviderAnswer:
        """Exchange the code."""
        await provider.check_response_issuer(self.callback.get("iss"))
        return await provider.exchange(
            Secret(self.callback["code"]), verifier=self.verifier, nonce=nonce or self.nonce, fresh=self.is_fresh
        )


async def visit(
    provider: Provider, idp: RunningProvider, login: str = "ada", *, fresh: bool = False, offline: bool = True
) -> Visit:
    """Go to the provider and sign in there, in a new browser."""
    verifier, nonce = Secret(secrets.token_urlsafe(32)), secrets.token_urlsafe(16)
    url = await provider.make_authorization_url(
        state="s/+&=", nonce=nonce, verifier=verifier, fresh=fresh, offline=offline
    )
    callback = read_callback(await idp.sign_in(url, login))
    assert callback["state"] == "s/+&="
    return Visit(url, callback, verifier, nonce, fresh)


async def sign_in(
    provider: Provider, idp: RunningProvider, login: str = "ada", *, fresh: bool = False, offline: bool = True
) -> ProviderAnswer:
    """All of it."""
    return await (await visit(provider, idp, login, fresh=fresh, offline=offline)).finish(provider)


def refresh_token_of(answer: ProviderAnswer) -> Secret:
    """What may be used again without the person."""
    assert answer.refresh_token is not None
    return answer.refresh_token
