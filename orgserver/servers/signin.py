"""Own sign-in of a server over HTTP: its parts, and the paths at which people and clients reach them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from orgserver.app import App
from orgserver.config import Settings
from orgserver.oauth.documents import DocumentFetcher
from orgserver.oauth.provider.client import make_provider
from orgserver.salesforce.connections import build_tls_context
from orgserver.servers.connect import make_connect_endpoints, make_connections, make_style_endpoint
from orgserver.services.connections.composition import BrowserConnections
from orgserver.services.connections.own_logins import OwnLogins
from orgserver.services.people.approvers import Approvers
from orgserver.services.people.holdings import Holdings
from orgserver.services.signin.composition import SignIn, make_sign_in, sweep_now_and_then
from orgserver.services.signin.options import CALLBACK_PATH, CONSENT_PATH, SignInOptions
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.serving.http.bearer.issuers import refuse_bad_sign_in
from orgserver.serving.http.me import endpoints as me
from orgserver.serving.http.me.endpoints import MeServices
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.http.people.pages import STYLE_PATH, Pages
from orgserver.serving.http.signin import metadata
from orgserver.serving.http.signin.authorize import AuthorizeEndpoint
from orgserver.serving.http.signin.callback import CallbackEndpoint
from orgserver.serving.http.signin.consent import ConsentEndpoint
from orgserver.serving.http.signin.cookies import make_cookie_value
from orgserver.serving.http.signin.endpoints import Endpoint, Endpoints
from orgserver.serving.http.signin.register import Registration
from orgserver.serving.http.signin.token import TokenEndpoint

_READ, _SENT = ("GET",), ("POST",)


@dataclass(frozen=True, slots=True)
class OpenSignIn:
    """Own sign-in of a server that runs."""

    services: SignIn
    endpoints: Endpoints


def make_options(settings: Settings, options: HttpOptions, names: frozenset[str]) -> SignInOptions:
    """What sign-in is told; ConfigError where people's browsers or the provider could not trust this server."""
    assert settings.signin_issuer is not None and settings.signin_client_id is not None  # noqa: S101, PT018  # go together
    refuse_bad_sign_in(settings.signin_issuer, options.url)
    return SignInOptions(
        url=options.url,
        provider_issuer=settings.signin_issuer,
        client_id=settings.signin_client_id,
        client_secret=settings.take_signin_secret(),
        new=settings.signin_new,
        groups_claim=settings.signin_groups_claim,
        match_email=options.match_email,
        session_hours=options.session_hours,
        allow_registration=options.allow_registration,
        names=names,
    )


@asynccontextmanager
async def open_sign_in(app: App, options: SignInOptions) -> AsyncIterator[OpenSignIn]:
    """Make it, and close it behind whoever uses it. The provider is not asked for anything yet."""
    settings = app.settings
    make_tls = partial(build_tls_context, settings.ca_file)
    provider = make_provider(
        options.provider_issuer,
        options.client_id,
        options.client_secret,
        options.groups_claim,
        options.callback_url,
        make_tls,
        settings.proxy,
    )
    fetcher = DocumentFetcher(make_tls, settings.proxy)
    services = make_sign_in(app.store, app.access, app.people, options, provider, fetcher, make_cookie_value)
    sweeping = asyncio.create_task(sweep_now_and_then(app.store))
    try:
        endpoints = make_endpoints(app, options, services, make_connections(app, options.url))
        yield OpenSignIn(services, endpoints)
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await services.server.close()
        await services.clients.close()
        await provider.aclose()


def make_endpoints(app: App, options: SignInOptions, services: SignIn, connections: BrowserConnections) -> Endpoints:
    """What is answered where."""
    pages = Pages(options.url)
    token = TokenEndpoint(services.server, services.failures)
    authorize = AuthorizeEndpoint(services.authorization, services.clients, services.failures, pages)
    callback = CallbackEndpoint(services.callbacks, services.browsers, pages)
    consent = ConsentEndpoint(services.consents, services.browsers, services.failures, pages)
    paths = {
        metadata.METADATA_PATH: Endpoint(metadata.answer_metadata(options), _READ, is_page=False),
        metadata.AUTHORIZE_PATH: Endpoint(authorize.answer, _READ + _SENT, is_page=True),
        metadata.TOKEN_PATH: Endpoint(token.answer_token, _SENT, is_page=False),
        metadata.REVOKE_PATH: Endpoint(token.answer_revocation, _SENT, is_page=False),
        CALLBACK_PATH: Endpoint(callback.answer, _READ, is_page=True),
        CONSENT_PATH: Endpoint(consent.answer, _READ + _SENT, is_page=True),
        STYLE_PATH: make_style_endpoint(pages),
    }
    if options.allow_registration:
        register = Registration(services.clients, services.failures)
        paths[metadata.REGISTER_PATH] = Endpoint(register.answer, _SENT, is_page=False)
    paths |= me.make_endpoints(_make_me_services(app, services, connections), pages)
    paths |= make_connect_endpoints(app, pages, connections, services.browsers)
    return Endpoints(options.url, paths, pages)


def _make_me_services(app: App, services: SignIn, connections: BrowserConnections) -> MeServices:
    """What people have at ``/me``."""
    return MeServices(
        app.access,
        services.browsers,
        Holdings(app.store, app.access, app.people.principals),
        Approvers(app.store, app.access),
        SignInSessions(app.store),
        app.audit_log,
        services.failures,
        OwnLogins(app.store, app.access, connections.links),
    )
