"""Servers over HTTP under measurement, and what drives them: keep-alive connections that a raw client writes and reads."""

import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import homes
from tests.bench.client import BenchError, Caller, Server, call, id_of
from tests.bench.homes import Participant

MODERN = "2026-07-28"
PRINCIPALS = 8
"""With a key each; none of them has more calls under way than a principal may."""
_VARIABLES = {"ORGSERVER_HTTP_RATE": "1000000"}
_START_SECONDS = 20
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class HttpServer(Server):
    """One server process that listens, and the connections to it."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        port: int,
        heads: Sequence[bytes],
        connections: int,
    ) -> None:
        super().__init__(command, environment, folder)
        first = self._connect_when_listening(port)  # there may be no more connections of one source than these
        rest = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections - 1)]
        self.connections = [
            Connection(self, each, heads[number % len(heads)]) for number, each in enumerate([first, *rest])
        ]

    def begin(self) -> bytes:
        """Nothing is remembered of a client, so none shakes hands."""
        return b""

    def end(self) -> None:
        """Let it end as an operator does who stops it."""
        for each in self.connections:
            each.close()
        self.process.terminate()
        super().end()

    def _connect_when_listening(self, port: int) -> socket.socket:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(OSError):
                return socket.create_connection(("127.0.0.1", port))
            time.sleep(0.05)
        self.process.kill()
        raise BenchError(f"{' '.join(self.command)} does not listen: {self.stderr()}")


class Connection:
    """One connection, on which a caller makes one request after the other."""

    def __init__(self, server: HttpServer, connected: socket.socket, head: bytes) -> None:
        self.command, self.stderr = server.command, server.stderr
        self.waiting: dict[int, tuple[Caller, float]] = {}
        self._socket = connected
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.output = self._socket.fileno()
        self._head = head
        self._serial = 0
        self._buffer = b""

    def send(self, caller: Caller) -> None:
        """Make the caller's next call."""
        self._serial += 1
        self.waiting[self._serial] = (caller, time.perf_counter())
        body = b'{"jsonrpc":"2.0","id":%d%b' % (self._serial, caller.tail)
        self._socket.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body))

    def read(self) -> Iterator[tuple[bytes, int]]:
        """The answer, once it is here, and the id of the request that it answers."""
        piece = self._socket.recv(1 << 18)
        if not piece:
            raise BenchError(f"{' '.join(self.command)} closed a connection: {self.stderr()}")
        self._buffer += piece
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if end and (length is None or not head.startswith(b"HTTP/1.1 200 ")):
            raise BenchError(f"{' '.join(self.command)} answered {self._buffer[:600]!r}\n{self.stderr()}")
        if length is None or len(body) < int(length[1]):
            return
        self._buffer = b""
        if (number := id_of(body)) is not None:
            yield body, number

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@dataclass(frozen=True)
class HttpContender:
    """A server over HTTP, and the call that is made of it in one version of the protocol."""

    command: Sequence[str]
    """Without the port, which comes last."""
    params: Mapping[str, Any]
    version: str
    connections: int
    home: Path | None = None
    keys: Sequence[str] = ()
    is_error: bool = False

    def start(self, folder: Path) -> HttpServer:
        """Start it on a free port, and connect to it."""
        port = _find_port()
        command = [*self.command[:-1], self.command[-1] + str(port)]
        heads = [self._make_head(port, key) for key in self.keys or [""]]
        return HttpServer(command, homes.environment(self.home) | _VARIABLES, folder, port, heads, self.connections)

    def caller(self, server: HttpServer, number: int, calls: int) -> Caller:
        """Who calls on one of the connections."""
        params = {**self.params, "_meta": _ENVELOPE} if self.version == MODERN else self.params
        connection: Any = server.connections[number]
        return call(connection, params, calls, is_error=self.is_error)

    def _make_head(self, port: int, key: str) -> bytes:
        headers = {
            "Host": f"127.0.0.1:{port}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": self.version,
        }
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if self.version == MODERN:
            headers |= {"Mcp-Method": "tools/call", "Mcp-Name": self.params["name"]}
            if "org" in self.params["arguments"]:
                headers["Mcp-Param-Org"] = self.params["arguments"]["org"]
        return "".join(
            ["POST /mcp HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items())]
        ).encode()


def make_echo(params: Mapping[str, Any], version: str, connections: int) -> HttpContender:
    """The bare SDK, by its own app over HTTP: stateless, answering with JSON."""
    echo = Path(__file__).with_name("echo.py")
    return HttpContender([sys.executable, "-P", str(echo), ""], params, version, connections)


def make_contender(
    participant: Participant, home: Path, keys: Sequence[str], params: Mapping[str, Any], version: str, connections: int
) -> HttpContender:
    """An orgserver with principals, who have keys."""
    command = participant.command("serve", "--http", "127.0.0.1:")
    return HttpContender(command, params, version, connections, home, keys)


def add_principals(participant: Participant, home: Path) -> list[str]:
    """Put principals with grants into a home, and limits on its org; the keys."""
    return participant.fill("principals", home, PRINCIPALS).split()


def _find_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
