"""Tables for people: what fits the terminal, colours where there are any, a pager for what is long."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orgserver.cli.output import safe

if TYPE_CHECKING:
    from rich.segment import Segment

F = TypeVar("F", bound=Callable[..., Any])
_GAP = "  "
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
    from rich.segment import Segments  # noqa: PLC0415

    columns = [i for i, title in enumerate(titles) if not title or any(row[i] not in (None, "") for row in rows)]
    console = Console(highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")
    fits = wide or not console.is_terminal
    widths = _widths(titles, rows, columns)
    if ids and not fits and _width(widths) > console.width:
        rows = _shorten_ids(titles, rows, ids)
        widths = _widths(titles, rows, columns)
    omitted = []
    for title in spare:
        if fits or _width(widths) <= console.width:
            break
        if widths.pop(titles.index(title), None) is not None:
            omitted.append(title)
    lines = (len(rows) + 1) * max(1, math.ceil(_width(widths) / console.width))
    too_long = console.is_terminal and lines >= console.height
    segments = Segments(_draw(titles, rows, widths))
    if paged and too_long and os.environ.get("PAGER") != "":  # empty: none is wanted
        with console.capture() as capture:
            console.print(segments, soft_wrap=True, end="")
        os.environ.setdefault("LESS", "-FRX")  # colours, and nothing that clears the screen: as git does
        click.echo_via_pager(capture.get().removesuffix("\n"))  # which ends it with one
    else:
        console.print(segments, soft_wrap=True, end="")
    if hidden_titles := [title for title in omitted if title]:
        note = f"Not shown here: {', '.join(hidden_titles)}. --wide shows every column."
        click.echo(click.wrap_text(note, console.width), err=True)


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


def _text(cell: object) -> str:
    return "" if cell is None else safe(cell)


def _widths(titles: Sequence[str], rows: Sequence[Sequence[object]], columns: Sequence[int]) -> dict[int, int]:
    """How wide each column is, in cells of a terminal."""
    from rich.cells import cell_len  # noqa: PLC0415

    return {i: max(cell_len(text) for text in (titles[i], *(_text(row[i]) for row in rows))) for i in columns}


def _width(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _draw(titles: Sequence[str], rows: Sequence[Sequence[object]], widths: Mapping[int, int]) -> Iterator[Segment]:
    """The pieces of every line. A table of rich measures and wraps each cell several times: seconds for a fleet."""
    from rich.cells import set_cell_size  # noqa: PLC0415
    from rich.segment import Segment  # noqa: PLC0415
    from rich.style import Style  # noqa: PLC0415

    styles = {name: Style.parse(name) for name in ("bold", "green", "red", "yellow")}
    last = max(widths, default=0)
    for row in (titles, *rows):
        for i, width in widths.items():
            style = styles.get("bold" if row is titles else _style(row[i]))
            yield Segment(set_cell_size(_text(row[i]), width), style)
            yield Segment("\n" if i == last else _GAP)


def _style(cell: object) -> str:
    good = ("ready", "succeeded", "✓")
    bad = ("needs_login", "quarantined", "in_doubt", "unknown", "✗")
    return "green" if cell in good else "red" if cell in bad else "yellow" if cell in ("denied", "rejected") else ""
