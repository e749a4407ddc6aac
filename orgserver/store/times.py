"""Times as the store writes them, in microseconds since 1970 UTC, and as the rest of the product handles them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(microseconds: int) -> datetime:
    """A time of the store as an aware datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(time: datetime) -> int:
    """An aware datetime as the store writes it."""
    return (time - _EPOCH) // timedelta(microseconds=1)
