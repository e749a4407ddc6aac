"""When a request may be sent again, and when an org is left alone for a while."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from orgserver.model.errors import CallError, Rejected, StaleToken
from orgserver.salesforce import clock
from orgserver.salesforce.protocol import refusals
from orgserver.salesforce.protocol.messages import Reply, Request

BASE_SECONDS = 0.2
CAP_SECONDS = 20.0
NEVER_SENT_TRIES = 3
READ_TRIES = 4
LOCK_TRIES = 4
"""The first try, and up to three more after ``UNABLE_TO_LOCK_ROW``."""

_SECONDS = re.compile(r"[0-9]+")
_TOKENS = 500
_RETRY_COST, _TIMEOUT_COST, _SUCCESS_GAIN = 5, 10, 1
_FAILURES_TO_OPEN = 10
_OPEN_SECONDS = 5.0


def pause(attempt: int, random: Callable[[], float]) -> float:
    """Full jitter: anything up to a bound that doubles with each attempt (from 1), in seconds."""
    return random() * min(CAP_SECONDS, BASE_SECONDS * 2.0 ** (attempt - 1))


def after(headers: Mapping[str, str]) -> float | None:
    """How many seconds a reply asks to be left alone (RFC 9110, section 10.2.3); None where it names no time.

    A date counts from the host's own ``Date``, whose clock may not be ours.
    """
    text = headers.get("retry-after", "").strip(" \t")
    if _SECONDS.fullmatch(text):
        return float(text)  # however large: the call ends sooner
    date = clock.read_date(text)
    if date is None:
        return None
    now = clock.read_date(headers.get("date")) or datetime.now(UTC)
    return max(0.0, (date - now).total_seconds())


def may_repeat(refusal: CallError, reply: Reply, request: Request, tries: int, wait: float | None) -> bool:
    """Tell whether a request may be sent again after a reply that refused it, the last of so many ``tries``."""
    if isinstance(refusal, StaleToken):
        return False
    if refusal.code == "UNABLE_TO_LOCK_ROW":  # the change was rolled back
        return tries < LOCK_TRIES
    if tries >= READ_TRIES:
        return False
    if request.writes:
        return refusals.rejected_before_work(reply.status, reply.body, retry_after=wait)
    return isinstance(refusal, Rejected) and refusal.retryable


@dataclass(slots=True)
class Budget:
    """How many repetitions an org still has: a burst of trouble must not become a storm."""

    tokens: int = _TOKENS

    def spend(self, *, timeout: bool = False) -> bool:
        """Take what a repetition costs; False if it is not there."""
        cost = _TIMEOUT_COST if timeout else _RETRY_COST
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def succeeded(self) -> None:
        """A success earns a little."""
        self.tokens = min(_TOKENS, self.tokens + _SUCCESS_GAIN)


@dataclass(slots=True)
class Breaker:
    """Leaves an org alone after many failures in a row; then one probe finds out whether it is back."""

    failures: int = 0
    open_until: float = 0.0

    def admits(self, now: float) -> bool:
        """Tell whether a request may go; after the pause one may, as a probe, and starts the next pause."""
        if self.failures < _FAILURES_TO_OPEN:
            return True
        if now < self.open_until:
            return False
        self.open_until = now + _OPEN_SECONDS
        return True

    def failed(self, now: float) -> None:
        """The org could not be reached, or did not answer."""
        self.failures += 1
        if self.failures >= _FAILURES_TO_OPEN:
            self.open_until = now + _OPEN_SECONDS

    def answered(self) -> None:
        """The org answered, whatever it said."""
        self.failures = 0
