"""The servers over an app: on standard input and output, and over HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from orgserver.model.errors import StoreError
from orgserver.model.orgs import Caller

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from orgserver.app import App
    from orgserver.model.access.principals import Principal
    from orgserver.oauth.access_tokens import AccessTokenVerifier
    from orgserver.serving.early.lines import EarlyLines
    from orgserver.serving.http.monitoring.pages import MonitoringPages
    from orgserver.serving.http.options import HttpOptions
    from orgserver.serving.plain_calls import PlainCalls
    from orgserver.serving.shutdown import Ending
    from orgserver.serving.tool_calls import ToolCalls
    from orgserver.telemetry.prometheus import PrometheusMetrics

_BUSY_SECONDS, _HASTE_SECONDS = 1.0, 0.3
"""How long the store is waited for when the server ends, and how long when that was in vain: 5 s in all."""


async def serve_stdio(app: App, caller: Caller, ready: Callable[[], None], early: EarlyLines | None = None) -> None:
    """Serve MCP on standard input and output, as the caller, until the client goes away or a signal comes.

    ``ready`` is called once everything is made; ``early`` has answered the client until then.
    """
    from orgserver.serving import stdio  # noqa: PLC0415  # as the next
    from orgserver.serving.refused_calls import record_unreadable  # noqa: PLC0415  # as the next
    from orgserver.serving.server import build_server_and_calls  # noqa: PLC0415  # the SDK is slow to import

    server, tool_calls = build_server_and_calls(app.services, lambda _ctx: caller, app.access.scope)

    async def refuse(tool: str | None, request_id: str | int | None) -> None:
        request = None if request_id is None else str(request_id)
        await record_unreadable(app.services, replace(caller, request_id=request), tool)

    ending = _end_by_signals(app)
    ready()
    refreshing = asyncio.create_task(app.keep_alive.run())
    try:
        await stdio.serve_stdio(server, ending, refuse, _past_sdk(server, tool_calls, caller), early)
    finally:
        refreshing.cancel()  # a refresh under way is waited for when the app closes


def make_metrics() -> PrometheusMetrics:
    """What counts the calls of a server over HTTP, from before the first of them."""
    from orgserver.telemetry.prometheus import PrometheusMetrics  # noqa: PLC0415  # no server on stdio needs it

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
    from orgserver.serving.http import server as http  # noqa: PLC0415  # no server on stdio needs it
    from orgserver.serving.http.app import HttpApp  # noqa: PLC0415  # as above
    from orgserver.serving.http.authentication import Authenticator  # noqa: PLC0415  # as above
    from orgserver.serving.http.bearer.challenges import Challenges  # noqa: PLC0415  # as above
    from orgserver.serving.http.bearer.step_up import StepUp  # noqa: PLC0415  # as above
    from orgserver.serving.http.door import Door  # noqa: PLC0415  # as above
    from orgserver.serving.http.endpoint import McpEndpoint, caller_of_request  # noqa: PLC0415  # as above
    from orgserver.serving.http.limits import Limits  # noqa: PLC0415  # as above
    from orgserver.serving.http.monitoring.access_log import AccessLog  # noqa: PLC0415  # as above
    from orgserver.serving.http.monitoring.listener import MonitoringApp  # noqa: PLC0415  # as above
    from orgserver.serving.http.throttling import Throttling  # noqa: PLC0415  # as above
    from orgserver.serving.refused_calls import record_unreadable  # noqa: PLC0415  # as above
    from orgserver.serving.server import build_server_and_calls  # noqa: PLC0415  # the SDK is slow to import
    from orgserver.tools import toolsets  # noqa: PLC0415  # as above

    metrics = metrics or make_metrics()
    metrics.tools = toolsets.of_scope(app.access.scope).keys()
    with ExitStack() as stack:
        listening = stack.enter_context(http.listen(options.host, options.port, "--http"))
        port = listening.getsockname()[1]
        options = replace(options, port=port)
        server, tool_calls = build_server_and_calls(app.services, caller_of_request, app.access.scope)
        record_refusal = partial(record_unreadable, app.services)
        ending = ending or _end_by_signals(app) or _make_ending(app)
        pages, access_log = _make_pages(app, metrics), AccessLog(metrics.count_request)
        apart = []
        if options.metrics is not None:
            port_apart = stack.enter_context(http.listen(*options.metrics, "--metrics"))
            apart.append(http.serve(MonitoringApp(pages, options.allowed_hosts), port_apart, ending, lambda: None))
        refreshing = asyncio.create_task(app.keep_alive.run())
        verifier = _make_verifier(app, options)
        if verifier is not None:
            verifier.load_keys_ahead()
        try:
            mcp = McpEndpoint(server, tool_calls, options, record_refusal, _trace_members_past_sdk())
            async with mcp.running() as endpoint:
                throttling = Throttling(Limits(options.rate, options.in_flight), app.services, server)
                challenges = Challenges(options.issuer)
                authenticator = Authenticator(app.people, challenges, verifier)
                step_up = StepUp(challenges, app.services, toolsets.of_scope(app.access.scope), options.max_body)
                http_app = HttpApp(
                    Door(options), authenticator, throttling, endpoint, challenges, step_up, pages, access_log, label
                )
                serving = http.serve(
                    http_app, listening, ending, partial(ready, port), options, on_refusal=access_log.add_refusal
                )
                await asyncio.gather(serving, *apart)
        finally:
            refreshing.cancel()  # as above
            if verifier is not None:
                await verifier.aclose()


def _make_verifier(app: App, options: HttpOptions) -> AccessTokenVerifier | None:
    """What checks access tokens; None without an issuer of them."""
    if options.issuer is None or options.audience is None:
        return None
    from orgserver.oauth.issuer import make_verifier  # noqa: PLC0415  # only with an issuer
    from orgserver.salesforce.connections import build_tls_context  # noqa: PLC0415  # as above

    settings = app.settings
    return make_verifier(options.issuer, options.audience, partial(build_tls_context, settings.ca_file), settings.proxy)


def _make_pages(app: App, metrics: PrometheusMetrics) -> MonitoringPages:
    """What a server tells of itself."""
    from orgserver.services.doctor.readiness import Readiness  # noqa: PLC0415  # no server on stdio needs it
    from orgserver.serving.http.monitoring.pages import MonitoringPages  # noqa: PLC0415  # as above

    async def is_admin(principal: Principal) -> bool:
        return await app.access.has_role(principal, "admin")

    render = partial(metrics.render, app.store, app.access.client.count_calls)
    return MonitoringPages(Readiness(app.store), render, is_admin)


def _end_by_signals(app: App) -> Ending | None:
    """How a server ends when a signal comes; None where the system has no such signals."""
    if sys.platform == "win32":
        return None
    ending = _make_ending(app)
    ending.on_signals()
    return ending


def _make_ending(app: App) -> Ending:
    from orgserver.serving.shutdown import Ending  # noqa: PLC0415  # only servers need it

    return Ending(partial(_drain_seconds, app), app.services.executor.give_up)


def _past_sdk(server: Server[Any], tool_calls: ToolCalls, caller: Caller) -> PlainCalls | None:
    """What answers calls past the SDK, where anything may."""
    from orgserver.serving.plain_calls import PlainCalls  # noqa: PLC0415  # as above

    trace_members = _trace_members_past_sdk()
    return None if trace_members is None else PlainCalls(server, tool_calls, caller, trace_members)


def _trace_members_past_sdk() -> frozenset[str] | None:
    """The members of a request that name a trace; None where another program's tracer is to see the SDK's spans."""
    from orgserver.telemetry.trace_context import has_spans_of_sdk, trace_members  # noqa: PLC0415  # as above

    return None if has_spans_of_sdk() else trace_members()


async def _drain_seconds(app: App) -> float:
    """How long calls under way may take when the end was asked for: not long where the store is busy anyway."""
    from orgserver.serving.shutdown import DRAIN_SECONDS  # noqa: PLC0415  # as above

    app.store.database.hurry(_BUSY_SECONDS)
    try:
        await app.store.database.write(lambda _tx: None)
    except StoreError:
        app.store.database.hurry(_HASTE_SECONDS)
        return _HASTE_SECONDS
    return DRAIN_SECONDS
