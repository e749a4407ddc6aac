"""A request to an org and its reply, as plain values: what is sent without host and token, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask; the client adds host and token."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    """What becomes JSON; bytes are sent as they are, and ``headers`` say what they are."""
    accept: str = "application/json"
    """A reply of another kind comes as bytes."""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method not in _READS

    @property
    def conditional(self) -> bool:
        """Whether 304 (nothing has changed) is an answer to it."""
        return any(name == "If-Modified-Since" for name, _ in self.headers)

    @property
    def target(self) -> str:
        """Path and query string as they are sent."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: header names in lower case, and the body's JSON or None."""

    status: int
    headers: Mapping[str, str]
    body: Any
    size: int = 0
    """Of the body as it came, in bytes."""
