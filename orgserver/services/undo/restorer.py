"""Puts back what an agent changed: shows what that would do, and does it, under grants and policy and on record.

An update is undone by writing the old values back, a create by deleting, a delete by creating the record again (REST
has no undelete). What was changed since is left alone, unless it is forced.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from orgserver.model.audit import Action, AuditEntry, EntryFilter, Outcome
from orgserver.model.errors import CallError
from orgserver.model.names import RecordId, SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.results import FieldValues
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.calls.access import Access
from orgserver.services.calls.plan import Call, Operation, Plan
from orgserver.services.executor import Executor
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.undo import operations as undo_operations
from orgserver.services.undo.eligibility import (
    HAPPENED,
    UNDONE_BY,
    CannotUndo,
    How,
    choose_for_created_by_upsert,
    choose_operation,
    refuse_repeat,
    select_request,
)
from orgserver.services.undo.operations import FieldInfos, Restore
from orgserver.services.undo.preview import SimulatedState, Undo, judge_create, judge_delete, judge_update
from orgserver.store.audit import snapshots
from orgserver.store.audit.snapshots import Snapshot
from orgserver.store.session import Store
from orgserver.vault.keys import Unsealable

T = TypeVar("T")


class Restorer:
    """Undoes what the audit log says was done, by calls of the executor: under grants and policy, and on record."""

    def __init__(self, store: Store, access: Access, executor: Executor, log: AuditLogReader) -> None:
        self._store = store
        self._access = access
        self._executor = executor
        self._log = log
        self._field_infos: dict[tuple[str, str, str], FieldInfos] = {}

    async def preview_entry(self, caller: Caller, entry_id: str) -> Undo:
        """Look at what undoing an entry would meet. CannotUndo, or the CallError of looking."""
        entry = await self._log.entry(entry_id)
        if entry is None:
            raise CannotUndo("there is no audit entry with this id", hint="orgserver audit list shows ids")
        return await self._preview(caller, entry, SimulatedState())

    async def preview_span(self, caller: Caller, changes: EntryFilter, request_id: str | None = None) -> list[Undo]:
        """Look at every change that matches, the newest first, which is the order to undo them in.

        Each is looked at as if the ones before it were undone.
        """
        entries = [
            entry
            for action in (*UNDONE_BY, Action.BULK)  # of which each is said to stay, rather than passed over
            async for entry in self._log.entries(replace(changes, action=action))
            if entry.outcome in HAPPENED and not entry.is_repeat
        ]
        if request_id is not None:
            entries = select_request(entries, request_id)
        simulated = SimulatedState()
        undos: list[Undo] = []
        for entry in sorted(entries, key=lambda each: each.sequence, reverse=True):
            try:
                undo = await self._preview(caller, entry, simulated)
            except CannotUndo as error:
                undo = Undo(entry, str(error), kind=error.kind)
            except CallError as error:
                undo = Undo(entry, str(error))
            simulated.add(undo)
            undos.append(undo)
        return undos

    async def restore(self, caller: Caller, undo: Undo, *, force: bool, moved: dict[str, RecordId]) -> str:
        """Undo one entry; the id of its record now. ``moved`` knows, and learns, new ids by old ones."""
        restore = undo.restore
        if restore is None:
            raise CannotUndo(undo.problem or "nothing is known to put back")
        restore = replace(restore, target=moved.get(restore.record_id, restore.target), force=force)
        plans: dict[How, Callable[[Org, Restore], Any]] = {
            "update": undo_operations.update_record,
            "create": undo_operations.create_record,
            "delete": undo_operations.delete_record,
        }
        plan = plans[undo.how or "update"]
        change = await self._run(caller, restore, lambda org: plan(org, restore), restore.entry_id)
        if undo.how == "create":
            moved[restore.record_id] = RecordId(change.id)
        return str(change.id)

    async def _run(
        self, caller: Caller, restore: Restore, plan: Callable[[Org], Plan[T]], undoes: str | None = None
    ) -> T:
        """Undo an entry, or (None) look at what that would meet."""
        operation = Operation("undo" if undoes else Action.PREVIEW, lambda _call, org: plan(org), undoes)
        return await self._executor.run(Call(caller, "audit undo", restore.alias, restore.sobject), operation)

    # -- looking

    async def _preview(self, caller: Caller, entry: AuditEntry, simulated: SimulatedState) -> Undo:
        how = choose_operation(entry)
        if entry.is_repeat:
            raise refuse_repeat(entry, await self._log.find_repeated(entry))
        snapshot = await self._read_snapshot(entry)
        if entry.action == Action.UPSERT and snapshot.before is None:
            how = choose_for_created_by_upsert(entry)
        record_id = RecordId(snapshot.record_id or entry.record_ids[0])
        earlier = await self._read_earlier_undos(entry, record_id)
        org = await self._find_org(caller, entry, snapshot)
        restore = Restore(
            entry.id,
            org.alias,
            org.row_id,
            SObjectName(snapshot.object),
            record_id,
            await self._current_id(record_id),
            attempt=len(earlier),
        )
        undo, now = await self._judge(caller, entry, how, restore, snapshot, simulated)
        if how == "delete" and undo.problem is None:
            undo = await self._check_later_changes(undo, org, restore, now or {}, simulated)
        if undo.problem is None and any(each.outcome is Outcome.UNKNOWN for each in earlier):
            undo = replace(undo, problem="an earlier undo of it has an unknown outcome", forceable=True)
        undo = undo.limited(
            FieldLimits.of(self._access.policy(caller, org)),
            restore.sobject,
            self._executor.schemas.lookup(org),
            names=caller.principal.is_local,
        )
        read_only = f"{org.alias} is read-only" if org.policy.read_only else None
        needs_confirmation = how == "delete" and org.policy.confirm_deletes
        acts_as = org.user.username if org.login.is_own and org.user is not None else None
        return replace(undo, policy_problem=read_only, needs_confirmation=needs_confirmation, acts_as=acts_as)

    async def _judge(
        self,
        caller: Caller,
        entry: AuditEntry,
        how: How,
        restore: Restore,
        snapshot: Snapshot,
        simulated: SimulatedState,
    ) -> tuple[Undo, FieldValues | None]:
        """What undoing would do to the record as it will stand then, and how that is."""
        field_infos = await self._describe_fields(caller, restore)
        values = {"update": snapshot.before, "create": {}, "delete": snapshot.after}[how] or {}
        names = [name for name in values if name.lower() in field_infos]
        if how == "delete":
            names.append("LastModifiedById")
        if restore.record_id in simulated.remade:
            now = simulated.read_remade(restore.record_id, names)
        else:
            plan = undo_operations.read_record(restore, names)
            record = await self._run(caller, restore, plan)
            now = simulated.apply_to(restore.record_id, record)
        if how == "create":
            return judge_create(entry, restore, snapshot.before or {}, now, field_infos), now
        restore = replace(restore, expected=snapshot.after or {})
        if how == "delete":
            return judge_delete(entry, restore, now), now
        return judge_update(entry, replace(restore, values=snapshot.before or {}), now, field_infos), now

    async def _read_snapshot(self, entry: AuditEntry) -> Snapshot:
        async with self._store.database.reading() as connection:
            try:
                snapshot = await snapshots.load(connection, self._store.orgs, entry.id)
            except Unsealable as error:
                raise CannotUndo(f"the values that this {entry.action} replaced cannot be opened: {error}") from None
        if snapshot is None:
            raise CannotUndo(
                f"no values are kept of this {entry.action}: its org did not keep them, or they were erased",
                hint=f"orgserver update-org {entry.org} --keep-values keeps them from now on",
            )
        return snapshot

    async def _read_earlier_undos(self, entry: AuditEntry, record_id: str) -> list[AuditEntry]:
        """Undos of this entry so far; CannotUndo if one succeeded or is under way."""
        undos = await self._log.newest(EntryFilter(action="undo", record_id=record_id), 1_000)
        earlier = [each for each in undos if each.undoes == entry.id]
        for each in earlier:
            if each.outcome is Outcome.SUCCEEDED:
                time = f"{each.time:%Y-%m-%d %H:%M:%S} UTC"
                raise CannotUndo(
                    f"this entry was undone already, at {time} ({each.id})", kind="this entry was undone already"
                )
            if each.outcome is Outcome.PENDING:
                raise CannotUndo(
                    f"this entry is being undone just now ({each.id})", kind="this entry is being undone just now"
                )
        return earlier

    async def _find_org(self, caller: Caller, entry: AuditEntry, snapshot: Snapshot) -> Org:
        for org in await self._access.visible(caller):
            if org.row_id == snapshot.row_id:
                return org
        raise CannotUndo(f"the org of this entry ({entry.org}) was removed")

    async def _describe_fields(self, caller: Caller, restore: Restore) -> FieldInfos:
        key = (caller.principal.name, restore.row_id, restore.sobject)
        if key not in self._field_infos:
            plan = undo_operations.describe_fields(restore)
            self._field_infos[key] = await self._run(caller, restore, plan)
        return self._field_infos[key]

    async def _current_id(self, record_id: RecordId) -> RecordId:
        """The id that a record has now, if an undo has made it again."""
        for each in await self._log.newest(EntryFilter(action="undo", record_id=record_id, outcome="succeeded"), 100):
            if each.record_ids[0] == record_id and len(each.record_ids) > 1:  # the old one, then the new one
                return RecordId(each.record_ids[1])
        return record_id

    async def _check_later_changes(
        self, undo: Undo, org: Org, restore: Restore, now: FieldValues, simulated: SimulatedState
    ) -> Undo:
        """A record that was made and then changed in fields that the create did not touch is not deleted unasked."""
        by = now.get("lastmodifiedbyid")
        creator = undo.entry.salesforce_user or org.user
        if restore.record_id not in simulated.remade and creator is not None and by not in (None, creator.id):
            return replace(undo, problem="somebody else changed the record since it was created", forceable=True)
        for later in await self._log.newest(EntryFilter(action="update", record_id=restore.record_id), 100):
            if later.outcome in HAPPENED and later.id not in simulated.entries:
                with suppress(CannotUndo):
                    await self._read_earlier_undos(later, restore.record_id)
                    why = "it was updated since"
                    return replace(undo, problem=f"{why}, by entry {later.id}", forceable=True, kind=why)
        return undo
