"""Which requests may be sent again after a reply that refused them: those that certainly did nothing, a few times."""

from __future__ import annotations

from typing import NamedTuple

from orgserver.model.errors import CallError, Rejected, StaleToken
from orgserver.salesforce.protocol import refusals
from orgserver.salesforce.protocol.messages import Reply, Request

READ_TRIES = 4
LOCK_TRIES = 4
"""The first try, and up to three more after ``UNABLE_TO_LOCK_ROW``."""


class Refusal(NamedTuple):
    """What a reply that refuses comes to."""

    error: CallError
    wait: float
    """How many seconds it asks to be left alone."""
    before_work: bool
    """Whether it says that nothing was begun."""


def read_refusal(reply: Reply, *, writes: bool) -> Refusal:
    """Read a reply that refuses."""
    wait = reply.retry_after
    error = refusals.refusal(reply.status, reply.body, writes=writes, retry_after=wait)
    before_work = writes and refusals.rejected_before_work(reply.status, reply.body, retry_after=wait)
    return Refusal(error, wait or 0.0, before_work)


def may_repeat(refusal: Refusal, request: Request, tries: int) -> bool:
    """Tell whether a request may be sent again after it was refused, the last of so many ``tries``."""
    error = refusal.error
    if isinstance(error, StaleToken):
        return False
    if error.code == "UNABLE_TO_LOCK_ROW":  # the change was rolled back
        return tries < LOCK_TRIES
    if tries >= READ_TRIES:
        return False
    if request.writes:
        return refusal.before_work
    return isinstance(error, Rejected) and error.retryable
