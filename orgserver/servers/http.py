"""The server over HTTP, over an app: what serves and what watches over it, put together."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.hosts import bracket
from orgserver.oauth.access_tokens import AccessTokenVerifier
from orgserver.oauth.issuer import make_verifier
from orgserver.salesforce.connections import build_tls_context
from orgserver.servers.shared import end_by_signals, looking_after_logins, make_ending, shipping, trace_members_past_sdk
from orgserver.services.connections.links import PATH, ConnectLinks
from orgserver.services.connections.usernames import refuse_open_sign_in
from orgserver.services.doctor.readiness import Readiness
from orgserver.services.signin.options import FORM_PATHS, SignInOptions
from orgserver.serving.http import server as http
from orgserver.serving.http.app import HttpApp, PeopleEndpoints
from orgserver.serving.http.authentication import Authenticator
from orgserver.serving.http.bearer.challenges import Challenges
from orgserver.serving.http.bearer.step_up import StepUp
from orgserver.serving.http.door import Door
from orgserver.serving.http.endpoint import McpEndpoint, caller_of_request
from orgserver.serving.http.limits import Limits
from orgserver.serving.http.monitoring.access_log import AccessLog
from orgserver.serving.http.monitoring.listener import MonitoringApp
from orgserver.serving.http.monitoring.pages import MonitoringPages
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.http.throttling import Throttling
from orgserver.serving.refused_calls import record_unreadable
from orgserver.serving.server import build_server_and_calls
from orgserver.serving.shutdown import Ending
from orgserver.telemetry.prometheus import PrometheusMetrics
from orgserver.tools import toolsets

if TYPE_CHECKING:
    from orgserver.servers.signin import OpenSignIn

logger = logging.getLogger("orgserver.serve")


def make_metrics() -> PrometheusMetrics:
    """What counts the calls of a server over HTTP, from before the first of them."""
    return PrometheusMetrics()


async def serve_http(
    app: App,
    options: HttpOptions,
    label: str | None,
    ready: Callable[[int], None],
    ending: Ending | None = None,
    metrics: PrometheusMetrics | None = None,
) -> None:
    """Serve MCP over HTTP until a signal comes, or ``ending`` is requested; ``ready`` is told the port.

    ``metrics`` are those that see the app's calls.
    """
    metrics = metrics or make_metrics()
    metrics.tools = toolsets.of_scope(app.access.scope).keys()
    with _listen(options) as (listener, metrics_listener):
        port = listener.getsockname()[1]
        options = replace(options, port=port)
        ending = ending or end_by_signals(app) or make_ending(app)
        pages, access_log = _make_pages(app, metrics), AccessLog(metrics.count_request)
        with looking_after_logins(app):
            async with shipping(app), _http_app(app, options, pages, access_log, label) as http_app:
                begin = partial(ready, port)
                serving = http.serve(http_app, listener, ending, begin, options, on_refusal=access_log.add_refusal)
                async with asyncio.TaskGroup() as group:  # where one fails, the other ends
                    group.create_task(serving)
                    group.create_task(_serve_metrics(metrics_listener, pages, options, ending))


@contextmanager
def _listen(options: HttpOptions) -> Iterator[tuple[socket.socket, socket.socket | None]]:
    """The server's address and that of its figures, both taken."""
    with http.listen(options.host, options.port, "--http") as listener:
        if options.metrics is None:
            yield listener, None
            return
        with http.listen(*options.metrics, "--metrics") as metrics_listener:
            host, port = metrics_listener.getsockname()[:2]
            logger.info("figures at http://%s:%d/metrics", bracket(host), port)
            yield listener, metrics_listener


async def _serve_metrics(
    listener: socket.socket | None, pages: MonitoringPages, options: HttpOptions, ending: Ending
) -> None:
    """Serve figures at an address of their own, if there is one."""
    if listener is not None:
        await http.serve(MonitoringApp(pages, options.allowed_hosts), listener, ending, lambda: None)


@asynccontextmanager
async def _http_app(
    app: App, options: HttpOptions, pages: MonitoringPages, access_log: AccessLog, label: str | None
) -> AsyncIterator[HttpApp]:
    """What answers requests, from their door to their tools."""
    links = ConnectLinks(app.store, app.access, options.url)
    server, tool_calls = build_server_and_calls(app.services, caller_of_request, app.access.scope, links)
    record_refusal = partial(record_unreadable, app.services)
    door = Door(options, (PATH, *(FORM_PATHS if app.settings.signin_issuer is not None else ())))
    sign_in = _read_sign_in(app, options, door)
    if sign_in is not None:
        refuse_open_sign_in((await app.access.catalog()).by_row.values(), sign_in.new)
    issuers = (sign_in.issuer if sign_in is not None else None, options.issuer)
    challenges = Challenges(*(issuer for issuer in issuers if issuer is not None))
    step_up = StepUp(challenges, app.services, toolsets.of_scope(app.access.scope), options.max_body)
    throttling = Throttling(Limits(options.rate, options.in_flight), app.services, server)
    mcp = McpEndpoint(server, tool_calls, options, record_refusal, trace_members_past_sdk())
    async with AsyncExitStack() as stack:
        verifier = await stack.enter_async_context(_verifier(app, options))
        own = await stack.enter_async_context(_open_sign_in(app, sign_in)) if sign_in is not None else None
        pages_of_people = own.endpoints if own is not None else _make_connect_pages(app, options)
        endpoint = await stack.enter_async_context(mcp.running())
        yield HttpApp(
            door,
            Authenticator(app.people, challenges, verifier, own.services.access_tokens if own is not None else None),
            throttling,
            endpoint,
            challenges,
            step_up,
            pages,
            access_log,
            label,
            pages_of_people,
            sign_in.me_url if sign_in is not None else None,
        )


def _read_sign_in(app: App, options: HttpOptions, door: Door) -> SignInOptions | None:
    """What people sign in by; None where no identity provider is set. ConfigError where they cannot."""
    if app.settings.signin_issuer is None:
        return None
    from orgserver.servers.signin import make_options  # noqa: PLC0415  # with Authlib and Jinja: only where it is used

    return make_options(app.settings, options, door.hosts)


def _open_sign_in(app: App, options: SignInOptions) -> AbstractAsyncContextManager[OpenSignIn]:
    from orgserver.servers.signin import open_sign_in  # noqa: PLC0415  # as above

    return open_sign_in(app, options)


def _make_connect_pages(app: App, options: HttpOptions) -> PeopleEndpoints:
    from orgserver.servers.connect import make_connect_pages  # noqa: PLC0415  # with Jinja: only where it serves

    return make_connect_pages(app, options.url)


@asynccontextmanager
async def _verifier(app: App, options: HttpOptions) -> AsyncIterator[AccessTokenVerifier | None]:
    """What checks access tokens; None without an issuer of them."""
    if options.issuer is None or options.audience is None:
        yield None
        return
    settings = app.settings
    make_context = partial(build_tls_context, settings.ca_file)
    verifier = make_verifier(options.issuer, options.audience, make_context, settings.proxy)
    verifier.load_keys_ahead()
    try:
        yield verifier
    finally:
        await verifier.aclose()


def _make_pages(app: App, metrics: PrometheusMetrics) -> MonitoringPages:
    """What a server tells of itself."""

    async def is_admin(principal: Principal) -> bool:
        return await app.access.has_role(principal, "admin")

    render = partial(metrics.render, app.store, app.access.client.count_calls, app.ship_schedule)
    return MonitoringPages(Readiness(app.store), render, is_admin)
