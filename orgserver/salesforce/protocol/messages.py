"""A request to an org and its reply, as plain values: what is sent without host and token, and what came back.

Beside them what may stand in a reply: dates, counts, records without their ``attributes``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Any, TypeGuard

import msgspec

from orgserver.model.errors import Rejected
from orgserver.salesforce.protocol.large_containers import Rest

_READS = frozenset({"GET", "HEAD"})
_LARGEST_WHOLE = 2**53 - 1
_SECONDS = re.compile(r"[0-9]+")
_NESTED = (dict, list)
_NESTED_TYPES = frozenset(_NESTED)
_CHECKED = 4_096
"""Records that are looked at in one go: more would hold the interpreter for long."""


class Request(msgspec.Struct, frozen=True):
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


def _go_on() -> None:
    """Rest for no time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: header names in lower case, and the body's JSON or None."""

    status: int
    headers: Mapping[str, str]
    body: Any
    size: int = 0
    """Of the body as it came, in bytes."""
    rest: Rest = field(default=_go_on, repr=False, compare=False)
    """Called between two steps by whoever goes through a body, which may be large: it lets others go on."""

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


def strip_attributes(value: Any) -> Any:
    """Take Salesforce's ``attributes`` out of a record, and out of the records inside it."""
    if isinstance(value, dict):
        return {
            name: strip_attributes(inner) if isinstance(inner, _NESTED) else inner
            for name, inner in value.items()
            if name != "attributes"
        }
    if isinstance(value, list):
        return [strip_attributes(inner) for inner in value]
    return value


def remove_attributes(row: dict[str, Any]) -> dict[str, Any]:
    """Take Salesforce's ``attributes`` out of a row that nobody else has, in place: few rows have more inside."""
    row.pop("attributes", None)
    for name, inner in row.items():
        if isinstance(inner, _NESTED):
            row[name] = strip_attributes(inner)
    return row


def clean_rows(rows: Sequence[dict[str, Any]]) -> bool:
    """Take ``attributes`` out of rows that nobody else has, in place; whether nothing else is inside of any of them."""
    for row in rows:
        row.pop("attributes", None)
    if is_flat(rows):
        return True
    for row in rows:
        remove_attributes(row)
    return False


def is_flat(rows: Iterable[dict[str, Any]]) -> bool:
    """Whether rows of a reply have only plain values, as most have: seen of all of them sooner than of each."""
    return _NESTED_TYPES.isdisjoint(map(type, chain.from_iterable(map(dict.values, rows))))


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether this is a whole number of a size that every reader of JSON takes exactly (RFC 8259, section 6)."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_WHOLE


def is_count(value: Any) -> TypeGuard[int]:
    """Whether this counts something."""
    return is_whole(value) and value >= 0


def read_records(value: Any, rest: Rest = _go_on) -> list[dict[str, Any]]:
    """A list of records; Rejected for anything else."""
    if not isinstance(value, list):
        raise unreadable()
    for start in range(0, len(value), _CHECKED):
        if not {dict}.issuperset(map(type, value[start : start + _CHECKED])):
            raise Rejected("the org's answer has records that are no objects", code="BAD_REPLY")
        rest()
    return value


def unreadable() -> Rejected:
    """Make the error of a reply whose JSON is none that Salesforce documents."""
    return Rejected("the org's answer has not the form that Salesforce documents", code="BAD_REPLY")
