"""Serving over the standard streams of a real process, on both event loops that may drive it."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows is served by the SDK itself")

SERVED = str(Path(__file__).with_name("served.py"))
LONG = 10
HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    },
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


@pytest.fixture(params=["asyncio", "uvloop"])
def command(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return [sys.executable, SERVED, request.param]


def call(number: Any, name: str = "echo", **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def lines(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


class Served:
    """A served process and its pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout

    def send(self, *messages: dict[str, Any]) -> None:
        self.stdin.write(lines(*messages))
        self.stdin.flush()

    def receive(self) -> dict[str, Any]:
        return dict(json.loads(self.stdout.readline()))

    def greet(self) -> None:
        self.send(HELLO)
        assert self.receive()["result"]["serverInfo"]["name"] == "served"
        self.send(READY)


@contextmanager
def serving(command: list[str]) -> Iterator[Served]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        watchdog = threading.Timer(3 * LONG, process.kill)  # a wait for an answer that does not come fails, not hangs
        watchdog.start()
        try:
            yield Served(process)
        finally:
            watchdog.cancel()
            process.kill()


def run(command: list[str], given: bytes) -> tuple[dict[Any, dict[str, Any]], str, int]:
    """Everything that is answered to some input, by id; standard error; and the exit code."""
    done = subprocess.run(command, input=given, capture_output=True, timeout=30, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {answer.get("id"): answer for answer in answers}, done.stderr.decode(), done.returncode


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["result"]["content"][0]["text"])


DISCOVER = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "server/discover",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}


@pytest.mark.parametrize("impatient", [True, False], ids=["at once", "after the answer"])
def test_a_handshake_after_a_discovery_that_took_too_long_opens_the_connection(command, impatient) -> None:
    hello = HELLO | {"id": 2}
    with serving(command) as served:
        if impatient:
            served.send(DISCOVER, DISCOVER | {"id": "again"}, hello)
            assert {served.receive()["id"] for _ in range(2)} == {1, "again"}
        else:
            served.send(DISCOVER)
            assert "2026-07-28" in served.receive()["result"]["supportedVersions"]
            served.send(hello)
        assert served.receive()["result"]["protocolVersion"] == "2025-11-25"
        served.send(READY, call(3, text="x"))
        assert served.receive()["result"]["content"][0]["text"] == "x"


def test_a_handshake_after_a_call_of_the_other_generation_is_refused(command) -> None:
    with serving(command) as served:
        asked = call(2, text="x")
        asked["params"] |= DISCOVER["params"]
        served.send(DISCOVER, asked, HELLO | {"id": 3})
        answers = {answer["id"]: answer for answer in (served.receive() for _ in range(3))}

    assert answers[2]["result"]["content"][0]["text"] == "x"
    assert answers[3]["error"]["code"] == -32022


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_sdks_own_client_is_served_in_both_generations(command: list[str], mode: str) -> None:
    parameters = StdioServerParameters(command=command[0], args=command[1:])

    async with Client(parameters, mode=mode) as client:
        result = await client.call_tool("echo", {"text": "grüße"})
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")

    assert result.content[0].text == "grüße"


def test_the_server_ends_cleanly_when_its_input_ends(command: list[str]) -> None:
    answers, told, code = run(command, lines(HELLO, READY))

    assert list(answers) == [0]
    assert code == 0
    assert told == "ended cleanly\n"


def test_no_input_at_all_is_a_clean_end(command: list[str]) -> None:
    assert run(command, b"") == ({}, "ended cleanly\n", 0)


def test_what_was_asked_before_the_input_ended_is_still_answered(command: list[str]) -> None:
    answers, told, code = run(command, lines(HELLO, READY, call(1, "wait_for_end", text="late"), call(2, text="soon")))

    assert {text_of(answers[1]), text_of(answers[2])} == {"late", "soon"}
    assert (told, code) == ("ended cleanly\n", 0)


@pytest.mark.parametrize("number", [1, "1"])
def test_a_cancelled_call_does_not_hold_up_the_end(command: list[str], number: int | str) -> None:
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}

    answers, told, code = run(command, lines(HELLO, READY, call(1, "wait"), cancel, call(2)))

    assert sorted(answers) == [0, 2]
    assert told.endswith("ended cleanly\n")
    assert code == 0


def test_a_last_line_without_its_end_is_answered(command: list[str]) -> None:
    answers, _, _ = run(command, lines(HELLO, READY, call(1, text="last")).rstrip(b"\n"))

    assert text_of(answers[1]) == "last"


def test_stray_prints_and_children_miss_the_wire(command: list[str]) -> None:
    answers, told, _ = run(command, lines(HELLO, READY, call(1, "print", text="kept"), call(2, text="also")))

    assert (text_of(answers[1]), text_of(answers[2])) == ("kept", "also")
    assert len(answers) == 3
    assert "stray\nchild\n" in told


def test_large_messages_pass_both_ways(command: list[str]) -> None:
    with serving(command) as served:
        served.greet()
        large = "é" * 2_000_000
        served.send(call(1, text=large))
        answer = served.receive()

    assert text_of(answer) == large


def test_a_client_that_reads_slowly_gets_everything(command: list[str]) -> None:
    with serving(command) as served:
        served.greet()
        served.send(*(call(number, length=300_000) for number in range(1, 21)))
        sizes = [len(text_of(served.receive())) for _ in range(20)]
        served.stdin.close()
        assert served.process.wait(LONG) == 0

    assert sizes == [300_000] * 20


def test_many_calls_at_once_are_each_answered_once(command: list[str]) -> None:
    calls = [call(number, text=str(number)) for number in range(1, 501)]

    answers, _, _ = run(command, lines(HELLO, READY, *calls))

    assert {number: text_of(answers[number]) for number in range(1, 501)} == {
        number: str(number) for number in range(1, 501)
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly_while_a_call_is_under_way(command: list[str], number: signal.Signals) -> None:
    with serving(command) as served:
        assert served.process.stderr is not None
        served.greet()
        served.send(call(1, "wait"))
        assert served.process.stderr.readline() == b"waiting\n"

        served.process.send_signal(number)

        assert served.process.wait(LONG) == 0
        assert served.process.stderr.read() == b"ended cleanly\n"
        rest = [json.loads(line) for line in served.stdout.read().splitlines()]
        assert [answer["error"]["message"] for answer in rest] == ["Connection closed"]


def test_a_client_that_stops_reading_does_not_break_the_server(command: list[str]) -> None:
    with serving(command) as served:
        assert served.process.stderr is not None
        served.greet()
        served.stdout.close()
        served.send(*(call(number, length=200_000) for number in range(1, 6)))
        served.stdin.close()

        assert served.process.wait(LONG) == 0
        assert served.process.stderr.read() == b"ended cleanly\n"


BAD_LINES: list[tuple[bytes, int, Any]] = [
    (b"{not json}", -32700, None),
    (b"\xff\xfe", -32700, None),
    (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":"\\ud800"}', -32600, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}}", -32700, 9),
    (
        b'{"jsonrpc":"2.0","method":"ping","params":{"a":' + b"[" * 500 + b"]" * 500 + b'},"id":"nine"}',
        -32700,
        "nine",
    ),
    (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"a":' + b"[" * 5_000, -32700, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"ping",}', -32700, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"a":"\xff"}}', -32700, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"a":' + b"9" * 5_000 + b"}}", -32700, 9),
    (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', -32600, "\ud800"),
    (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","\\u0069d":null,"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":1.0,"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":1e400,"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":[9],"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":{"id":9},"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":9}', -32600, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":[1]}', -32600, 9),
    (b"[" * 5_000, -32700, None),
    (b'[{"jsonrpc":"2.0","id":9,"method":"ping"}]', -32600, None),
    (b'{"id":9,"method":"ping"}', -32600, 9),
    (b'{"jsonrpc":"2.0","id":"nine","method":7}', -32600, "nine"),
    (b"7", -32600, None),
]


def test_a_line_that_is_no_message_is_answered_and_the_next_is_served(command: list[str]) -> None:
    with serving(command) as served:
        served.greet()
        for line, code, number in BAD_LINES:
            served.stdin.write(line + b"\n\n")
            served.send(call(1, text="next"))
            answers = [served.receive(), served.receive()]
            assert (answers[0]["id"], answers[0]["error"]["code"]) == (number, code), line[:80]
            assert text_of(answers[1]) == "next"


def test_a_line_beyond_the_limit_is_skipped_and_the_next_is_served(command: list[str]) -> None:
    too_long = b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"_meta":{"x":"' + b"y" * 40_000_000 + b'"}}}\n'

    answers, told, code = run(command, lines(HELLO, READY) + too_long + lines(call(1, text="next")))

    assert "16,777,216 bytes" in answers[9]["error"]["message"]
    assert text_of(answers[1]) == "next"
    assert "yyy" not in told
    assert code == 0


def test_a_line_beyond_the_limit_is_answered_by_the_id_at_its_end(command: list[str]) -> None:
    too_long = b'{"method":"ping","params":{"a":["' + b'x","' * 10_000_000 + b'"]},"jsonrpc":"2.0","id":"nine"}\n'

    answers, _, code = run(command, lines(HELLO, READY) + too_long + lines(call(1, text="next")))

    assert "16,777,216 bytes" in answers["nine"]["error"]["message"]
    assert (text_of(answers[1]), code) == ("next", 0)


def test_half_a_surrogate_pair_reaches_the_tool_and_comes_back(command: list[str]) -> None:
    with serving(command) as served:
        served.greet()
        served.stdin.write(lines(call(1, text="\ud800")))
        served.send(call(2, text="next"))
        answers = [served.receive(), served.receive()]

    assert [each["id"] for each in answers] == [1, 2]
    assert text_of(answers[1]) == "next"


def test_one_socket_for_both_directions_is_served(command: list[str]) -> None:
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as process:  # type: ignore[call-overload]
        theirs.close()
        ours.sendall(lines(HELLO, READY, call(1, text="both")))
        with ours.makefile("rb") as answers:
            told = [json.loads(answers.readline()) for _ in range(2)]
            ours.shutdown(socket.SHUT_WR)
            assert process.wait(LONG) == 0
            assert answers.read() == b""

    assert text_of(told[1]) == "both"


def test_two_sockets_are_served_as_node_connects_its_children(command: list[str]) -> None:
    to_server, stdin = socket.socketpair()
    from_server, stdout = socket.socketpair()
    with to_server, from_server, subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=-1) as process:  # type: ignore[call-overload]
        stdin.close()
        stdout.close()
        to_server.sendall(lines(HELLO, READY, call(1, text="node")))
        with from_server.makefile("rb") as answers:
            told = [json.loads(answers.readline()) for _ in range(2)]
        to_server.close()
        assert process.wait(LONG) == 0

    assert text_of(told[1]) == "node"


def test_regular_files_are_served_from_the_first_line_to_the_last(command: list[str], tmp_path: Path) -> None:
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    asked.write_bytes(lines(HELLO, READY, call(1, "wait_for_end", text="late"), call(2, text="soon")))

    with asked.open("rb") as stdin, answered.open("wb") as stdout:
        done = subprocess.run(command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=30, check=False)

    answers = {answer["id"]: answer for answer in map(json.loads, answered.read_bytes().splitlines())}
    assert (text_of(answers[1]), text_of(answers[2])) == ("late", "soon")
    assert (done.returncode, done.stderr) == (0, b"ended cleanly\n")


def test_the_null_device_is_an_input_that_has_ended(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"ended cleanly\n")


def test_a_closed_standard_input_is_named() -> None:
    # Not with uvloop: it aborts the process itself when it finds its own descriptors in the standard range.
    asked = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", sys.executable, SERVED]

    done = subprocess.run(asked, capture_output=True, timeout=30, check=False)

    assert b"ConfigError: standard input is closed" in done.stderr


def test_in_a_terminal_ctrl_c_ends_it_and_the_terminal_is_left_as_it_was(command: list[str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stderr is not None
        os.write(ours, lines(HELLO))
        seen = b""
        while b"serverInfo" not in seen:
            assert select.select([ours], [], [], LONG)[0]
            seen += os.read(ours, 65_536)
        assert os.get_blocking(theirs)

        process.send_signal(signal.SIGINT)

        assert process.wait(LONG) == 0
        assert process.stderr.read() == b"ended cleanly\n"
    assert os.get_blocking(theirs)
    os.close(ours)
    os.close(theirs)


def test_the_pipes_of_the_parent_are_left_blocking(command: list[str]) -> None:
    read_end, write_end = os.pipe()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write_end, stderr=subprocess.PIPE) as process:
        process.communicate(lines(HELLO), timeout=LONG)

    assert os.get_blocking(write_end)
    os.close(read_end)
    os.close(write_end)
