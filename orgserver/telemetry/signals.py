"""Which signals does the standard environment ask for? https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SIGNALS = ("traces", "metrics", "logs")
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


@dataclass(frozen=True, slots=True)
class Asked:
    """The signals that go to a collector, and what was asked for and cannot be had."""

    signals: tuple[str, ...]
    problems: tuple[str, ...]


def asked(environ: Mapping[str, str]) -> Asked:
    """Read the environment: a signal is asked for by its exporter ``otlp``, or by an endpoint without ``none``.

    Other exporters would write to standard output, which belongs to MCP; other protocols need other libraries.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Asked((), ())
    signals, problems = [], []
    for signal in SIGNALS:
        name = f"OTEL_{signal.upper()}_EXPORTER"
        exporters = {word.strip().lower() for word in environ.get(name, "").split(",")} - {""}
        problems += [f"{name}={other}: only otlp and none" for other in sorted(exporters - {"otlp", "none"})]
        endpoint = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
        if "otlp" not in exporters and (exporters or not (environ.get(endpoint) or environ.get(_ENDPOINT))):
            continue
        own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
        setting = own if environ.get(own) else _PROTOCOL
        protocol = environ.get(setting, "").strip().lower()
        if protocol in ("", "http/protobuf"):
            signals.append(signal)
        else:
            problems.append(f"{setting}={protocol}: only http/protobuf, so no {signal}")
    return Asked(tuple(signals), tuple(problems))
