"""People as a provider names them, who come to a store for the first time or once more."""

from __future__ import annotations

from typing import Any

from orgserver.model.access.people import Person
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Principal, PrincipalKind, Subject
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.oauth.provider.claims import read_person
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.people.identities import PersonIdentities, Stranger, Suspended
from orgserver.store.people import changes, records
from orgserver.store.people.records import PrincipalRecord
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

ISSUER, OTHER = "https://login.example.com", "https://other.example.com"
ADA = Subject(ISSUER, "sub-ada")
Identity = Principal | Stranger | Suspended


class Arrivals:
    """The store, and short forms of what is done with it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def sign_in(self, claims: dict[str, Any] | None = None, **options: Any) -> Identity:
        """What becomes of somebody whom the provider names by these claims."""
        person = read_person({"iss": ISSUER, "sub": "sub-ada"} | (claims or {}), "groups")
        return await self.settle(person, **options)

    async def settle(self, person: Person, **options: Any) -> Identity:
        identities = PersonIdentities(
            SignInOptions("https://orgs.example.com", ISSUER, "orgserver", **options), self.store
        )
        return await self.store.database.write(lambda tx: identities.settle_in(tx, person))

    async def add(self, name: str, *subjects: Subject, kind: PrincipalKind = "person", enabled: bool = True) -> None:
        def add_in(tx: Transaction) -> None:
            changes.add_principal_in(tx, name, kind)
            changes.change_principal_in(tx, name, kind=kind, enabled=enabled, roles=(), limits=Policy())
            for subject in subjects:
                changes.add_subject_in(tx, name, subject)

        await self.store.database.write(add_in)

    async def add_group(self, name: str, claim: str | None = None) -> None:
        def add_in(tx: Transaction) -> None:
            changes.add_group_in(tx, name)
            changes.set_claim_in(tx, name, claim)

        await self.store.database.write(add_in)

    async def record(self, name: str) -> PrincipalRecord:
        found = await self.store.database.write(lambda tx: records.principal_in(tx, name))
        assert found is not None
        return found

    async def names(self) -> list[str]:
        return await self.store.database.write(lambda tx: changes.names_in(tx, "principal"))

    async def entries(self) -> list[AuditEntry]:
        """The newest first."""
        return await AuditLogReader(self.store).newest(EntryFilter(tool="sign-in"), 50)

    async def lines(self) -> list[str]:
        """What entries say, oldest first."""
        return [line for entry in reversed(await self.entries()) for line in entry.fields or ()]
