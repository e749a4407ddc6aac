"""``orgserver access-report``: who may do what where, and when they last did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orgserver.cli.audit.filters import org_option
from orgserver.cli.audit.new_file import new_file, refuse_existing
from orgserver.cli.audit.pages import access_page
from orgserver.cli.audit.pages.access_page import say_last_use, say_limits, say_orgs, say_through
from orgserver.cli.output import safe, tell
from orgserver.cli.process import app_to_read, operator, run, settings_of
from orgserver.cli.tables import print_table, wide_option
from orgserver.model.text import count_of, escape_json

if TYPE_CHECKING:
    from orgserver.services.audit.access_report import Access, AccessReport

_ROWS = 1_000
"""Of one table: a longer one is printed in pieces, each as soon as it is drawn."""
_TITLES = ("principal", "through", "orgs", "may", "since", "until", "limits", "last use", "without effect")
_SPARE = ("limits", "since", "until", "through")


@click.command(
    "access-report",
    epilog="Examples:\n\n  orgserver access-report --org acme\n\n  orgserver access-report --unused 90\n\n"
    "  orgserver access-report --html access.html",
)
@org_option
@click.option("--principal", metavar="NAME", help="Only this principal.")
@click.option(
    "--unused", "unused_days", type=click.IntRange(1, 36_500), metavar="DAYS", help="Only what nobody used for so long."
)
@click.option(
    "--html",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a new file: one page, to read, print or send.",
)
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def access_report(
    org: str | None, principal: str | None, unused_days: int | None, output: Path | None, wide: bool, as_json: bool
) -> None:
    """Show who may do what where: since when, through which grant, within which limits, and the last use.

    A grant on many orgs is one line; with --org, every line is about that org.
    """
    if output is not None:
        refuse_existing(output, "a report")

    async def act() -> AccessReport:
        from orgserver.services.audit import access_report as reporting  # noqa: PLC0415

        question = reporting.Question(org, principal, unused_days)
        async with app_to_read(settings_of()) as app:
            report = await reporting.report_access(app.store, question, operator().principal.name, datetime.now(UTC))
            rows = len(report.access) + len(report.without_effect)
            await app.audit_log.record_export(operator(), "access-report", rows)
            return report

    report = run(act())
    if output is not None:
        with new_file(output, "a report") as file:
            for part in access_page.parts(report, operator().principal.name):
                file.write(part.encode("utf-8", "backslashreplace"))
        tell(f"{output}: {_count(report)}")
    if as_json:
        _print_json(report)
    elif output is None:
        _show(report, wide=wide)


def _print_json(report: AccessReport) -> None:
    """One object; its lines one after the other, for there may be very many."""
    facts = report.facts()
    click.echo("{")
    for name, value in facts.items():
        click.echo(f"  {json.dumps(name)}: {escape_json(json.dumps(value, ensure_ascii=False))},")
    for name, lines, comma in (("access", report.access, ","), ("without_effect", report.without_effect, "")):
        click.echo(f'  "{name}": [')
        for number, line in enumerate(lines, 1):
            text = escape_json(json.dumps(line.as_json(report.time), ensure_ascii=False))
            click.echo(f"    {text}{',' if number < len(lines) else ''}")
        click.echo(f"  ]{comma}")
    click.echo("}")


def _show(report: AccessReport, *, wide: bool) -> None:
    click.echo(f"{report.time:%Y-%m-%d %H:%M} UTC: {safe(_count(report))}")
    for line in report.access:
        if line.kind == "local":
            click.echo(f"{safe(line.principal)} uses this machine itself and holds every permission on every org.")
    _print_lines(report.access, report, wide=wide)
    if report.without_effect:
        click.echo("\nWithout effect")
        _print_lines(report.without_effect, report, wide=wide)


def _print_lines(lines: Iterable[Access], report: AccessReport, *, wide: bool) -> None:
    rows = iter([_row(line, report) for line in lines])
    for some in _pieces(rows):
        print_table(_TITLES, some, spare=_SPARE, wide=wide)


def _pieces(rows: Iterator[tuple[str | None, ...]]) -> Iterator[list[tuple[str | None, ...]]]:
    while some := list(islice(rows, _ROWS)):
        yield some


def _row(line: Access, report: AccessReport) -> tuple[str | None, ...]:
    grant = line.grant
    return (
        f"{line.principal} ({', '.join(line.roles)})" if line.roles else line.principal,
        say_through(line),
        say_orgs(line),
        ", ".join(line.permissions) or None,
        f"{grant.created_at:%Y-%m-%d}" if grant else None,
        f"{grant.until:%Y-%m-%d %H:%M}" if grant and grant.until else None,
        "; ".join(say_limits(line)) or None,
        say_last_use(line, report.time),
        line.without_effect,
    )


def _count(report: AccessReport) -> str:
    about = count_of(report.principals, "principal")
    where = report.org or count_of(report.orgs, "org")
    unused = f", unused for {report.unused_days:,} days" if report.unused_days else ""
    grants = sum(line.grant is not None for line in report.access)
    return f"{about}, {where}{unused}: {count_of(grants, 'grant')} in force"
