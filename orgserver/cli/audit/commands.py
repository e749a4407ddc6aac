"""``orgserver audit``: what happened, for administrators."""

from __future__ import annotations

import re
from typing import Any

import click

from orgserver.cli import completion
from orgserver.cli.audit import evidence, export, prune, report, ship, tail, undo
from orgserver.cli.audit.filters import filters, read_criteria, resolve
from orgserver.cli.audit.full_disk import readable
from orgserver.cli.main import Group
from orgserver.cli.output import print_facts, print_json, safe, tell
from orgserver.cli.process import app_to_read, run
from orgserver.cli.tables import print_table, wide_option
from orgserver.config import Settings
from orgserver.model.audit import ADMINISTRATION, AuditEntry
from orgserver.model.errors import OperatorError

_TITLES = (
    "time (UTC)", "principal", "Salesforce user", "org", "action", "object", "record", "outcome", "error", "decision",
    "ms", "id",
)  # fmt: skip
_CHANGE = re.compile(r"((?:tag:)?[^:]*):(.*)->(.*)")
"""A thing that is another now, as the log names it: ``row_limit:50->20``, ``tag:eu:none->read``."""


@click.group(cls=Group, epilog="Example: orgserver audit list --org acme --since 7d")
def audit() -> None:
    """Read, export and verify the audit log."""


@audit.command("list", epilog="Example: orgserver audit list --outcome denied --since 24h")
@filters
@wide_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100_000), help="How many entries.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--no-pager", is_flag=True, help="Print a long table on a terminal at once, without $PAGER (or less).")
def list_(limit: int, as_json: bool, no_pager: bool, wide: bool, **options: Any) -> None:
    """List entries, the newest first."""
    criteria = read_criteria(options)

    async def act(settings: Settings) -> list[AuditEntry]:
        async with app_to_read(settings) as app:
            return await app.audit_log.newest(await resolve(app, criteria), limit)

    entries = run(readable(act))
    if as_json:
        print_json([entry.as_json() for entry in entries])
    elif entries:
        print_entries(entries, paged=not no_pager, wide=wide)
    else:
        tell("No entry matches.")


def print_entries(entries: list[AuditEntry], *, paged: bool = False, wide: bool = False) -> None:
    """Print entries as a table."""
    print_table(
        _TITLES,
        [
            (
                f"{entry.time:%Y-%m-%d %H:%M:%S}",
                entry.principal,
                _own_user(entry),
                entry.org,
                f"{entry.action} (repeat)" if entry.is_repeat else entry.action,
                entry.object,
                _records(entry),
                entry.outcome.value,
                entry.error_code,
                entry.decision,
                None if entry.duration_ms is None else f"{entry.duration_ms:.0f}",
                entry.id,
            )
            for entry in entries
        ],
        spare=("ms", "principal", "record", "error", "object", "time (UTC)", "decision", "Salesforce user"),
        ids=("id",),
        paged=paged,
        wide=wide,
    )


@audit.command(epilog="Example: orgserver audit show 0197b2f0-…")
@click.argument("entry_id", metavar="ID", shell_complete=completion.entries)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(entry_id: str, as_json: bool) -> None:
    """Show one entry: intent and outcome. The beginning of its ID is enough."""

    async def act(settings: Settings) -> tuple[AuditEntry, dict[str, int], list[str]]:
        async with app_to_read(settings) as app:
            entry = await app.audit_log.entry(entry_id)
            if entry is None:
                raise OperatorError("there is no audit entry with this id", hint="orgserver audit list shows ids")
            first = await app.audit_log.find_repeated(entry) if entry.is_repeat else []
            return entry, await app.audit_log.counts(entry), [each.id for each in first]

    entry, counts, first = run(readable(act))
    if as_json:
        print_json(entry.as_json() | counts)
        return
    more: dict[str, Any] = {"soql": entry.soql} if entry.soql else {}
    if entry.is_repeat:
        more["repeats"] = first or "an entry that was pruned"
    changes = _changes(entry)
    print_facts(entry.as_json() | {"fields": [each for each in entry.fields if each not in changes]} | more | counts)
    for change in changes.values():
        click.echo(f"changed: {safe(change)}")


def _changes(entry: AuditEntry) -> dict[str, str]:
    """What an act of administration made another, in the words of the log and in those for people."""
    if entry.action not in ADMINISTRATION:
        return {}
    matches = [_CHANGE.fullmatch(each) for each in entry.fields]
    return {match[0]: f"{match[1]} {match[2]} → {match[3]}" for match in matches if match is not None}


def _own_user(entry: AuditEntry) -> str | None:
    """Whom a person's own login acted as; nothing where that was the user that all share."""
    return entry.salesforce_user.username if entry.salesforce_user is not None and entry.identity == "own" else None


def _records(entry: AuditEntry) -> str | None:
    if not entry.record_ids:
        return None
    more = entry.record_count - 1
    return f"{entry.record_ids[0]} +{more:,}" if more else entry.record_ids[0]


for _command in (
    export.export,
    tail.tail,
    report.report,
    evidence.verify,
    evidence.public_key,
    prune.prune,
    prune.hold,
    ship.ship,
    undo.undo,
    undo.erase,
):
    audit.add_command(_command)
