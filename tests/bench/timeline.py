"""How long calls took as time went by, drawn."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import pygal
from pygal.style import Style

_WINDOW = 2.0
"""Seconds of calls that one point stands for."""


@dataclass
class Timeline:
    """Stages, each with when it began, by the monotonic clock."""

    began: float
    stages: list[tuple[float, str]] = field(default_factory=list)

    def draw(self, times: Sequence[tuple[float, float]]) -> str:
        """An SVG of the p50 and the p99 in ms, of calls with when they were due and what they took."""
        end = max(due for due, _ in times) - self.began
        points: dict[str, list[tuple[float, float]]] = {"p99": [], "p50": []}
        for number in range(math.floor(end / _WINDOW)):
            begin = self.began + number * _WINDOW
            took = sorted(each for due, each in times if begin <= due < begin + _WINDOW)
            if len(took) > 1:
                middle = (number + 0.5) * _WINDOW
                points["p99"].append((middle, round(statistics.quantiles(took, n=100, method="inclusive")[98], 2)))
                points["p50"].append((middle, round(statistics.median(took), 2)))
        chart = pygal.XY(
            title="Calls of the others, in ms",
            x_title=f"{end:.0f} seconds",
            width=1_200,
            height=480,
            range=(0, max(25.0, *(took for _, took in points["p99"]))),
            dots_size=1,
            legend_at_bottom=True,
            show_x_guides=True,
            js=[],
            style=Style(background="white", plot_background="white", title_font_size=18),
            x_labels=[{"value": begin - self.began, "label": name} for begin, name in self.stages],
            x_label_rotation=20,
        )
        for name, line in points.items():
            chart.add(name, line, show_dots=False)
        drawing: str = chart.render(is_unicode=True)
        return drawing
