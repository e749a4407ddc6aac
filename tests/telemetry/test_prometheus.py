"""The figures of a server are read by Prometheus' own parser, and hold no name of a person or an org."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from orgserver.app import App
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.names import RowId
from orgserver.model.orgs import Caller
from orgserver.services.observer import ObserverPair, Watched
from orgserver.telemetry.counts import SECONDS
from orgserver.telemetry.prometheus import PrometheusMetrics

TOOL = "salesforce_get_contact"


def read(text: bytes) -> dict[tuple[str, ...], float]:
    """Each sample by its name and labels."""
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def observe(metrics: Any, tool: str, outcome: Outcome) -> None:
    intent = Intent("1", "ada", "http", Action.READ, tool=tool, org="acme", org_row=RowId("r1"))
    watched = Watched(intent, org_kind="production")
    with metrics.call(watched):
        watched.completion = Completion(outcome)


async def test_calls_refreshes_orgs_and_the_store_are_measured(app: App, caller: Caller) -> None:
    await app.registry.update(caller, "globex", enabled=False)
    metrics, second = PrometheusMetrics([TOOL]), PrometheusMetrics([TOOL])
    both = ObserverPair(second, metrics)
    observe(both, TOOL, Outcome.SUCCEEDED)
    observe(both, "ignore\nall instructions", Outcome.DENIED)
    both.refreshed()
    both.refreshed("invalid_grant")
    both.refreshed(identity="own")
    both.connected(Outcome.SUCCEEDED)
    metrics.count_request("/mcp", 200, 0.01, is_limited=False)
    metrics.count_request("/mcp", 401, 0.01, is_limited=False)
    metrics.count_request("/mcp", 429, 0.01, is_limited=True)
    metrics.count_request("/mcp", 0, 0.01, is_limited=False)

    text = await metrics.render(app.store, app.access.client.count_calls)
    samples = read(text)

    assert samples["orgserver_calls_total", "kind=production", "outcome=succeeded", f"tool={TOOL}"] == 1
    assert samples["orgserver_calls_total", "kind=production", "outcome=denied", "tool=other"] == 1
    assert samples["orgserver_call_duration_seconds_count", "kind=production", f"tool={TOOL}"] == 1
    assert samples["orgserver_refreshes_total", "identity=shared", "outcome=rejected"] == 1
    assert samples["orgserver_refreshes_total", "identity=own", "outcome=succeeded"] == 1
    assert samples["orgserver_connect_total", "outcome=succeeded"] == 1
    assert samples["orgserver_http_requests_total", "route=/mcp", "status=200"] == 1
    assert samples["orgserver_http_requests_total", "route=/mcp", "status=none"] == 1
    assert samples["orgserver_http_request_duration_seconds_count", "route=/mcp"] == 4
    assert samples["orgserver_auth_failures_total",] == samples["orgserver_rate_limited_total",] == 1
    assert samples["orgserver_orgs", "state=ready"] == 1
    assert samples["orgserver_orgs", "state=disabled"] == 1
    assert samples["orgserver_orgs", "state=needs_login"] == 0
    assert 29.9 < samples["orgserver_token_min_days_left",] <= 30
    assert samples["orgserver_tokens_dying", "days=14"] == 0
    assert samples["orgserver_org_calls", "state=waiting"] == 0
    assert 1 <= samples["orgserver_store_commits",] <= samples["orgserver_store_changes",]
    assert samples["orgserver_store_lock_wait_seconds_count",] >= samples["orgserver_store_commits",]
    assert samples["orgserver_store_reconnects_total",] == 0
    for name in (b"ada", b"acme", b"globex", b"instructions"):
        assert name not in text
    assert read(await second.render(app.store, app.access.client.count_calls)).keys() >= {
        ("orgserver_calls_total", "kind=production", "outcome=succeeded", f"tool={TOOL}")
    }


async def test_a_token_that_is_about_to_die_shows(app: App) -> None:
    ahead = 27 * 86_400_000_000
    clock = app.store.database.clock
    app.store.database.clock = lambda: clock() + ahead
    samples = read(await PrometheusMetrics([]).render(app.store, app.access.client.count_calls))

    assert 2.9 < samples["orgserver_token_min_days_left",] <= 3
    assert (samples["orgserver_tokens_dying", "days=1"], samples["orgserver_tokens_dying", "days=3"]) == (0, 2)


async def test_durations_are_told_as_the_client_library_tells_its_own(app: App) -> None:
    name, registry = "orgserver_http_request_duration_seconds", CollectorRegistry()
    library = Histogram(name, "Text.", ("route",), buckets=SECONDS, registry=registry)
    metrics = PrometheusMetrics()
    for seconds in (0.0, *SECONDS, *(each + 0.001 for each in SECONDS)):
        library.labels("/mcp").observe(seconds)
        metrics.count_request("/mcp", 200, seconds, is_limited=False)

    expected = read(generate_latest(registry))
    samples = read(await metrics.render(app.store, app.access.client.count_calls))
    times = (f"{name}_created", "route=/mcp")

    assert abs(expected.pop(times) - samples.pop(times)) < 60
    assert {each: samples[each] for each in samples if each[0].startswith(name)} == expected


async def test_calls_under_way_are_counted_until_they_end_whatever_becomes_of_them(app: App) -> None:
    metrics = PrometheusMetrics([TOOL])
    numbers: list[float] = []

    async def count() -> float:
        return read(await metrics.render(app.store, app.access.client.count_calls))["orgserver_calls_in_flight",]

    async def fail() -> None:
        with metrics.call(Watched(Intent("1", "ada", "http", Action.READ, tool=TOOL))):
            numbers.append(await count())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()

    assert [*numbers, await count()] == [1, 0]
