"""Spans, metrics and log records as the SDK hands them on: what they say, and what they never hold."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, NoOpTracerProvider, SpanKind, StatusCode, get_current_span

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import CallError, InvalidArgument
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.observer import Watched
from orgserver.telemetry.calls import CallTelemetry, attributes
from orgserver.telemetry.records import RecordHandler, Seldom
from tests import operations

TOOL = "salesforce_create_contact"
VALUE = "Canarywood-Featherstonehaugh"


class Collected:
    def __init__(self) -> None:
        self._spans, self._reader, self._records = (
            InMemorySpanExporter(),
            InMemoryMetricReader(),
            InMemoryLogRecordExporter(),
        )
        self.traces = TracerProvider(shutdown_on_exit=False)
        self.traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self.metrics = MeterProvider([self._reader], shutdown_on_exit=False)
        self.logs = LoggerProvider(shutdown_on_exit=False)
        self.logs.add_log_record_processor(SimpleLogRecordProcessor(self._records))
        self.observer = CallTelemetry(self.traces, self.metrics)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    @property
    def records(self) -> list[Any]:
        return [each.log_record for each in self._records.get_finished_logs()]

    def points(self) -> dict[str, list[Any]]:
        data = self._reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def everything(self) -> str:
        """All that was handed on, as text."""
        spans = [span.to_json() for span in self.spans]
        data = self._reader.get_metrics_data()
        logs = [each.to_json() for each in self._records.get_finished_logs()]
        return "\n".join([*spans, data.to_json() if data else "", *logs])

    def close(self) -> None:
        for provider in (self.traces, self.metrics, self.logs):
            provider.shutdown()


@pytest.fixture
def collected() -> Iterator[Collected]:
    made = Collected()
    handler = RecordHandler(made.logs)
    ours = logging.getLogger("orgserver")
    ours.addHandler(handler)
    level = ours.level
    ours.setLevel(logging.DEBUG)
    yield made
    ours.setLevel(level)
    ours.removeHandler(handler)
    made.close()


@pytest.fixture
async def told(app: App, tmp_path: Path, collected: Collected) -> AsyncIterator[App]:
    async with open_app(read_settings({"home": tmp_path / "home"}, {}), None, collected.observer) as opened:
        yield opened


async def create(app: App, caller: Caller, org: str = "acme", **values: str) -> str:
    return (await operations.create(app, caller, TOOL, org, CONTACT, {"LastName": VALUE} | values)).id


async def test_a_span_says_what_its_audit_entry_says(told: App, caller: Caller, collected: Collected) -> None:
    await create(told, caller)

    (entry,) = [each async for each in told.audit_log.entries(EntryFilter(tool=TOOL))]
    (span,) = collected.spans
    assert (span.name, span.kind, span.status.status_code) == (TOOL, SpanKind.SERVER, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": TOOL,
        "jsonrpc.request.id": "r1",
        "network.transport": "pipe",
        "orgserver.principal": "local:tester",
        "orgserver.org": "acme",
        "orgserver.action": "create",
        "orgserver.object": "Contact",
        "orgserver.outcome": "succeeded",
        "orgserver.audit_entry": entry.id,
        "orgserver.api_calls": 1,
        "orgserver.attempts": 1,
        "http.response.status_code": 201,
    }
    assert span.end_time is not None and span.start_time is not None
    assert span.end_time - span.start_time >= (entry.duration_ms or 0) * 1_000_000 > 0


async def test_a_failed_call_is_an_error_with_its_code(
    told: App, caller: Caller, acme: SandboxOrg, collected: Collected
) -> None:
    with pytest.raises(CallError):
        await create(told, caller, Nope__c=VALUE)
    with pytest.raises(CallError):
        await create(told, caller, VALUE.lower())
    acme.fault("hang", path=".*/sobjects/Contact", seconds=30)
    task = asyncio.ensure_future(create(told, caller))
    async with asyncio.timeout(10):
        while [seen.method for seen in acme.requests].count("POST") < 2:
            await asyncio.sleep(0)
    task.cancel()
    await told.services.executor.close()

    seen = [dict(span.attributes or {}) for span in collected.spans]
    assert {span.status.status_code for span in collected.spans} == {StatusCode.ERROR}
    assert [(each["orgserver.outcome"], each["error.type"], each.get("orgserver.org")) for each in seen] == [
        ("rejected", "INVALID_FIELD", "acme"),
        ("denied", "UNKNOWN_ORG", None),
        ("unknown", "CANCELLED", "acme"),
    ]


async def test_calls_are_counted_timed_and_known_while_they_run(
    told: App, caller: Caller, acme: SandboxOrg, collected: Collected
) -> None:
    acme.fault("delay", path=".*/sobjects/Contact", seconds=0.3)
    task = asyncio.ensure_future(create(told, caller))
    async with asyncio.timeout(10):
        while not acme.requests:
            await asyncio.sleep(0)
    (during,) = collected.points()["orgserver.calls.in_flight"]
    await task
    await operations.orgs(told, caller, "salesforce_list_orgs", None, None)
    with pytest.raises(CallError):
        await create(told, caller, "acne")

    points = collected.points()
    assert during.value == 1
    assert [point.value for point in points["orgserver.calls.in_flight"]] == [0]
    assert {
        (point.attributes["gen_ai.tool.name"], point.attributes["orgserver.outcome"]): point.value
        for point in points["orgserver.calls"]
    } == {(TOOL, "succeeded"): 1, ("salesforce_list_orgs", "succeeded"): 1, (TOOL, "denied"): 1}
    (slow,) = [
        point
        for point in points["mcp.server.operation.duration"]
        if point.attributes["orgserver.outcome"] == "succeeded" and point.attributes["gen_ai.tool.name"] == TOOL
    ]
    assert (slow.count, 0.3 <= slow.sum < 10, slow.explicit_bounds[0]) == (1, True, 0.01)


async def test_refreshes_are_counted_and_why_they_failed(
    told: App, caller: Caller, acme: SandboxOrg, collected: Collected
) -> None:
    await create(told, caller)
    acme.expire_access_tokens()
    await create(told, caller)
    acme.expire_access_tokens()
    acme.refresh_token = ""
    with pytest.raises(CallError):
        await create(told, caller)

    assert [(dict(point.attributes), point.value) for point in collected.points()["orgserver.refreshes"]] == [
        ({"orgserver.identity": "shared", "orgserver.outcome": "succeeded"}, 1),
        ({"orgserver.identity": "shared", "orgserver.outcome": "rejected", "error.type": "needs_login"}, 1),
    ]


async def test_nothing_secret_and_nothing_of_the_records_is_told(
    told: App, caller: Caller, acme: SandboxOrg, collected: Collected
) -> None:
    secrets = {acme.client_secret, acme.refresh_token}
    made = await create(told, caller)
    await operations.read(told, caller, "salesforce_get_contact", "acme", CONTACT, made)
    await operations.query(
        told, caller, "salesforce_query", "acme", f"SELECT Id FROM Contact WHERE LastName = '{VALUE}'"
    )
    await operations.refuse(told, caller, TOOL, Action.CREATE, VALUE, CONTACT, InvalidArgument(f"no {VALUE}"))
    acme.fault("html", path=".*/query", times=9)
    with pytest.raises(CallError):
        await operations.query(
            told, caller, "salesforce_query", "acme", f"SELECT Id FROM Contact WHERE Name = '{VALUE}'"
        )
    acme.expire_access_tokens()
    await create(told, caller)
    secrets |= {token.partition("!")[2] for token in acme.access_tokens} | acme.spent | {acme.refresh_token}

    everything = collected.everything()
    assert len(collected.spans) == 6
    assert collected.records
    assert VALUE.lower() not in everything.lower()
    assert made not in everything
    assert not [secret for secret in secrets - {""} if secret in everything]


@pytest.mark.parametrize(("code", "shown"), [("ROW_LOCKED", "ROW_LOCKED"), (f"No {VALUE}", "_OTHER"), ("", None)])
def test_a_code_that_is_none_is_not_repeated(code: str, shown: str | None) -> None:
    act = Intent("i", "p", "stdio", "read")

    assert attributes(act, Completion(Outcome.REJECTED, error_code=code)).get("error.type") == shown


def test_what_looks_like_a_token_is_masked_wherever_it_came_from() -> None:
    act = Intent("i", "Bearer abcdefgh", "stdio", "read", request_id="5Aep861abcdefgh")

    assert "abcdefgh" not in json.dumps(attributes(act, Completion(Outcome.SUCCEEDED)))


async def test_a_failure_here_is_logged_and_the_call_does_not_notice(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(NoOpTracerProvider):
        def get_tracer(self, *_: Any, **__: Any) -> Any:
            return None

    observer = CallTelemetry(Broken(), NoOpMeterProvider())
    watched = Watched(Intent("i", "p", "stdio", "read"))

    with observer.call(watched):
        result = "done"
    with pytest.raises(CallError), observer.call(watched):
        raise InvalidArgument("no")

    assert result == "done"
    assert "could not be told to the collector" in caplog.text


def test_what_comes_after_a_call_does_not_belong_to_it(collected: Collected) -> None:
    with collected.observer.call(Watched(Intent("i", "p", "stdio", "read"))):
        during = get_current_span()

    assert during.get_span_context().is_valid
    assert get_current_span() is INVALID_SPAN


def test_a_log_record_says_what_standard_error_says(collected: Collected) -> None:
    log = logging.getLogger("orgserver.calls")
    log.info("call", extra={"tool": "t", "ms": 1.5, "rotated": True, "name_of_a_record": VALUE})
    try:
        raise ValueError("Bearer 00D000000000001!secretsecret")  # noqa: TRY301
    except ValueError:
        log.exception("token 5Aep861secretsecret failed")
    logging.getLogger("elsewhere").warning(VALUE)

    first, second = collected.records
    assert (first.body, first.severity_text, dict(first.attributes)) == (
        "call", "INFO", {"orgserver.tool": "t", "orgserver.ms": 1.5, "orgserver.rotated": True},
    )  # fmt: skip
    assert (second.body, second.severity_text) == ("token ••• failed", "ERROR")
    assert "ValueError" in second.attributes["exception.stacktrace"]
    assert "secretsecret" not in collected.everything()
    assert VALUE not in collected.everything()


async def test_what_is_logged_during_a_call_belongs_to_its_span(
    told: App, caller: Caller, acme: SandboxOrg, collected: Collected
) -> None:
    await create(told, caller)
    acme.expire_access_tokens()
    await create(told, caller)

    (refreshed,) = [record for record in collected.records if record.body == "token refreshed"]
    assert refreshed.trace_id == collected.spans[-1].context.trace_id


def test_what_the_sdk_says_of_itself_is_said_once_and_without_keys(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="orgserver.telemetry")
    seldom = Seldom()
    records = [
        logging.LogRecord(name, logging.ERROR, "f", 1, text, args, None)
        for name, text, args in (
            ("opentelemetry.exporter.otlp", "failed: %s", ("http://me:pass@here/v1",)),
            ("opentelemetry.exporter.otlp", "failed again", ()),
        )
    ]
    for record in records:
        seldom.handle(record)
    Seldom().handle(logging.LogRecord("opentelemetry.util.re", logging.ERROR, "f", 1, "bad: %s", ("key=x",), None))

    assert [record.getMessage() for record in caplog.records] == [
        "telemetry may be incomplete; calls go on: failed: http://here/v1",
        "telemetry may be incomplete; calls go on: bad: %s",
    ]
