"""A request to a pretend org, read whole, and the answer to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote

from orgserver.sandbox.java_numbers import encode_json


@dataclass(frozen=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    """Decoded; for the request log and for faults."""
    raw_path: str
    query_string: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        """The parameters of the query and of a form in the body."""
        return self.query | dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def access_token(self) -> str:
        """What its Authorization header shows; empty for another scheme, or none."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme in ("Bearer", "OAuth") else ""

    def date(self, header: str) -> datetime | None:
        """The time that a header tells; None if it is no time."""
        text = self.headers.get(header)
        try:
            date = parsedate_to_datetime(text) if text else None
        except ValueError:
            return None
        return date.replace(tzinfo=UTC) if date is not None and date.tzinfo is None else date

    @property
    def parts(self) -> list[str]:
        """The path's parts, each decoded after splitting: a slash in a value is no separator."""
        return [unquote(part) for part in self.raw_path.strip("/").split("/")]


class Answer:
    """What goes back."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        self.status = status
        # A lone surrogate, which JSON may hold and UTF-8 may not, becomes a question mark.
        self.body = b"" if body is None else encode_json(body).encode("utf-8", "replace")
        self.headers = headers or {}
        self.content_type = "application/json;charset=UTF-8"

    @classmethod
    def text(cls, status: int, body: str, content_type: str = "text/html;charset=UTF-8") -> Answer:
        """An answer that is not JSON."""
        return cls.from_bytes(status, body.encode(), content_type)

    @classmethod
    def from_bytes(cls, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> Answer:
        """An answer whose body is these bytes."""
        answer = cls(status, headers=headers)
        answer.body, answer.content_type = body, content_type
        return answer
