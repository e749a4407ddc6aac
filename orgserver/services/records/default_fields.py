"""The fields that are read when a call names none: as far as the org has them, and its user may see them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from orgserver.model.access.logins import LoginKey
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
        self._lacking: dict[tuple[LoginKey, SObjectName], frozenset[str]] = {}

    def ask(
        self,
        session: OrgSession,
        sobject: SObjectName,
        fields: tuple[str, ...] | None,
        send: Callable[[tuple[str, ...]], Awaitable[T]],
    ) -> Awaitable[T]:
        """Ask for fields, whose names were read, or (None) the default ones: again without those that may be lacking.

        Once for each. Any of the default ones may be lacking; of others only those that are read beside what was named.
        """
        if fields is not None and not _companions(fields, sobject):
            return send(fields)
        return self._ask(session, sobject, fields, send)

    async def _ask(
        self,
        session: OrgSession,
        sobject: SObjectName,
        fields: tuple[str, ...] | None,
        send: Callable[[tuple[str, ...]], Awaitable[T]],
    ) -> T:
        base = fields if fields is not None else field_values.read_field_names(None, sobject)
        extra = standard_fields.DOUBTFUL_FIELDS.get(sobject, ()) if fields is None else _companions(base, sobject)
        extra = session.limits.visible(sobject, extra, session.schemas)
        base = base if fields is not None else session.limits.visible(sobject, base, session.schemas)
        if not base or (fields is not None and not extra):
            return await send(base)
        optional = frozenset(extra if fields is not None else (*base, *extra))
        key = (session.org.login, sobject)
        lacking = self._lacking.get(key, frozenset())
        while True:
            names = tuple(name for name in (*base, *extra) if name not in lacking & optional)
            try:
                result = await send(names)
            except Rejected as error:
                culprits = _culprits(error, sobject, names) or (frozenset(extra) & frozenset(names))
                if error.code != "INVALID_FIELD" or not culprits or not culprits <= optional:
                    raise
                lacking |= culprits
                continue
            self._lacking[key] = lacking
            return result


def _companions(fields: Sequence[str], sobject: SObjectName) -> tuple[str, ...]:
    """What must be read beside fields for them to be understood."""
    return appointments.companion_fields(fields) if sobject == EVENT else ()


def _culprits(error: Rejected, sobject: SObjectName, names: Sequence[str]) -> frozenset[str]:
    """The fields that a refusal is about: those with this name, or behind this relationship."""
    text = str(error)
    if match := _COLUMN.search(text):
        column, own = match[1].rpartition(".")[2].lower(), match[2].lower() == sobject.lower()
        same = [name for name in names if name.lower().rpartition(".")[2] == column and ("." in name) is not own]
        return frozenset(same) - {"Id"}
    if match := _RELATION.search(text):
        return frozenset(name for name in names if name.lower().startswith(f"{match[1].lower()}."))
    return frozenset()
