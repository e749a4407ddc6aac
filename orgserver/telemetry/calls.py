"""Calls and refreshes as spans and metrics.

Names are those of the semantic conventions for MCP and generative AI where there are any, and ``orgserver.…`` else:
https://github.com/open-telemetry/semantic-conventions-genai. What strangers chose is not among them: no values, no
record ids, no SOQL, no alias that is not registered.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, Tracer, TracerProvider, set_span_in_context

import orgserver
from orgserver.logs import mask_tokens
from orgserver.model.access.logins import UsedIdentity
from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.text import escape_text
from orgserver.services.observer import Observer, Watched

logger = logging.getLogger("orgserver.telemetry")

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""The conventions' buckets for MCP."""
_TRANSPORTS = {"stdio": "pipe", "http": "tcp"}
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_OTHER = "_OTHER"
_METHOD = {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool"}


class CallTelemetry(Observer):
    """Tells of each call when it has ended; whatever goes wrong here, the call does not notice."""

    def __init__(self, traces: TracerProvider, metrics: MeterProvider) -> None:
        self._tracer: Tracer = traces.get_tracer("orgserver", orgserver.__version__)
        meter = metrics.get_meter("orgserver", orgserver.__version__)
        self._calls = meter.create_counter("orgserver.calls", unit="{call}", description="Tool calls that ended")
        self._in_flight = meter.create_up_down_counter(
            "orgserver.calls.in_flight", unit="{call}", description="Tool calls under way"
        )
        self._seconds = meter.create_histogram(
            "mcp.server.operation.duration",
            unit="s",
            description="From the arrival of a tool call until its outcome is on record",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._refreshes = meter.create_counter(
            "orgserver.refreshes", unit="{refresh}", description="Requests to Salesforce for a new access token"
        )
        self._connects = meter.create_counter(
            "orgserver.connects", unit="{login}", description="Logins of people's own that were begun and ended"
        )

    @contextmanager
    def call(self, watched: Watched) -> Iterator[None]:
        """Surround a call with a span; what is logged meanwhile belongs to it."""
        started = time.perf_counter()
        tool = watched.intent.tool or watched.intent.action
        span: Span = INVALID_SPAN
        with _harmless():
            span = self._tracer.start_span(tool, kind=SpanKind.SERVER)
            self._in_flight.add(1)
        token = context.attach(set_span_in_context(span))
        try:
            yield
        finally:
            context.detach(token)
            with _harmless():
                completion = watched.completion or Completion(Outcome.UNKNOWN)
                span.set_attributes(attributes(watched.intent, completion))
                if completion.outcome is not Outcome.SUCCEEDED:
                    span.set_status(StatusCode.ERROR)
                span.end()
                self._in_flight.add(-1)
                labels = _METHOD | {"gen_ai.tool.name": tool, "orgserver.outcome": completion.outcome.value}
                self._calls.add(1, labels)
                self._seconds.record(time.perf_counter() - started, labels)

    def refreshed(self, error_code: str | None = None, identity: UsedIdentity = "shared") -> None:
        """Count a request for an access token."""
        with _harmless():
            failed = {"error.type": _code(error_code)} if error_code else {}
            outcome = "rejected" if failed else "succeeded"
            self._refreshes.add(1, {"orgserver.identity": identity, "orgserver.outcome": outcome} | failed)

    def connected(self, outcome: Outcome) -> None:
        """Count a login of a person's own."""
        with _harmless():
            self._connects.add(1, {"orgserver.outcome": outcome.value})


def attributes(intent: Intent, completion: Completion) -> dict[str, str | int]:
    """What a span says of its call."""
    values = _METHOD | {
        "gen_ai.tool.name": intent.tool,
        "jsonrpc.request.id": intent.request_id,
        "network.transport": _TRANSPORTS.get(intent.transport),
        "orgserver.principal": intent.principal,
        "orgserver.org": intent.org if intent.org_row else None,  # else it is only what the agent said
        "orgserver.action": str(intent.action),
        "orgserver.object": intent.object,
        "orgserver.outcome": completion.outcome.value,
        "orgserver.audit_entry": intent.id or None,
        "orgserver.api_calls": completion.api_calls,
        "orgserver.attempts": completion.attempts,
        "http.response.status_code": completion.http_status,
        "error.type": _code(completion.error_code) if completion.error_code else None,
    }
    return {
        name: mask_tokens(escape_text(value)) if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None
    }


def _code(code: str) -> str:
    """An error code that is one; Salesforce's come over the wire."""
    return code if _CODE.fullmatch(code) else _OTHER


@contextmanager
def _harmless() -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("a call could not be told to the collector")
