"""A store whose clock the test turns, with people and groups, and what a sign-in keeps of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from orgserver.model.access.people import OAuthClient
from orgserver.model.access.principals import Subject
from orgserver.model.digests import digest_text
from orgserver.model.names import new_id
from orgserver.model.secret import Secret
from orgserver.store.people import changes
from orgserver.store.session import Store
from orgserver.store.signin.requests import RequestRefusal, Requests, SignInRequest
from orgserver.store.signin.sessions import Sessions
from orgserver.store.transaction import Transaction

T = TypeVar("T")
SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
ISSUER = "https://login.example"
CLIENT = OAuthClient("https://client.example/id", "document", "Client", ("https://client.example/cb",))
BROWSER, OTHER = digest_text("browser"), digest_text("another browser")


@dataclass
class Clock:
    """Tells the time that a test says."""

    now: int = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


@dataclass
class World:
    """The store, and short forms of what is done with it."""

    store: Store
    clock: Clock = field(default_factory=Clock)
    """Of a store that tells the time by it: what the test turns."""
    requests: Requests = field(init=False)
    sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        self.requests = self.store.signin_requests
        self.sessions = self.store.signin_sessions

    async def write(self, change: Callable[[Transaction], T]) -> T:
        """Run a change."""
        return await self.store.database.write(change)

    async def read(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run a read."""
        async with self.store.database.reading() as connection:
            return await work(connection)

    async def add_people(self, *names: str, groups: dict[str, str] | None = None) -> None:
        """Add persons, and groups by their claims."""

        def add(tx: Transaction) -> None:
            for name in names:
                changes.add_principal_in(tx, name, "person")
            for group, claim in (groups or {}).items():
                changes.add_group_in(tx, group)
                changes.set_claim_in(tx, group, claim)

        await self.write(add)

    async def begin(self, state: str = "state", browser: bytes = BROWSER, **more: Any) -> SignInRequest | None:
        """Begin a sign-in; None where there are too many."""
        request = replace(make_request(), **more)
        is_added = await self.write(lambda tx: self.requests.add_in(tx, request, digest_text(state), browser))
        return request if is_added else None

    async def take(self, state: str = "state", browser: bytes | None = BROWSER) -> SignInRequest | RequestRefusal:
        """Take the one of a provider's answer."""
        return await self.write(lambda tx: self.requests.take_in(tx, digest_text(state), browser))

    async def await_consent(self, state: str = "state", principal: str = "ada", token: str | None = "prt") -> str:
        """A sign-in that waits for consent; its id."""
        await self.begin(state)
        request = await self.take(state)
        assert isinstance(request, SignInRequest)
        person = {
            "principal": principal,
            "person_name": principal.title(),
            "subject": Subject(ISSUER, principal),
            "auth_time": 7,
            "provider_token": Secret(token) if token else None,
        }
        assert await self.write(lambda tx: self.requests.await_consent_in(tx, request, **person))  # type: ignore[arg-type]
        return request.id

    async def consent(self, state: str = "state", principal: str = "ada", token: str | None = "prt") -> str:
        """A session that a client has not come for yet; its id."""
        request_id = await self.await_consent(state, principal, token)

        def change(tx: Transaction) -> str:
            request = self.requests.finish_in(tx, request_id, BROWSER)
            assert isinstance(request, SignInRequest)
            return self.sessions.add_client_in(tx, request, CLIENT)

        return await self.write(change)

    async def sign_in(self, state: str = "state", principal: str = "ada", token: str | None = "prt") -> str:
        """A live session of an hour; its id."""
        session_id = await self.consent(state, principal, token)
        assert await self.write(lambda tx: self.sessions.redeem_in(tx, session_id, tx.now + HOUR))
        return session_id

    async def close(self) -> None:
        """Close the store."""
        with suppress(OSError):
            await self.store.close()


def make_request() -> SignInRequest:
    """One of a client."""
    return SignInRequest(
        id=new_id(),
        kind="client",
        nonce="nonce-canary",
        verifier=Secret("verifier-canary"),
        client_id=CLIENT.client_id,
        redirect_uri=CLIENT.redirect_uris[0],
        has_redirect_uri=True,
        scopes=("orgs:read", "orgs:write"),
        resource="https://o.example/mcp",
        code_challenge="challenge",
        client_state="state-canary",
    )
