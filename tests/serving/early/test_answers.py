"""What is answered before there is a server is what the SDK answers, byte for byte, and it goes on as if it had."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Scope
from orgserver.serving import wire
from orgserver.serving.early import answers as early_answers
from orgserver.serving.early.answers import EarlyAnswers
from orgserver.serving.early.lines import EarlyLines
from orgserver.serving.fragments import LineTooLong
from orgserver.serving.server import build_server
from tests.snapshots.early_answers import META, answers_of_sdk, envelope, initialize, request

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
HANDSHAKE = [initialize(1, "2025-11-25"), INITIALIZED]
SCOPES = [
    Scope(),
    Scope(read_only=True),
    Scope(toolsets=frozenset({"all"})),
    Scope(toolsets=frozenset({"all"}), read_only=True, exclude_tools=frozenset({"salesforce_query"})),
    Scope(toolsets=frozenset({"contacts"})),
    Scope(toolsets=frozenset({"bulk", "metadata"})),
    Scope(toolsets=frozenset({"fleet"}), tools=frozenset({"salesforce_get_record"})),
    Scope(tools=frozenset({"salesforce_list_orgs"})),
    Scope(tools=frozenset({"salesforce_search", "salesforce_delete_contact"}), read_only=True),
    Scope(exclude_tools=frozenset({"salesforce_describe_object", "salesforce_query"})),
]


def answers_of(scope: Scope) -> EarlyAnswers:
    answers = EarlyAnswers.of_offer(scope.toolsets, scope.tools, scope.exclude_tools, read_only=scope.read_only)
    assert answers is not None
    return answers


class Client:
    """A client that writes lines one by one, each a moment after the other, and keeps what it is answered."""

    def __init__(self, lines: Sequence[bytes | Exception]) -> None:
        self._lines = iter(lines)
        self.written: list[bytes] = []

    async def line(self) -> bytes:
        await asyncio.sleep(0)
        line = next(self._lines, b"")
        if isinstance(line, Exception):
            raise line
        return line

    def end(self) -> None:
        self._lines = iter(())

    async def write(self, data: bytes) -> None:
        self.written.append(data)


async def handed_over(scope: Scope, lines: Sequence[bytes | Exception]) -> tuple[int, list[bytes]]:
    """How many answers were early, and all that a client is answered that begins before there is a server."""
    client = Client(lines)
    early_lines = EarlyLines(client, client, answers_of(scope))
    await early_lines.pause.wait()
    early = len(client.written)
    server = build_server(None, principal=Principal("test"), scope=scope)  # type: ignore[arg-type]
    options = server.create_initialization_options()
    incoming, outgoing = wire.streams(*await early_lines.hand_over())
    await server.run(incoming, outgoing, options)
    if incoming.begins_anew():
        await server.run(incoming, outgoing, options)
    return early, client.written


@pytest.mark.parametrize("scope", SCOPES)
async def test_early_answers_are_those_of_the_sdk_in_each_generation(scope: Scope) -> None:
    for version in (*HANDSHAKE_PROTOCOL_VERSIONS, "2026-07-28", "2099-01-01", ""):
        lines = [
            initialize(0, version), INITIALIZED, request("a-1", "tools/list"), request(2, "ping"),
            request(-3, "tools/list", cursor="next"),
        ]  # fmt: skip
        answers = answers_of(scope)
        assert [answer for line in lines if (answer := answers.answer(line))] == await answers_of_sdk(scope, lines)

    modern = [
        request(1, "server/discover", **envelope()),
        request(2, "tools/list", **envelope()),
        request(3, "tools/list", cursor="", **envelope()),
        request(4, "server/discover", **envelope()),
    ]
    answers = answers_of(scope)
    assert [answers.answer(line) for line in modern] == await answers_of_sdk(scope, modern)


@pytest.mark.parametrize(
    ("toolsets", "tools", "without", "read_only"),
    [
        (["nonsense"], [], [], False),
        ([], ["nonsense"], [], False),
        ([], [], ["nonsense"], False),
        ([], ["salesforce_query"], ["salesforce_query"], False),
        ([], ["salesforce_delete_contact"], [], True),
    ],
)
def test_a_server_that_will_not_start_has_no_answers(
    toolsets: list[str], tools: list[str], without: list[str], read_only: bool
) -> None:
    assert EarlyAnswers.of_offer(toolsets, tools, without, read_only=read_only) is None


@pytest.mark.parametrize("name", ["orgserver", "mcp"])
def test_answers_of_another_version_are_not_given(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads(early_answers.FILE.read_bytes())
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(content | {name: "0.0.1"}))
    monkeypatch.setattr(early_answers, "FILE", file)

    assert EarlyAnswers.of_offer([], [], [], read_only=False) is None


PREFIXES: list[list[bytes]] = [
    [],
    HANDSHAKE[:1],
    HANDSHAKE,
    [*HANDSHAKE, request(2, "tools/list"), request(3, "ping")],
    [request(1, "server/discover", **envelope())],
    [request(1, "server/discover", **envelope()), request(2, "tools/list", **envelope())],
    [request(1, "server/discover", **envelope()), *HANDSHAKE],
    [request(7, "tools/list", **envelope())],
]
ENDS: list[bytes | Exception] = [
    b"",
    b"\n",
    request(1, "ping"),
    request(1, "tools/list"),
    request(1, "tools/list", **envelope()),
    request(1, "prompts/list"),
    request(1, "prompts/list", **envelope()),
    request(1, "resources/templates/list"),
    request(1, "server/discover"),
    request(1, "server/discover", **envelope("2027-01-01")),
    request(1, "tools/list", **envelope(more=1)),
    request(1, "tools/list", _meta={"progressToken": 5}),
    request(1, "tools/list", cursor=5),
    request(1, "tools/list", cursor=None),
    request(1, "no/such"),
    request("é", "ping"),
    request("\ud800", "ping"),
    request(2**60, "ping"),
    initialize(1, "2025-06-18"),
    request(1, "initialize", protocolVersion=5, capabilities={}, clientInfo={}),
    request(1, "initialize", capabilities={}),
    INITIALIZED,
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}\n',
    b'{"jsonrpc":"2.0","method":"notifications/initialized","params":{"_meta":5}}\n',
    b"{not json\n",
    b"[]\n",
    b"\xff\xfe\n",
    b'{"jsonrpc":"2.0","id":true,"method":"ping"}\n',
    b'{"jsonrpc":"2.0","id":null,"method":"ping"}\n',
    b'{"jsonrpc":"2.0","id":1.0,"method":"ping"}\n',
    b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}\n',
    b'{"jsonrpc":"1.0","id":1,"method":"ping"}\n',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}\n',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":null}\n',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","more":NaN}\n',
    b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":1,"result":{}}\n',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 300 + b"1" + b"}" * 301 + b"\n",
    request(1, "ping", text="x" * 70_000),
    LineTooLong(),
]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_whatever_comes_next_is_answered_as_if_there_had_been_a_server(prefix: list[bytes]) -> None:
    scope = Scope()
    for end in ENDS:
        for rest in ([], [request(1, "ping")], [initialize(1, "2025-11-25"), request(9, "tools/list")]):
            lines = [*prefix, end, *rest]
            alone = Client(lines)
            server = build_server(None, principal=Principal("test"), scope=scope)  # type: ignore[arg-type]
            incoming, outgoing = wire.streams(alone, alone)
            options = server.create_initialization_options()
            await server.run(incoming, outgoing, options)
            if incoming.begins_anew():
                await server.run(incoming, outgoing, options)

            early, written = await handed_over(scope, lines)

            assert sorted(written) == sorted(alone.written), (end, rest)
            assert early >= sum(b'"id"' in line for line in prefix)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
settings_of_capability = st.dictionaries(
    st.sampled_from(["form", "url", "listChanged", "list_changed", "requests", "sampling", "tools", "context"]),
    values | st.just({}) | st.just({"createMessage": {}}) | st.booleans(),
    max_size=3,
)
capabilities = st.dictionaries(
    st.sampled_from(["elicitation", "experimental", "extensions", "roots", "sampling", "tasks", "more"]),
    settings_of_capability | values,
    max_size=3,
)
clients = st.fixed_dictionaries(
    {"name": st.text(max_size=5), "version": st.text(max_size=5)},
    optional={
        "title": st.text(max_size=5) | values, "description": st.text(max_size=5), "websiteUrl": st.text(max_size=5),
        "icons": values, "more": values,
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(capabilities, clients, st.booleans())
def test_what_is_plain_here_is_taken_by_the_sdk(abilities: Any, client: Any, is_modern: bool) -> None:
    if is_modern:
        meta = {f"{META}protocolVersion": "2026-07-28", f"{META}clientInfo": client}
        line = request(1, "tools/list", _meta=meta | {f"{META}clientCapabilities": abilities})
    else:
        line = request(1, "initialize", protocolVersion="2025-06-18", capabilities=abilities, clientInfo=client)
    answer = answers_of(Scope()).answer(line)

    if answer is not None:
        assert asyncio.run(answers_of_sdk(Scope(), [line])) == [answer]


async def test_whoever_waits_is_told_when_there_will_be_no_server() -> None:
    waiting = [request(5, "tools/call", name="salesforce_list_orgs"), INITIALIZED, request("six", "ping"), b"{\n"]
    client = Client([*HANDSHAKE, *waiting])
    early_lines = EarlyLines(client, client, answers_of(Scope()))
    await early_lines.pause.wait()

    await early_lines.refuse()

    _, *refusals = map(json.loads, client.written)
    assert [(each["id"], each["error"]["code"]) for each in refusals] == [(5, -32603), ("six", -32603)]


class Unread(Client):
    """A client that asks, and does not read what it is answered."""

    def __init__(self, lines: Sequence[bytes | Exception]) -> None:
        super().__init__(lines)
        self.is_full = asyncio.Event()

    async def write(self, data: bytes) -> None:
        await super().write(data)
        self.is_full.set()
        await asyncio.Event().wait()


async def test_a_client_that_does_not_read_holds_up_neither_a_server_nor_the_end_of_a_start() -> None:
    for is_server_made in (True, False):
        client = Unread([*HANDSHAKE, request(5, "tools/call", name="salesforce_list_orgs")])
        early_lines = EarlyLines(client, client, answers_of(Scope()))
        await client.is_full.wait()

        async with asyncio.timeout(5):
            if is_server_made:
                lines, _ = await early_lines.hand_over()
                assert await lines.line() == HANDSHAKE[0]
            else:
                await early_lines.refuse()

        assert json.loads(client.written[0])["id"] == json.loads(HANDSHAKE[0])["id"]
