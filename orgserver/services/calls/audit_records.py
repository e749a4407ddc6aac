"""Writes a call's intent, refusal and outcome to the log; errors for calls that came too late, clashed or failed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import TypeVar

from orgserver.model.audit import MAX_RECORD_IDS, Completion, Intent, Outcome
from orgserver.model.errors import CallError, Conflict, Denied, NotSent, StoreBusy, Unanswered
from orgserver.model.results import Changed, Created, Page, Record, SearchResult, Usage
from orgserver.model.text import replace_unsafe
from orgserver.salesforce.exchange import Trace
from orgserver.services.observer import Observer, Watched
from orgserver.store.audit.log import AuditLog

T = TypeVar("T")

_MAX_FIELDS = 800
"""Salesforce allows 800 custom fields an object and fewer standard ones."""
_WORDS = 255


class CallLog:
    """Puts calls on record, for the audit log and for whoever observes."""

    def __init__(self, log: AuditLog, observer: Observer) -> None:
        self._log = log
        self._observer = observer

    async def observe(self, watched: Watched, answer: Awaitable[T]) -> T:
        """Let the observer see a call."""
        with self._observer.call(watched):
            try:
                return await answer
            except BaseException as error:
                watched.failed(error)
                raise

    async def refuse(self, intent: Intent, error: Denied) -> None:
        """Put on record that a call was refused before it was run, for its arguments."""
        watched = Watched(intent)
        await self.observe(watched, self.record(watched, failed(error, Trace(), time.perf_counter())))
        error.on_record = True

    async def record(self, watched: Watched, completion: Completion, within: float | None = None) -> None:
        """Put on record what is over, or sends nothing."""
        watched.completion = completion
        await self._log.record(watched.intent, completion, within=within)

    async def finish(self, watched: Watched, completion: Completion, answer: bytes | None, *, within: float) -> None:
        """Write an outcome; Unanswered if that takes too long, for nobody is told what is not on record."""
        watched.completion = completion
        try:
            is_recorded = await self._log.finish(watched.intent.id, completion, answer, within=within)
        except StoreBusy as busy:
            raise not_recorded(f": {busy}") from busy
        if not is_recorded:
            raise not_recorded()


def short(text: str | None) -> str | None:
    """A stranger's text as the log keeps it: bounded, and without control characters."""
    if not text:
        return None
    return replace_unsafe(text[:_WORDS])


def succeeded(completion: Completion, trace: Trace, started: float) -> Completion:
    """The ending of a call that did what it should."""
    return replace(timed(completion, trace, started), record_ids=completion.record_ids[:MAX_RECORD_IDS])


def failed(error: CallError, trace: Trace, started: float) -> Completion:
    """The ending of a call that did not."""
    completion = Completion(Outcome(error.outcome), error_code=error.code[:_WORDS])
    timed_completion = timed(completion, trace, started)
    return (
        timed_completion
        if timed_completion.http_status is not None
        else replace(timed_completion, http_status=error.http_status)
    )


def timed(completion: Completion, trace: Trace, started: float) -> Completion:
    """An ending with what the call cost."""
    return replace(
        completion,
        http_status=trace.http_status,
        api_calls=trace.api_calls,
        attempts=trace.attempts,
        salesforce_request_id=short(trace.salesforce_request_id),
        duration_us=int((time.perf_counter() - started) * 1_000_000),
    )


def clash(first: str | None) -> Conflict:
    """An idempotency key that is in use."""
    return Conflict(
        "idempotency_key is in use for a call that is not over yet"
        if first == Outcome.PENDING.value
        else "idempotency_key was used with other arguments",
        fields=["idempotency_key"],
        hint="use a new key for a new change, and the same key with the same arguments to repeat one",
    )


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


def with_warning(result: T, trace: Trace) -> T:
    """Say it when an org's API calls are nearly used up (``Sforce-Limit-Info``), so that the agent can slow down."""
    warning = trace.warn_of_usage()
    if warning is None or not isinstance(result, Created | Changed | Page | Record | SearchResult | Usage):
        return result
    return replace(result, warnings=(*result.warnings, warning))


def unforeseen(trace: Trace) -> CallError:
    """A call that met a defect of ours."""
    hint = "this is a defect of orgserver; its log on standard error has the details"
    if trace.sent:
        return Unanswered("the answer could not be handled", code="INTERNAL", category="internal", hint=hint)
    return NotSent("the call could not be sent", code="INTERNAL", category="internal", retryable=False, hint=hint)


def sorted_names(fields: Iterable[str]) -> tuple[str, ...]:
    """Field names as the audit log has them: sorted, each once, none longer than a name can be."""
    return tuple(sorted({name[:255] for name in fields}))[:_MAX_FIELDS]
