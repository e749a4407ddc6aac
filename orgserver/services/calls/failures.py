"""How calls fail that nobody refused: out of time, not on record, by a defect; and warnings beside results."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TypeVar

from orgserver.model.errors import CallError, NotSent, StoreAway, StoreError, Unanswered
from orgserver.model.results import Changed, Created, Page, Record, SearchResult, Usage
from orgserver.salesforce.exchange import Trace
from orgserver.services.calls.access import OrgSession
from orgserver.services.policies.field_limits import masking_warnings

T = TypeVar("T")
logger = logging.getLogger("orgserver.operations")


def too_late(trace: Trace, *, given_up: bool) -> CallError:
    """A call whose time ran out, or whose caller went away."""
    code = "CANCELLED" if given_up else "TIMEOUT"
    what = "the call was cancelled" if given_up else "the call took too long"
    if trace.sent:
        return Unanswered(f"{what} before an answer came", code=code)
    if trace.api_calls:  # refused, or read before a change
        return NotSent(f"{what} before the org did anything", code=code)
    return NotSent(f"{what} before anything was sent", code=code)


def not_recorded(why: str = "") -> Unanswered:
    """A call whose outcome is not in the log yet: it is answered as one that nobody knows of."""
    return Unanswered(
        f"the outcome of this call could not be recorded in time; the change may exist{why}",
        code="OUTCOME_NOT_RECORDED",
        category="internal",
        hint="read the record before repeating anything",
    )


def with_warnings(result: T, session: OrgSession) -> T:
    """Say it when an org's API calls are nearly used up (``Sforce-Limit-Info``), and which values are masked."""
    usage = session.trace.warn_of_usage()
    if usage is None and not session.masked:
        return result
    warnings = (*(() if usage is None else (usage,)), *masking_warnings(session.masked))
    if not isinstance(result, Created | Changed | Page | Record | SearchResult | Usage):
        return result
    return replace(result, warnings=(*result.warnings, *warnings))


def failure_of(cause: Exception, trace: Trace, entry: str) -> CallError:
    """A call that met a store that is away where its token lies, or a defect of ours."""
    if isinstance(cause, StoreError):
        return _without_store(cause, trace)
    logger.error("a call failed in a way that is not foreseen", exc_info=cause, extra={"entry": entry})
    hint = "this is a defect of orgserver; its log on standard error has the details"
    if trace.sent:
        return Unanswered("the answer could not be handled", code="INTERNAL", category="internal", hint=hint)
    return NotSent("the call could not be sent", code="INTERNAL", category="internal", retryable=False, hint=hint)


def _without_store(away: StoreError, trace: Trace) -> CallError:
    if trace.sent:
        code, hint = StoreAway.code, str(away)
        return Unanswered("the answer could not be handled", code=code, category="internal", hint=hint)
    return StoreAway("the store cannot be read, so nothing was sent", hint=str(away))
