"""``orgserver backup`` and ``orgserver restore``: copies of the store, and what is to be done with one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from orgserver.cli.output import Failure, print_json, report, safe, tell, warn
from orgserver.cli.process import app_of, operator, run, settings_of
from orgserver.config import Settings
from orgserver.model.orgs import Org
from orgserver.model.text import count_of
from orgserver.store.backup import copy
from orgserver.store.backup.copy import StoreCopy
from orgserver.store.engines.address import FileAddress, ServerAddress, StoreAddress
from orgserver.store.location import find_address
from orgserver.vault.sources import open_vault


@click.command(epilog="Example: orgserver backup /backups/orgserver-2026-11-24.db")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backup(file: Path, as_json: bool) -> None:
    """Copy the store into a new FILE while servers use it. The copy is checked before it gets its name.

    It holds neither the master key, which it does not open without, nor any access token. Whoever opens it as a store
    sends no refresh token until told to: the original may have used it since.
    """
    target = file.absolute()

    async def act() -> StoreCopy:
        async with app_of(settings_of()) as app:
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


@click.command(epilog="Examples:\n\n  orgserver restore /backups/orgserver-2026-11-24.db\n\n  orgserver restore --mark")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--mark", is_flag=True, help="No FILE: the database was put back by other means, such as pg_restore.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def restore(file: Path | None, mark: bool, as_json: bool) -> None:
    """Put a backup in as the store, where there is none: in ORGSERVER_HOME, or in an empty database of a server.

    The backup stays as it is. No refresh token in it is sent until you say so, for the original store may have used it
    since. With --mark the same is done to a store that the server's own tools, or a copy of its files, have put back:
    before its first start.
    """
    if mark == (file is not None):
        raise click.UsageError("name the FILE of a backup, or give --mark for a store that was put back already")
    settings = settings_of()
    address, source = find_address(settings), file.absolute() if file is not None else None

    async def act() -> tuple[StoreCopy, list[Org]]:
        copied = await _put_in(source, address, settings)
        async with app_of(settings) as app:
            return copied, await app.registry.all()

    copied, orgs = run(act())
    if as_json:
        facts = [{"alias": org.alias, "state": org.visible_state.value, "held": org.refresh_suspended} for org in orgs]
        origin = str(source) if source is not None else None
        print_json({"file": origin, "store": str(address)} | _facts_of(copied) | {"orgs": facts})
    else:
        origin = f"from {safe(file)}" if file is not None else "marked as a copy"
        click.echo(f"{safe(address)}: {_counted(copied)}, as of {_time(copied)}, {origin}")
        _tell_suspended(orgs)
    _fail_if_broken(copied)


async def _put_in(file: Path | None, address: StoreAddress, settings: Settings) -> StoreCopy:
    opening = partial(open_vault, settings, create=False)
    if file is not None and isinstance(address, FileAddress):
        return await copy.restore(file, address.file, opening, operator())
    from orgserver.store.backup import to_server  # noqa: PLC0415  # seldom

    if file is not None and isinstance(address, ServerAddress):
        return await to_server.restore(file, address, opening, operator())
    return await to_server.mark(address, opening, operator())


def _tell_suspended(orgs: list[Org]) -> None:
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
    return f"{count_of(copied.orgs, 'org')}, {count_of(copied.events, 'audit event')}"


def _size(size: int) -> str:
    return f"{size / 1_048_576:,.1f} MiB"


def _time(copied: StoreCopy) -> str:
    return copied.made_at.isoformat(timespec="seconds").replace("+00:00", "Z")
