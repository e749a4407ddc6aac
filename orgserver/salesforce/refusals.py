"""What does an error reply mean: Salesforce's codes and statuses as our errors (REST guide, "Error Responses")."""

from __future__ import annotations

import re
from typing import Any

from orgserver.model.errors import CallError, Category, Rejected, StaleToken, Unanswered
from orgserver.model.names import is_field_path
from orgserver.model.text import clean_word, error_code
from orgserver.salesforce import advice

_MAX_FIELDS = 50
"""How many of the fields that an error names are repeated."""

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
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")


def refusal(status: int, body: Any, *, writes: bool, retry_after: float | None = None) -> CallError:
    """Make the error that a reply of 300 or more stands for; ``retry_after`` in seconds if the reply named a time."""
    if status in _REDIRECTS:
        return _redirected(status, body)
    first = _first(body)
    if first is None:
        return _wordless(status, writes=writes)
    code, message = error_code(first.get("errorCode")) or f"HTTP_{status}", clean_word(first.get("message"))
    if status >= _SERVER_ERROR or code in _MAYBE_DONE:
        if writes and not rejected_before_work(status, body, retry_after=retry_after):
            return Unanswered(f"Salesforce failed while it worked on this: {message}", code=code, http_status=status)
        return _refused_for_now(status, code, message, retry_after)
    if status == 401 and not any(text in message for text in advice.NOT_STALE):  # noqa: PLR2004  # Unauthorized
        return StaleToken(message, code=code, http_status=status)
    fields = _field_names(first.get("fields"))
    duplicates = _duplicates(first)
    hint = advice.by_words(code, message)
    if code == "DUPLICATES_DETECTED":
        message = "a duplicate rule of this org refused the record, because one like it exists"
    if duplicates:
        more = f" and {len(duplicates) - _SHOWN} more" if len(duplicates) > _SHOWN else ""
        hint = (
            f"these records look the same: {', '.join(duplicates[:_SHOWN])}{more}; read or update one of them instead"
        )
    return Rejected(
        message or f"Salesforce answered {status}",
        code=code,
        category=_CODES.get(code) or _STATUSES.get(status, "upstream"),
        fields=fields,
        retryable=code in ("UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE") or advice.is_concurrent(code, message),
        hint=hint,
        http_status=status,
        details={"duplicates": duplicates} if duplicates else None,
    )


def rejected_before_work(status: int, body: Any, *, retry_after: float | None) -> bool:
    """Tell whether Salesforce refused in its own words before it began: such a write may be sent again.

    A 503 says so only when it names a time to come back (``Retry-After``).
    """
    first = _first(body)
    if first is None:
        return False
    code, message = error_code(first.get("errorCode")) or "", clean_word(first.get("message"))
    if status == 429 or (status == 503 and retry_after is not None):  # noqa: PLR2004  # Too Many Requests, Service Unavailable
        return code in ("SERVER_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
    return advice.is_concurrent(code, message)


def _refused_for_now(status: int, code: str, message: str, retry_after: float | None) -> Rejected:
    """Nothing was done, and the same may succeed later."""
    hint = f"the org asks to be left alone for {min(retry_after, _LONGEST_WAIT):,.0f} s" if retry_after else None
    return Rejected(
        message or f"Salesforce answered {status}",
        code=code,
        category="rate_limited" if code == "REQUEST_LIMIT_EXCEEDED" else "upstream",
        retryable=True,
        hint=hint or advice.by_words(code, message),
        http_status=status,
    )


def _first(body: Any) -> dict[str, Any] | None:
    found = body[0] if isinstance(body, list) and body else body
    return found if isinstance(found, dict) and ("errorCode" in found or "message" in found) else None


def _field_names(value: Any) -> list[str]:
    """The names among what an error calls fields: whatever has not the form of a name is no name."""
    items = value if isinstance(value, list) else []
    return [each for each in items if isinstance(each, str) and is_field_path(each)][:_MAX_FIELDS]


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
    text, hint = f"the org's host answered {status} without Salesforce's words", advice.by_status(status)
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


def _duplicates(first: dict[str, Any]) -> list[str]:
    # On the wire the key of a single-record reply is misspelt; collections spell it right.
    result = first.get("duplicateResut") or first.get("duplicateResult")
    found: list[str] = []
    for match in _dicts(result, "matchResults"):
        for record in _dicts(match, "matchRecords"):
            inner = record.get("record")
            identifier = str(inner.get("Id")) if isinstance(inner, dict) else ""
            if _ID.fullmatch(identifier):
                found.append(identifier)
    return list(dict.fromkeys(found))


def _dicts(outer: Any, name: str) -> list[dict[str, Any]]:
    inner = outer.get(name) if isinstance(outer, dict) else None
    return [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []
