"""``orgserver audit tail``: the newest entries, and those to come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from orgserver.cli.audit.filters import decision_option, org_option, principal_option, resolve
from orgserver.cli.output import print_json_line, safe
from orgserver.cli.process import app_to_follow, app_to_read, run, settings_of, until_signal

if TYPE_CHECKING:
    from orgserver.model.audit import AuditEntry

_EVERY_SECONDS = 1.0


@click.command("tail", epilog="Example: orgserver audit tail -f")
@click.option("-n", "count", default=10, show_default=True, type=click.IntRange(0, 10_000), help="How many entries.")
@click.option("-f", "--follow", is_flag=True, help="Go on with entries as they end, until Ctrl-C.")
@org_option
@principal_option
@decision_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
def tail(count: int, follow: bool, org: str | None, principal: str | None, decision: str | None, as_json: bool) -> None:
    """Show the newest entries, oldest first, a line each."""
    show = _json if as_json else _line

    async def act() -> None:
        from orgserver.model.audit import EntryFilter  # noqa: PLC0415

        criteria = EntryFilter(org=org, principal=principal, decision=decision)
        open_log = app_to_follow if follow else app_to_read
        async with open_log(settings_of()) as app:
            criteria = await resolve(app, criteria)
            sequence = await app.audit_log.head()
            newest = await app.audit_log.newest(criteria, count) if count else []
            for entry in reversed(newest):
                if not follow or entry.outcome_sequence is None or entry.outcome_sequence <= sequence:
                    show(entry)
            while follow:
                await asyncio.sleep(_EVERY_SECONDS)
                entries, sequence = await app.audit_log.completed(sequence, criteria)
                for entry in entries:
                    show(entry)

    run(until_signal(act()) if follow else act())


def _line(entry: AuditEntry) -> None:
    parts = [
        f"{entry.time:%Y-%m-%d %H:%M:%S}",
        entry.principal,
        entry.org or "-",
        entry.action,
        entry.object or "-",
        entry.outcome.value,
        entry.error_code or "",
        entry.decision or "",
        entry.id,
    ]
    click.echo("  ".join(safe(part) for part in parts if part))


def _json(entry: AuditEntry) -> None:
    print_json_line(entry.as_json())
