"""Calls that go past the SDK are heard and answered as those that go its way, to the byte."""

import asyncio
import json
import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgserver.model.errors import InvalidArgument, NotSent, Unanswered, Unconfirmed
from orgserver.tools import toolsets
from orgserver.tools.tool import schema_of
from tests.tools.conftest import CONTACT_ID
from tests.tools.test_fuzz import of_schema

from .both_ways import FORM, MODERN, VERSIONS, Counting, call_of, connected, envelope, heard, line_of

GET = "salesforce_get_contact"
LIST = "salesforce_list_contacts"


class BothWays:
    """The same lines said on both connections, of one version, for as long as hypothesis tries."""

    def __init__(self, version: str) -> None:
        self._runner = asyncio.Runner()
        self._managers = [connected(version, past_sdk=past_sdk) for past_sdk in (True, False)]
        self.past, self.by_sdk = (self._runner.run(each.__aenter__()) for each in self._managers)

    def close(self) -> None:
        for each in self._managers:
            self._runner.run(each.__aexit__(None, None, None))
        self._runner.close()

    def check(self, *lines: bytes) -> list[bytes]:
        """Both connections answer the same, after both have passed the same on."""
        past, by_sdk = (self._runner.run(each.say(*lines)) for each in (self.past, self.by_sdk))
        assert past == by_sdk
        assert heard(self.past) == heard(self.by_sdk)
        for each in (self.past, self.by_sdk):
            for calls in (each.operations.calls, each.operations.callers, each.operations.refusals):
                calls.clear()
        return past

    def set(self, **values: Any) -> None:
        for each in (self.past, self.by_sdk):
            for name, value in values.items():
                setattr(each.operations, name, value)

    @property
    def count(self) -> int:
        return int(self.past.plain.count)  # type: ignore[union-attr]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def both(version: str) -> Iterator[BothWays]:
    both = BothWays(version)
    yield both
    both.close()


def tried(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


texts = st.text(st.characters(exclude_categories=()), max_size=12)  # halves of surrogate pairs among them
numbers = st.integers(-(2**80), 2**80) | st.floats() | st.sampled_from([1e400, -0.0, 1.0, 10**30])
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
ids = st.sampled_from([1, 7, "7", "a", "", 0, -3, 2**70, "\u2028", True, None, 1.0, [], "07", "9" * 40]) | texts
tools = st.sampled_from([*toolsets.EVERY, "salesforce_nothing", "", "\ud800"])
tokens = st.sampled_from([1, "t", "", 2**70, True, None, 1.5, [1]])
members_of_meta: dict[str, st.SearchStrategy[Any]] = {
    "progressToken": tokens,
    "claude/id": anything,
    "traceparent": st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
}
odd_envelopes: dict[str, st.SearchStrategy[Any]] = {
    "io.modelcontextprotocol/protocolVersion": st.sampled_from([MODERN, "2025-11-25", "2099-01-01", 7, None]),
    "io.modelcontextprotocol/clientInfo": anything | st.just({"name": "n", "version": 1}) | st.none(),
    "io.modelcontextprotocol/clientCapabilities": anything | st.just(FORM) | st.just({"elicitation": {"url": {}}}),
    "io.modelcontextprotocol/logLevel": st.sampled_from(["info", "loud", 7]),
}


@st.composite
def metas(draw: st.DrawFn, version: str) -> Any:
    meta = draw(st.fixed_dictionaries({}, optional=members_of_meta))
    is_odd = draw(st.integers(0, 5)) == 0
    if version == MODERN:
        meta |= envelope(draw(st.sampled_from([{}, FORM])))
    if is_odd:
        meta |= draw(st.fixed_dictionaries({}, optional=odd_envelopes))
    return draw(st.sampled_from([meta] * 9 + [None, [], "x"]))


@st.composite
def parameters(draw: st.DrawFn, version: str) -> Any:
    tool = draw(tools)
    spec = toolsets.EVERY.get(tool)
    good = of_schema(schema_of(spec.arguments)) if spec is not None else st.dictionaries(texts, anything, max_size=3)
    params: dict[str, Any] = {"name": tool, "arguments": draw(good | good | good | anything)}
    if version == MODERN or draw(st.booleans()):
        params["_meta"] = draw(metas(version))
    more = {"task": anything, "inputResponses": anything, "requestState": anything, "x": anything}
    if draw(st.integers(0, 5)) == 0:
        params |= draw(st.fixed_dictionaries({}, optional=more))
    if draw(st.integers(0, 9)) == 0:
        params.pop(draw(st.sampled_from(sorted(params))))
    return params


@st.composite
def lines(draw: st.DrawFn, version: str) -> bytes:
    """A line that is a call, or nearly one."""
    message = {"jsonrpc": "2.0", "id": draw(ids), "method": "tools/call", "params": draw(parameters(version))}
    match draw(st.sampled_from(["call"] * 8 + ["member", "more", "other"])):
        case "member":
            message[draw(st.sampled_from(sorted(message)))] = draw(anything | st.just("2.0") | st.just("tools/list"))
        case "more":
            message[draw(texts | st.sampled_from(["result", "error"]))] = draw(anything)
        case "other":
            message.pop(draw(st.sampled_from(sorted(message))))
    line = json.dumps(message, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([None, (",", ":")])))
    match draw(st.sampled_from(["whole"] * 8 + ["twice", "cut", "spaced", "escaped"])):
        case "twice":
            line = line[:-1] + ',"' + draw(st.sampled_from(sorted(message))) + '":' + json.dumps(draw(ids)) + "}"
        case "cut":
            line = line[: draw(st.integers(0, len(line)))]
        case "spaced":
            line = f" \t{line} \r"
        case "escaped":
            line = line.replace("tools/call", r"tools\/call")
    return line.encode("utf-8", "surrogatepass").replace(b"\n", b" ") + b"\n"


@pytest.mark.timeout(600)
def test_whatever_a_client_says_is_heard_and_answered_alike(both: BothWays, version: str) -> None:
    @tried(400)
    @given(lines(version))
    def answers(line: bytes) -> None:
        both.check(line)

    answers()
    assert both.count > 40


@pytest.mark.timeout(600)
def test_whatever_an_org_has_is_written_alike(both: BothWays, version: str) -> None:
    @tried(300)
    @given(st.dictionaries(texts, anything, max_size=6), ids.filter(lambda each: type(each) in (str, int)))
    def answers(record: dict[str, Any], request_id: Any) -> None:
        both.set(record=record)
        both.check(call_of(version, GET, request_id, org="acme", contact_id=CONTACT_ID))

    answers()
    both.set(record={"Id": "x", "Text": "é" * 200_000, "List": list(range(50_000))})
    (line,) = both.check(call_of(version, GET, org="acme", contact_id=CONTACT_ID))
    assert 60_000 < len(line) < 400_000
    assert both.count > 200


def test_what_is_deep_or_long_is_heard_alike(both: BothWays, version: str) -> None:
    meta = envelope() if version == MODERN else {}
    for depth in (60, 150, 190, 195, 196, 197, 198, 199, 200, 201, 300, 5_000):
        line = line_of("tools/call", {"name": LIST, "arguments": {"org": "acme", "filter": ["deep"]}, "_meta": meta})
        both.check(line.replace(b'"deep"', b"[" * depth + b"]" * depth))
    for length in (100, 10_000, 1_000_000):
        meta |= {"x": "y" * length}
        both.check(line_of("tools/call", {"name": LIST, "arguments": {"org": "a" * length}, "_meta": meta}))


@pytest.mark.parametrize(
    "failure",
    [
        NotSent("it was not sent", hint="wait \U0001f600 \ud800", fields=["a"]),
        Unanswered("x" * 100_000),
        InvalidArgument("no", fields=["org"]),
        Unconfirmed("Really? \u2028 \ud800 é", "sealed"),
        ValueError("a defect"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_failures_are_written_alike(both: BothWays, version: str, failure: Exception) -> None:
    both.set(failure=failure)

    both.check(call_of(version, GET, org="acme", contact_id=CONTACT_ID))

    assert both.count == 1


def test_progress_is_told_alike_and_only_where_it_was_asked_for(both: BothWays, version: str) -> None:
    params: dict[str, Any] = {"name": LIST, "arguments": {"org": "acme"}, "_meta": {}}
    if version == MODERN:
        params["_meta"] = envelope()
    silent = both.check(line_of("tools/call", params))
    for token in (1, "a\u2028", 0, ""):
        params["_meta"]["progressToken"] = token
        loud = both.check(line_of("tools/call", params))
        assert [json.loads(each).get("method") for each in loud] == ["notifications/progress"] * 2 + [None]

    assert len(silent) == 1
    assert both.count == 5


def test_the_log_says_the_same(both: BothWays, version: str, caplog: pytest.LogCaptureFixture) -> None:
    fields = ("tool", "org", "request", "outcome")
    records = []
    with caplog.at_level(logging.INFO, "orgserver.calls"):
        for each in (both.past, both.by_sdk):
            caplog.clear()
            for line in (call_of(version, LIST, "é", org="acme"), call_of(version, "x" * 99), call_of(version, GET)):
                both._runner.run(each.say(line))
            records.append([tuple(getattr(record, name) for name in fields) for record in caplog.records])

    assert records[0] == records[1]
    assert [record[3] for record in records[0]] == ["succeeded", "denied", "denied"]


@pytest.mark.parametrize("past_sdk", [True, False])
async def test_a_cancelled_call_is_cut_off_and_never_answered(version: str, past_sdk: bool) -> None:
    async with connected(version, past_sdk=past_sdk) as connection:
        connection.operations.blocked = asyncio.Event()
        meta = {"_meta": envelope() if version == MODERN else {}}
        meta["_meta"]["progressToken"] = 1
        params = {"name": LIST, "arguments": {"org": "acme"}} | meta
        begun = await connection.say(line_of("tools/call", params, 5), line_of("tools/call", params, "6"))
        cancelled = await connection.say(cancel_of("5"), cancel_of(6), cancel_of(99), cancel_of(None))
        connection.operations.blocked.set()
        after = await connection.say(call_of(version, LIST, 8, org="acme"))

    assert len(begun) == 4
    assert cancelled == []
    assert [json.loads(each)["id"] for each in after] == [8]
    assert len(connection.operations.cut_off) == 2


@pytest.mark.parametrize("past_sdk", [True, False])
async def test_a_call_that_is_cancelled_by_its_id_in_another_form_does_not_hold_up_the_end(
    version: str, past_sdk: bool
) -> None:
    async with connected(version, past_sdk=past_sdk) as connection:
        connection.operations.blocked = asyncio.Event()
        await connection.say(call_of(version, LIST, 5, org="acme"), cancel_of("5"))
        connection.end()
        async with asyncio.timeout(10):  # of the minute that calls under way are waited for
            await connection.serving  # type: ignore[misc]


def cancel_of(request_id: Any) -> bytes:
    params = {"requestId": request_id}
    return json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}).encode() + b"\n"


@pytest.mark.parametrize("past_sdk", [True, False])
@pytest.mark.parametrize("odd", [(), (0,), (1,)], ids=["both plain", "first odd", "second odd"])
async def test_of_two_calls_with_one_id_the_last_is_cancelled_and_the_first_answered(
    version: str, past_sdk: bool, odd: tuple[int, ...]
) -> None:
    calls = [call_of(version, LIST, 5, org="acme"), call_of(version, GET, "5", org="acme", contact_id="x")]
    for number in odd:
        calls[number] = with_arguments_as_text(calls[number])
    async with connected(version, past_sdk=past_sdk) as connection:
        connection.operations.blocked = asyncio.Event()
        await connection.say(*calls)
        await connection.say(cancel_of(5))
        connection.operations.blocked.set()
        answers = await connection.say()

    assert len(connection.operations.cut_off) == 1
    assert [json.loads(each)["id"] for each in answers] == [5]
    assert "records" in json.loads(answers[0])["result"]["structuredContent"]


def with_arguments_as_text(line: bytes) -> bytes:
    """The same call in a form that is mended, which is done on the SDK's way alone."""
    message = json.loads(line)
    message["params"]["arguments"] = json.dumps(message["params"]["arguments"])
    return json.dumps(message).encode() + b"\n"


@pytest.mark.parametrize("past_sdk", [True, False])
async def test_a_call_that_is_cancelled_in_the_same_breath_was_begun(version: str, past_sdk: bool) -> None:
    async with connected(version, past_sdk=past_sdk) as connection:
        connection.operations.blocked = asyncio.Event()
        answers = await connection.say(call_of(version, LIST, 5, org="acme"), cancel_of(5))

    assert answers == []
    assert len(connection.operations.cut_off) == 1


async def test_of_many_lines_that_have_come_a_few_are_read_before_others_have_their_turn(version: str) -> None:
    async with connected(version, past_sdk=True) as connection:
        assert isinstance(connection.plain, Counting)
        for number in range(100):
            connection.lines.put_nowait(call_of(version, LIST, number, org="acme"))
        counts = [0]
        while counts[-1] < 100:
            await asyncio.sleep(0)
            counts.append(connection.plain.count)

    assert max(after - before for before, after in pairwise(counts)) == 16


def test_a_call_that_is_part_of_a_trace_is_the_sdks(both: BothWays, version: str) -> None:
    meta = (envelope() if version == MODERN else {}) | {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}

    both.check(line_of("tools/call", {"name": LIST, "arguments": {"org": "acme"}, "_meta": meta}))

    assert both.count == 0


@pytest.mark.parametrize(
    "answer", [{"action": "accept", "content": {}}, {"action": "decline"}, {"action": "maybe"}, {}]
)
async def test_a_person_is_asked_alike(version: str, answer: dict[str, Any]) -> None:
    told = [await ask(version, answer, past_sdk=past_sdk) for past_sdk in (True, False)]

    assert told[0] == told[1]
    question = json.loads(told[0][0][0])
    assert "Really?" in json.dumps(question)


async def ask(version: str, answer: dict[str, Any], *, past_sdk: bool) -> list[list[bytes]]:
    async with connected(version, past_sdk=past_sdk, capabilities=FORM) as connection:
        connection.operations.asks = True
        call = call_of(version, GET, 5, FORM, org="acme", contact_id=CONTACT_ID)
        asked = await connection.say(call)
        if version == MODERN:
            params = json.loads(call)["params"] | {"requestState": "sealed", "inputResponses": {"confirm": answer}}
            return [asked, await connection.say(line_of("tools/call", params, 6))]
        question = json.loads(asked[0])
        reply = {"jsonrpc": "2.0", "id": question["id"], "result": answer}
        return [asked, await connection.say(json.dumps(reply).encode() + b"\n")]


@pytest.mark.parametrize("past_sdk", [True, False])
async def test_a_call_before_the_handshake_is_over_or_with_the_other_generations_envelope_is_refused(
    version: str, past_sdk: bool
) -> None:
    other = "2025-11-25" if version == MODERN else MODERN
    async with connected(version, past_sdk=past_sdk) as connection:
        (refused,) = await connection.say(call_of(other, LIST, 9, org="acme"))
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "other", "version": "2"}}
        # The call comes on the heels of the handshake, which is answered first.
        answers = await connection.say(line_of("initialize", hello, 10), call_of(version, LIST, 11, org="acme"))
        await connection.say(call_of(version, LIST, 12, org="acme"))

    assert "error" in json.loads(refused)
    assert [json.loads(each)["id"] for each in answers] in ([10, 11], [11, 10])
    clients = [caller.client for caller in connection.operations.callers]
    assert clients == (["raw/1"] * 2 if version == MODERN else ["other/2"] * 2)


@pytest.mark.parametrize("past_sdk", [True, False])
async def test_calls_that_are_under_way_when_serving_is_cut_off_are_told(version: str, past_sdk: bool) -> None:
    async with connected(version, past_sdk=past_sdk) as connection:
        connection.operations.blocked = asyncio.Event()
        await connection.say(call_of(version, LIST, 5, org="acme"), call_of(version, LIST, 6, org="acme"))
        await connection.say(cancel_of(6))

    assert [json.loads(each) for each in connection.written] == [
        {"jsonrpc": "2.0", "id": 5, "error": {"code": -32000, "message": "Connection closed"}}
    ]


@pytest.mark.parametrize("past_sdk", [True, False])
async def test_what_was_asked_before_the_input_ended_is_answered_whoever_reads_it(version: str, past_sdk: bool) -> None:
    async with connected(version, past_sdk=past_sdk) as connection:
        connection.operations.blocked = asyncio.Event()
        await connection.say(*(call_of(version, LIST, number, org="acme") for number in range(100)))
        connection.end()
        assert await connection.say() == []
        connection.operations.blocked.set()
        answers = await connection.say()
        assert sorted(json.loads(each)["id"] for each in answers) == list(range(100))

    async with connected(version, past_sdk=past_sdk) as gone:
        gone.is_gone = True
        assert await gone.say(call_of(version, LIST, 5, org="acme")) == []
        gone.end()
        await gone.say()
        assert len(gone.operations.calls) == 1
