"""What the MCP SDK itself tells of traces, by the part of OpenTelemetry that it always brings along.

A client may say of which trace a call is a part: the SDK reads that, and our spans are children of it. Our telemetry
sets no tracer for the whole process; where another program did (``opentelemetry-instrument``), the SDK has spans, too.
"""

from __future__ import annotations

from opentelemetry.propagate import get_global_textmap
from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider


def has_spans_of_sdk() -> bool:
    """Whether this process has a tracer that the SDK's spans go to."""
    return not isinstance(get_tracer_provider(), ProxyTracerProvider)


def trace_members() -> frozenset[str]:
    """The members of ``_meta`` that say of which trace a request is a part."""
    return frozenset(get_global_textmap().fields)
