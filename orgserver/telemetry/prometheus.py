"""What a server has done and how it is, in the form that Prometheus reads: no name of a person or an org is in it.

Tools and outcomes are counted as calls end; what stands in the store and in the queues is read when it is asked for.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from types import TracebackType

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

import orgserver
from orgserver.model.access.logins import UsedIdentity
from orgserver.model.audit import Outcome
from orgserver.services.audit.shipping.schedule import Schedule
from orgserver.services.observer import Observer, Watched
from orgserver.store.diagnostics import count_orgs
from orgserver.store.session import Store
from orgserver.telemetry.counts import SECONDS, Count, Durations

_Labels = tuple[str, ...]
_BOUNDS = (*map(floatToGoString, SECONDS), "+Inf")
_LIFE_DAYS = 30
"""Of a refresh token that nobody uses."""
_LEFT = (1, 3, 7, 14)
_DAY_US = 86_400_000_000
_OTHER = "other"
_UNAUTHORIZED = 401
_UNKNOWN = float("nan")
_SHIP_FIGURES = {
    "orgserver_audit_ship_lag_events": "Events of the audit log that are not shipped yet.",
    "orgserver_audit_ship_lag_seconds": "How long the first of them has been in the log.",
    "orgserver_audit_ship_failing": "Whether the last attempt to ship failed, or found something wrong at the place.",
}


class PrometheusMetrics(Observer):
    """Counts what it sees, in a registry of its own."""

    def __init__(self, tools: Collection[str] = ()) -> None:
        self.tools = tools
        """Those that are counted by name; what strangers called a tool is no label."""
        registry = self._registry = CollectorRegistry()
        self._counted = _Counted()
        registry.register(self._counted)
        self._under_way = 0
        in_flight = Gauge("orgserver_calls_in_flight", "Tool calls under way.", registry=registry)
        in_flight.set_function(lambda: self._under_way)
        self._refreshes = Counter(
            "orgserver_refreshes",
            "Requests to Salesforce for a new access token.",
            ("identity", "outcome"),
            registry=registry,
        )
        self._connects = Counter(
            "orgserver_connect", "Logins of people's own that were begun and ended.", ("outcome",), registry=registry
        )
        self._queues = Gauge(
            "orgserver_org_calls",
            "Calls that have a place at their org or wait for one.",
            ("state",),
            registry=registry,
        )
        self._orgs = Gauge("orgserver_orgs", "Registered orgs by state.", ("state",), registry=registry)
        self._problems = Gauge(
            "orgserver_org_problems", "Orgs whose last token request was refused.", registry=registry
        )
        self._connections = Gauge(
            "orgserver_connections", "People's own logins to orgs by state.", ("state",), registry=registry
        )
        self._revocations = Gauge(
            "orgserver_revocations_waiting",
            "Logins that ended here and that Salesforce is still to be told of.",
            registry=registry,
        )
        self._days = Gauge(
            "orgserver_token_min_days_left",
            "Days until the first of the refresh tokens dies if nobody uses it.",
            registry=registry,
        )
        self._dying = Gauge(
            "orgserver_tokens_dying",
            "Refresh tokens that die within so many days if nobody uses them.",
            ("days",),
            registry=registry,
        )
        self._groups = Gauge(
            "orgserver_store_commits", "Groups of changes committed since the start.", registry=registry
        )
        self._changes = Gauge("orgserver_store_changes", "Changes that those groups held.", registry=registry)
        self._wait = Gauge(
            "orgserver_store_longest_wait_seconds", "How long somebody has waited for a change.", registry=registry
        )
        self._auth_failures = Counter(
            "orgserver_auth_failures",
            "Requests whose key or token opened nothing, or that had none.",
            registry=registry,
        )
        self._rate_limited = Counter(
            "orgserver_rate_limited", "Requests that came too soon, or beside too many.", registry=registry
        )
        self._ship_lag = _ShipLag(registry)
        build = Gauge("orgserver_build_info", "The version that runs.", ("version",), registry=registry)
        build.labels(orgserver.__version__).set(1)

    def call(self, watched: Watched) -> _Call:
        """Count a call when it has ended."""
        return _Call(self, watched)

    def begin_call(self) -> None:
        """Count a call as under way."""
        self._under_way += 1

    def end_call(self, watched: Watched, seconds: float) -> None:
        """Count a call that was under way."""
        self._under_way -= 1
        name = watched.intent.tool or ""
        tool = name if name in self.tools else _OTHER
        kind = watched.org_kind or "unknown"
        outcome = watched.completion.outcome if watched.completion is not None else Outcome.UNKNOWN
        self._counted.calls[kind, outcome, tool].number += 1
        self._counted.call_seconds[kind, tool].add(seconds)

    def refreshed(self, error_code: str | None = None, identity: UsedIdentity = "shared") -> None:
        """Count a request for an access token."""
        self._refreshes.labels(identity, "rejected" if error_code else "succeeded").inc()

    def connected(self, outcome: Outcome) -> None:
        """Count a login of a person's own."""
        self._connects.labels(outcome.value).inc()

    def count_request(self, route: str, status: int, seconds: float, *, is_limited: bool) -> None:
        """Count a request over HTTP; without a status, its client went away before it was answered."""
        self._counted.requests[route, str(status) if status else "none"].number += 1
        self._counted.request_seconds[(route,)].add(seconds)
        if status == _UNAUTHORIZED:
            self._auth_failures.inc()
        if is_limited:
            self._rate_limited.inc()

    async def render(
        self, store: Store, count_calls: Callable[[], tuple[int, int]], shipping: Schedule | None = None
    ) -> bytes:
        """Everything as text; StoreError while the store cannot be read."""
        async with store.database.reading() as connection:
            idle_days = [_LIFE_DAYS - left for left in _LEFT]
            counts = await count_orgs(connection, store.database.clock(), idle_days)
            connections = await store.orgs.connections.count_by_state(connection)
            revocations, _ = await store.revocations.waiting(connection)
        for org_state, number in counts.by_state.items():
            self._orgs.labels(org_state.value).set(number)
        self._problems.set(counts.problems)
        for own_state, number in connections.items():
            self._connections.labels(own_state).set(number)
        self._revocations.set(revocations)
        for left in _LEFT:
            self._dying.labels(str(left)).set(counts.idle[_LIFE_DAYS - left])
        longest = counts.longest_idle_us
        self._days.set(float("nan") if longest is None else _LIFE_DAYS - longest / _DAY_US)
        for state, number in zip(("running", "waiting"), count_calls(), strict=True):
            self._queues.labels(state).set(number)
        self._ship_lag.update(shipping)
        groups, changes = store.database.commits
        self._groups.set(groups)
        self._changes.set(changes)
        self._wait.set(store.database.longest_wait)
        self._counted.lock_waits = store.database.lock_waits
        self._counted.reconnects = store.database.reconnects
        return generate_latest(self._registry)


class _ShipLag:
    """Figures of shipping the audit log away: numbers where that is done, once the place was looked at."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges = [Gauge(name, about, registry=registry) for name, about in _SHIP_FIGURES.items()]
        self.update(None)

    def update(self, schedule: Schedule | None) -> None:
        """Say how it stands now."""
        lag = schedule.lag if schedule is not None else None
        events, seconds = (lag.events, lag.seconds) if lag is not None else (_UNKNOWN, _UNKNOWN)
        failing = schedule is not None and schedule.failing
        for gauge, value in zip(self._gauges, (events, seconds, failing), strict=True):
            gauge.set(value)


class _Call:
    """One call, counted when the block is left."""

    __slots__ = ("_began", "_metrics", "_watched")

    def __init__(self, metrics: PrometheusMetrics, watched: Watched) -> None:
        self._metrics = metrics
        self._watched = watched

    def __enter__(self) -> None:
        self._began = time.perf_counter()
        self._metrics.begin_call()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._metrics.end_call(self._watched, time.perf_counter() - self._began)


class _Counted(Collector):
    """What is counted with each call and each request, by its labels: the client's own counters cost ten times that."""

    def __init__(self) -> None:
        self.calls: dict[_Labels, Count] = defaultdict(Count)
        self.call_seconds: dict[_Labels, Durations] = defaultdict(Durations)
        self.requests: dict[_Labels, Count] = defaultdict(Count)
        self.request_seconds: dict[_Labels, Durations] = defaultdict(Durations)
        self.lock_waits = (0, 0.0)
        self.reconnects = 0

    def collect(self) -> Iterable[Metric]:
        """All of it, as the client has it."""
        yield _make_counter("orgserver_calls", "Tool calls that ended.", ("kind", "outcome", "tool"), self.calls)
        yield _make_histogram(
            "orgserver_call_duration_seconds",
            "From the arrival of a tool call until its outcome is on record.",
            ("kind", "tool"),
            self.call_seconds,
        )
        yield _make_counter("orgserver_http_requests", "Answered HTTP requests.", ("route", "status"), self.requests)
        yield _make_histogram(
            "orgserver_http_request_duration_seconds",
            "From the head of a request until its answer was sent.",
            ("route",),
            self.request_seconds,
        )
        number, seconds = self.lock_waits
        about = "Waiting for the right to write to the store, which one process has at a time."
        yield SummaryMetricFamily("orgserver_store_lock_wait_seconds", about, count_value=number, sum_value=seconds)
        about = "How often what writes has connected to the store anew."
        yield CounterMetricFamily("orgserver_store_reconnects", about, self.reconnects)


def _make_counter(name: str, about: str, labels: _Labels, counts: Mapping[_Labels, Count]) -> Metric:
    family = CounterMetricFamily(name, about, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count.number, created=count.began)
    return family


def _make_histogram(name: str, about: str, labels: _Labels, durations: Mapping[_Labels, Durations]) -> Metric:
    family = HistogramMetricFamily(name, about, labels=labels)
    for values, each in durations.items():
        family.add_metric(values, list(zip(_BOUNDS, each.cumulate(), strict=True)), each.seconds)
        family.add_sample(f"{name}_created", dict(zip(labels, values, strict=True)), each.began)
    return family
