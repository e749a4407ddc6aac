"""Tables for people: what fits the terminal, colours where there are any, a pager for what is long."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orgserver.cli.output import safe

if TYPE_CHECKING:
    from rich.table import Table

F = TypeVar("F", bound=Callable[..., Any])
SHORT_ID = 18
"""Of a UUIDv7: its millisecond, and enough to tell it from most others of the same one."""


def wide_option(command: F) -> F:
    """The option of every command that prints a table."""
    return click.option("--wide", is_flag=True, help="Show every column and whole ids, however narrow the terminal.")(
        command
    )


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    spare: Sequence[str] = (),
    ids: Sequence[str] = (),
    paged: bool = False,
    wide: bool = False,
) -> None:
    """Print a table for people; colours only on terminals, and never with NO_COLOR.

    Columns with nothing in them are left out. On a narrow terminal those in ``ids`` are shortened, and those in
    ``spare`` left out, one after the other, and named on standard error; unless it is to be ``wide``.
    What is still too wide is left to the terminal to break: what is cut anywhere cannot be copied.
    What is ``paged`` goes through a pager when a terminal would not show it at once.
    """
    from rich.console import Console  # noqa: PLC0415  # only where something is drawn

    columns = [i for i, title in enumerate(titles) if not title or any(row[i] not in (None, "") for row in rows)]
    console = Console(highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")
    fits = wide or not console.is_terminal
    table, width = _table(titles, rows, columns)
    if ids and not fits and width > console.width:
        rows = _shorten_ids(titles, rows, ids)
        table, width = _table(titles, rows, columns)
    omitted = []
    for title in spare:
        if fits or width <= console.width:
            break
        if (place := titles.index(title)) in columns:
            columns.remove(place)
            omitted.append(title)
            table, width = _table(titles, rows, columns)
    room = console.width
    lines = (len(rows) + 1) * max(1, math.ceil(width / room))
    too_long = console.is_terminal and lines >= console.height
    console.width = max(width, 1)
    if paged and too_long and os.environ.get("PAGER") != "":  # empty: none is wanted
        with console.capture() as capture:
            console.print(table, soft_wrap=True)
        os.environ.setdefault("LESS", "-FRX")  # colours, and nothing that clears the screen: as git does
        click.echo_via_pager(capture.get().removesuffix("\n"))  # which ends it with one
    else:
        console.print(table, soft_wrap=True)
    if missing := [title for title in omitted if title]:
        click.echo(click.wrap_text(f"Not shown here: {', '.join(missing)}. --wide shows every column.", room), err=True)


def _shorten_ids(
    titles: Sequence[str], rows: Sequence[Sequence[object]], ids: Sequence[str]
) -> Sequence[Sequence[object]]:
    """The rows with ids that still differ from each other, and which commands take for the whole."""
    places = [titles.index(title) for title in ids]
    length = SHORT_ID
    for i in places:
        whole = {str(row[i]) for row in rows}
        while len({each[:length] for each in whole}) < len(whole):
            length += 1
    return [[str(cell)[:length] if i in places and cell else cell for i, cell in enumerate(row)] for row in rows]


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]], columns: Sequence[int]) -> tuple[Table, int]:
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False)
    width = 2 * (len(columns) - 1)
    texts = [[safe("" if row[i] is None else row[i]) for i in columns] for row in rows]
    for place, i in enumerate(columns):
        table.add_column(titles[i], no_wrap=True)
        width += max(cell_len(text) for text in (titles[i], *(line[place] for line in texts)))
    for line, row in zip(texts, rows, strict=True):
        table.add_row(*(Text(text, style=_style(row[i])) for text, i in zip(line, columns, strict=True)))
    return table, width


def _style(cell: object) -> str:
    good = ("ready", "succeeded", "✓")
    bad = ("needs_login", "quarantined", "in_doubt", "unknown", "✗")
    return "green" if cell in good else "red" if cell in bad else "yellow" if cell in ("denied", "rejected") else ""
