"""``orgserver backup`` and ``orgserver restore``: copies of the store, and what is to be done with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orgserver.cli.output import Failure, print_json, report, safe, tell, warn
from orgserver.cli.process import app_of, operator, run, settings_of
from orgserver.config import Settings
from orgserver.model.orgs import Org
from orgserver.store.backup import copy
from orgserver.store.backup.copy import StoreCopy
from orgserver.vault.sources import open_vault


@click.command(epilog="Example: orgserver backup /backups/orgserver-2026-11-24.db")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backup(file: Path, as_json: bool) -> None:
    """Copy the store into a new FILE while servers use it. The copy is checked before it gets its name.

    It holds neither the master key, which it does not open without, nor any access token. Whoever opens it as a store
    sends no refresh token until told to: the original may have used it since.
    """
    target, settings = file.absolute(), settings_of()
    _ = settings.database_file  # a server's databases are copied by its own tools

    async def act() -> StoreCopy:
        async with app_of(settings) as app:
            return await copy.backup(app.store, target, operator())

    copied = run(act())
    if as_json:
        left_out = list(copied.enrolments_left_out)
        print_json({"file": str(target)} | _facts_of(copied) | {"orgs": copied.orgs, "enrolments_left_out": left_out})
    else:
        click.echo(f"{safe(file)}: {_counted(copied)}, {_size(copied.size)}, checked")
        tell("It opens only with the store's master key, which is not in it: keep that somewhere else.")
    for alias in copied.enrolments_left_out:
        warn(f"{alias} is not in it: its enrolment is unfinished. Run its add-org again, then make another backup")
    _fail_if_broken(copied)


@click.command(epilog="Example: orgserver restore /backups/orgserver-2026-11-24.db")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def restore(file: Path, as_json: bool) -> None:
    """Put a backup in as the store of ORGSERVER_HOME, where there is none. The backup stays as it is.

    No refresh token in it is sent until you say so, for the original store may have used it since.
    """
    settings = settings_of()
    source = file.absolute()

    async def act() -> tuple[StoreCopy, list[Org]]:
        copied = await copy.restore(
            source, settings.database_file, lambda: open_vault(settings, create=False), operator()
        )
        async with app_of(settings) as app:
            return copied, await app.registry.all()

    copied, orgs = run(act())
    if as_json:
        facts = [{"alias": org.alias, "state": org.visible_state.value, "held": org.refresh_suspended} for org in orgs]
        print_json({"file": str(source), "store": str(copied.path)} | _facts_of(copied) | {"orgs": facts})
    else:
        _tell_restored(copied, orgs, file, settings)
    _fail_if_broken(copied)


def _tell_restored(copied: StoreCopy, orgs: list[Org], file: Path, settings: Settings) -> None:
    click.echo(f"{safe(settings.database_file)}: {_counted(copied)}, as of {_time(copied)}, from {safe(file)}")
    suspended = [org for org in orgs if org.refresh_suspended]
    if not suspended:
        return
    tell(f"Held back, because the original store may have used their refresh tokens since: {_names(suspended)}")
    tell("- if the original is gone: orgserver check-org ALIAS --try-token, for each of them")
    tell("- if it is still in use: log in anew here, with orgserver update-org ALIAS --auth web")


def _names(orgs: list[Org]) -> str:
    return ", ".join(org.alias for org in orgs)


def _facts_of(copied: StoreCopy) -> dict[str, Any]:
    return {
        "made_at": _time(copied),
        "size": copied.size,
        "audit_events": copied.events,
        "audit_problem": copied.chain_problem,
    }


def _fail_if_broken(copied: StoreCopy) -> None:
    """The copy is there, as faithful as evidence should be; but somebody must look."""
    if copied.chain_problem is not None:
        report(f"the audit log in it does not verify: {copied.chain_problem}", "run: orgserver audit verify")
        raise Failure


def _counted(copied: StoreCopy) -> str:
    orgs = f"{copied.orgs:,} org{'' if copied.orgs == 1 else 's'}"
    return f"{orgs}, {copied.events:,} audit event{'' if copied.events == 1 else 's'}"


def _size(size: int) -> str:
    return f"{size / 1_048_576:,.1f} MiB"


def _time(copied: StoreCopy) -> str:
    return copied.made_at.isoformat(timespec="seconds").replace("+00:00", "Z")
