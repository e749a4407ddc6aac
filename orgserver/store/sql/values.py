"""Which texts every store can hold: SQLite takes any, PostgreSQL no NUL and no half of a surrogate pair."""

from __future__ import annotations

import re

import msgspec

from orgserver.model.audit import Completion, Intent

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """A text as a column holds it."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub(REPLACEMENT, text)


def storable_intent(intent: Intent) -> Intent:
    """An intent whose event, and what it is searched by, are the same in every store."""
    names = (intent.principal, intent.org or "", intent.tool or "", intent.object or "", *intent.record_ids)
    if _are_storable(names):
        return intent
    return msgspec.structs.replace(
        intent,
        principal=storable(intent.principal),
        org=storable(intent.org or ""),
        tool=storable(intent.tool or ""),
        object=storable(intent.object or ""),
        record_ids=(*map(storable, intent.record_ids),),
    )


def storable_completion(completion: Completion) -> Completion:
    """A completion whose event, and what it is searched by, are the same in every store."""
    if _are_storable(completion.record_ids):
        return completion
    return msgspec.structs.replace(completion, record_ids=(*map(storable, completion.record_ids),))


def _are_storable(names: tuple[str, ...]) -> bool:
    joined = "".join(names)
    return storable(joined) == joined
