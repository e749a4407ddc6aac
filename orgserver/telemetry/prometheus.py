"""What a server has done and how it is, in the form that Prometheus reads: no name of a person or an org is in it.

Tools and outcomes are counted as calls end; what stands in the store and in the queues is read when it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

import orgserver
from orgserver.model.audit import Completion, Outcome
from orgserver.services.observer import Observer, Watched
from orgserver.store.diagnostics import count_orgs
from orgserver.store.session import Store

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_LIFE_DAYS = 30
"""Of a refresh token that nobody uses."""
_LEFT = (1, 3, 7, 14)
_DAY_US = 86_400_000_000
_OTHER = "other"
_UNAUTHORIZED = 401


class PrometheusMetrics(Observer):
    """Counts what it sees, in a registry of its own."""

    def __init__(self, tools: Collection[str] = ()) -> None:
        self.tools = tools
        """Those that are counted by name; what strangers called a tool is no label."""
        registry = self._registry = CollectorRegistry()
        labels = ("kind", "outcome", "tool")
        self._calls = Counter("orgserver_calls", "Tool calls that ended.", labels, registry=registry)
        self._seconds = Histogram(
            "orgserver_call_duration_seconds",
            "From the arrival of a tool call until its outcome is on record.",
            ("kind", "tool"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge("orgserver_calls_in_flight", "Tool calls under way.", registry=registry)
        self._refreshes = Counter(
            "orgserver_refreshes", "Requests to Salesforce for a new access token.", ("outcome",), registry=registry
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
        self._requests = Counter(
            "orgserver_http_requests", "Answered HTTP requests.", ("route", "status"), registry=registry
        )
        self._request_seconds = Histogram(
            "orgserver_http_request_duration_seconds",
            "From the head of a request until its answer was sent.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._auth_failures = Counter(
            "orgserver_auth_failures",
            "Requests whose key or token opened nothing, or that had none.",
            registry=registry,
        )
        self._rate_limited = Counter(
            "orgserver_rate_limited", "Requests that came too soon, or beside too many.", registry=registry
        )
        build = Gauge("orgserver_build_info", "The version that runs.", ("version",), registry=registry)
        build.labels(orgserver.__version__).set(1)

        # Looking a series up by its labels costs more than counting in it.
        self._series_of_call = cache(self._find_series_of_call)
        self._series_of_request = cache(self._find_series_of_request)

    def _find_series_of_call(self, kind: str, outcome: Outcome, tool: str) -> tuple[Counter, Histogram]:
        return self._calls.labels(kind, outcome.value, tool), self._seconds.labels(kind, tool)

    def _find_series_of_request(self, route: str, status: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(route, str(status or "none")), self._request_seconds.labels(route)

    @contextmanager
    def call(self, watched: Watched) -> Iterator[None]:
        """Count a call when it has ended."""
        began = time.perf_counter()
        self._in_flight.inc()
        try:
            yield
        finally:
            self._in_flight.dec()
            completion = watched.completion or Completion(Outcome.UNKNOWN)
            name = watched.intent.tool or ""
            tool = name if name in self.tools else _OTHER
            kind = watched.org_kind or "unknown"
            count, seconds = self._series_of_call(kind, completion.outcome, tool)
            count.inc()
            seconds.observe(time.perf_counter() - began)

    def refreshed(self, error_code: str | None = None) -> None:
        """Count a request for an access token."""
        self._refreshes.labels("rejected" if error_code else "succeeded").inc()

    def count_request(self, route: str, status: int, seconds: float, *, is_limited: bool) -> None:
        """Count a request over HTTP; without a status, its client went away before it was answered."""
        count, durations = self._series_of_request(route, status)
        count.inc()
        durations.observe(seconds)
        if status == _UNAUTHORIZED:
            self._auth_failures.inc()
        if is_limited:
            self._rate_limited.inc()

    async def render(self, store: Store, count_calls: Callable[[], tuple[int, int]]) -> bytes:
        """Everything as text; StoreError while the store cannot be read."""
        async with store.database.reading() as connection:
            idle_days = [_LIFE_DAYS - left for left in _LEFT]
            counts = await count_orgs(connection, store.database.clock(), idle_days)
        for org_state, number in counts.by_state.items():
            self._orgs.labels(org_state.value).set(number)
        self._problems.set(counts.problems)
        for left in _LEFT:
            self._dying.labels(str(left)).set(counts.idle[_LIFE_DAYS - left])
        longest = counts.longest_idle_us
        self._days.set(float("nan") if longest is None else _LIFE_DAYS - longest / _DAY_US)
        for state, number in zip(("running", "waiting"), count_calls(), strict=True):
            self._queues.labels(state).set(number)
        groups, changes = store.database.commits
        self._groups.set(groups)
        self._changes.set(changes)
        self._wait.set(store.database.longest_wait)
        return generate_latest(self._registry)
