"""``orgserver audit export``: entries, or the raw chain, for other programs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import click

from orgserver.cli.audit.filters import filters, read_criteria, resolve
from orgserver.cli.audit.new_file import new_file
from orgserver.cli.output import safe, tell
from orgserver.cli.process import app_to_follow, app_to_read, operator, run, settings_of, until_signal
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import ConfigError, OperatorError, OrgserverError
from orgserver.model.text import count_of, escape_json
from orgserver.services.audit.export_files import write_text

if TYPE_CHECKING:
    from orgserver.services.audit.log_reader import AuditLogReader

_FORMATS = ("jsonl", "csv", "events", "parquet", "ocsf")
_EVERY_SECONDS = 1.0


@click.command(epilog="Example: orgserver audit export --format csv --since 30d --output february.csv")
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="jsonl", show_default=True)
@filters
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file. [default: standard output]"
)
@click.option("--follow", is_flag=True, help="Go on with entries as they end, until Ctrl-C; each of them once.")
def export(format_: str, output: Path | None, follow: bool, **options: Any) -> None:
    """Write entries out, oldest first: JSON lines, CSV, OCSF (API Activity), or `events`, the raw chain as evidence.

    A FILE whose name ends in .gz is compressed. Parquet compresses itself, and needs the extra orgserver[parquet].
    """
    criteria = read_criteria(options)
    if format_ == "events" and criteria != EntryFilter(since=criteria.since, until=criteria.until):
        raise click.UsageError("--format events is the whole chain: it takes --since and --until, and no other filter")

    if follow:
        if output is not None or format_ in ("events", "parquet"):
            raise click.UsageError("--follow writes jsonl, csv or ocsf to standard output")
        run(until_signal(_follow(format_, criteria)))
        return
    if format_ == "parquet":
        _check_parquet(output)

    async def act() -> int:
        async with app_to_read(settings_of()) as app:
            return await export_to(app.audit_log, format_, await resolve(app, criteria), output)

    written = run(act())
    if output is not None:
        tell(f"{count_of(written, 'event' if format_ == 'events' else 'entry')} written to {output}")


async def _follow(format_: str, criteria: EntryFilter) -> None:
    """Write entries as they end; those that have ended already first."""
    from orgserver.services.audit import export as exporting  # noqa: PLC0415  # a shell that completes waits for none of it

    render, written, sequence = exporting.RENDER[format_], 0, 0
    show = _escaping(format_) if sys.stdout.isatty() else str
    async with app_to_follow(settings_of()) as app:
        criteria = await resolve(app, criteria)
        try:
            if format_ == "csv":
                click.echo(exporting.csv_header())
            while True:
                before = sequence
                entries, sequence = await app.audit_log.completed(sequence, criteria)
                for entry in entries:
                    click.echo(show(render(entry.as_json())))
                written += len(entries)
                if sequence == before:
                    await asyncio.sleep(_EVERY_SECONDS)
        finally:
            await app.audit_log.record_export(operator(), f"audit export --format {format_} --follow", written)


def _check_parquet(output: Path | None) -> None:
    """Refuse what cannot be written before anything is opened."""
    if output is not None and output.suffix == ".gz":
        raise click.UsageError("Parquet compresses itself (zstd): name the FILE without .gz")
    if output is None and sys.stdout.isatty():
        raise OperatorError("Parquet is nothing for a terminal", hint="--output FILE, or send it into a pipe")
    try:
        from orgserver.services.audit import parquet  # noqa: F401, PLC0415  # an extra, and slow to import
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        why = "is not installed" if missing else f"cannot be loaded: {error}"
        raise ConfigError(
            f"--format parquet needs pyarrow, which {why}", hint="pip install 'orgserver[parquet]'"
        ) from error


async def export_to(audit_log: AuditLogReader, format_: str, criteria: EntryFilter, output: Path | None) -> int:
    """Write entries to a new file, or to standard output; however it ends, what left is put on record."""
    with _destination(output) as file:
        progress = _Progress(visible=output is not None and sys.stderr.isatty())
        try:
            if format_ == "parquet":
                await _put_parquet(audit_log, criteria, file, progress)
            else:
                with _open_text(file, output) as out:
                    await _put_lines(audit_log, format_, criteria, out, progress)
        finally:
            full = isinstance(sys.exc_info()[1], OSError)  # a disk that is full takes no entry either
            with suppress(OrgserverError) if full else nullcontext():
                await audit_log.record_export(operator(), f"audit export --format {format_}", progress.written)
    return progress.written


async def _put_parquet(audit_log: AuditLogReader, criteria: EntryFilter, file: BinaryIO, progress: _Progress) -> None:
    from orgserver.services.audit import parquet  # noqa: PLC0415

    with parquet.Writer(file) as writer:
        async for group in audit_log.pages(criteria, parquet.row_group):
            writer.write(group)
            progress.add(group.num_rows)
    file.flush()
    progress.end()


async def _put_lines(
    audit_log: AuditLogReader, format_: str, criteria: EntryFilter, out: TextIO, progress: _Progress
) -> None:
    from orgserver.services.audit import export as exporting  # noqa: PLC0415  # as above

    show = _escaping(format_) if out.isatty() else str
    if format_ == "csv":
        out.write(exporting.csv_header() + "\n")
    async for lines in _pages(audit_log, format_, criteria):
        out.write("".join(f"{show(line)}\n" for line in lines))
        progress.add(len(lines))
    out.flush()
    progress.end()


@dataclass(slots=True)
class _Progress:
    """How much was written; shown to a person who waits."""

    visible: bool
    written: int = 0

    def add(self, count: int) -> None:
        self.written += count
        if self.visible:
            click.echo(f"\r{self.written:,}", nl=False, err=True)

    def end(self) -> None:
        if self.visible and self.written:
            click.echo("\r", nl=False, err=True)


async def _pages(audit_log: AuditLogReader, format_: str, criteria: EntryFilter) -> AsyncIterator[list[str]]:
    from orgserver.services.audit import export as exporting  # noqa: PLC0415  # as above

    if format_ != "events":
        async for page in audit_log.lines(criteria, format_):
            yield page
        return
    async for event in audit_log.events(criteria):
        yield [exporting.event_line(event)]


def _open_text(file: BinaryIO, output: Path | None) -> AbstractContextManager[TextIO]:
    return nullcontext(sys.stdout) if output is None else write_text(file, output)


def _escaping(format_: str) -> Callable[[str], str]:
    """On a terminal, what agents wrote may not drive it; files and pipes get it as it is."""
    return safe if format_ == "csv" else escape_json


@contextmanager
def _destination(output: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears whole or not at all."""
    if output is None:
        yield sys.stdout.buffer
        return
    with new_file(output, "an export") as file:
        yield file
