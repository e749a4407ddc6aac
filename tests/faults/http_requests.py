"""Requests to a server on HTTP, built to be hostile, each with what may come back."""

import json
import random
from dataclasses import dataclass
from typing import Any

CALL = {
    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
    "params": {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"LastName": "Hostile"}}},
}  # fmt: skip
LIST = CALL | {"params": {"name": "salesforce_list_contacts", "arguments": {"org": "acme"}}}
PROTOCOL = ("MCP-Protocol-Version", "2025-11-25")
ACCEPT = ("Accept", "application/json, text/event-stream")
PUBLIC_PATHS = (
    "/healthz",
    "/readyz",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
)
"""What is answered without a key: a word, or where a token can be had."""
_JUNK = "\x00\x01\t\x0b\x7f\x80\xff\u2028/\\%\"'<>{}[]()@:;,.#?&=+-* "


@dataclass
class Hostile:
    """One of them, and what is right."""

    kind: str
    parts: list[bytes]
    may_be_answered: bool = False
    is_whole: bool = True
    """Whether the server can know that it has ended; else it is closed by the client, unanswered or not."""
    pause: float = 0.0
    """Between the parts."""

    @property
    def is_public(self) -> bool:
        line = self.parts[0].split(b"\n", 1)[0]
        return any(path.encode() in line for path in PUBLIC_PATHS)


class Builder:
    """Makes requests from a seed, for a server whose host and a key of which are known."""

    def __init__(self, host: str, key: str, seed: int) -> None:
        self._host = host
        self._key = key
        self._chance = random.Random(seed)

    def build_good(self, message: dict[str, Any]) -> bytes:
        """A request that is answered."""
        return self._build(("Connection", "close"), key=self._key, body=json.dumps(message).encode())

    def _pick(self, *choices: Any) -> Any:
        return self._chance.choice(choices)

    def _text(self, most: int = 40) -> str:
        letters = _JUNK + "abcdefghijklmnopqrstuvwxyz0123456789ä€😀"
        return "".join(self._chance.choice(letters) for _ in range(self._chance.randrange(1, most)))

    def _line(self, most: int = 40) -> str:
        """A text that can stand in a header."""
        return "".join(each for each in self._text(most) if each.isprintable() and ord(each) < 256) or "x"

    def _build(
        self,
        *headers: tuple[str, str],
        method: str = "POST",
        target: str = "/mcp",
        host: str | None = None,
        key: str | None = None,
        body: bytes | None = None,
        length: bool = True,
    ) -> bytes:
        body = json.dumps(self._pick(CALL, LIST)).encode() if body is None else body
        lines = [("Host", self._host if host is None else host), ("Content-Type", "application/json"), ACCEPT, PROTOCOL]
        lines += [("Authorization", f"Bearer {key}")] if key is not None else []
        lines += headers
        lines += [("Content-Length", str(len(body)))] if length else []
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
        return head.encode("latin-1", "replace") + body
