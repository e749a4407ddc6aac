"""Figures of a run: what was measured beside what, alternation by alternation, and the table that they become."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Pair = tuple[float, float]
"""What the base took, and what a participant took, in one alternation."""


@dataclass(frozen=True)
class Ratio:
    """The median of ratios, and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> "Ratio":
        """Each participant's figure by its base's of the same alternation."""
        ratios = [own / base for base, own in pairs]
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


@dataclass
class Figure:
    """One figure of every participant."""

    name: str
    unit: str
    base: str
    """What the ratio is to; empty for a figure that stands alone."""
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    """By participant."""
    must: float | None = None
    aim: float | None = None
    is_least: bool = False
    """The bounds are the least that will do, not the most."""

    def add(self, participant: str, base: float, own: float) -> None:
        """What one alternation gave."""
        self.pairs.setdefault(participant, []).append((base, own))

    def value(self, participant: str) -> float:
        """What is held against the bounds: the ratio, or the figure itself where it stands alone."""
        if not self.base:
            return self.own(participant)
        return Ratio.of(self.pairs[participant]).median

    def own(self, participant: str) -> float:
        """The participant's median."""
        return statistics.median(own for _, own in self.pairs[participant])

    def base_value(self, participant: str) -> float:
        """Its base's median."""
        return statistics.median(base for base, _ in self.pairs[participant])

    def bound(self, bound: float | None, participant: str) -> str:
        """A bound, and whether it is met."""
        if bound is None:
            return ""
        value = self.value(participant)
        is_met = value >= bound if self.is_least else value <= bound
        return f"{'≥' if self.is_least else '≤'} {bound:,g} {'met' if is_met else 'NOT MET'}"


def number(value: float) -> str:
    """Three digits or so."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(figures: Sequence[Figure], participants: Sequence[str], earlier: Sequence[Figure] = ()) -> str:
    """All of it as Markdown: the first participant in full, the others beside it, and an earlier run's ratios."""
    first, *others = participants
    by_name = {each.name: each for each in earlier}
    head = ["", "beside", "", first, "ratio (range)", "must", "aim"]
    for other in others:
        head += [other, f"{other}: ratio", f"{first} by {other}"]
    if by_name:
        head += ["ratio then", "change"]
    rows = [head]
    for figure in figures:
        unit = f" {figure.unit}"
        has_base = bool(figure.base)
        row = [
            figure.name,
            figure.base,
            number(figure.base_value(first)) + unit if has_base else "",
            number(figure.own(first)) + unit,
            str(Ratio.of(figure.pairs[first])) if has_base else "",
            figure.bound(figure.must, first),
            figure.bound(figure.aim, first),
        ]
        for other in others:
            if other not in figure.pairs:
                row += ["", "", ""]
                continue
            row += [
                number(figure.own(other)) + unit,
                str(Ratio.of(figure.pairs[other])) if has_base else "",
                str(beside(figure, first, other)),
            ]
        if by_name:
            row += against(figure, by_name.get(figure.name), first)
        rows.append(row)
    return markdown(rows)


def beside(figure: Figure, first: str, other: str) -> Ratio:
    """Two participants' own figures of the same alternations."""
    pairs = zip(figure.pairs[other], figure.pairs[first], strict=False)
    return Ratio.of((theirs, ours) for (_, theirs), (_, ours) in pairs)


def against(figure: Figure, then: Figure | None, participant: str) -> list[str]:
    """An earlier run's ratio, and by how much it has changed."""
    if then is None or participant not in then.pairs:
        return ["", ""]
    before, now = then.value(participant), figure.value(participant)
    return [number(before), f"{(now / before - 1) * 100:+.0f} %"]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns stand in line, also where it is read as text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def save(file: Path, figures: Sequence[Figure]) -> None:
    """Keep a run's figures, with all that they were made of."""
    file.write_text(json.dumps([asdict(each) for each in figures], indent=1) + "\n", "utf-8")


def load(file: Path) -> list[Figure]:
    """The figures of an earlier run."""
    saved: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    figures = [Figure(**each) for each in saved]
    for figure in figures:
        figure.pairs = {name: [(base, own) for base, own in pairs] for name, pairs in figure.pairs.items()}
    return figures
