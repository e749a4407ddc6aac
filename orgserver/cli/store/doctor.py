"""``orgserver doctor``: every check a support person would ask for."""

from __future__ import annotations

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict

import click

from orgserver.cli.output import Failure, print_json, safe
from orgserver.cli.process import app_of, no_core_dumps, run
from orgserver.config import Settings, read_settings, unknown_variables
from orgserver.logs import start_logging
from orgserver.model.errors import OperatorError
from orgserver.model.text import count_of
from orgserver.services.doctor import machine
from orgserver.services.doctor.machine import Finding

_MARKS = {"ok": ("✓", "green"), "note": ("·", None), "warning": ("!", "yellow"), "problem": ("✗", "red")}
_MOST_ALIKE = 20


@click.command(epilog="Example: orgserver doctor --json")
@click.option("--offline", is_flag=True, help="Ask no login host for the time, and not the identity provider.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(offline: bool, as_json: bool) -> None:
    """Check the machine, the store, its keys and its orgs. Exits 1 if something must be done.

    No refresh token is sent, and no secret is shown.
    """
    no_core_dumps()
    unknown: list[str] = []
    settings = read_settings(unknown=unknown)  # whoever asks what is wrong is to be told of all of it
    start_logging(settings, quiet=True)
    findings = [Finding("settings", "problem", each, "correct the name, or take it out") for each in unknown]
    findings += [Finding("settings", "warning", each, "correct the name, or unset it") for each in unknown_variables()]
    findings += run(examine(settings, offline=offline))
    if as_json:
        print_json([asdict(each) for each in findings])
    else:
        _print(findings)
    if any(each.level == "problem" for each in findings):
        raise Failure


async def examine(settings: Settings, *, offline: bool) -> list[Finding]:
    """Check everything that can be checked, from the outside in; what stands in the way is a finding too."""
    findings = await asyncio.to_thread(machine.of_machine, settings)
    findings += await _examine_place(settings)
    if findings[-1].level == "problem":
        return findings
    try:
        async with app_of(settings) as app:
            from orgserver.services.doctor.examination import examine_store  # noqa: PLC0415  # the client's imports

            findings += await examine_store(app.store, app.access, app.keys, offline=offline)
            if settings.ship_to is not None:
                from orgserver.services.doctor.shipping import check_shipping  # noqa: PLC0415  # where it is set

                findings.append(await check_shipping(app.shipper, offline=offline))
            from orgserver.services.doctor.claim_groups import unfollowed_groups  # noqa: PLC0415  # the store's imports

            if settings.signin_issuer is not None:
                from orgserver.services.doctor.signin import check_sign_in  # noqa: PLC0415  # with Authlib

                findings += await check_sign_in(app.store, settings, offline=offline)
            else:
                findings += await unfollowed_groups(app.store)
    except OperatorError as error:
        findings.append(Finding("store", "problem", str(error), error.hint))
    return findings


async def _examine_place(settings: Settings) -> list[Finding]:
    """Whether the store can be opened: the files of one, or the server."""
    if not settings.is_on_server:
        return await asyncio.to_thread(machine.of_files, settings.database_file)
    from orgserver.services.doctor.server import of_server  # noqa: PLC0415  # the server's imports

    try:
        return await of_server(settings)
    except OperatorError as error:
        return [Finding("server", "problem", str(error), error.hint)]


def _print(findings: Sequence[Finding]) -> None:
    shown, more = group_findings(findings)
    width = max(len(each.name) for each in shown)
    for each in shown:
        click.echo(f"{_mark(each)} {safe(each.name):<{width}}  {safe(each.text)}")
        if each.todo:
            click.echo(f"  {'':<{width}}  → {safe(each.todo)}")
    for alike, number in more.items():
        click.echo(f"{_mark(alike)} {'more':<{width}}  {count_of(number, 'finding')} like that on {safe(alike.name)}")
    if more:
        click.echo(f"  {'':<{width}}  → orgserver doctor --json has each of them")
    problems = sum(each.level == "problem" for each in findings)
    warnings = sum(each.level == "warning" for each in findings)
    click.echo(f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}.")


def group_findings(findings: Sequence[Finding]) -> tuple[list[Finding], dict[Finding, int]]:
    """What a person is shown, and of what there is too much: the first of each kind, with how many are left out."""
    kinds: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    shown = []
    for each in findings:
        alike = kinds[each.level, _find_kind(each.text)]
        alike.append(each)
        if len(alike) <= _MOST_ALIKE:
            shown.append(each)
    return shown, {alike[0]: len(alike) - _MOST_ALIKE for alike in kinds.values() if len(alike) > _MOST_ALIKE}


def _find_kind(text: str) -> str:
    """The words that a finding shares with others of its kind: up to the first sign, without hosts, dates, numbers."""
    words = re.split(r"[:;,(]", text.removeprefix("disabled; "), maxsplit=1)[0].split()
    return " ".join(word for word in words if word.isalpha())


def _mark(finding: Finding) -> str:
    mark, colour = _MARKS[finding.level]
    return mark if colour is None or os.environ.get("NO_COLOR") else click.style(mark, fg=colour, bold=True)


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
