"""Which principal a subject of an identity provider is, as the store has it at each request."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from orgserver.model.access.principals import Principal, Subject
from orgserver.services.people.identities import Identities
from orgserver.store.people.identities import IdentitySnapshot


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
        return _find_name(await self._identities.current(), subjects)

    async def find(self, *subjects: Subject) -> Principal | SubjectRefusal:
        """The same, if they may call; or why not."""
        snapshot = await self._identities.current()
        name = _find_name(snapshot, subjects)
        if name is None:
            return SubjectRefusal.UNKNOWN
        return SubjectRefusal.DISABLED if name in snapshot.disabled else Principal(name)


def _find_name(snapshot: IdentitySnapshot, subjects: Iterable[Subject]) -> str | None:
    return next((snapshot.subjects[each] for each in subjects if each in snapshot.subjects), None)
