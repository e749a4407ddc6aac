"""``orgserver approvals`` and ``approve``: what an agent asked for and a person must allow, at a terminal."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import confirmation
from orgserver.cli.main import Group
from orgserver.cli.output import Failure, fact_lines, print_json, report, tell
from orgserver.cli.process import app_of, app_to_read, local_principal, operator, run, settings_of
from orgserver.cli.tables import print_table, wide_option
from orgserver.cli.terminal import NoTerminal, Terminal, controlling_terminal
from orgserver.model.errors import ConfigError

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.model.secret import Secret
    from orgserver.services.calls.approvals import Request

_TITLES = ("code", "org", "action", "object", "records", "principal", "client", "state")
_FORM = re.compile(r"([0-9A-Z]{1,4})|([0-9A-Z]{4})-?([0-9A-Z]{0,4})")
_TRIES = 3


@click.group(
    "approvals",
    cls=Group,
    invoke_without_command=True,
    epilog="Examples:\n\n  orgserver approvals\n\n  orgserver approvals setup (asks for one-time codes from then on)",
)
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without codes.")
@click.pass_context
def approvals(ctx: click.Context, wide: bool, as_json: bool) -> None:
    """List what agents asked for and a person must allow. Names of records are data from the org.

    The code of each, for `orgserver approve CODE`, is shown at a terminal only.
    """
    if ctx.invoked_subcommand is not None:
        return

    async def act() -> list[Request]:
        async with app_to_read(settings_of()) as app:
            return await app.approvals().waiting()

    requests = run(act())
    if as_json:
        print_json([_as_json(each) for each in requests])
        return
    if not requests:
        tell("Nothing waits for approval.")
        return
    here = sys.stdout.isatty()
    rows = [
        (
            each.code if here else None,
            each.org,
            each.action,
            each.object,
            f"{each.count:,}",
            each.principal,
            each.client,
            _until(each),
        )
        for each in requests
    ]
    print_table(_TITLES, rows, spare=("client", "principal", "object"), wide=wide)
    if not here:
        tell("Their codes are shown at a terminal only.")


@approvals.command("setup", epilog="Example: orgserver approvals setup")
def setup() -> None:
    """Ask for a one-time code (TOTP) with each yes.

    Shows a QR code for an authenticator app. What it holds is sealed in the store; codes count once the first one was
    right, and then wherever a person must say yes. Where codes are set up already, a current one is needed to replace
    them.
    """

    async def act() -> None:
        async with app_of(settings_of()) as app:
            with _at_terminal("no one-time code was set up") as terminal:
                await _set_up(app, terminal)

    run(act())
    tell("One-time codes are set up: approve, and what loosens or destroys, asks for one from now on.")


@click.command("approve", epilog="Example: orgserver approve 7KQM-2XHD")
@click.argument("code")
def approve(code: str) -> None:
    """Let one call of an agent pass: exactly its arguments, once, within 15 minutes.

    A person at a terminal says yes, with a one-time code where one is set up; there is no silent form.
    """
    code = _read(code)
    undone = "nothing was approved"

    async def act() -> Request:
        async with app_of(settings_of()) as app:
            pending = app.approvals()
            request = await pending.one(code)
            with _at_terminal(undone) as terminal:
                for line in _facts(request):
                    terminal.show(line)
                caller = await confirmation.ask_person(app, terminal, "approve", "Allow it?", undone=undone)
            await pending.approve(caller, request)
            return request

    request = run(act())
    tell(f"Approved: {request.principal} may repeat this call once within 15 minutes.")


@contextmanager
def _at_terminal(undone: str) -> Iterator[Terminal]:
    try:
        with controlling_terminal() as terminal:
            yield terminal
    except NoTerminal:
        raise confirmation.nobody(undone, "run it at a terminal; it has no silent form") from None


async def _set_up(app: App, terminal: Terminal) -> None:
    """Show a new secret, and let its codes count when the first is right."""
    from orgserver.services.calls.one_time_codes import SETUP, new_secret, otpauth_uri  # noqa: PLC0415  # as below

    codes = app.one_time_codes()
    undone = "no one-time code was set up"
    before = await codes.state()
    if before is None:
        caller = operator()
    else:
        question = "Replace the one-time codes that are set up?"
        caller = await confirmation.ask_person(app, terminal, SETUP, question, undone=undone)
    secret = new_secret()
    name = f"{local_principal().partition(':')[2]}@{socket.gethostname()}"
    _draw(terminal, otpauth_uri(secret, name))
    terminal.show("Scan this with an authenticator app, or type its key there:")
    terminal.show(f"  {_spaced(secret)}")
    terminal.show("Keep the key in a safe place: without it, or the app that has it, nobody can approve any more.")
    for _ in range(_TRIES):
        answer = terminal.ask("The code that the app shows now (Enter: stop):")
        if not answer:
            break
        try:
            if await codes.set_up(caller, secret, answer, before):
                return
            terminal.show(
                "That code is wrong. If it is the newest, compare the clocks of this machine and your device."
            )
        except ConfigError as error:
            terminal.show(f"{error}.")
    report(undone)
    raise Failure


def _draw(terminal: Terminal, uri: Secret) -> None:
    """Draw a QR code in half blocks, white on black; where the terminal has none, the key alone must do."""
    import io  # noqa: PLC0415  # as the next

    import segno  # noqa: PLC0415  # only where a code is drawn

    picture = io.StringIO()
    segno.make(uri.reveal(), error="l").terminal(picture, compact=True, border=2)
    try:
        picture.getvalue().encode(terminal.encoding)
    except UnicodeEncodeError:
        return
    terminal.draw("".join(f"\x1b[97;40m{line}\x1b[0m\n" for line in picture.getvalue().splitlines()))


def _spaced(secret: Secret) -> str:
    key = secret.reveal()
    return " ".join(key[at : at + 4] for at in range(0, len(key), 4))


def _read(code: str) -> str:
    """A code as people type it, or its beginning, in the form that it is kept in."""
    match = _FORM.fullmatch(code.strip().upper())
    if match is None:
        raise click.BadParameter(
            "it is no code; one looks like 7KQM-2XHD, as orgserver approvals shows it at a terminal",
            param_hint="CODE",
        )
    return match[1] or f"{match[2]}-{match[3]}"


def _facts(request: Request) -> list[str]:
    return fact_lines(
        {
            "org": request.org,
            "action": request.action,
            "object": request.object,
            "records": f"{request.count:,}",
            "names": list(request.names),
            "tool": request.tool,
            "principal": request.principal,
            "client": request.client,
            "asked": _time(request.asked_at),
        }
    )


def _until(request: Request) -> str:
    return f"{'waits' if request.approved_at is None else 'approved'} until {_time(request.expires_at)}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _as_json(request: Request) -> dict[str, Any]:
    """A request for machines, which approve nothing: without its code."""
    facts = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(request).items()
    }
    del facts["code"], facts["session_id"]
    return facts
