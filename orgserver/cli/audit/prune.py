"""``orgserver audit prune`` and ``hold``: how long the log is kept."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.audit.filters import parse_time, record_id, resolve
from orgserver.cli.confirmation import agree_guarded
from orgserver.cli.output import print_json, tell
from orgserver.cli.process import app_of, app_to_read, operator, run, settings_of
from orgserver.cli.tables import print_table, wide_option
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import OperatorError
from orgserver.model.orgs import Caller
from orgserver.model.text import count_of

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.services.audit.retention import Cut

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@click.command(
    "prune",
    epilog="Examples:\n\n  orgserver audit prune --before 400d --export 2025.jsonl\n\n"
    "  orgserver audit prune --before 400d --discard",
)
@click.option(
    "--before",
    required=True,
    callback=parse_time,
    metavar="TIME",
    help="ISO 8601, or an age such as 400d.",
)
@click.option(
    "--export",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the evidence to a new file first; NAME.gz is compressed.",
)
@click.option("--discard", is_flag=True, help="Keep nothing of it.")
@click.option("--yes", is_flag=True, help="Do not ask, where config.toml lets commands run unattended.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def prune(before: datetime, output: Path | None, discard: bool, yes: bool, as_json: bool) -> None:
    """Remove old entries, up to a signed checkpoint; the rest still verifies.

    The log is verified first, and nothing is removed that an `audit hold` covers. A person at a terminal must agree.
    """
    if discard == (output is not None):
        raise click.UsageError("give one of --export FILE and --discard")
    if output is not None and output.exists():
        raise OperatorError(f"{output} exists", hint="choose another name; an export never replaces a file")

    async def act() -> Cut:
        async with app_of(settings_of()) as app:
            retention = app.retention()
            cut = await retention.plan(before)
            caller = await _permission(app, cut, output, yes=yes)
            await retention.check(_progress("verified"))
            await retention.check_shipped(cut)
            if output is not None:
                await retention.export(operator(), cut, output)
            await retention.prune(caller, cut, _progress("pruned"))
            return cut

    cut = run(act())
    if as_json:
        print_json({"entries": cut.entries, "events": cut.events, "sequence": cut.sequence, "export": _text(output)})
        return
    place = f"; they are in {output}" if output is not None else ""
    begins = f"The log begins at {cut.sequence + 1:,}."
    were = "was" if cut.entries == 1 else "were"
    tell(f"{count_of(cut.entries, 'entry')} up to {_day(cut.last_time)} {were} pruned{place}. {begins}")


async def _permission(app: App, cut: Cut, output: Path | None, *, yes: bool) -> Caller:
    what = f"{count_of(cut.entries, 'entry')} from {_day(cut.first_time)} to {_day(cut.last_time)}"
    where = f"after writing them to {output}" if output is not None else "for good, without an export"
    return await agree_guarded(app, "audit prune", f"Remove {what} {where}?", undone="nothing was pruned", yes=yes)


def _progress(verb: str) -> Callable[[int, int], None]:
    if not sys.stderr.isatty():
        return lambda _done, _total: None

    def show(done: int, total: int) -> None:
        end = "\r\033[K" if done >= total else ""
        click.echo(f"\r{verb} {done:,} of {total:,} events{end}", nl=False, err=True)

    return show


def _day(time: int) -> str:
    from orgserver.store.transaction import to_datetime  # noqa: PLC0415  # a shell that completes waits for no engine

    return f"{to_datetime(time):%Y-%m-%d}"


def _text(output: Path | None) -> str | None:
    return str(output) if output is not None else None


@click.command(
    "hold",
    epilog="Examples:\n\n  orgserver audit hold case-17 --org acme --since 2025-11-01\n\n"
    "  orgserver audit hold case-17 --release",
)
@click.argument("name", required=False, shell_complete=completion.holds)
@click.option(
    "--org", metavar="ALIAS", help="Only entries of this org, as it was called then.", shell_complete=completion.aliases
)
@click.option("--record-id", metavar="ID", help="Only entries that touched this record.")
@click.option("--since", callback=parse_time, metavar="TIME", help="From then on.")
@click.option("--until", callback=parse_time, metavar="TIME", help="Before then.")
@click.option("--list", "listing", is_flag=True, help="Show every hold.")
@click.option("--release", is_flag=True, help="Lift the hold.")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def hold(name: str | None, listing: bool, release: bool, wide: bool, as_json: bool, **criteria: Any) -> None:
    """Keep entries from being pruned: all, or those of an org, a record or a span. On record."""
    if listing:
        if name is not None or release or any(criteria.values()):
            raise click.UsageError("--list takes no other option but --json")
        _list(as_json=as_json, wide=wide)
        return
    if name is None or not _NAME.fullmatch(name):
        raise click.UsageError("give the hold a NAME of letters, digits, dots, dashes and underscores (at most 64)")
    if release and any(criteria.values()):
        raise click.UsageError("--release takes the name of a hold and nothing else")
    entries = _wanted(criteria)

    async def act() -> bool:
        async with app_of(settings_of()) as app:
            retention = app.retention()
            if release:
                await retention.release(operator(), name)
                return True
            which = await resolve(app, entries)
            covers = bool(await app.audit_log.newest(which, 1))  # asked before, for a hold is itself an entry
            await retention.hold(operator(), name, which)
            return covers

    covers = run(act())
    if as_json:
        print_json({"name": name, "held": not release})
    else:
        tell(f"{name}: {'released' if release else 'held; audit prune removes nothing that it covers'}")
    if not covers:
        tell(f"{name}: it covers no entry so far; see that what it names is spelled right")


def _wanted(criteria: dict[str, Any]) -> EntryFilter:
    if criteria["since"] and criteria["until"] and criteria["until"] <= criteria["since"]:
        raise click.UsageError("--until is not after --since")
    return EntryFilter(**criteria | {"record_id": record_id(criteria["record_id"])})


def _list(*, as_json: bool, wide: bool) -> None:
    from orgserver.services.audit.retention import hold_json  # noqa: PLC0415

    async def act() -> list[dict[str, Any]]:
        async with app_to_read(settings_of()) as app:
            return [hold_json(each) for each in await app.retention().holds()]

    holds = run(act())
    if as_json:
        print_json(holds)
    elif holds:
        titles = ("name", "org", "record_id", "since", "until", "principal", "time")
        rows = [[each[title] for title in titles] for each in holds]
        print_table(titles, rows, spare=("time", "principal", "until", "since"), wide=wide)
    else:
        tell("There is no hold.")
