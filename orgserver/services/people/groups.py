"""Groups: added, changed and removed, each change whole and on record. They hold principals, never groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orgserver.model.errors import PeopleError
from orgserver.model.orgs import Caller
from orgserver.model.text import is_blank, replace_unsafe
from orgserver.services.calls.access import Access
from orgserver.services.people import differences, grants, names
from orgserver.services.people.differences import Update
from orgserver.services.people.requests import GroupChanges
from orgserver.services.tokens import login_ends
from orgserver.store.people import changes, records
from orgserver.store.people.records import GroupRecord
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class GroupUpdate(Update):
    """What was changed of a group."""

    before: GroupRecord | None
    after: GroupRecord | None
    selectors_of_nothing: tuple[str, ...] = ()
    """Of new grants, selectors that no registered org matches."""


class Groups:
    """Reads and changes of groups. Each method raises PeopleError with one sentence."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    async def all(self) -> list[GroupRecord]:
        """Every group, by name."""
        async with self._store.database.reading() as connection:
            return await records.groups(connection)

    async def one(self, name: str) -> GroupRecord:
        """One group."""
        return names.find("group", name, {record.name: record for record in await self.all()})

    async def add(self, caller: Caller, name: str, changed: GroupChanges) -> GroupUpdate:
        """Add a group with all that is to be its own."""
        return await self._write(lambda tx: self.add_in(tx, caller, "add-group", name, changed), changed)

    async def update(self, caller: Caller, name: str, changed: GroupChanges) -> GroupUpdate:
        """Change a group."""
        return await self._write(lambda tx: self.update_in(tx, caller, "update-group", name, changed), changed)

    async def remove(self, caller: Caller, name: str) -> GroupUpdate:
        """Remove a group with its grants; its members stay."""
        return await self._write(lambda tx: self.remove_in(tx, caller, "remove-group", name), GroupChanges())

    def add_in(self, tx: Transaction, caller: Caller, command: str, name: str, changed: GroupChanges) -> GroupUpdate:
        """The same in a transaction, by a command."""
        names.refuse_taken_in(tx, name)
        changes.add_group_in(tx, name)
        return self._record_in(tx, caller, command, GroupUpdate(None, _apply_in(tx, caller, name, changed)))

    def update_in(self, tx: Transaction, caller: Caller, command: str, name: str, changed: GroupChanges) -> GroupUpdate:
        """The same in a transaction, by a command."""
        before = _one_in(tx, name)
        self._record_in(tx, caller, command, update := GroupUpdate(before, _apply_in(tx, caller, name, changed)))
        self._end_logins_in(tx, caller, command, before)
        return update

    def remove_in(self, tx: Transaction, caller: Caller, command: str, name: str) -> GroupUpdate:
        """The same in a transaction, by a command."""
        before = _one_in(tx, name)
        changes.remove_group_in(tx, name)
        self._record_in(tx, caller, command, update := GroupUpdate(before, None))
        self._end_logins_in(tx, caller, command, before)
        return update

    async def _write(self, change: Callable[[Transaction], GroupUpdate], changed: GroupChanges) -> GroupUpdate:
        update = await self._store.database.write(change)
        orgs = (await self._access.reload()).by_alias.values()
        unmatched = grants.selectors_of_nothing(changed.grants.grants, orgs)
        return GroupUpdate(update.before, update.after, unmatched)

    def _end_logins_in(self, tx: Transaction, caller: Caller, command: str, before: GroupRecord) -> None:
        """End the own logins of its members where they may do nothing any more."""
        members = (*before.members, *before.claim_members)
        login_ends.end_unreachable_in(tx, self._store, caller, command, principals=members)

    def _record_in(self, tx: Transaction, caller: Caller, command: str, update: GroupUpdate) -> GroupUpdate:
        differences.record_in(tx, self._store.audit.record_in, caller, command, update)
        return update


def _apply_in(tx: Transaction, caller: Caller, name: str, changed: GroupChanges) -> GroupRecord:
    before = _one_in(tx, name)
    claim = before.claim if changed.claim is None else (changed.claim or None)
    if claim is not None and (is_blank(claim) or replace_unsafe(claim) != claim):
        raise PeopleError("a claim is a text of visible characters")
    for member in changed.no_members:
        if member not in before.members:
            raise PeopleError(f"{member} is not in the group {name}")
        changes.leave_group_in(tx, name, member)
    if claim is not None and (changed.members or set(before.members) - set(changed.no_members)):
        raise PeopleError(
            f"a group that a claim fills has no members by hand, and {name} would have some",
            hint=f"orgserver update-group {name} --no-member NAME takes one out",
        )
    if claim != before.claim:
        changes.set_claim_in(tx, name, claim)
    for member in dict.fromkeys(changed.members):
        _refuse_strangers_in(tx, member)
        if member not in before.members or member in changed.no_members:
            changes.join_group_in(tx, name, member)
    grants.apply_in(tx, "group", name, before.grants, changed.grants, by=caller.principal.name)
    return _one_in(tx, name)


def _one_in(tx: Transaction, name: str) -> GroupRecord:
    record = records.group_in(tx, name)
    if record is None:
        raise names.unknown_in(tx, "group", name)
    return record


def _refuse_strangers_in(tx: Transaction, member: str) -> None:
    """PeopleError for a member that is no principal."""
    if changes.is_principal_in(tx, member):
        return
    if changes.taken_name_in(tx, member) == ("group", member):
        raise PeopleError(f"{member} is a group, and groups hold principals only")
    raise names.unknown_in(tx, "principal", member)
