"""Error replies read as our errors, by Salesforce's codes and statuses (REST guide, "Error Responses").

A reply may hold several entries, each with its code, its words and its fields. REST replies call the code
``errorCode``, the outcomes of single records in a collection call it ``statusCode``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from orgserver.model.errors import CallError, Category, Rejected, StaleToken, Unanswered
from orgserver.model.names import is_field_path
from orgserver.model.text import clean_word, error_code
from orgserver.salesforce.protocol import refusal_hints

_CODES: dict[str, Category] = {
    "INVALID_SESSION_ID": "auth_expired",
    "INVALID_AUTH_HEADER": "auth_expired",
    "REQUEST_LIMIT_EXCEEDED": "rate_limited",
    "TXN_SECURITY_METERING_ERROR": "rate_limited",
    "API_DISABLED_FOR_ORG": "forbidden",
    "API_CURRENTLY_DISABLED": "forbidden",
    "INSUFFICIENT_ACCESS": "forbidden",
    "INSUFFICIENT_ACCESS_OR_READONLY": "forbidden",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": "forbidden",
    "FORBIDDEN": "forbidden",
    "OP_WITH_INVALID_USER_TYPE_EXCEPTION": "forbidden",
    "TXN_SECURITY_NO_ACCESS": "forbidden",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "upstream",
    "CANNOT_EXECUTE_FLOW_TRIGGER": "upstream",
    "NOT_FOUND": "not_found",
    "ENTITY_IS_DELETED": "not_found",
    "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE": "conflict",
    "DUPLICATE_VALUE": "conflict",
    "DUPLICATE_EXTERNAL_ID": "conflict",
    "DUPLICATES_DETECTED": "conflict",
    "UNABLE_TO_LOCK_ROW": "conflict",
    "ENTITY_IS_LOCKED": "conflict",
    "SERVER_UNAVAILABLE": "upstream",
    "UNKNOWN_EXCEPTION": "upstream",
    "APEX_ERROR": "upstream",
    "REQUEST_RUNNING_TOO_LONG": "upstream",
    "QUERY_TIMEOUT": "upstream",
    "STORAGE_LIMIT_EXCEEDED": "upstream",
    "LIMIT_EXCEEDED": "upstream",
    "METHOD_NOT_ALLOWED": "internal",
    "UNSUPPORTED_MEDIA_TYPE": "internal",
}
_STATUSES: dict[int, Category] = {
    400: "invalid_argument",
    401: "auth_expired",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    412: "conflict",
    414: "invalid_argument",
    429: "rate_limited",
    431: "invalid_argument",
}
_MAYBE_DONE = frozenset({"UNKNOWN_EXCEPTION", "APEX_ERROR", "REQUEST_RUNNING_TOO_LONG"})
"""After these, a write may have happened."""
_REDIRECTS = range(300, 400)
_SERVER_ERROR = 500
_LONGEST_WAIT = 86_400.0
"""In seconds; beyond it the exact time says nothing more."""
_SHOWN = 10
_ENTRY_MEMBERS = frozenset({"errorCode", "statusCode", "message"})
"""An entry has one of them."""
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
DUPLICATES = "DUPLICATES_DETECTED"
MAX_FIELDS = 50
"""How many of the fields that an error names are repeated."""
_RULE = "a duplicate rule of this org refused the record, because one like it exists"
_ALLOWED = {
    True: "; or save it all the same with allow_duplicates: true, which this rule lets you",
    False: "; this rule blocks, so allow_duplicates would not save it",
    None: "; allow_duplicates: true saves it all the same where the rule only warns (up to 200 records at a time)",
}


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The records that a duplicate rule found, and whether it lets anybody save all the same (None: not said)."""

    ids: tuple[str, ...]
    allow_save: bool | None = None

    @property
    def advice(self) -> str:
        """What to do, with the ids of the records."""
        more = f" and {len(self.ids) - _SHOWN} more" if len(self.ids) > _SHOWN else ""
        same = f"these records look the same: {', '.join(self.ids[:_SHOWN])}{more}; read or update one of them instead"
        return (same if self.ids else "look for the record that is there already") + _ALLOWED[self.allow_save]


class ErrorEntry(NamedTuple):
    """One thing that is wrong; a reply may hold thousands."""

    code: str | None
    message: str
    fields: tuple[str, ...] = ()
    duplicates: Duplicates | None = None


def refusal(status: int, body: Any, *, writes: bool, retry_after: float | None = None) -> CallError:
    """Make the error that a reply of 300 or more stands for; ``retry_after`` in seconds if the reply named a time."""
    if status in _REDIRECTS:
        return _redirected(status, body)
    entries = _entries(body)
    if not entries:
        return _wordless(status, writes=writes)
    code, message = entries[0].code or f"HTTP_{status}", join_messages(entries)
    if status >= _SERVER_ERROR or code in _MAYBE_DONE:
        if writes and not rejected_before_work(status, body, retry_after=retry_after):
            return Unanswered(f"Salesforce failed while it worked on this: {message}", code=code, http_status=status)
        return _refused_for_now(status, code, message, retry_after)
    if status == 401 and not any(text in message for text in refusal_hints.NOT_STALE):  # noqa: PLR2004  # Unauthorized
        return StaleToken(message, code=code, http_status=status)
    return _rejected(status, code, message, entries)


def failure(status: int, errors: Any) -> CallError:
    """Make the error of a change that was answered with success as its status, and ``"success": false`` in its body."""
    entries = read_entries(errors)
    if not entries:
        return Rejected("Salesforce did not save this, and did not say why", code="REJECTED", http_status=status)
    code, message = entries[0].code or "REJECTED", join_messages(entries)
    return _rejected(status, code, message or "Salesforce did not save this", entries, "invalid_argument")


def _rejected(
    status: int, code: str, message: str, entries: Sequence[ErrorEntry], category: Category = "upstream"
) -> Rejected:
    """``category`` is for what neither the code nor the status tells."""
    duplicates = next((each.duplicates for each in entries if each.duplicates is not None), None)
    return Rejected(
        message or f"Salesforce answered {status}",
        code=code,
        category=_CODES.get(code) or _STATUSES.get(status, category),
        fields=fields_of(entries),
        retryable=code in ("UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE") or refusal_hints.is_concurrent(code, message),
        hint=duplicates.advice if duplicates is not None else refusal_hints.by_words(code, message),
        http_status=status,
        details={"duplicates": list(duplicates.ids)} if duplicates is not None and duplicates.ids else None,
    )


def rejected_before_work(status: int, body: Any, *, retry_after: float | None) -> bool:
    """Tell whether Salesforce refused in its own words before it began: such a write may be sent again.

    A 503 says so only when it names a time to come back (``Retry-After``).
    """
    first = read_entries(body[:1] if isinstance(body, list) else body)
    if not first:
        return False
    code, message = first[0].code or "", first[0].message
    if status == 429 or (status == 503 and retry_after is not None):  # noqa: PLR2004  # Too Many Requests, Service Unavailable
        return code in ("SERVER_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
    return refusal_hints.is_concurrent(code, message)


def _refused_for_now(status: int, code: str, message: str, retry_after: float | None) -> Rejected:
    """Nothing was done, and the same may succeed later."""
    hint = f"the org asks to be left alone for {min(retry_after, _LONGEST_WAIT):,.0f} s" if retry_after else None
    return Rejected(
        message or f"Salesforce answered {status}",
        code=code,
        category="rate_limited" if code == "REQUEST_LIMIT_EXCEEDED" else "upstream",
        retryable=True,
        hint=hint or refusal_hints.by_words(code, message),
        http_status=status,
    )


def _entries(body: Any) -> list[ErrorEntry]:
    """The entries of a reply; none if the first is no entry."""
    errors = body if isinstance(body, list) else [body]
    return read_entries(errors) if read_entries(errors[:1]) else []


def _redirected(status: int, body: Any) -> CallError:
    if status == 300 and isinstance(body, list):  # noqa: PLR2004  # Multiple Choices
        ids = _last_steps(body)
        more = f" and {len(body) - len(ids)} more" if len(body) > len(ids) else ""
        return Rejected(
            "more than one record has this key",
            code="MULTIPLE_CHOICES",
            category="conflict",
            http_status=300,
            hint=f"these records have it: {', '.join(ids)}{more}; name one by its id" if ids else None,
        )
    return Rejected(
        f"the org's host answered with a redirect ({status}), which is never followed",
        code="REDIRECT",
        category="upstream",
        http_status=status,
        hint="if the org's My Domain was renamed, an administrator logs in again: orgserver update-org ALIAS --auth …",
    )


def _last_steps(paths: list[Any]) -> list[str]:
    """The ids at the ends of records' paths, the first few."""
    ids = [str(path).rpartition("/")[2] for path in paths[:_SHOWN] if isinstance(path, str)]
    return [each for each in ids if _ID.fullmatch(each)]


def _wordless(status: int, *, writes: bool) -> CallError:
    text, hint = f"the org's host answered {status} without Salesforce's words", refusal_hints.by_status(status)
    if status >= _SERVER_ERROR or status in (406, 420, 429):
        if writes and status >= _SERVER_ERROR:
            return Unanswered(text, code=f"HTTP_{status}", http_status=status)
        category: Category = "rate_limited" if status == 429 else "upstream"  # noqa: PLR2004  # Too Many Requests
        return Rejected(
            text, code=f"HTTP_{status}", category=category, retryable=not writes, hint=hint, http_status=status
        )
    if status == 401:  # noqa: PLR2004  # Unauthorized
        return StaleToken(text, code="HTTP_401", http_status=status)
    return Rejected(
        text, code=f"HTTP_{status}", category=_STATUSES.get(status, "upstream"), http_status=status, hint=hint
    )


def read_entries(body: Any) -> list[ErrorEntry]:
    """The entries of an error reply, or of one record's outcome; none of what has not Salesforce's form."""
    errors = body if isinstance(body, list) else [body]
    return [_entry(each) for each in errors if _is_entry(each)]


def join_messages(entries: Sequence[ErrorEntry]) -> str:
    """All entries in one text: the first in its own words, each other one with its code and its fields."""
    texts = [entries[0].message, *(_describe_entry(each) for each in entries[1:_SHOWN])]
    if len(entries) > _SHOWN:
        texts.append(f"and {len(entries) - _SHOWN} more")
    return "; ".join(each for each in texts if each)


def fields_of(entries: Sequence[ErrorEntry]) -> tuple[str, ...]:
    """The fields that any of the entries names, each once."""
    return tuple(dict.fromkeys(name for each in entries for name in each.fields))[:MAX_FIELDS]


def _describe_entry(entry: ErrorEntry) -> str:
    fields = f" ({', '.join(entry.fields)})" if entry.fields else ""
    return ": ".join(part for part in (entry.code, entry.message) if part) + fields


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and not _ENTRY_MEMBERS.isdisjoint(value)


def _entry(error: dict[str, Any]) -> ErrorEntry:
    code = error_code(error.get("errorCode", error.get("statusCode")))
    names = error.get("fields")
    items = names if isinstance(names, list) else []
    fields = tuple(each for each in items if isinstance(each, str) and is_field_path(each))[:MAX_FIELDS]
    if code == DUPLICATES:
        return ErrorEntry(code, _RULE, fields, _duplicates(error))
    return ErrorEntry(code, clean_word(error.get("message")), fields)


def _duplicates(error: dict[str, Any]) -> Duplicates:
    # On the wire the key of a single-record reply is misspelt; collections spell it right.
    result = error.get("duplicateResut") or error.get("duplicateResult")
    records = (each.get("record") for match in _dicts(result, "matchResults") for each in _dicts(match, "matchRecords"))
    ids = (str(each.get("Id")) for each in records if isinstance(each, dict))
    allow = result.get("allowSave") if isinstance(result, dict) else None
    unique = tuple(dict.fromkeys(each for each in ids if _ID.fullmatch(each)))
    return Duplicates(unique, allow if isinstance(allow, bool) else None)


def _dicts(outer: Any, name: str) -> list[dict[str, Any]]:
    inner = outer.get(name) if isinstance(outer, dict) else None
    return [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []
