"""How far a log has come at the place that it is shipped to, and what is wrong with what lies there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from orgserver.services.audit.shipping.parts import Part
from orgserver.store.audit.checkpoints import Shippable


@dataclass(frozen=True, slots=True)
class Standing:
    """What lies at the place, compared with the log."""

    parts: tuple[Part, ...]
    """Those that can be parts of this log, by their names, in its order."""
    strangers: tuple[Part, ...]
    """Those whose names say that they are none."""
    spans: tuple[tuple[int, int], ...]
    """The parts that are to be put there: what is missing, and what is new, as far as it is signed."""
    lost: tuple[tuple[int, int], ...]
    """What is missing there, and was pruned from the log."""
    refilled: int
    """How many of the spans are no new ones: they lay there, and were removed."""

    @property
    def last(self) -> int:
        """The sequence that everything is shipped up to, whatever is lost before; 0 where nothing is."""
        return self.parts[-1].last if self.parts else 0


def compare(files: Sequence[Part], log: Shippable, begin: int) -> Standing:
    """Compare what lies there with the log, of which parts are to be there from ``begin`` on.

    A part of what the log still has must lie between two of its checkpoints; of what was pruned only its content tells.
    """
    ends = {end: before for before, end in pairwise([max(log.base, begin - 1), *log.checkpoints])}
    parts: list[Part] = []
    strangers: list[Part] = []
    for part in files:
        fits = ends.get(part.last) == part.first - 1 if part.last > log.base else part.last >= part.first
        after = parts[-1].last if parts else begin - 1
        (parts if fits and part.first > after else strangers).append(part)
    present = {part.last for part in parts}
    newest = max(present, default=0)
    spans = [(before + 1, end) for end, before in ends.items() if end not in present]
    refilled = sum(end < newest for _, end in spans)
    return Standing(tuple(parts), tuple(strangers), tuple(spans), _find_lost(parts, log.base, begin), refilled)


def _find_lost(parts: Sequence[Part], base: int, begin: int) -> tuple[tuple[int, int], ...]:
    """The spans up to the base that lie nowhere any more."""
    lost: list[tuple[int, int]] = []
    at = begin - 1
    for part in (part for part in parts if part.first <= base):
        if part.first > at + 1:
            lost.append((at + 1, part.first - 1))
        at = part.last
    if at < base:
        lost.append((at + 1, base))
    return tuple(lost)


def find_late(parts: Sequence[Part]) -> list[Part]:
    """Parts that were written after one that follows them: each was put there before the next, so these were replaced.

    The newest is among them: nothing follows it yet.
    """
    late: list[Part] = []
    earliest = float("inf")
    for part in reversed(parts):
        if part.file.modified > earliest or not late:
            late.append(part)
        earliest = min(earliest, part.file.modified)
    return late
