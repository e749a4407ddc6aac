"""Which principal a subject of an identity provider is, as the store has it at each request."""

from __future__ import annotations

from enum import Enum

from orgserver.model.access.principals import Principal, Subject
from orgserver.services.people.identities import Identities


class SubjectRefusal(Enum):
    """Why a subject may use nothing."""

    UNKNOWN = "unknown"
    DISABLED = "disabled"


class Subjects:
    """Finds principals by their subjects, which are compared to the letter."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    async def find(self, *subjects: Subject) -> Principal | SubjectRefusal:
        """The principal of the first of some subjects that anybody is; or why there is none that may call."""
        snapshot = await self._identities.current()
        name = next((snapshot.subjects[each] for each in subjects if each in snapshot.subjects), None)
        if name is None:
            return SubjectRefusal.UNKNOWN
        return SubjectRefusal.DISABLED if name in snapshot.disabled else Principal(name)
