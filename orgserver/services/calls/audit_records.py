"""How an act and its ending are written down, and what an agent is told where Salesforce has no words."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from orgserver.model.audit import MAX_RECORD_IDS, Completion, Intent, Outcome
from orgserver.model.errors import CallError, Conflict, NotSent, Unanswered
from orgserver.model.names import SObjectName, new_id
from orgserver.model.orgs import Caller
from orgserver.model.results import Changed, Created, Found, Page, Record, Usage
from orgserver.model.text import replace_unsafe
from orgserver.salesforce import limits
from orgserver.salesforce.exchange import Trace
from orgserver.services.calls.plan import Plan

T = TypeVar("T")

_MAX_FIELDS = 800
"""Salesforce allows 800 custom fields an object and fewer standard ones."""
_WORDS = 255


def new_intent(
    caller: Caller, tool: str, action: str, alias: str, sobject: SObjectName | None, undoes: str | None = None
) -> Intent:
    """The intent of a call, as far as it is known before its org is."""
    return Intent(
        id=new_id(),
        principal=caller.principal.name,
        transport=caller.transport,
        client=short(caller.client),
        request_id=short(caller.request_id),
        label=short(caller.label),
        tool=short(tool),
        action=action,
        org=short(alias),
        object=sobject,
        undoes=undoes,
    )


def with_plan(intent: Intent, plan: Plan[Any]) -> Intent:
    """The intent, with what the call will touch."""
    return replace(
        intent,
        record_ids=plan.record_ids[:MAX_RECORD_IDS],
        fields=plan.fields,
        soql=plan.soql,
        object=plan.object or intent.object,
    )


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
    told = timed(completion, trace, started)
    return told if told.http_status is not None else replace(told, http_status=error.http_status)


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
    warning = limits.warning(trace.limit_info)
    if warning is None or not isinstance(result, Created | Changed | Page | Record | Found | Usage):
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
