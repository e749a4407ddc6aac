"""Recorded replies of real orgs, and the bytes in which each may have travelled."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.wire import upstream as acts

SAMPLES = Path(__file__).parents[1] / "samples"
FORMS = [(packed, chunks) for packed in (True, False) for chunks in (True, False)]
"""Packed with gzip or not, in chunks or with a length."""
_STATUSES = {
    "create_success": 201,
    "upsert_created_success": 201,
    "upsert_multiple_error": 300,
    "expired_session": 401,
    "delete_error": 404,
    "upsert_error": 404,
    "sobject_describe_error": 404,
    "sobject_find_error": 404,
}
"""The statuses of the single bodies that are neither 200 nor 400: their recorders kept none, Salesforce's guide tells."""


@dataclass(frozen=True)
class Recording:
    """One reply, and what it was a reply to."""

    name: str
    method: str
    path: str
    status: int
    message: str
    headers: tuple[tuple[str, str], ...]
    content: bytes
    """Exactly as it was recorded, before anything packed it."""

    @property
    def kind(self) -> str:
        """The media type of the body."""
        return dict(self.headers)["Content-Type"]

    @property
    def body(self) -> Any:
        """What the body says."""
        return json.loads(self.content) if "json" in self.kind else self.content

    def bytes(self, *, packed: bool, chunks: bool) -> bytes:
        """The whole reply on the wire."""
        content = gzip.compress(self.content) if packed else self.content
        lines = [f"HTTP/1.1 {self.status} {self.message}", *(f"{name}: {value}" for name, value in self.headers)]
        lines += ["Content-Encoding: gzip"] if packed else []
        lines += ["Vary: Accept-Encoding", "Set-Cookie: BrowserId=b; domain=.salesforce.com; path=/"]
        lines += ["Transfer-Encoding: chunked" if chunks else f"Content-Length: {len(content)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (acts.chunked(content, 1_024) if chunks else content)


def exchanges() -> Iterator[Recording]:
    """Every recorded exchange whose reply's bytes were kept; others name a template that was not."""
    for file in sorted((SAMPLES / "exchanges").glob("*.json")):
        for number, each in enumerate(json.loads(file.read_text("utf-8"))):
            content = each["response"]["body"].get("string") if "response" in each else None
            if isinstance(content, str):
                yield _exchange(f"{file.stem}-{number}", each["request"], each["response"], content.encode())


def _exchange(name: str, request: dict[str, Any], response: dict[str, Any], content: bytes) -> Recording:
    told = response["headers"].get("Response-Headers", response["headers"])
    headers = tuple((each, value) for each, values in told.items() if each != "Others" for value in values)
    status = response["status"]
    path = urlsplit(request["uri"]).path
    return Recording(name, request["method"], path, status["code"], status["message"], headers, content)


def replies() -> Iterator[Recording]:
    """Every single body that was recorded, as the reply that the guide says it belongs to."""
    for file in sorted((SAMPLES / "replies").glob("*.json")):
        name = re.sub(r"_response$", "", file.stem)
        status = _STATUSES.get(name, 400 if name.endswith("_error") else 200)
        headers = (("Content-Type", "application/json;charset=UTF-8"),)
        path = "/services/oauth2/token" if re.match("auth|refresh|reauth", name) else "/services/data/v60.0/recorded"
        yield Recording(name, "GET", path, status, "Whatever", headers, file.read_bytes())
