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

    async def identify(self, *subjects: Subject) -> str | None:
        """Who is the first of some subjects that anybody is, whether or not they may call."""
        principals = (await self._identities.current()).subjects
        return next((principals[each] for each in subjects if each in principals), None)

    async def find(self, *subjects: Subject) -> Principal | SubjectRefusal:
        """The same, if they may call; or why not."""
        snapshot = await self._identities.current()
        name = await self.identify(*subjects)
        if name is None:
            return SubjectRefusal.UNKNOWN
        return SubjectRefusal.DISABLED if name in snapshot.disabled else Principal(name)
