"""``orgserver audit verify`` and ``public-key``: can the log be believed?"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli.output import Failure, print_json, report, safe
from orgserver.cli.process import app_of, app_to_read, has_store, operator, run, settings_of
from orgserver.model.errors import ConfigError, OrgserverError, StoreError
from orgserver.model.text import count_of

if TYPE_CHECKING:
    from orgserver.services.audit.evidence import Finding
    from orgserver.services.audit.log_reader import VerificationResult

_MAX_NOTES = 64 * 1024 * 1024


@click.command(
    "verify",
    epilog="Examples:\n\n  orgserver audit verify --checkpoint /mnt/elsewhere/orgserver.db.checkpoints\n\n"
    "  orgserver audit verify evidence.jsonl --public-key key.txt (away from the store)",
)
@click.argument("export", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--public-key", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Of the log FILE is from."
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Signed checkpoints that were kept elsewhere: they tell an older copy that was put back.",
)
@click.option("--since-checkpoint", is_flag=True, help="Only what is new since the last good verification.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    export: Path | None, public_key: Path | None, checkpoints: tuple[Path, ...], since_checkpoint: bool, as_json: bool
) -> None:
    """Check that nobody edited, removed, inserted, reordered or cut off entries. Exits 1 if somebody did.

    With FILE, an export made with --format events is checked, from the file and the public key alone; a folder is
    what `audit ship` made there, or was copied from a bucket.
    """
    by_file = {path: _notes(path) for path in checkpoints}
    notes = [note for each in by_file.values() for note in each]
    if export is not None:
        if since_checkpoint:
            raise click.UsageError("--since-checkpoint is for the store, not for an export")
        _verify_export(export, public_key, notes, as_json=as_json)
        return
    if public_key is not None:
        raise click.UsageError("--public-key goes with an export; the store knows its own")

    async def act() -> tuple[VerificationResult, int]:
        gc.disable()  # millions of rows come and go, and none of them is part of a cycle
        async with app_to_read(settings_of()) as app:
            result = await app.audit_log.verify(_progress(), external=notes, since_checkpoint=since_checkpoint)
            with suppress(OrgserverError):  # a log that was tampered with may take no entry
                await app.audit_log.record_verification(operator(), result)
            own = app.audit_log.checkpoint_file
            return result, sum(len(by_file[path]) for path in by_file if own.exists() and path.samefile(own))

    result, beside = run(act())
    facts = {"events": result.events, "entries": result.entries, "since": result.since, "kept_checkpoints": len(notes)}
    _report_result(result, facts, as_json=as_json)
    if result.problem is None and not as_json:
        since = f" after sequence {result.since:,}" if result.since else ""
        click.echo(
            f"The audit log is whole: {count_of(result.entries, 'entry')} in {count_of(result.events, 'event')}{since}."
        )
        places = ((len(notes) - beside, "kept elsewhere"), (beside, "in the file beside the store"))
        counted = "".join(f"; {count_of(count, 'checkpoint')} {place}" for count, place in places if count)
        click.echo(f"Checked: {', '.join(result.checks)}{counted}.")
        if len(notes) == beside:  # whoever puts the store back whole puts that file back, too
            copy = "an older copy put back whole with that file" if beside else "an older copy put back whole"
            click.echo(f"Not checked: {copy} (give --checkpoint FILE, kept elsewhere).")


def _verify_export(export: Path, public_key: Path | None, notes: list[str], *, as_json: bool) -> None:
    from orgserver.services.audit import evidence  # noqa: PLC0415
    from orgserver.services.audit.shipping import verification as shipped  # noqa: PLC0415
    from orgserver.vault.signed_notes import BadNote, Verifier, read_checkpoint  # noqa: PLC0415

    try:
        verifier = Verifier.read(public_key.read_text("utf-8", "replace")) if public_key is not None else None
    except BadNote as bad:
        raise ConfigError(f"{public_key}: {bad}", hint="orgserver audit public-key prints it") from None
    try:
        external = [verifier.checkpoint(note) if verifier else read_checkpoint(note) for note in notes]
    except BadNote as bad:
        raise ConfigError(
            f"a checkpoint cannot be compared with this export: {bad}", hint="give those of the log that it is from"
        ) from None
    check = shipped.check_folder if export.is_dir() else evidence.check_file
    result = check(export, verifier, external=external)
    facts = {"events": result.events, "entries": result.entries, "first": result.first, "signed_to": result.signed_to}
    _report_result(result, facts, as_json=as_json)
    if result.problem is None and not as_json:
        counts = f"{count_of(result.entries, 'entry')} in {count_of(result.events, 'event')}"
        click.echo(f"The export is whole: {counts}, from {result.first:,}.")
        if verifier is None:
            click.echo(f"Checked: {', '.join(result.checks)}. Not checked: whose log it is (give --public-key FILE).")
        else:
            click.echo(f"Checked: {', '.join(result.checks)}. Signed by {verifier.origin} up to {result.signed_to:,}.")


def _report_result(result: VerificationResult | Finding, facts: dict[str, Any], *, as_json: bool) -> None:
    """Say in JSON how it stands, or on standard error what is wrong."""
    if as_json:
        print_json(
            {"ok": result.problem is None}
            | facts
            | {"checks": list(result.checks), "first_bad": result.first_bad, "problem": result.problem}
        )
    if result.problem is not None:
        report(f"the audit log does not verify: {result.problem} (sequence {result.first_bad})")
        raise Failure


def _notes(path: Path) -> list[str]:
    from orgserver.vault.signed_notes import split  # noqa: PLC0415

    if path.is_dir():
        from orgserver.services.audit.shipping.verification import read_notes  # noqa: PLC0415

        return read_notes(path)
    if path.stat().st_size > _MAX_NOTES:
        raise ConfigError(f"{path} is no file of checkpoints")
    result = split(path.read_text("utf-8", "replace"))
    if not result:
        raise ConfigError(f"{path} holds no checkpoint")
    return result


@click.command("public-key", epilog="Example: orgserver audit public-key > key.txt")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def public_key(as_json: bool) -> None:
    """Print the public key that checks this log's checkpoints and exports, away from the store."""

    async def act() -> str:
        settings = settings_of()
        if not has_store(settings):
            from orgserver.store.location import find_address  # noqa: PLC0415  # the store's imports

            raise StoreError(f"there is no store at {find_address(settings)} yet, and so no key")
        async with app_of(settings) as app:
            return app.audit_log.public_key

    key = run(act())
    if as_json:
        print_json({"public_key": key})
    else:
        click.echo(safe(key))


def _progress() -> Callable[[int, int], None]:
    """A bar on a terminal."""
    if not sys.stderr.isatty():
        return lambda _done, _total: None

    def show(done: int, total: int) -> None:
        share = min(1.0, done / total) if total else 1.0
        bar = "█" * int(share * 30)
        end = "\r\033[K" if done >= total else ""
        click.echo(f"\r{bar:<30} {done:,} of {total:,} events{end}", nl=False, err=True)

    return show
