"""``orgserver serve``: the MCP server."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.serving.server_options import offer_options, settings_of_offer
from orgserver.cli.support import collect_again, local_principal, no_core_dumps, run_in_loop, tell, until_told
from orgserver.config import Settings, read_settings, unknown_variables
from orgserver.logs import start_logging
from orgserver.model import names
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import ConfigError, StoreError
from orgserver.model.orgs import Caller, Principal, Scope
from orgserver.store.processes.lock_holders import Patience
from orgserver.telemetry import signals

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.services.observer import Observer

logger = logging.getLogger("orgserver.serve")
_BUSY_SECONDS, _HASTE_SECONDS = 1.0, 0.3
"""How long the store is waited for when the server ends, and how long when that was in vain: 5 s in all."""
_SHARE = 0.8
"""Of what a call may take, for a wait for the store that knows no deadline of its own."""
_STOPPED_SECONDS = 0.5
_LATER = ("tls_cert", "tls_key", "public_url", "allow_host", "allow_origin", "oauth_issuer", "oauth_audience")

_ON_A_TERMINAL = (
    "This speaks MCP on standard input and output: an MCP client should start it.",
    "Set one up: orgserver connect claude-code (or claude-desktop, codex, gemini,",
    "cursor, vscode, windsurf). Ctrl-C ends this; orgserver demo shows it at work.",
)

_REAL = ("database_url", "master_key", "master_key_file", "master_key_command", "proxy", "ca_file")
"""Settings of the real home, which a playground does not touch."""


@click.command(
    epilog="Examples:\n\n  orgserver connect claude-code\n\n"
    "  orgserver serve --org acme,globex --read-only --toolset contacts\n\n  orgserver serve --sandbox"
)
@click.option("--http", metavar="HOST:PORT", hidden=True)
@offer_options
@click.option(
    "--principal",
    metavar="NAME",
    help="Who calls, for the audit log. [default: local:<you>]",
    shell_complete=completion.principals,
)
@click.option("--label", metavar="TEXT", help="A word to find this server's calls by in the audit log.")
@click.option("--sandbox", is_flag=True, help="Serve two pretend orgs; nothing of yours is read or changed.")
@click.option("--tls-cert", hidden=True)
@click.option("--tls-key", hidden=True)
@click.option("--public-url", hidden=True)
@click.option("--allow-host", hidden=True)
@click.option("--allow-origin", hidden=True)
@click.option("--oauth-issuer", hidden=True)
@click.option("--oauth-audience", hidden=True)
def serve(**options: Any) -> None:
    """Serve MCP on standard input and output until the client goes away."""
    for name in ("http", *_LATER):
        if options[name]:
            raise ConfigError(f"--{name.replace('_', '-')} is not in this version yet", hint="serve on stdio")
    no_core_dumps()
    if sys.stdin is None or sys.stdout is None:  # closed by the parent: uvloop would abort the process
        raise ConfigError("standard input or output is closed", hint="let an MCP client start this command")
    with suppress(KeyboardInterrupt):  # before the server takes it as its end: no call was heard yet
        if sys.stdin.isatty():
            for line in _ON_A_TERMINAL:
                tell(line)
        run_in_loop(_serve(options), _fast_loop())


async def _serve(options: dict[str, Any]) -> None:
    from orgserver.serving.server import build_server, record_unreadable  # noqa: PLC0415
    from orgserver.serving.shutdown import Ending  # noqa: PLC0415  # as the next
    from orgserver.serving.stdio import serve_stdio  # noqa: PLC0415  # the SDK is slow to import

    principal = Principal(options["principal"] or local_principal())
    offer = settings_of_offer(options)
    async with _playground(offer) if options["sandbox"] else _app(offer) as app:
        scope = app.access.scope
        await _refuse_unknown_orgs(app, "--org" if options["orgs"] else "ORGSERVER_ORGS:")
        server = build_server(app.operations, principal=principal, label=options["label"], scope=scope)

        async def refused(tool: str | None, request_id: str | int | None) -> None:
            asked = None if request_id is None else str(request_id)
            caller = Caller(principal, "stdio", request_id=asked, label=options["label"])
            await record_unreadable(app.operations, caller, tool)

        collect_again()
        logger.info("serving on standard input and output")
        keeping = asyncio.create_task(app.keep_alive.run())
        try:
            if sys.platform == "win32":
                await until_told(serve_stdio(server, refused=refused))
            else:
                ending = Ending(partial(_drain_seconds, app), app.operations.give_up)
                ending.on_signals()
                await serve_stdio(server, ending, refused)
        finally:
            keeping.cancel()  # a refresh under way is waited for when the app closes


async def _refuse_unknown_orgs(app: App, option: str) -> None:
    """ConfigError for an alias that no org has, and what to do; a renamed org is found by its audit entries."""
    by_alias = (await app.access.catalog()).by_alias
    for alias in sorted((app.access.scope.orgs or frozenset()) - by_alias.keys()):
        message = f"{option} {alias}: no org is registered as {alias}"
        entries = await app.audit_log.newest(EntryFilter(org=alias), 1)
        renamed = [org.alias for org in by_alias.values() if entries and org.org_id == entries[0].org_id]
        if renamed:
            hint = f"that org is called {renamed[0]} now: orgserver connect the client again, with that name"
        elif near := names.nearest(alias, by_alias):
            hint = f"did you mean {near}? See: orgserver list-orgs"
        elif entries:
            hint = "it was removed: orgserver connect the client again, without it; see: orgserver list-orgs"
        else:
            hint = "see: orgserver list-orgs"
        raise ConfigError(message, hint=hint)


async def _drain_seconds(app: App) -> float:
    """How long calls under way may take when the end was asked for: not long where the store is busy anyway."""
    from orgserver.serving.shutdown import DRAIN_SECONDS  # noqa: PLC0415  # as in _serve

    app.store.database.hurry(_BUSY_SECONDS)
    try:
        await app.store.database.write(lambda _tx: None)
    except StoreError:
        app.store.database.hurry(_HASTE_SECONDS)
        return _HASTE_SECONDS
    return DRAIN_SECONDS


def _patience(settings: Settings) -> Patience:
    """What is waited for a lock by calls: never to their end, and not for somebody who does not go on by himself."""
    return Patience(settings.call_timeout * _SHARE, stopped_seconds=_STOPPED_SECONDS, tell=logger.warning)


def _scope(settings: Settings) -> Scope:
    return Scope(
        orgs=frozenset(settings.orgs) or None,
        read_only=settings.read_only,
        toolsets=frozenset(settings.toolsets),
        tools=frozenset(settings.tools),
        exclude_tools=frozenset(settings.exclude_tools),
    )


@asynccontextmanager
async def _app(offer: dict[str, Any]) -> AsyncIterator[App]:
    from orgserver.app import open_app  # noqa: PLC0415

    settings = _settings(**offer)
    with _telemetry() as observer:  # ends last: it is to tell of every call
        notify = await _notify(settings)
        async with open_app(settings, _scope(settings), observer, Patience(tell=logger.warning), notify) as app:
            app.store.database.wait_as(_patience(settings))
            yield app


async def _notify(settings: Settings) -> Callable[[str], None] | None:
    """What shows questions on the desktop, if there is one and they are wanted there."""
    from orgserver.services.calls.notifications import Notifications  # noqa: PLC0415  # as in _serve

    desktop = await asyncio.to_thread(Notifications.of_system) if settings.notifications else None
    return desktop.show if desktop is not None else None


@asynccontextmanager
async def _playground(offer: dict[str, Any]) -> AsyncIterator[App]:
    """Two pretend orgs in a throwaway home."""
    from orgserver.app import open_app  # noqa: PLC0415
    from orgserver.cli.orgs.pretend_orgs import register  # noqa: PLC0415
    from orgserver.sandbox.server import Sandbox  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="orgserver-playground-") as home:
        settings = _settings(home=home, **dict.fromkeys(_REAL), **offer)
        with _telemetry() as observer:
            async with Sandbox.start(2) as sandbox, open_app(settings, _scope(settings), observer) as app:
                await register(app, sandbox)
                yield app


@contextmanager
def _telemetry() -> Iterator[Observer | None]:
    """Whoever the environment wants to watch the calls; a server never fails for it."""
    asked = signals.asked(os.environ)
    for problem in asked.problems:
        logger.warning("telemetry: %s", problem)
    with ExitStack() as stack:
        observer = None
        if asked.signals:
            try:
                from orgserver.telemetry.starting import started  # noqa: PLC0415  # an extra, and slow to import

                observer = stack.enter_context(started(asked.signals))
                logger.info("telemetry: sending %s", ", ".join(asked.signals))
            except ImportError:
                logger.info("telemetry: off, for want of: pip install 'orgserver[otel]'")
            except Exception as error:  # noqa: BLE001  # the environment may be meant for other programs
                logger.warning("telemetry: off: %s", error)
        yield observer


def _settings(**given: Any) -> Settings:
    settings = read_settings(given)
    start_logging(settings)
    for each in unknown_variables():
        logger.warning("%s", each)
    return settings


def _fast_loop() -> Any:
    if sys.platform == "win32":
        return None
    try:
        import uvloop  # noqa: PLC0415  # has no wheel everywhere
    except ImportError:
        return None
    return uvloop.new_event_loop
