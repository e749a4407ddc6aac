"""What of the standard environment asks for telemetry."""

import pytest

from orgserver.telemetry.signals import Asked, asked

ALL = ("traces", "metrics", "logs")
HERE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environ", "signals"),
    [
        ({}, ()),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_RESOURCE_ATTRIBUTES": "a=b"}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, ALL),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_SDK_DISABLED": "TRUE"}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_SDK_DISABLED": "false"}, ALL),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_LOGS_EXPORTER": "none"}, ("traces", "metrics")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_TRACES_EXPORTER": " OTLP "}, ALL),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": HERE}, ("metrics",)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("traces",)),
        ({"OTEL_TRACES_EXPORTER": "none"}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, ALL),
    ],
)
def test_a_signal_goes_out_when_it_is_asked_for(environ: dict[str, str], signals: tuple[str, ...]) -> None:
    assert asked(environ) == Asked(signals, ())


@pytest.mark.parametrize(
    ("environ", "signals", "problems"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": HERE},
            ("metrics", "logs"),
            ("OTEL_TRACES_EXPORTER=console: only otlp and none",),
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp,zipkin"},
            ("traces",),
            ("OTEL_TRACES_EXPORTER=zipkin: only otlp and none",),
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            (),
            ("OTEL_EXPORTER_OTLP_PROTOCOL=grpc: only http/protobuf, so no traces",),
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": HERE,
                "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            ("traces", "metrics"),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=grpc: only http/protobuf, so no logs",),
        ),
    ],
)
def test_what_cannot_be_had_is_said(
    environ: dict[str, str], signals: tuple[str, ...], problems: tuple[str, ...]
) -> None:
    assert asked(environ) == Asked(signals, problems)
