"""Start the SDK for the signals that are asked for, and end it within a bounded time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracerProvider

import orgserver
from orgserver.model.names import new_id
from orgserver.telemetry.calls import CallTelemetry
from orgserver.telemetry.records import RecordHandler, Seldom

FLUSH_SECONDS = 1.5
"""MCP clients commonly kill a server that has not ended two seconds after its input was closed."""
_LIBRARY = logging.getLogger("opentelemetry")
_OURS = logging.getLogger("orgserver")


@dataclass(slots=True)
class _Providers:
    """The signals' providers; nothing global is set, so other libraries stay silent."""

    resource: Resource
    traces: TracerProvider | NoOpTracerProvider = field(default_factory=NoOpTracerProvider)
    metrics: MeterProvider | NoOpMeterProvider = field(default_factory=NoOpMeterProvider)
    logs: LoggerProvider | None = None
    ends: list[Callable[[], object]] = field(default_factory=list)

    def start_traces(self) -> None:
        provider = TracerProvider(resource=self.resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.traces = provider
        self.ends.append(provider.shutdown)

    def start_metrics(self) -> None:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        provider = MeterProvider([reader], self.resource, shutdown_on_exit=False)
        self.metrics = provider
        self.ends.append(provider.shutdown)

    def start_logs(self) -> None:
        provider = LoggerProvider(self.resource, shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
        self.logs = provider
        self.ends.append(provider.shutdown)


@contextmanager
def started(signals: Collection[str]) -> Iterator[CallTelemetry]:
    """Send these signals until the end, then what is left of them; ValueError for settings that make no sense."""
    ours = Resource({"service.name": "orgserver", "service.version": orgserver.__version__})
    unique = Resource({"service.instance.id": new_id()})
    providers = _Providers(ours.merge(unique).merge(OTELResourceDetector().detect()))
    seldom, propagated = Seldom(), _LIBRARY.propagate
    _LIBRARY.addHandler(seldom)
    _LIBRARY.propagate = False
    handler: RecordHandler | None = None
    try:
        for signal in signals:
            getattr(providers, f"start_{signal}")()
        if providers.logs is not None:
            handler = RecordHandler(providers.logs)
            _OURS.addHandler(handler)
        yield CallTelemetry(providers.traces, providers.metrics)
    finally:
        if handler is not None:
            _OURS.removeHandler(handler)
        _end(providers.ends)
        _LIBRARY.removeHandler(seldom)
        _LIBRARY.propagate = propagated


def _end(ends: Collection[Callable[[], object]]) -> None:
    """Flush and stop all at once; what a collector does not take in time is given up.

    The SDK's own shutdown waits much longer, and its threads are daemons: none of them keeps the process.
    """
    threads = [threading.Thread(target=_quietly, args=(end,), daemon=True, name="telemetry-end") for end in ends]
    until = time.monotonic() + FLUSH_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _quietly(end: Callable[[], object]) -> None:
    with suppress(Exception):
        end()
