"""What to do about a refusal of Salesforce: a hint by its errorCode, its text, or its HTTP status."""

from __future__ import annotations

_API_USER = "an administrator gives the user 'API Enabled' (Setup, Permission Sets) or lets the org use the API"
_SESSION = (
    "no new token will help: an administrator sees in Setup whether the app relaxes IP restrictions and has the scope "
    "api, and whether the user's profile wants a session of high assurance at login"
)
NOTHING_HELPS = (
    "a new token was refused too, so none is asked for until a while has passed: an administrator sees in Setup "
    "whether the app's policies and the user's profile allow the API, and whether sessions are locked to an IP address"
)
"""What to do when an org refuses the tokens that it has just given."""
_CODES: dict[str, str] = {
    "API_CURRENTLY_DISABLED": _API_USER,
    "API_DISABLED_FOR_ORG": "this org's edition has no REST API, or Salesforce switched it off: an administrator asks "
    "Salesforce for it",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "an Apex trigger of the org refused it; its text says why",
    "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE": "somebody changed the record since you read it; read it again",
    "ENTITY_IS_DELETED": "the record is in the recycle bin",
    "EXCEEDED_ID_LIMIT": "a query that groups gives at most 2,000 rows: add a LIMIT, a HAVING, or group by less",
    "INSUFFICIENT_ACCESS": "the user of this org's login may not do this; an administrator grants it in Salesforce",
    "INVALID_FIELD": "check the field's API name; custom fields end in __c; a field that this login's user may not "
    "see is unknown too",
    "INVALID_QUERY_LOCATOR": "the result has expired; start again without a cursor",
    "INVALID_TYPE": "check the object's API name; custom objects end in __c",
    "NUMBER_OUTSIDE_VALID_RANGE": "OFFSET goes to 2,000: use the cursor, or filter by what was read last",
    "OPERATION_TOO_LARGE": "narrow the query: filter by an indexed field, or ask for fewer records",
    "QUERY_TIMEOUT": "narrow the query: select fewer fields, or filter by an indexed field",
    "QUERY_TOO_COMPLICATED": "narrow the query: fewer conditions, fewer formula fields, fewer relationships",
    "REQUEST_LIMIT_EXCEEDED": "the org's API calls of the last 24 hours are used up; salesforce_limits tells how many "
    "are left, and they come back hour by hour",
    "SERVER_UNAVAILABLE": "Salesforce is busy; try again in a minute",
    "TXN_SECURITY_METERING_ERROR": "a transaction security policy of the org took too long; try again later",
    "TXN_SECURITY_NO_ACCESS": "a transaction security policy of the org forbids this",
    "UNABLE_TO_LOCK_ROW": "somebody else is changing this record; try again in a moment",
    "UNSUPPORTED_API_VERSION": "this API version is retired: an administrator registers the org again with a newer "
    "--api-version",
}
_CODES["INSUFFICIENT_ACCESS_OR_READONLY"] = _CODES["INSUFFICIENT_ACCESS"]
_CODES["INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"] = (
    "the user of this org's login may not use a record that this one refers to, or that record is gone"
)
_CONCURRENT = "too many long calls run in this org at once; try again in a minute"
_BEING_SERVED = (
    "the org may be under maintenance; see https://status.salesforce.com for its instance, and try again later"
)
_STATUSES: dict[int, str] = {
    406: "Salesforce's edge refused the request before the org saw it; try again in a moment",
    410: _CODES["UNSUPPORTED_API_VERSION"],
    412: _CODES["ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE"],
    414: "the request is too long: name fewer fields or values",
    420: "Salesforce's edge has no way to the org's host; an administrator checks the org's My Domain",
    429: "too many requests; try again in a minute",
    431: "the request is too long: name fewer fields or values",
    502: _BEING_SERVED,
    503: _BEING_SERVED,
    504: _BEING_SERVED,
}
_NO_PARENT = "Foreign key external ID"
"""How the refusal of a parent begins that is named by an external id which none has."""
NOT_STALE = ("Connected app is not attached to Agent", "This session is not valid for use with the REST API")
"""With these texts a new token would be refused in the same way (jsforce ``http-api.ts``; jsforce PR 1301)."""


def is_concurrent(code: str, message: str) -> bool:
    """Tell the limit of calls at one time from the limit of calls a day."""
    return code == "REQUEST_LIMIT_EXCEEDED" and message.startswith("Concurrent")


def by_words(code: str, message: str) -> str | None:
    """What to do about an error in Salesforce's words; None where its message says it."""
    if is_concurrent(code, message):
        return _CONCURRENT
    if any(text in message for text in NOT_STALE):
        return _SESSION
    if message.startswith(_NO_PARENT):
        return "no record has this external id, or this login's user may not see it: create that one first"
    return _CODES.get(code)


def by_status(status: int) -> str | None:
    """What to do about an error without them: a page of the edge, or of maintenance."""
    return _STATUSES.get(status)
