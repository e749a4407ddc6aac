"""A collector on the loopback, and a real server that is told of it."""

import asyncio
import gzip
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SECONDS = 30
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


@dataclass
class Collector:
    """Keeps what it is sent."""

    url: str = ""
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    hangs: bool = False

    async def take(self, request: Request) -> Response:
        body = await request.body()
        if self.hangs:
            await asyncio.sleep(SECONDS)
        packed = request.headers.get("Content-Encoding") == "gzip"
        self.bodies.append((request.url.path, gzip.decompress(body) if packed else body))
        self.keys.add(request.headers.get("api-key"))
        return Response()

    def _read(self, path: str, kind: Any) -> list[Any]:
        return [kind.FromString(body) for where, body in self.bodies if where == path]

    def spans(self) -> list[Any]:
        told = self._read("/v1/traces", ExportTraceServiceRequest)
        return [span for each in told for r in each.resource_spans for s in r.scope_spans for span in s.spans]

    def resources(self) -> list[dict[str, Any]]:
        told = self._read("/v1/traces", ExportTraceServiceRequest)
        return [plain(each.resource.attributes) for request in told for each in request.resource_spans]

    def metrics(self) -> dict[str, Any]:
        told = self._read("/v1/metrics", ExportMetricsServiceRequest)
        return {m.name: m for each in told for r in each.resource_metrics for s in r.scope_metrics for m in s.metrics}

    def records(self) -> list[Any]:
        told = self._read("/v1/logs", ExportLogsServiceRequest)
        return [record for each in told for r in each.resource_logs for s in r.scope_logs for record in s.log_records]


def plain(attributes: Any) -> dict[str, Any]:
    """The attributes of a message as a dictionary."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    app = Starlette(routes=[Route("/v1/{signal}", collector.take, methods=["POST"])])
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1, ws="none", http="h11")
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        collector.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        task = asyncio.create_task(server.serve([listener]))
        yield collector
        server.should_exit = True
        await task


@dataclass
class Server:
    """A served process, spoken to a line at a time."""

    process: asyncio.subprocess.Process
    serial: int = 0

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.serial += 1
        message = {"jsonrpc": "2.0", "id": self.serial, "method": method, "params": params}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        async with asyncio.timeout(SECONDS):
            reply: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return reply["result"]

    async def call(self, tool: str, *, meta: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
        return await self.ask("tools/call", name=tool, arguments=arguments, **({"_meta": meta} if meta else {}))

    async def end(self) -> tuple[float, str]:
        """Close its input; how long it took to end, and what it had said on standard error."""
        assert self.process.stdin is not None
        began = time.monotonic()
        self.process.stdin.close()
        async with asyncio.timeout(SECONDS):
            _, err = await self.process.communicate()
        assert self.process.returncode == 0, err.decode()
        return time.monotonic() - began, err.decode()


@asynccontextmanager
async def served(home: Path, **environ: str) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", "serve",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"ORGSERVER_HOME": str(home)} | environ, limit=1 << 20,
    )  # fmt: skip
    server = Server(process)
    try:
        await server.ask("initialize", **INITIALIZE)
        assert process.stdin is not None
        process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        yield server
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
