"""Everything about people, made over one store."""

from __future__ import annotations

from dataclasses import dataclass

from orgserver.services.calls.access import Access
from orgserver.services.people.auth_failures import AuthFailures
from orgserver.services.people.groups import Groups
from orgserver.services.people.identities import Identities
from orgserver.services.people.keys import ApiKeys
from orgserver.services.people.principals import Principals
from orgserver.services.people.subjects import Subjects
from orgserver.store.session import Store


@dataclass(frozen=True, slots=True)
class People:
    """Who may call, and what they were granted."""

    principals: Principals
    groups: Groups
    api_keys: ApiKeys
    subjects: Subjects
    auth_failures: AuthFailures
    identities: Identities
    """What proves who calls, as the store has it."""

    async def close(self) -> None:
        """Write down what was put off."""
        await self.api_keys.close()
        await self.auth_failures.close()


def make_people(store: Store, access: Access) -> People:
    """Make it."""
    identities = Identities(store)
    return People(
        Principals(store, access),
        Groups(store, access),
        ApiKeys(store, identities),
        Subjects(identities),
        AuthFailures(store),
        identities,
    )
