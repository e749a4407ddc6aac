"""The page on monitoring lists every figure with its labels, and no other."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from orgserver.telemetry.prometheus import PrometheusMetrics

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text("utf-8")


def test_it_lists_every_figure_with_its_labels() -> None:
    row = re.compile(r"^\| (`orgserver_[^|]+) \| ([^|]*)\|", re.MULTILINE)
    told = {
        name: set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", labels)))
        for names, labels in row.findall(PAGE)
        for name in re.findall(r"`(\w+)`", names)
    }

    assert told == label_names(PrometheusMetrics())


def label_names(metrics: PrometheusMetrics) -> dict[str, set[str]]:
    figures = [each for each in metrics._registry._collector_to_names if isinstance(each, MetricWrapperBase)]
    return {each._name + ("_total" if each._type == "counter" else ""): set(each._labelnames) for each in figures}
