"""A model that always wants the same call, behind the APIs that Claude Code and Codex ask: no account, no model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
_DONE = "It is done."


@dataclass
class Model:
    """Asks for one call of a tool of the server ``orgserver``, then says that it is done."""

    tool: str
    arguments: dict[str, Any]
    url: str = ""
    results: list[str] = field(default_factory=list)
    """What the tool answered, as the client told it."""

    def answer(self, path: str, request: dict[str, Any]) -> Iterator[Event] | None:
        """The events of the reply to one request; None for an address that no model is asked at."""
        if path.endswith("/v1/messages"):
            return self._answer_messages(request)
        return self._answer_responses(request) if path.endswith("/v1/responses") else None

    def _answer_messages(self, request: dict[str, Any]) -> Iterator[Event]:
        """As Anthropic's Messages API."""
        content = request["messages"][-1]["content"]
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        results = [json.dumps(block["content"]) for block in blocks if block.get("type") == "tool_result"]
        self.results += results
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "content": []}
        yield {"type": "message_start", "message": message | {"stop_reason": None, "usage": usage}}
        if results:
            start, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": _DONE}
        else:
            start = {"type": "tool_use", "id": "toolu_1", "name": f"mcp__orgserver__{self.tool}", "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(self.arguments)}
        yield {"type": "content_block_start", "index": 0, "content_block": start}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        end = {"stop_reason": "end_turn" if results else "tool_use"}
        yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}}
        yield {"type": "message_stop"}

    def _answer_responses(self, request: dict[str, Any]) -> Iterator[Event]:
        """As OpenAI's Responses API."""
        results = [json.dumps(item["output"]) for item in request["input"] if item["type"] == "function_call_output"]
        self.results += results
        call = {"name": self.tool, "namespace": "mcp__orgserver", "arguments": json.dumps(self.arguments)}
        text = {"role": "assistant", "content": [{"type": "output_text", "text": _DONE}]}
        item = {"type": "message", "id": "m1"} | text if results else {"type": "function_call", "call_id": "c1"} | call
        yield {"type": "response.created", "response": {"id": "r1"}}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        yield {"type": "response.completed", "response": {"id": "r1", "usage": usage}}


@asynccontextmanager
async def serving_model(model: Model) -> AsyncIterator[Model]:
    """Serve it on loopback until the block ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                path, length = await _read_head(reader)
                body = await reader.readexactly(length)
                writer.write(_write_reply(model.answer(path, json.loads(body)) if body else None))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield model


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, int]:
    """A request's path, and the length of its body."""
    line, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    lengths = [header.partition(":")[2] for header in headers if header.lower().startswith("content-length:")]
    return line.split()[1].partition("?")[0], int(lengths[0]) if lengths else 0


def _write_reply(events: Iterator[Event] | None) -> bytes:
    if events is None:
        return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body
