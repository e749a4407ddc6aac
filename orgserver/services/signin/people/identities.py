"""Who somebody is here whom the identity provider has named: found, bound, made, or nobody.

A subject is bound once, and decides from then on. Names and addresses out of claims are shown; the one that can find a
principal is a verified address, where the operator says so. What is found or changed is on record with the sign-in.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from orgserver.model.access.people import Person
from orgserver.model.access.principals import MADE_BY_SIGN_IN, Principal, Subject
from orgserver.model.audit import Action
from orgserver.model.orgs import Caller
from orgserver.services.people import differences
from orgserver.services.people.differences import Update
from orgserver.services.signin.entries import SIGN_IN, record_in
from orgserver.services.signin.options import SignInOptions
from orgserver.services.tokens import login_ends
from orgserver.store.orgs import policies
from orgserver.store.people import changes, claims, records, tables
from orgserver.store.people.records import PrincipalRecord
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

_DIGITS = 10
"""Of a name that is made; more where another has it."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who is nobody here."""

    person: Person


@dataclass(frozen=True, slots=True)
class Suspended:
    """Somebody whose principal may use nothing."""

    principal: str


class PersonIdentities:
    """Finds and makes principals of people. Its methods are changes for the writer."""

    def __init__(self, options: SignInOptions, store: Store) -> None:
        self._options = options
        self._store = store

    def settle_in(self, tx: Transaction, person: Person) -> Principal | Stranger | Suspended:
        """The principal of a person who has just signed in, in the groups that the provider says."""
        name = changes.principal_of_subject_in(tx, person.subject)
        if name is None:
            record = self._find_by_email_in(tx, person)
            if record is not None and not record.enabled:  # nor do they get another principal in its place
                return Suspended(record.name)
            name = self._bind_in(tx, person, record) if record is not None else self._create_in(tx, person)
        if name is None:
            return Stranger(person)
        if not changes.is_enabled_in(tx, name):
            return Suspended(name)
        if person.groups is not None:
            follow_groups_in(tx, self._store, name, person.groups)
        return Principal(name)

    def _find_by_email_in(self, tx: Transaction, person: Person) -> PrincipalRecord | None:
        """The one person of this name, nobody yet for the provider; where the address is verified, and may find any."""
        if not self._options.match_email or not person.is_email_verified or not person.email:
            return None
        people = [record for record in self._alike_in(tx, person.email) if record.kind == "person"]
        return people[0] if len(people) == 1 and not _has_issuer(people[0], person.subject.issuer) else None

    def _bind_in(self, tx: Transaction, person: Person, record: PrincipalRecord) -> str:
        """Bind the subject to a principal, for good."""
        changes.add_subject_in(tx, record.name, person.subject)
        self._record_in(tx, record.name, record)
        return record.name

    def _create_in(self, tx: Transaction, person: Person) -> str | None:
        """A new principal without grants, whose name nobody can choose; None where none is made."""
        if self._options.new != "create" or policies.has_free_mapping_in(tx):  # else they could be a Salesforce user
            return None
        name = _make_name(tx, person.subject)
        changes.add_principal_in(tx, name, "person")
        changes.add_subject_in(tx, name, person.subject)
        self._record_in(tx, name, None)
        return name

    def _alike_in(self, tx: Transaction, email: str) -> list[PrincipalRecord]:
        """Principals whose name is an address, whatever the case of its letters."""
        if not email.isascii():
            return []
        names = tx.connection.execute(select(tables.principals.c.name)).scalars()
        alike = [name for name in names if name.lower() == email.lower()]
        return [record for name in alike if (record := records.principal_in(tx, name)) is not None]

    def _record_in(self, tx: Transaction, name: str, before: PrincipalRecord | None) -> None:
        update = Update(before, records.principal_in(tx, name))
        differences.record_in(tx, self._store.audit.record_in, Caller(Principal(name), "http"), SIGN_IN, update)


def follow_groups_in(tx: Transaction, store: Store, principal: str, values: Iterable[str]) -> None:
    """Put a principal into exactly the groups of these values of the claim; on record where something changes.

    Its own logins to orgs in which it may do nothing any more end.
    """
    before, after = (", ".join(groups) or "none" for groups in claims.set_groups_in(tx, principal, values))
    if before != after:
        facts = {"claim_groups": f"{before}->{after}"}
        record_in(tx, store.audit, principal, Action.GRANT, SIGN_IN, object_name=principal, facts=facts)
        login_ends.end_unreachable_in(tx, store, Caller(Principal(principal), "http"), SIGN_IN, principals=(principal,))


def _has_issuer(record: PrincipalRecord, issuer: str) -> bool:
    return any(subject.issuer == issuer for subject in record.subjects)


def _make_name(tx: Transaction, subject: Subject) -> str:
    digest = hashlib.sha256(f"{subject.issuer}\0{subject.subject}".encode()).digest()
    digits = base64.b32encode(digest).decode().rstrip("=").lower()
    lengths = range(_DIGITS, len(digits) + 1)
    names = (MADE_BY_SIGN_IN + digits[:length] for length in lengths)
    return next(name for name in names if changes.taken_name_in(tx, name) is None)
