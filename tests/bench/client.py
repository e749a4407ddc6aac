"""Servers under measurement and what drives them: a client that writes and reads lines, and no event loop of its own.

All servers are driven by this one client, so its own cost is the same for all of them, and small.
"""

import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
SECONDS = 60
_HEAD = b'{"jsonrpc":"2.0","id":'
_TICKS_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A server did not do what it is measured for, so its figures would mean nothing."""


class Server:
    """One server process."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.command = list(command)
        self.waiting: dict[int, tuple[Caller, float]] = {}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by end()
        self._serial = 0
        self._buffer = b""
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env=dict(environment),
            cwd=folder,
        )
        self._input, self.output = self.process.stdin.fileno(), self.process.stdout.fileno()

    def send(self, call: "Caller") -> None:
        """Make the caller's next call."""
        self._serial += 1
        self.waiting[self._serial] = (call, time.perf_counter())
        os.write(self._input, b"%b%d%b" % (_HEAD, self._serial, call.tail))

    def read(self) -> Iterator[tuple[bytes, int]]:
        """The lines that are there, and the ids of the requests that they answer."""
        piece = os.read(self.output, 1 << 18)
        if not piece:
            raise BenchError(f"{' '.join(self.command)} ended: {self.stderr()}")
        lines = (self._buffer + piece).split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            if (number := id_of(line)) is not None:
                yield line, number

    def ask(self, method: str, params: Mapping[str, Any]) -> bytes:
        """One request that is not measured; the line that answers it."""
        caller = Caller(self, method, params, 1, is_error=None)
        drive([caller])
        return caller.last_line

    def begin(self) -> bytes:
        """Shake hands; the list of tools."""
        self.ask("initialize", INITIALIZE)
        os.write(self._input, b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return self.ask("tools/list", {})

    def end(self) -> None:
        """Let it end as a client does that goes away."""
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._errors.close()

    def stderr(self) -> str:
        """The end of what it wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read()[-2_000:].decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def cpu_us(self) -> float:
        """The processor time that all its threads have used: nanoseconds of the scheduler's, else ticks."""
        folder = Path(f"/proc/{self.process.pid}")
        try:
            return sum(int(each.read_text().split()[0]) for each in folder.glob("task/*/schedstat")) / 1_000
        except (OSError, IndexError):
            return sum(self._ticks_us())

    def kernel_us(self) -> float:
        """How much of it was the kernel's, in ticks: syncing files, sockets, waking threads."""
        return self._ticks_us()[1]

    def _ticks_us(self) -> tuple[float, float]:
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return int(user) * _TICKS_US, int(system) * _TICKS_US

    def rss_mb(self) -> float:
        """Its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1_024 for line in status.splitlines() if line.startswith("VmRSS"))


@dataclass(eq=False)
class Caller:
    """Somebody who makes one request after the other of one server, each when the one before is answered."""

    server: Server
    method: str
    params: Mapping[str, Any]
    calls: int | None
    """How many; None: as long as others have some left."""
    is_error: bool | None = False
    """Whether the calls are to be refused; None: either."""
    times: list[float] = field(default_factory=list)
    """Seconds that each took."""
    last_line: bytes = b""
    tail: bytes = b""
    """What follows the id in a request's line."""

    def __post_init__(self) -> None:
        params = json.dumps(self.params, separators=(",", ":"))
        self.tail = f',"method":"{self.method}","params":{params}}}\n'.encode()

    def note(self, line: bytes, seconds: float) -> None:
        """Take an answer."""
        if self.is_error is not None and ((b'"isError":true' in line) is not self.is_error or b'"result"' not in line):
            command = " ".join(self.server.command)
            raise BenchError(f"{command} answered {line[:600]!r}\n{self.server.stderr()}")
        self.times.append(seconds)
        self.last_line = line


def call(server: Server, params: Mapping[str, Any], calls: int | None, *, is_error: bool = False) -> Caller:
    """A caller of a tool."""
    return Caller(server, "tools/call", params, calls, is_error)


def drive(callers: Sequence[Caller]) -> float:
    """Let all of them call at once, until each has made its calls; how many seconds that took."""
    servers = {caller.server for caller in callers}
    left = sum(caller.calls is not None for caller in callers)
    with selectors.DefaultSelector() as selector:
        for server in servers:
            selector.register(server.output, selectors.EVENT_READ, server)
        began = ended = time.perf_counter()
        for caller in callers:
            caller.server.send(caller)
        while any(server.waiting for server in servers):
            ready = selector.select(SECONDS)
            if not ready:
                raise BenchError(f"no answer within {SECONDS} s")
            for key, _ in ready:
                for line, number in key.data.read():
                    caller, since = key.data.waiting.pop(number)
                    ended = time.perf_counter()
                    caller.note(line, ended - since)
                    if caller.calls is not None and len(caller.times) == caller.calls:
                        left -= 1
                    elif left:
                        caller.server.send(caller)
    return ended - began


def id_of(line: bytes) -> int | None:
    """The id of the request that a line answers; None for whatever else a server says."""
    if line.startswith(_HEAD):
        return int(line[len(_HEAD) : len(_HEAD) + 12].split(b",", 1)[0])
    message = json.loads(line)
    return message.get("id") if "method" not in message else None
