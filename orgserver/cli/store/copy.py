"""``orgserver store copy``: the store moved to a PostgreSQL server, or from there to a file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from orgserver.cli.output import Failure, print_json, report, safe, tell
from orgserver.cli.process import operator, run, settings_of
from orgserver.config import Settings
from orgserver.database_url import take_password
from orgserver.model.errors import ConfigError
from orgserver.model.text import count_of
from orgserver.store.engines.address import StoreAddress
from orgserver.store.location import find_address
from orgserver.store.moving.move import Copied, Move, move, url_of
from orgserver.store.moving.rows import Step
from orgserver.vault.sources import open_vault

_VARIABLE = "ORGSERVER_DATABASE_URL"


@click.group(epilog="Example: orgserver store copy --to postgresql+asyncpg://orgserver@db.example.com/orgserver")
def store() -> None:
    """Move the store to another database."""


@store.command(
    epilog="Examples:\n\n  orgserver store copy --to postgresql+asyncpg://orgserver@db.example.com/orgserver "
    "--password-file /run/secrets/database\n\n  orgserver store copy --to sqlite+aiosqlite:////var/lib/orgserver/orgserver.db"
)
@click.option("--to", metavar="URL", required=True, help="An empty database or a new file, as ORGSERVER_DATABASE_URL.")
@click.option(
    "--password-file", type=click.Path(path_type=Path), help="A file of yours alone that holds the password for URL."
)
@click.option("--password-command", metavar="TEXT", help="A program that prints it, with its arguments.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def copy(to: str, password_file: Path | None, password_command: str | None, as_json: bool) -> None:
    """Move the store to URL: SQLite to PostgreSQL, or back. Stop its servers first.

    Every row is compared and the whole audit log verified there; then the store here is marked as moved, and only then
    is the copy the store: no token can be used from both. What was cut off goes on when this is run again. Without one
    of the password's options, the one that is set for a store on a server is used (ORGSERVER_DATABASE_PASSWORD_FILE
    or _COMMAND) where the store here is a file.
    """
    settings = settings_of()
    source, target = find_address(settings), _target(settings, to, password_file, password_command)
    order = Move(source, target, lambda: open_vault(settings, create=False), operator(), _progress())
    copied = run(move(order))
    if as_json:
        print_json({"from": str(source), "to": str(target)} | _facts_of(copied))
    else:
        _tell_moved(copied, source, target)
    if copied.chain_problem is not None:
        report(f"the audit log does not verify, as before: {copied.chain_problem}", "run: orgserver audit verify")
        raise Failure


def _target(settings: Settings, to: str, password_file: Path | None, password_command: str | None) -> StoreAddress:
    if take_password(to)[1] is not None:
        raise click.UsageError("--to holds a password, which others on this machine can see: give --password-file")
    if password_file is not None and password_command is not None:
        raise click.UsageError("--password-file and --password-command: give one of them")
    update: dict[str, Any] = {"database_url": to}
    if password_file is not None or password_command is not None or settings.is_on_server:
        words = tuple(shlex.split(password_command)) if password_command else None
        file = password_file.absolute() if password_file is not None else None
        update |= {"database_password": None, "database_password_file": file, "database_password_command": words}
    try:
        return find_address(settings.model_copy(update=update))
    except ConfigError as error:
        raise ConfigError(str(error).replace(_VARIABLE, "--to"), hint=error.hint) from None


def _facts_of(copied: Copied) -> dict[str, Any]:
    return {
        "orgs": copied.orgs,
        "audit_events": copied.events,
        "rows": copied.rows,
        "files": copied.files,
        "audit_problem": copied.chain_problem,
    }


def _tell_moved(copied: Copied, source: StoreAddress, target: StoreAddress) -> None:
    orgs, events = count_of(copied.orgs, "org"), count_of(copied.events, "audit event")
    verified = f", {copied.rows:,} rows in all, compared and verified" if copied.rows else ""
    click.echo(f"{safe(target)}: {orgs}, {events}{verified}")
    tell(f"Set {_VARIABLE}={url_of(target)} for every server and command, and start them.")
    tell(f"{source} was marked as moved: it is not opened any more. Keep it until you have a backup of the new one.")


def _progress() -> Step:
    """Say how far it is, on a terminal."""
    if not sys.stderr.isatty():
        return lambda _table, _rows: None
    return lambda table, count: click.echo(f"\r{table}: {count:,}\033[K\r", nl=False, err=True)
