"""``orgserver audit export``: entries, or the raw chain, for other programs."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import click

from orgserver.cli.audit_filters import filters, wanted_of
from orgserver.cli.support import app_of, operator, run, safe, settings_of, tell, until_told
from orgserver.logs import json_safe
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import ConfigError, OperatorError
from orgserver.services import exporting
from orgserver.services import trail as trails

_FORMATS = ("jsonl", "csv", "events", "parquet", "ocsf")
_EVERY_SECONDS = 1.0


@click.command(epilog="Example: orgserver audit export --format csv --since 30d --output february.csv")
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="jsonl", show_default=True)
@filters
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file. [default: standard output]"
)
@click.option("--follow", is_flag=True, help="Go on with entries as they end, until Ctrl-C; each of them once.")
def export(format_: str, output: Path | None, follow: bool, **given: Any) -> None:
    """Write entries out, oldest first: JSON lines, CSV, OCSF (API Activity), or `events`, the raw chain as evidence.

    A FILE whose name ends in .gz is compressed.
    """
    if format_ == "parquet":
        raise ConfigError("--format parquet is not in this version yet", hint="use jsonl, csv, ocsf or events")
    wanted = wanted_of(given)
    if format_ == "events" and wanted != EntryFilter(since=wanted.since, until=wanted.until):
        raise click.UsageError("--format events is the whole chain: it takes --since and --until, and no other filter")

    if follow:
        if output is not None or format_ == "events":
            raise click.UsageError("--follow writes jsonl, csv or ocsf to standard output")
        run(until_told(_follow(format_, wanted)))
        return

    async def act() -> int:
        async with app_of(settings_of()) as app:
            return await export_to(app.trail, format_, wanted, output)

    written = run(act())
    if output is not None:
        tell(f"{written:,} {'events' if format_ == 'events' else 'entries'} written to {output}")


async def _follow(format_: str, wanted: EntryFilter) -> None:
    """Write entries as they end; those that have ended already first."""
    render, written, seen = exporting.RENDER[format_], 0, 0
    async with app_of(settings_of()) as app:
        try:
            if format_ == "csv":
                click.echo(exporting.csv_header())
            while True:
                before = seen
                entries, seen = await app.trail.ended(seen, wanted)
                for entry in entries:
                    click.echo(render(entry.as_json()))
                written += len(entries)
                if seen == before:
                    await asyncio.sleep(_EVERY_SECONDS)
        finally:
            await app.trail.exported(operator(), f"audit export --format {format_} --follow", written)


async def export_to(trail: trails.Trail, format_: str, wanted: EntryFilter, output: Path | None) -> int:
    """Write entries to a new file, or to standard output; however it ends, what left is put on record."""
    with _destination(output) as out:
        show = _escaping(format_) if out.isatty() else str
        progress = output is not None and sys.stderr.isatty()
        written = 0
        try:
            if format_ == "csv":
                out.write(exporting.csv_header() + "\n")
            async for lines in _pages(trail, format_, wanted):
                out.write("".join(f"{show(line)}\n" for line in lines))
                written += len(lines)
                if progress:
                    click.echo(f"\r{written:,}", nl=False, err=True)
            out.flush()
            if progress and written:
                click.echo("\r", nl=False, err=True)
        finally:
            await trail.exported(operator(), f"audit export --format {format_}", written)
    return written


async def _pages(trail: trails.Trail, format_: str, wanted: EntryFilter) -> AsyncIterator[list[str]]:
    if format_ != "events":
        async for page in trail.lines(wanted, format_):
            yield page
        return
    async for event in trail.events(wanted):
        yield [exporting.event_line(event)]


def _escaping(format_: str) -> Callable[[str], str]:
    """On a terminal, what agents wrote may not drive it; files and pipes get it as it is."""
    return safe if format_ == "csv" else json_safe


@contextmanager
def _destination(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears whole or not at all."""
    if output is None:
        yield sys.stdout
        return
    if output.exists():
        raise OperatorError(f"{output} exists", hint="choose another name; an export never replaces a file")
    draft: str | None = None
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
        with os.fdopen(descriptor, "wb") as file:
            with _written(file, output) as text:
                yield text
            file.flush()
            os.fsync(file.fileno())
        _appear(Path(draft), output)
    except FileExistsError:
        raise OperatorError(f"{output} exists", hint="choose another name") from None
    except OSError as error:
        raise OperatorError(f"{output} cannot be written: {error.strerror or type(error).__name__}") from None
    finally:
        if draft is not None:
            Path(draft).unlink(missing_ok=True)


@contextmanager
def _written(file: BinaryIO, output: Path) -> Iterator[TextIO]:
    """Text into a file, compressed when its name says so."""
    packed: Any = gzip.GzipFile(output.stem, "wb", fileobj=file) if output.suffix == ".gz" else None
    text = io.TextIOWrapper(packed or file, encoding="utf-8", newline="", write_through=packed is not None)
    try:
        yield text
    finally:
        text.flush()
        text.detach()
        if packed is not None:
            packed.close()


def _appear(draft: Path, output: Path) -> None:
    try:
        os.link(draft, output)  # unlike a rename, never over another file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        draft.rename(output)
