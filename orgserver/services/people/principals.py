"""Principals: added, changed and removed, each change whole and on record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orgserver.model.access.policies import Policy
from orgserver.model.errors import PeopleError
from orgserver.model.orgs import Caller
from orgserver.model.text import is_blank, replace_unsafe
from orgserver.services.calls.access import Access
from orgserver.services.people import differences, grants, keys, names
from orgserver.services.people.differences import Update
from orgserver.services.people.keys import NewKey
from orgserver.services.people.requests import PrincipalChanges
from orgserver.services.tokens import login_ends
from orgserver.store.people import changes, records
from orgserver.store.people.records import PrincipalRecord
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

DISABLED = "its principal was disabled"
NO_SUBJECT = "its person is no longer the principal"
"""Why a session ended."""


@dataclass(frozen=True, slots=True)
class PrincipalUpdate(Update):
    """What was changed of a principal, and the key that was made for it."""

    before: PrincipalRecord | None
    after: PrincipalRecord | None
    key: NewKey | None = None
    selectors_of_nothing: tuple[str, ...] = ()
    """Of new grants, selectors that no registered org matches."""
    ended_sessions: tuple[str, ...] = ()
    """Of sign-in, those that this has ended."""


class Principals:
    """Reads and changes of principals. Each method raises PeopleError with one sentence."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access
        self._requests = store.signin_requests
        self._sessions = store.signin_sessions

    async def all(self) -> list[PrincipalRecord]:
        """Every principal, by name."""
        async with self._store.database.reading() as connection:
            return await records.principals(connection)

    async def one(self, name: str) -> PrincipalRecord:
        """One principal."""
        return names.find("principal", name, {record.name: record for record in await self.all()})

    async def add(self, caller: Caller, name: str, changed: PrincipalChanges) -> PrincipalUpdate:
        """Add a principal with all that is to be its own."""
        return await self._write(lambda tx: self.add_in(tx, caller, "add-principal", name, changed), changed)

    async def update(
        self, caller: Caller, name: str, changed: PrincipalChanges, *, seen: Policy | None = None
    ) -> PrincipalUpdate:
        """Change a principal; ``seen`` are the limits that a person saw when they agreed: others are not changed."""
        command = "update-principal"
        return await self._write(lambda tx: self.update_in(tx, caller, command, name, changed, seen=seen), changed)

    async def remove(self, caller: Caller, name: str) -> PrincipalUpdate:
        """Remove a principal with its grants and keys; its audit entries stay."""
        return await self._write(lambda tx: self.remove_in(tx, caller, "remove-principal", name), PrincipalChanges())

    def add_in(
        self, tx: Transaction, caller: Caller, command: str, name: str, changed: PrincipalChanges
    ) -> PrincipalUpdate:
        """The same in a transaction, by a command."""
        names.refuse_taken_in(tx, name)
        changes.add_principal_in(tx, name, changed.kind or "person")
        after, key = self._apply_in(tx, caller, name, changed)
        return self._record_in(tx, caller, command, PrincipalUpdate(None, after, key))

    def update_in(
        self,
        tx: Transaction,
        caller: Caller,
        command: str,
        name: str,
        changed: PrincipalChanges,
        *,
        seen: Policy | None = None,
    ) -> PrincipalUpdate:
        """The same in a transaction, by a command."""
        before = _one_in(tx, name)
        if seen is not None and before.limits != seen:
            raise PeopleError(f"the limits of {name} were changed meanwhile", hint="run the command again")
        ended = self._end_sessions_in(tx, caller, command, name, changed)
        after, key = self._apply_in(tx, caller, name, changed)
        update = self._record_in(tx, caller, command, PrincipalUpdate(before, after, key, ended_sessions=ended))
        login_ends.end_unreachable_in(tx, self._store, caller, command, principals=(name,))
        return update

    def remove_in(self, tx: Transaction, caller: Caller, command: str, name: str) -> PrincipalUpdate:
        """The same in a transaction, by a command."""
        before = _one_in(tx, name)
        self._requests.drop_of_principal_in(tx, name)
        login_ends.forget_person_in(tx, self._store, name, caller, command)
        changes.remove_principal_in(tx, name)
        return self._record_in(tx, caller, command, PrincipalUpdate(before, None))

    async def _write(
        self, change: Callable[[Transaction], PrincipalUpdate], changed: PrincipalChanges
    ) -> PrincipalUpdate:
        update = await self._store.database.write(change)
        orgs = (await self._access.reload()).by_alias.values()
        unmatched = grants.selectors_of_nothing(changed.grants.grants, orgs)
        return replace(update, selectors_of_nothing=unmatched)

    def _record_in(self, tx: Transaction, caller: Caller, command: str, update: PrincipalUpdate) -> PrincipalUpdate:
        differences.record_in(tx, self._store.audit.record_in, caller, command, update)
        return update

    def _end_sessions_in(
        self, tx: Transaction, caller: Caller, command: str, name: str, changed: PrincipalChanges
    ) -> tuple[str, ...]:
        """End what a principal that is disabled is signed in with, and what was of subjects that it is no longer.

        Nobody says yes for it any more to what was begun before.
        """
        ended: list[str] = []
        if changed.no_subjects or changed.enabled is False:
            self._requests.drop_of_principal_in(tx, name)
        for subject in changed.no_subjects:
            ids = self._sessions.end_of_subject_in(tx, subject, NO_SUBJECT)
            self._record_ends_in(tx, caller, command, name, ids, NO_SUBJECT)
            ended += ids
        if changed.enabled is False:
            ids = self._sessions.end_of_principal_in(tx, name, DISABLED)
            self._record_ends_in(tx, caller, command, name, ids, DISABLED)
            ended += ids
        return tuple(ended)

    def _record_ends_in(
        self, tx: Transaction, caller: Caller, command: str, name: str, ids: list[str], why: str
    ) -> None:
        differences.record_sessions_in(tx, self._store.audit.record_in, caller, command, name, ids, why)

    def _apply_in(
        self, tx: Transaction, caller: Caller, name: str, changed: PrincipalChanges
    ) -> tuple[PrincipalRecord, NewKey | None]:
        before = _one_in(tx, name)
        kind = changed.kind or before.kind
        enabled = before.enabled if changed.enabled is None else changed.enabled
        roles = before.roles.difference(changed.no_roles).union(changed.roles)
        limits = changed.limits.apply(before.limits)
        if (kind, enabled, roles, limits) != (before.kind, before.enabled, before.roles, before.limits):
            changes.change_principal_in(tx, name, kind=kind, enabled=enabled, roles=roles, limits=limits)
        _move_groups_in(tx, before, changed)
        _set_subjects_in(tx, before, changed)
        grants.apply_in(tx, "principal", name, before.grants, changed.grants, by=caller.principal.name)
        key = keys.apply_in(tx, name, before.keys, changed.keys)
        return _one_in(tx, name), key


def _one_in(tx: Transaction, name: str) -> PrincipalRecord:
    record = records.principal_in(tx, name)
    if record is None:
        raise names.unknown_in(tx, "principal", name)
    return record


def _move_groups_in(tx: Transaction, before: PrincipalRecord, changed: PrincipalChanges) -> None:
    for group in changed.no_groups:
        if group not in before.groups:
            raise PeopleError(f"{before.name} is not in the group {group}")
        changes.leave_group_in(tx, group, before.name)
    for group in dict.fromkeys(changed.groups):
        refuse_members_in(tx, group)
        if group not in before.groups or group in changed.no_groups:
            changes.join_group_in(tx, group, before.name)


def refuse_members_in(tx: Transaction, group: str) -> None:
    """PeopleError for a group that does not exist, or that its identity provider fills."""
    record = records.group_in(tx, group)
    if record is None:
        raise names.unknown_in(tx, "group", group)
    if record.claim is not None:
        raise PeopleError(
            f"{group} is filled by the claim {record.claim}, so it has no members by hand",
            hint=f"orgserver update-group {group} --no-claim makes it one that is filled by hand",
        )


def _set_subjects_in(tx: Transaction, before: PrincipalRecord, changed: PrincipalChanges) -> None:
    for subject in changed.no_subjects:
        if subject not in before.subjects:
            raise PeopleError(f"{before.name} is not {subject.subject} of {subject.issuer}")
        changes.remove_subject_in(tx, subject)
    for subject in dict.fromkeys(changed.subjects):
        if any(is_blank(text) or replace_unsafe(text) != text for text in (subject.issuer, subject.subject)):
            raise PeopleError("an issuer and a subject are texts of visible characters")
        owner = changes.principal_of_subject_in(tx, subject)
        if owner is not None and owner != before.name:
            raise PeopleError(f"{subject.subject} of {subject.issuer} is {owner} already")
        if owner is None:
            changes.add_subject_in(tx, before.name, subject)
