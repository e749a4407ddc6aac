"""The house in numbers, and five walks through it: ``python -m tests.house [--json | --against FILE]``.

``--json`` prints the figures for a later ``--against FILE``, which shows before and after with the change in percent.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .source import measure_source
from .walks import measure_walks


def main() -> None:
    """Measure, and print."""
    options = argparse.ArgumentParser(prog="python -m tests.house", description="The house in numbers.")
    options.add_argument("--json", action="store_true")
    options.add_argument("--against", type=Path, metavar="FILE", help="what --json printed before")
    arguments = options.parse_args()
    figures, names = measure_source()
    for walk, counts in measure_walks().items():
        figures |= {f"{walk}: {name}": count for name, count in counts.items()}
    if arguments.json:
        print(json.dumps({"figures": figures, "names": names}, ensure_ascii=False, indent=2))
    elif arguments.against:
        before = json.loads(arguments.against.read_text("utf-8"))["figures"]
        _print_table([("", "before", "after", "change"), *_compare(before, figures)])
    else:
        _print_table(list(figures.items()))
        for title, each in names.items():
            print(f"\n{title}:", *each, sep="\n  ")


def _compare(before: dict[str, int], after: dict[str, int]) -> list[tuple[Any, ...]]:
    return [
        (name, before.get(name, ""), after.get(name, ""), _change(before.get(name), after.get(name)))
        for name in dict.fromkeys([*before, *after])
    ]


def _change(before: int | None, after: int | None) -> str:
    return f"{(after - before) / before:+.0%}" if before and after is not None else ""


def _print_table(rows: list[tuple[Any, ...]]) -> None:
    cells = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        numbers = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        print(f"{first:<{widths[0]}}", *numbers, sep="  ")


if __name__ == "__main__":
    main()
