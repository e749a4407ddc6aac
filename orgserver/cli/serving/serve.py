"""``orgserver serve``: the MCP server."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.output import tell
from orgserver.cli.process import collect_again, local_principal, no_core_dumps, run_in_loop, share_one_heap
from orgserver.cli.serving.http_options import http_options, read_http_options, refuse_http_options
from orgserver.cli.serving.server_options import offer_options, settings_of_offer
from orgserver.config import Settings, read_settings, unknown_variables
from orgserver.logs import start_logging
from orgserver.model import names
from orgserver.model.errors import ConfigError
from orgserver.model.hosts import bracket

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.model.access.principals import Principal
    from orgserver.serving.early.lines import EarlyLines
    from orgserver.serving.http.options import HttpOptions

logger = logging.getLogger("orgserver.serve")

_ON_A_TERMINAL = (
    "This speaks MCP on standard input and output: an MCP client should start it.",
    "Set one up: orgserver connect claude-code (or claude-desktop, codex, gemini,",
    "cursor, vscode, windsurf). Ctrl-C ends this; orgserver demo shows it at work.",
)

_REAL = (
    *("database_url", "database_password", "database_password_file", "database_password_command"),
    *("master_key", "master_key_file", "master_key_command", "proxy", "ca_file", "ship_to"),
)
"""Settings of the real home, which a playground does not touch."""


@click.command(
    epilog="Examples:\n\n  orgserver connect claude-code\n\n"
    "  orgserver serve --org acme,globex --read-only --toolset contacts\n\n"
    "  orgserver serve --principal ada\n\n  orgserver serve --sandbox\n\n"
    "Over HTTP each caller has a key, which orgserver add-principal prints:\n\n"
    "  orgserver serve --http 127.0.0.1:8080\n\n"
    "  orgserver serve --http 0.0.0.0:8443 --tls-cert chain.pem --tls-key key.pem\n\n"
    "  orgserver serve --http 127.0.0.1:8080 --public-url https://mcp.example.com --trust-proxy\n\n"
    "With ORGSERVER_SIGNIN_ISSUER and ORGSERVER_SIGNIN_CLIENT_ID people sign in by their company's login:\n\n"
    "  orgserver serve --http 127.0.0.1:8080 --allow-registration"
)
@click.option(
    "--http", metavar="HOST:PORT", help="Serve many over HTTP, each with a key or a sign-in, in place of one on stdio."
)
@offer_options
@click.option(
    "--principal",
    metavar="NAME",
    help="Who calls: only the orgs that are granted to NAME. [default: you, with every org]",
    shell_complete=completion.registered_principals,
)
@click.option("--label", metavar="TEXT", help="A word to find this server's calls by in the audit log.")
@click.option("--sandbox", is_flag=True, help="Serve two pretend orgs; nothing of yours is read or changed.")
@http_options
def serve(**options: Any) -> None:
    """Serve MCP on standard input and output until the client goes away; or over HTTP."""
    no_core_dumps()
    share_one_heap()
    if options["http"]:
        _refuse_one_caller(options)
        with suppress(KeyboardInterrupt):  # as below
            run_in_loop(_serve_http(options), _fast_loop())
        return
    refuse_http_options(options)
    if sys.stdin is None or sys.stdout is None:  # closed by the parent: uvloop would abort the process
        raise ConfigError("standard input or output is closed", hint="let an MCP client start this command")
    with suppress(KeyboardInterrupt):  # before the server takes it as its end: no call was heard yet
        if sys.stdin.isatty():
            for line in _ON_A_TERMINAL:
                tell(line)
        run_in_loop(_serve(options), _fast_loop())


async def _serve(options: dict[str, Any]) -> None:
    offer = settings_of_offer(options)
    async with AsyncExitStack() as stack:
        early_lines = None
        if options["sandbox"]:
            home = stack.enter_context(tempfile.TemporaryDirectory(prefix="orgserver-playground-"))
            settings = _settings(home=home, **dict.fromkeys(_REAL), **offer)
        else:
            settings = _settings(**offer)
            early_lines = await _answer_early(settings, options["principal"], stack)
        from orgserver.model.orgs import Caller  # noqa: PLC0415  # a start says its first word without
        from orgserver.servers.stdio import serve_stdio  # noqa: PLC0415  # slow to import

        app = await stack.enter_async_context(_open(settings, playground=options["sandbox"]))
        await _refuse_unknown_orgs(app, "--org" if options["orgs"] else "ORGSERVER_ORGS:")
        principal = await _find_principal(app, options["principal"])
        await _warn_without_orgs(app, principal)
        await serve_stdio(app, Caller(principal, "stdio", label=options["label"]), _begin, early_lines)


def _refuse_one_caller(options: dict[str, Any]) -> None:
    """Over HTTP each request says who calls."""
    if options["principal"]:
        raise ConfigError(
            "--principal is for standard input and output: over HTTP each caller has a key",
            hint="orgserver update-principal NAME --new-key makes one",
        )
    if options["sandbox"]:
        raise ConfigError("--sandbox is for standard input and output", hint="orgserver sandbox serves pretend orgs")


async def _serve_http(options: dict[str, Any]) -> None:
    from orgserver.app import open_server_app  # noqa: PLC0415  # slow to import
    from orgserver.servers.http import make_metrics, serve_http  # noqa: PLC0415  # slow to import

    settings, metrics = _settings(**settings_of_offer(options)), make_metrics()
    http = read_http_options(options, settings)
    start_logging(settings, in_batches=True)
    async with open_server_app(settings, metrics) as app:
        await _refuse_unknown_orgs(app, "--org" if options["orgs"] else "ORGSERVER_ORGS:")
        await _warn_without_callers(app, http)
        warning = asyncio.create_task(_warn_of_provider(settings))  # serving does not wait for it
        try:
            await serve_http(app, http, options["label"], partial(_begin_http, http, settings), metrics=metrics)
        finally:
            warning.cancel()


def _begin_http(http: HttpOptions, settings: Settings, port: int) -> None:
    from orgserver.serving.http.addresses import is_unspecified  # noqa: PLC0415  # as above

    collect_again()
    url = replace(http, port=port).url
    if http.public_url is not None:
        logger.info("serving at %s/mcp, listening at %s:%d", url, bracket(http.host), port)
    else:
        logger.info("serving at %s/mcp", url)
    if settings.signin_issuer is not None:
        logger.info("people sign in with %s, and see what is theirs at %s/me", settings.signin_issuer, url)
    if http.public_url is None and is_unspecified(http.host):
        logger.info("clients call it %s; --allow-host adds a name", ", ".join(http.allowed_hosts))


async def _find_principal(app: App, name: str | None) -> Principal:
    """Who calls: the user of this machine, or a principal that may."""
    from orgserver.model.access.principals import Principal  # noqa: PLC0415  # as above

    if name is None:
        return Principal(local_principal())
    from orgserver.services.people.callers import find_caller  # noqa: PLC0415  # not for the user of this machine

    return find_caller((await app.access.catalog()).standings, name, app.access.now())


async def _warn_without_orgs(app: App, principal: Principal) -> None:
    """Tell the operator where nothing can be used: agents are told of no org, which is right and hard to find out."""
    from orgserver.model.orgs import Caller  # noqa: PLC0415  # as above

    if principal.is_local or await app.access.visible(Caller(principal, "stdio")):
        return
    logger.warning("%s may use none of the orgs of this server: orgserver access-report tells why", principal.name)


async def _warn_without_callers(app: App, http: HttpOptions) -> None:
    """Tell the operator where nobody can call: whoever tries is told of a wrong key alone."""
    if http.issuer is not None:
        return
    now, principals = app.access.now(), await app.people.principals.all()
    issuer = app.settings.signin_issuer
    if issuer is None:
        if all(key.is_over(now) for principal in principals for key in principal.keys):
            logger.warning("nobody has a key yet: orgserver add-principal NAME --grant ALIAS:read prints one")
        return
    subjects = [subject for principal in principals for subject in principal.subjects if subject.issuer == issuer]
    if not subjects and app.settings.signin_new == "refuse" and not http.match_email:
        logger.warning(
            "nobody may sign in yet: orgserver add-principal NAME --no-key --subject ISSUER SUBJECT lets one person in "
            "(whoever tries gets a page with this line), --match-claim email finds people by their verified addresses, "
            "ORGSERVER_SIGNIN_NEW=create lets everybody in"
        )


async def _warn_of_provider(settings: Settings) -> None:
    """Tell the operator at the start where nobody can sign in, not only when somebody tries."""
    if settings.signin_issuer is None:
        return
    from orgserver.services.doctor.signin import ask_provider  # noqa: PLC0415  # with Authlib

    for finding in await ask_provider(settings):
        if finding.level == "problem":
            logger.warning("nobody can sign in while it is so: %s; %s", finding.text, finding.todo)


async def _answer_early(settings: Settings, principal: str | None, stack: AsyncExitStack) -> EarlyLines | None:
    if sys.platform == "win32":
        return None
    from orgserver.cli.serving.start import answer_early  # noqa: PLC0415  # not on Windows

    return await answer_early(settings, principal, stack)


def _open(settings: Settings, *, playground: bool) -> AbstractAsyncContextManager[App]:
    if not playground:
        from orgserver.app import open_server_app  # noqa: PLC0415  # slow to import

        return open_server_app(settings)
    from orgserver.app import open_playground  # noqa: PLC0415  # as above
    from orgserver.cli.orgs.pretend_orgs import register  # noqa: PLC0415  # with the sandbox

    return open_playground(settings, register)


def _begin() -> None:
    collect_again()
    logger.info("serving on standard input and output")


async def _refuse_unknown_orgs(app: App, option: str) -> None:
    """ConfigError for an alias that no org has, and what to do; a renamed org is found by its audit entries."""
    by_alias = (await app.access.catalog()).by_alias
    for alias in sorted((app.access.scope.orgs or frozenset()) - by_alias.keys()):
        message = f"{option} {alias}: no org is registered as {alias}"
        from orgserver.model.audit import EntryFilter  # noqa: PLC0415  # a start says its first word without it

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


def _settings(**options: Any) -> Settings:
    settings = read_settings(options)
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
