"""What the suite's tools, prompts and resources answer with: a text, a picture, a sound, a resource."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

from mcp_types import CallToolResult, GetPromptResult


def make_text(text: str) -> dict[str, Any]:
    """A piece of text."""
    return {"type": "text", "text": text}


def make_image() -> dict[str, Any]:
    """A picture of one red point."""
    return {"type": "image", "data": PNG, "mimeType": "image/png"}


def make_audio() -> dict[str, Any]:
    """Two samples of silence."""
    return {"type": "audio", "data": _WAV, "mimeType": "audio/wav"}


def make_resource(uri: str, mime_type: str, text: str) -> dict[str, Any]:
    """A resource that is part of an answer."""
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": text}}


def make_result(*content: dict[str, Any], is_error: bool = False) -> CallToolResult:
    """What a tool answers."""
    return CallToolResult.model_validate({"content": list(content), "isError": is_error})


def make_prompt_result(*content: dict[str, Any]) -> GetPromptResult:
    """What a prompt is filled in to."""
    return GetPromptResult.model_validate({"messages": [{"role": "user", "content": each} for each in content]})


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00"))
    + _chunk(b"IEND", b"")
).decode()
_WAV = base64.b64encode(
    b"RIFF" + struct.pack("<I", 38) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    + b"data" + struct.pack("<I", 2) + b"\x80\x80"
).decode()  # fmt: skip
