"""Errors of an org without the names that a policy hides: no refusal tells of a field that may not be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

from orgserver.model.access.policies import Policy
from orgserver.model.bulk import BulkResult, RecordResult, ResultBatch
from orgserver.model.errors import CallError, Rejected, Unanswered
from orgserver.model.results import Created
from orgserver.model.schema import spaced
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.object_limits import lookup_paths

T = TypeVar("T")
REFUSED = "Salesforce refused this"
_DUPLICATES = "DUPLICATES_DETECTED"
_LOOK = "a record like it is there already: look for it"
"""In place of the ids of records that may be of objects which may not be read."""
_FAILED = "Salesforce failed while it worked on this"
_UNKNOWN_NAME = re.compile(r"No such column '|Didn't understand relationship '")
"""Words for a field that is not there: the same as those for one that its user may not see."""


def limit_error(limits: FieldLimits, error: CallError) -> None:
    """Take out of an error, in place, what names a hidden field."""
    if limits.is_free:
        return
    if error.code == _DUPLICATES and limits.limits_objects:
        error.hint = _LOOK
        if isinstance(error, Rejected):
            error.details = {}
    text = str(error)
    if not _UNKNOWN_NAME.search(text) and _names(limits, text):
        error.args = (_FAILED if isinstance(error, Unanswered) else REFUSED,)
    if error.hint is not None and _names(limits, error.hint):
        error.hint = None
    error.fields = visible_fields(limits, error.fields)


def limit_answer(limits: FieldLimits, answer: T) -> T:
    """An answer that was remembered, as it may be given now."""
    if limits.is_free:
        return answer
    if isinstance(answer, CallError):
        limit_error(limits, answer)
    elif isinstance(answer, BulkResult):
        warnings = tuple(each for each in answer.warnings if not _names(limits, each))
        return replace(answer, results=[limit_result(limits, each) for each in answer.results], warnings=warnings)
    elif isinstance(answer, Created):
        return replace(answer, warnings=())  # they tell of other records as those were seen then
    return answer


def limit_batch(limits: FieldLimits, batch: ResultBatch) -> ResultBatch:
    """The results of some records without what names a hidden field."""
    if limits.is_free:
        return batch
    return replace(
        batch,
        results=[_limit_record_result(limits, each) for each in batch.results],
    )


def _limit_record_result(limits: FieldLimits, result: RecordResult) -> RecordResult:
    if result.code == _DUPLICATES and limits.limits_objects:
        return result._replace(message=_LOOK, fields=visible_fields(limits, result.fields))
    return result._replace(message=limit_text(limits, result.message), fields=visible_fields(limits, result.fields))


def limit_result(limits: FieldLimits, row: dict[str, Any]) -> dict[str, Any]:
    """The result of one record of many, as agents get it, without what names a hidden field."""
    error = row.get("error")
    if limits.is_free or not isinstance(error, dict):
        return row
    return row | {"error": _limit_row_error(limits, error)}


def limit_text(limits: FieldLimits, text: str | None) -> str | None:
    """A text of the org, or what stands for it where it names a hidden field."""
    if text is None or limits.is_free or not _names(limits, text):
        return text
    return REFUSED


def visible_fields(limits: FieldLimits, fields: Iterable[str]) -> tuple[str, ...]:
    """The fields that an error names, and arguments that hold them, without those that are hidden."""
    if limits.is_free:
        return tuple(fields)
    hidden = _last_names(limits.policy)
    return tuple(each for each in fields if each.rpartition(".")[2].lower() not in hidden)


def _limit_row_error(limits: FieldLimits, error: dict[str, Any]) -> dict[str, Any]:
    message, fields = limit_text(limits, error.get("message")), visible_fields(limits, error.get("fields", ()))
    rest = {name: value for name, value in error.items() if name not in ("message", "fields")}
    return rest | ({"message": message} if message else {}) | ({"fields": list(fields)} if fields else {})


def _names(limits: FieldLimits, text: str) -> bool:
    pattern = _pattern(limits.policy)
    return pattern is not None and pattern.search(text) is not None


@lru_cache(maxsize=1_024)
def _last_names(policy: Policy) -> frozenset[str]:
    return frozenset(name.lower() for field in policy.hide_fields for name in (field.split(".", 1)[1],))


@lru_cache(maxsize=1_024)
def _pattern(policy: Policy) -> re.Pattern[str] | None:
    """Finds the names of hidden fields, their relationships and the labels that Salesforce would give them."""
    words = sorted({word for field in policy.hide_fields for word in _words(field.split(".", 1)[1])})
    if not words:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(_spelling(word) for word in words)})(?!\w)")


def _words(name: str) -> Iterator[str]:
    yield name
    yield spaced(name)
    yield from lookup_paths(name)


def _spelling(word: str) -> str:
    """A word that is a common one counts in its own spelling alone: a name is not an Name."""
    is_common = word.isalpha() and not any(map(str.isupper, word[1:]))
    return re.escape(word) if is_common else f"(?i:{re.escape(word)})"
