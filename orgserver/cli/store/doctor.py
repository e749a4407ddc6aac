"""``orgserver doctor``: every check a support person would ask for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from orgserver.cli.support import Failure, app_of, no_core_dumps, print_json, run, safe
from orgserver.config import Settings, read_settings, unknown_variables
from orgserver.logs import start_logging
from orgserver.model.errors import OperatorError
from orgserver.services.doctor import machine
from orgserver.services.doctor.machine import Finding

if TYPE_CHECKING:
    from orgserver.app import App

_MARKS = {"ok": ("✓", "green"), "note": ("·", None), "warning": ("!", "yellow"), "problem": ("✗", "red")}


@click.command(epilog="Example: orgserver doctor --json")
@click.option("--offline", is_flag=True, help="Ask no login host for the time; everything else is local anyway.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(offline: bool, as_json: bool) -> None:
    """Check the machine, the store, its keys and its orgs. Exits 1 if something must be done.

    No refresh token is sent, and no secret is shown.
    """
    no_core_dumps()
    unknown: list[str] = []
    settings = read_settings(unknown=unknown)  # whoever asks what is wrong is to be told of all of it
    start_logging(settings, quiet=True)
    found = [Finding("settings", "problem", each, "correct the name, or take it out") for each in unknown]
    found += [Finding("settings", "warning", each, "correct the name, or unset it") for each in unknown_variables()]
    found += run(examine(settings, offline=offline))
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        _print(found)
    if any(each.level == "problem" for each in found):
        raise Failure


async def examine(settings: Settings, *, offline: bool) -> list[Finding]:
    """Check everything that can be checked, from the outside in; what stands in the way is a finding too."""
    found = await asyncio.to_thread(machine.of_machine, settings)
    found += await asyncio.to_thread(machine.of_files, settings.database_file)
    if found[-1].level == "problem":
        return found
    try:
        async with app_of(settings) as app:
            found += await _inside(app, offline=offline)
    except OperatorError as error:
        found.append(Finding("store", "problem", str(error), error.hint))
    return found


async def _inside(app: App, *, offline: bool) -> list[Finding]:
    from orgserver.services.doctor import clock, store  # noqa: PLC0415  # the client's imports

    found = await store.of_store(app.store)
    found += store.keys(await app.keys.usage(), app.keys.ring, app.keys.source)
    found.append(await store.approvals(app.store))
    orgs = list((await app.access.reload()).by_alias.values())
    found += await store.left_behind(app.store, orgs)
    if not offline:
        found += await clock.check_clock(app.access.client, orgs)
    now = datetime.now(UTC)
    return found + [store.of_org(org, now) for org in orgs] + store.twins(orgs)


def _print(found: Sequence[Finding]) -> None:
    width = max(len(each.name) for each in found)
    for each in found:
        click.echo(f"{_mark(each)} {safe(each.name):<{width}}  {safe(each.text)}")
        if each.todo:
            click.echo(f"  {'':<{width}}  → {safe(each.todo)}")
    problems = sum(each.level == "problem" for each in found)
    warnings = sum(each.level == "warning" for each in found)
    click.echo(f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}.")


def _mark(finding: Finding) -> str:
    mark, colour = _MARKS[finding.level]
    return mark if colour is None or os.environ.get("NO_COLOR") else click.style(mark, fg=colour, bold=True)


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
