"""Objects whose records hold what other objects' records hold: histories, lists of what was seen, members."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orgserver.model.access.acts import ANY_OBJECT, UNKNOWN
from orgserver.services.policies.derived_fields import standard_siblings

_HISTORY = re.compile(r"(?P<custom>\w+__)History|(?P<standard>\w+?)(?:Field)?History", re.IGNORECASE)
_NOT_OF_RECORDS = frozenset({"loginhistory", "processinstancehistory", "verificationhistory"})
_CHANGES = frozenset({"oldvalue", "newvalue", "field", "fieldname"})
"""What a history tells of a change."""
_KINDS = frozenset({"id", "type"})
_ANY = frozenset({"recentlyviewed", "name"})
"""Their records are those of any object."""
_COPIES = {
    "activityhistory": ("Event", "Task"),
    "openactivity": ("Event", "Task"),
    "lookedupfromactivity": ("Event", "Task"),
    "campaignmember": ("Contact", "Lead"),
    "accountcleaninfo": ("Account",),
    "contactcleaninfo": ("Contact",),
    "leadcleaninfo": ("Lead",),
    "opportunityhistory": ("Opportunity",),
}
"""Objects of whose fields these show those of the same name."""
_OF_THEIR_OWN = frozenset(
    {"createdbyid", "createddate", "lastmodifiedbyid", "lastmodifieddate", "systemmodstamp", "isdeleted", "isarchived"}
)
"""What every record has for itself, whatever it shows of another."""


def origin(sobject: str) -> str | None:
    """The object of whose records a history tells: whoever may not read those may not read it."""
    match = _HISTORY.fullmatch(sobject)
    if match is None or sobject.lower() in _NOT_OF_RECORDS or sobject.lower() == "activityhistory":
        return None
    return f"{match['custom']}c" if match["custom"] else match["standard"]


def originals(sobject: str, name: str) -> Iterator[tuple[str, str]]:
    """The objects and fields of which a field may hold the values; UNKNOWN stands for any field."""
    kind, field = sobject.lower(), name.lower()
    if field in _CHANGES:
        base = origin(sobject)
        if kind == "feedtrackedchange" or base is not None:
            yield ANY_OBJECT if base is None else base, UNKNOWN
    elif kind in _ANY and field not in _KINDS:
        yield from ((ANY_OBJECT, each) for each in (name, *standard_siblings("Contact", name)))
    elif field not in _KINDS | _OF_THEIR_OWN and not field.endswith("id"):
        for base in _COPIES.get(kind, ()):
            yield from ((base, each) for each in (name, *standard_siblings(base, name)))
