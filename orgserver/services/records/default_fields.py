"""The fields that are told when none are named: as far as the org has them, and its user may see them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from orgserver.model.errors import Rejected
from orgserver.model.names import EVENT, SObjectName
from orgserver.salesforce.protocol import standard_fields
from orgserver.services.calls.access import OrgSession
from orgserver.services.records import appointments, field_values

T = TypeVar("T")
_COLUMN = re.compile(r"No such column '([\w.]{1,200})' on (?:entity|sobject of type) '?(\w{1,80})")
_RELATION = re.compile(r"Didn't understand relationship '(\w{1,80})' in field path")


class DefaultFields:
    """Asks without the fields that an org refuses, and remembers which those are.

    Some objects lack a field in some orgs, and field-level security hides others from the user of a login.
    """

    def __init__(self) -> None:
        self._lacking: dict[tuple[str, SObjectName], frozenset[str]] = {}

    async def ask(
        self,
        session: OrgSession,
        sobject: SObjectName,
        given: Sequence[str] | None,
        send: Callable[[tuple[str, ...]], Awaitable[T]],
    ) -> T:
        """Ask for the given fields or the usual ones: again without those that may be lacking, once for each.

        All of the usual ones may be lacking; of the given ones only those that nobody named.
        """
        fields = field_values.field_names(given, sobject)
        extra = standard_fields.DOUBTFUL_FIELDS.get(sobject, ()) if given is None else _companions(fields, sobject)
        if not fields or (given is not None and not extra):
            return await send(fields)
        key = (session.org.row_id, sobject)
        lacking = self._lacking.get(key, frozenset())
        while True:
            named = fields if given is not None else tuple(name for name in fields if name not in lacking)
            names = (*named, *(name for name in extra if name not in lacking))
            try:
                result = await send(names)
            except Rejected as error:
                refused = _refused(error, sobject, names) or (frozenset(extra) & frozenset(names))
                refused = refused if given is None else refused & frozenset(extra)
                if error.code != "INVALID_FIELD" or not refused:
                    raise
                lacking |= refused
                continue
            self._lacking[key] = lacking
            return result


def _companions(fields: Sequence[str], sobject: SObjectName) -> tuple[str, ...]:
    """What must be read beside fields for them to be understood."""
    return appointments.companions(fields) if sobject == EVENT else ()


def _refused(error: Rejected, sobject: SObjectName, names: Sequence[str]) -> frozenset[str]:
    """The fields that a refusal is about: those with this name, or behind this relationship."""
    text = str(error)
    if found := _COLUMN.search(text):
        column, own = found[1].rpartition(".")[2].lower(), found[2].lower() == sobject.lower()
        same = [name for name in names if name.lower().rpartition(".")[2] == column and ("." in name) is not own]
        return frozenset(same) - {"Id"}
    if found := _RELATION.search(text):
        return frozenset(name for name in names if name.lower().startswith(f"{found[1].lower()}."))
    return frozenset()
