"""``orgserver approvals`` and ``approve``: what an agent asked for and a person must allow."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli.support import (
    Failure,
    agreed,
    app_of,
    operator,
    print_facts,
    print_json,
    print_table,
    report,
    run,
    settings_of,
    tell,
)
from orgserver.model.errors import ConfigError

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.services.approving import Approving, Request


@click.command("approvals", epilog="Example: orgserver approvals --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def approvals(as_json: bool) -> None:
    """List what agents asked for and a person must allow. Names of records are data from the org."""

    async def act() -> list[Request]:
        async with app_of(settings_of()) as app:
            return await _approving(app).waiting()

    found = run(act())
    if as_json:
        print_json([_told(each) for each in found])
        return
    if not found:
        tell("Nothing waits for approval.")
        return
    rows = [
        (each.code, each.org, each.action, each.object, f"{each.count:,}", each.principal, _until(each))
        for each in found
    ]
    print_table(("CODE", "ORG", "ACTION", "OBJECT", "RECORDS", "PRINCIPAL", "STATE"), rows)


@click.command("approve", epilog="Example: orgserver approve 7KQM-2XHD")
@click.argument("code")
@click.option("--yes", is_flag=True, help="Do not ask.")
def approve(code: str, yes: bool) -> None:
    """Let one call of an agent pass: exactly its arguments, once, within 15 minutes."""

    async def act() -> Request:
        async with app_of(settings_of()) as app:
            approving = _approving(app)
            request = await approving.one(code)
            _show(request)
            if not yes:
                _confirm()
            await approving.approve(operator(), request)
            return request

    request = run(act())
    tell(f"Approved: {request.principal} may repeat this call once within 15 minutes.")


def _approving(app: App) -> Approving:
    from orgserver.services.approving import Approving  # noqa: PLC0415  # what only these commands need

    return Approving(app.store, app.access)


def _show(request: Request) -> None:
    print_facts(
        {
            "org": request.org,
            "action": request.action,
            "object": request.object,
            "records": f"{request.count:,}",
            "names": list(request.names),
            "tool": request.tool,
            "principal": request.principal,
            "asked": _time(request.asked_at),
        }
    )


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise ConfigError("nothing was approved: nobody is here to confirm it", hint="add --yes")
    if not agreed("Allow it?"):
        report("nothing was approved")
        raise Failure


def _until(request: Request) -> str:
    return f"{'waits' if request.approved_at is None else 'approved'} until {_time(request.expires_at)}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _told(request: Request) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(request).items()
    }
