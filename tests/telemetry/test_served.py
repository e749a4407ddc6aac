"""A real server and a real collector: what arrives, and what a collector's failure does to a server, which is nothing."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orgserver.app import App
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from tests.telemetry.collecting import Collector, collecting, plain, served

VALUE = "Canarywood-Featherstonehaugh"
KEY = "Canary-Key-0f9e8d7c"
CREATE = "salesforce_create_contact"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDS_WITHIN = 6.0
"""The time for what is left, and for a busy machine to end a process."""


@pytest.fixture
async def home(app: App, tmp_path: Path) -> Path:
    """A home with both pretend orgs."""
    return tmp_path / "home"


def failed(result: dict[str, Any]) -> str | None:
    return json.loads(result["content"][0]["text"])["error"]["code"] if result.get("isError") else None


async def test_spans_metrics_and_logs_arrive_and_hold_nothing_that_they_must_not(
    home: Path, sandbox: Sandbox, acme: SandboxOrg
) -> None:
    secrets = {acme.client_secret, acme.refresh_token}
    async with collecting() as collector:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={KEY}",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test", "ORGSERVER_LOG_LEVEL": "debug",
        }  # fmt: skip
        async with served(home, **environ) as server:
            traceparent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            made = await server.call(CREATE, meta=traceparent, org="acme", data={"LastName": VALUE})
            acme.expire_access_tokens()
            await server.call("salesforce_query", org="acme", soql=f"SELECT Id FROM Contact WHERE LastName = '{VALUE}'")
            refused = [
                await server.call(CREATE, org="acme", data={"LastName": 5, VALUE: VALUE}),
                await server.call(CREATE, org="acme", data={"Nope__c": VALUE, "LastName": VALUE}),
                await server.call(CREATE, org="initech", data={"LastName": VALUE}),
            ]
            await server.call("salesforce_list_orgs")
            secrets |= {token.partition("!")[2] for token in acme.access_tokens} | acme.spent | {acme.refresh_token}
            _, err = await server.end()

    _holds_nothing(collector, err, secrets | {KEY}, made["structuredContent"]["id"])
    assert collector.keys == {KEY}
    assert [failed(result) is not None for result in refused] == [True] * 3
    _judge_spans(collector)
    metrics = collector.metrics()
    assert sum(point.as_int for point in metrics["orgserver.calls"].sum.data_points) == 6
    assert sum(point.count for point in metrics["mcp.server.operation.duration"].histogram.data_points) == 6
    assert [point.as_int for point in metrics["orgserver.calls.in_flight"].sum.data_points] == [0]
    assert [point.as_int for point in metrics["orgserver.refreshes"].sum.data_points] == [1]
    bodies = [record.body.string_value for record in collector.records()]
    assert bodies.count("call") == 6
    assert "token refreshed" in bodies


def _judge_spans(collector: Collector) -> None:
    spans = collector.spans()
    first, *_ = spans
    assert [span.name for span in spans] == [CREATE, "salesforce_query", CREATE, CREATE, CREATE, "salesforce_list_orgs"]
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert [plain(span.attributes).get("error.type") for span in spans] == [
        None, None, "INVALID_ARGUMENT", "INVALID_FIELD", "UNKNOWN_ORG", None,
    ]  # fmt: skip
    for resource in collector.resources():
        assert resource["service.name"] == "orgserver"
        assert resource["deployment.environment.name"] == "test"
        assert resource["service.instance.id"]


def _holds_nothing(collector: Collector, err: str, secrets: set[str], record_id: str) -> None:
    everything = b"".join(body for _, body in collector.bodies)
    assert {path for path, _ in collector.bodies} == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    for canary in (secrets - {""}) | {VALUE, record_id}:
        assert canary.encode() not in everything
        assert canary not in err
    assert b"WHERE" not in everything


@pytest.mark.parametrize("collector", ["away", "hanging", "refusing"])
async def test_a_collector_that_fails_disturbs_no_call_and_keeps_no_process(home: Path, collector: str) -> None:
    async with collecting() as there:
        there.hangs = collector == "hanging"
        with socket.create_server(("127.0.0.1", 0)) as free:
            nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        url = {"away": nobody, "hanging": there.url, "refusing": f"{there.url}/elsewhere"}[collector]
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BLRP_SCHEDULE_DELAY": "50",
        }
        async with served(home, **environ) as server:
            results = [await server.call(CREATE, org="acme", data={"LastName": str(n)}) for n in range(50)]
            seconds, err = await server.end()

    assert [failed(result) for result in results] == [None] * 50
    assert seconds < ENDS_WITHIN
    assert "Traceback" not in err
    assert "opentelemetry" not in err
    assert err.count("telemetry may be incomplete") <= 1
    assert collector == "hanging" or "telemetry may be incomplete" in err


async def test_without_the_extra_a_server_serves_and_says_what_to_install(home: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    async with served(home, PYTHONPATH=path, OTEL_TRACES_EXPORTER="otlp") as server:
        result = await server.call("salesforce_list_orgs")
        _, err = await server.end()

    assert failed(result) is None
    assert "telemetry: off, for want of: pip install 'orgserver[otel]'" in err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER=console: only otlp and none"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "telemetry: off: "),
    ],
)
async def test_settings_that_cannot_be_followed_are_said_and_a_server_serves(
    home: Path, setting: dict[str, str], said: str
) -> None:
    async with served(home, **setting) as server:
        result = await server.call("salesforce_list_orgs")
        _, err = await server.end()

    assert failed(result) is None
    assert said in err


@pytest.mark.parametrize("environ", [{}, {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}])
def test_unless_asked_the_sdk_is_not_even_imported(environ: dict[str, str]) -> None:
    script = (
        "import sys; sys.argv = ['orgserver', 'serve', '--toolset', 'nope']\n"
        "from orgserver.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in sorted(sys.modules) if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'orgserver.telemetry.'))])"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ | environ
    )

    assert ran.stdout == "['orgserver.telemetry.environment', 'orgserver.telemetry.signals']\n"
