"""A request to an org and its reply, as plain values: what is sent without host and token, and what came back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_READS = frozenset({"GET", "HEAD"})
_SECONDS = re.compile(r"[0-9]+")


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


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: header names in lower case, and the body's JSON or None."""

    status: int
    headers: Mapping[str, str]
    body: Any
    size: int = 0
    """Of the body as it came, in bytes."""

    @property
    def retry_after(self) -> float | None:
        """How many seconds it asks to be left alone (RFC 9110, section 10.2.3); None where it names no time.

        A date counts from the host's own ``Date``, whose clock may not be ours.
        """
        text = self.headers.get("retry-after", "").strip(" \t")
        if _SECONDS.fullmatch(text):
            return float(text)  # however large: the call ends sooner
        date = read_date(text)
        if date is None:
            return None
        now = read_date(self.headers.get("date")) or datetime.now(UTC)
        return max(0.0, (date - now).total_seconds())


def read_date(text: str | None) -> datetime | None:
    """The instant of an HTTP date (RFC 9110, section 5.6.7), in UTC; None where there is none."""
    if not text:
        return None
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
