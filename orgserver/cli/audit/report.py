"""``orgserver audit report``: who did what where, in numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orgserver.cli.audit.filters import decision_option, org_option, parse_time, principal_option, warn_of_alias
from orgserver.cli.audit.new_file import new_file, refuse_existing
from orgserver.cli.output import print_json, safe, tell
from orgserver.cli.process import app_to_read, operator, run, settings_of
from orgserver.cli.tables import print_table, wide_option
from orgserver.model.text import count_of

if TYPE_CHECKING:
    from orgserver.services.audit.report import Line, Report

_BAR = 30


@click.command(
    "report",
    epilog="Examples:\n\n  orgserver audit report --since 7d\n\n  orgserver audit report --html report.html",
)
@click.option(
    "--since",
    default="30d",
    show_default=True,
    callback=parse_time,
    metavar="TIME",
    help="ISO 8601, or 30d, 12h.",
)
@click.option("--until", callback=parse_time, metavar="TIME", help="Before then. [default: now]")
@org_option
@principal_option
@decision_option
@click.option(
    "--html",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a new file: one page with charts, to read, print or send.",
)
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report(
    since: datetime, until: datetime | None, output: Path | None, wide: bool, as_json: bool, **options: str | None
) -> None:
    """Show who did what where: denials and failures, then by day, org, principal, object, action, rule and person.

    A person is a principal as one Salesforce user, by the login that all share or by their own.
    """
    now = datetime.now(UTC)
    if since >= now:
        raise click.UsageError("--since is not in the past")
    until = min(until, now) if until is not None else now
    if until <= since:
        raise click.UsageError("--until is not after --since")
    if output is not None:
        from orgserver.cli.audit.pages import report_page  # noqa: PLC0415

        refuse_existing(output, "a report")

    only = {name: value for name, value in options.items() if value is not None}

    async def act() -> Report:
        from orgserver.services.audit import report as reporting  # noqa: PLC0415

        async with app_to_read(settings_of()) as app:
            warn_of_alias(only.get("org"), (await app.access.catalog()).by_alias)
            audit_report = await reporting.report(app.store, since, until, only)
            await app.audit_log.record_export(operator(), "audit report", audit_report.total)
            return audit_report

    audit_report = run(act())
    if output is not None:
        with new_file(output, "a report") as file:
            file.write(
                report_page.page(audit_report, now, operator().principal.name).encode("utf-8", "backslashreplace")
            )
        tell(f"{output}: {count_of(audit_report.total, 'entry')}")
    if as_json:
        print_json(audit_report.as_json())
    elif output is None:
        _show(audit_report, wide=wide)


def _show(audit_report: Report, *, wide: bool) -> None:
    from orgserver.cli.audit.pages.report_page import count_repeats, say_filter, shares  # noqa: PLC0415

    span = f"{audit_report.since:%Y-%m-%d %H:%M} to {audit_report.until:%Y-%m-%d %H:%M} UTC"
    click.echo(f"{span}: {count_of(audit_report.total, 'entry')}{safe(say_filter(audit_report.only))}")
    if not audit_report.total:
        return
    click.echo(shares(audit_report.counts))
    if audit_report.repeats:
        click.echo(count_repeats(audit_report.repeats))
    if audit_report.failures:
        click.echo("\nDenials and failures")
        titles = ("outcome", "error", "principal", "org", "action", "object", "entries", "newest (UTC)")
        rows = [
            (
                each.outcome,
                each.error_code,
                each.principal,
                each.org,
                each.action,
                each.object,
                f"{each.count:,}",
                f"{each.last:%Y-%m-%d %H:%M}",
            )
            for each in audit_report.failures
        ]
        print_table(titles, rows, spare=("newest (UTC)", "object", "principal", "error"), wide=wide)
        if audit_report.more_failures:
            click.echo(f"and {audit_report.more_failures:,} more kinds")
    _lines(audit_report.period, audit_report.times, wide=wide)
    for name, lines in audit_report.by.items():
        if lines:
            _lines(name, lines, wide=wide)
    if audit_report.people:
        from orgserver.services.audit.report_people import table_rows  # noqa: PLC0415

        click.echo("\nBy person")
        people = ("principal", "Salesforce user", "login", "calls", "changes", "denied")
        print_table(people, table_rows(audit_report.people), spare=("login",), wide=wide)


def _lines(name: str, lines: list[Line], *, wide: bool) -> None:
    most = max(line.total for line in lines)
    click.echo(f"\nBy {safe(name)}")
    print_table(
        (name, "entries", "failed", ""),
        [
            (
                f"{line.others:,} others" if line.others else line.name,
                f"{line.total:,}",
                f"{_failed(line):,}" if _failed(line) else None,
                "█" * round(_BAR * line.total / most) if most else "",
            )
            for line in lines
        ],
        spare=("",),
        wide=wide,
    )


def _failed(line: Line) -> int:
    from orgserver.services.audit.report import FAILURES  # noqa: PLC0415

    return sum(line.counts.get(outcome, 0) for outcome in FAILURES)
