"""The page on monitoring lists every figure with its labels, and no other."""

import re
from pathlib import Path
from typing import Any

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
    collectors = metrics._registry._collector_to_names
    own: Any = [family for each in collectors if not isinstance(each, MetricWrapperBase) for family in each.collect()]
    figures = [(each._name, each._type, each._labelnames) for each in collectors if isinstance(each, MetricWrapperBase)]
    figures += [(each.name, each.type, each._labelnames) for each in own]
    return {name + ("_total" if kind == "counter" else ""): set(labels) for name, kind, labels in figures}
