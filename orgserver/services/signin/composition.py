"""Own sign-in over one store, put together from its parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from orgserver.model.errors import StoreError
from orgserver.model.secret import Secret
from orgserver.oauth.documents import DocumentFetcher
from orgserver.oauth.provider.client import Provider
from orgserver.services.calls.access import Access
from orgserver.services.people.auth_failures import AuthFailures
from orgserver.services.people.composition import People
from orgserver.services.signin.browser.authorization import Authorization
from orgserver.services.signin.browser.callbacks import Callbacks
from orgserver.services.signin.browser.consents import Consents
from orgserver.services.signin.browser.me_sessions import Browsers
from orgserver.services.signin.clients.registry import Clients
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.services.signin.tokens.access_tokens import AccessTokens
from orgserver.services.signin.tokens.authorization_server import AuthorizationServer
from orgserver.store.session import Store

logger = logging.getLogger("orgserver.signin")

SWEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SignIn:
    """Everything that people and their clients need to sign in."""

    clients: Clients
    authorization: Authorization
    callbacks: Callbacks
    consents: Consents
    server: AuthorizationServer
    access_tokens: AccessTokens
    browsers: Browsers
    failures: AuthFailures


def make_sign_in(
    store: Store,
    access: Access,
    people: People,
    options: SignInOptions,
    provider: Provider,
    fetcher: DocumentFetcher,
    make_cookie: Callable[[], Secret],
) -> SignIn:
    """Make it; ``fetcher`` reads descriptions of clients, ``make_cookie`` makes cookies of browsers at /me."""
    failures = people.auth_failures
    server = AuthorizationServer(store, options, failures, provider)
    return SignIn(
        clients=Clients(store, options, fetcher),
        authorization=Authorization(store, options, provider),
        callbacks=Callbacks(store, options, provider, server, failures, make_cookie),
        consents=Consents(store, access, server),
        server=server,
        access_tokens=AccessTokens(store, people.identities, options),
        browsers=Browsers(store, people.identities, provider),
        failures=failures,
    )


async def sweep_now_and_then(store: Store) -> None:
    """Each minute, take out what is over; for as long as a server runs."""
    sessions = SignInSessions(store)
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await sessions.sweep()
        except StoreError as error:
            logger.warning("what is over of sign-ins is taken out later: %s", error)
