"""Whether an access token of own sign-in opens anything: asked of the store at each request, and remembered nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from orgserver.model.access.bearer_tokens import ACCESS, is_token
from orgserver.model.access.principals import PERMISSIONS, Permission, Principal
from orgserver.model.access.scopes import scope_of
from orgserver.model.digests import digest_text
from orgserver.model.secret import Secret
from orgserver.services.people.identities import Identities
from orgserver.services.signin.options import SignInOptions
from orgserver.store.session import Store
from orgserver.store.signin.token_reader import LiveToken, TokenReader


class TokenRefusal(Enum):
    """Why a token opens nothing."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    ENDED = "ended"
    OTHER_RESOURCE = "other resource"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whose token a request brought, and what it is narrowed to."""

    principal: Principal
    scopes: frozenset[Permission]
    session_id: str
    client_id: str | None


class AccessTokens:
    """Checks the tokens that requests bring."""

    def __init__(self, store: Store, identities: Identities, options: SignInOptions) -> None:
        self._reader = TokenReader(store.database)
        self._clock = store.database.clock
        self._identities = identities
        self._resource = options.resource

    async def check(self, token: Secret) -> SignedIn | TokenRefusal:
        """Whose it is, as the store has it now; or why it opens nothing. StoreError where the store is away."""
        live = await self._find(token)
        if live is None:
            return TokenRefusal.UNKNOWN
        if live.resource != self._resource:
            return TokenRefusal.OTHER_RESOURCE
        if live.ended_at is not None:
            return TokenRefusal.ENDED
        if self._clock() >= live.expires_at:
            return TokenRefusal.EXPIRED
        if live.principal in (await self._identities.current()).disabled:
            return TokenRefusal.DISABLED
        return SignedIn(Principal(live.principal), _read_scopes(live.scopes), live.session_id, live.client_id)

    async def identify(self, token: Secret) -> str | None:
        """Whose it is or was, whether or not it opens anything; None where it is nobody's."""
        live = await self._find(token)
        return live.principal if live is not None else None

    async def _find(self, token: Secret) -> LiveToken | None:
        text = token.reveal()
        return await self._reader.find_access(digest_text(text)) if is_token(text, ACCESS) else None


def _read_scopes(scopes: tuple[str, ...]) -> frozenset[Permission]:
    return frozenset(each for each in PERMISSIONS if scope_of(each) in scopes)
