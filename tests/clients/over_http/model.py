"""A model that always wants the same call, behind the API that Claude Code asks: no account, no network, no model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Model:
    """Asks for one call of a tool, then says that it is done."""

    tool: str
    arguments: dict[str, Any]
    url: str = ""
    results: list[str] = field(default_factory=list)
    """What the tool answered, as the client told it."""

    def answer(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of the reply to one request."""
        content = request["messages"][-1]["content"]
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        results = [json.dumps(block["content"]) for block in blocks if block.get("type") == "tool_result"]
        self.results += results
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "content": []}
        yield {"type": "message_start", "message": message | {"stop_reason": None, "usage": usage}}
        if results:
            yield from _block({"type": "text", "text": ""}, {"type": "text_delta", "text": "It is done."})
        else:
            call = {"type": "tool_use", "id": "toolu_1", "name": self.tool, "input": {}}
            yield from _block(call, {"type": "input_json_delta", "partial_json": json.dumps(self.arguments)})
        delta = {"stop_reason": "end_turn" if results else "tool_use"}
        yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 1}}
        yield {"type": "message_stop"}


def _block(start: dict[str, Any], delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "content_block_start", "index": 0, "content_block": start}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}


@asynccontextmanager
async def serving_model(model: Model) -> AsyncIterator[Model]:
    """Serve it on loopback until the block ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                line, length = await _read_head(reader)
                request = json.loads(await reader.readexactly(length) or b"null")
                if request is None or b"/v1/messages" not in line or b"count_tokens" in line:
                    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                else:
                    events = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in model.answer(request))
                    head = (
                        f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(events)}\r\n\r\n"
                    )
                    writer.write((head + events).encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield model


async def _read_head(reader: asyncio.StreamReader) -> tuple[bytes, int]:
    """A request's first line, and the length of its body."""
    line, *headers = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    lengths = [header.partition(b":")[2] for header in headers if header.lower().startswith(b"content-length:")]
    return line, int(lengths[0]) if lengths else 0
