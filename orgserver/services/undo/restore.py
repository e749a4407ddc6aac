"""What an agent changed is put back: what that would do, why it may not, and doing it, as an act like any other.

An update is undone by writing the old values back, a create by deleting, a delete by creating the record again (REST
has no undelete). What was changed since is left alone, unless it is forced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orgserver.model.audit import Action, AuditEntry, EntryFilter, Outcome
from orgserver.model.errors import CallError, OperatorError
from orgserver.model.names import RecordId, SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.results import Change, FieldValues
from orgserver.services.audit.log_reader import Trail, several
from orgserver.services.calls import snapshot
from orgserver.services.calls.access import Access
from orgserver.services.calls.snapshot import Back, Described
from orgserver.services.operations import Operations
from orgserver.store.audit import snapshots as kept_values
from orgserver.store.audit.snapshots import Kept
from orgserver.store.session import Store
from orgserver.vault.ring import Unsealable

How = Literal["update", "create", "delete"]
_UNDONE_BY: dict[str, How] = {"update": "update", "delete": "create", "create": "delete", "upsert": "update"}
_CREATED = 201
_BEGINNING = 4
"""Characters of a request id that may stand for all of it: many clients count their requests from 1."""
_READS = frozenset({"read", "list", "query", "search", "describe", "limits", "preview"})
_HAPPENED = (Outcome.SUCCEEDED, Outcome.UNKNOWN)
NEW_ID = "with a new id: Salesforce's REST API has no undelete, and what pointed at the old id will not find it"


class CannotUndo(OperatorError):
    """An entry that cannot be undone, whatever its record is like now.

    ``kind`` says why without what belongs to this entry alone.
    """

    def __init__(self, message: str, *, hint: str | None = None, kind: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Undo:
    """What undoing one entry would do, and why it may not."""

    entry: AuditEntry
    blocked: str | None = None
    """Why it may not."""
    forceable: bool = False
    """Whether ``--force`` overrules that."""
    how: How | None = None
    changes: tuple[Change, ...] = ()
    """From what is there now to what would be there."""
    back: Back | None = None
    policy: str | None = None
    """What the org's policy has against it: doing it all the same is denied, on record."""
    confirmed: bool = False
    """Whether it deletes in an org whose policy wants a person to confirm deletes."""
    kind: str | None = None
    """``blocked`` without what belongs to this entry alone, where that is another text."""

    @property
    def reason(self) -> str:
        """Why it may not, as other entries may say it too."""
        return self.kind or self.blocked or ""

    def foretold(self) -> Undo:
        """The same, blocked at once if the org's policy would deny it."""
        if self.policy is None or self.back is None:
            return self
        return replace(self, blocked=self.policy, forceable=False, kind=None)

    def allowed(self, *, force: bool) -> bool:
        """Whether it may be done."""
        return self.back is not None and (self.blocked is None or (force and self.forceable))


@dataclass(slots=True)
class _Ahead:
    """How records would stand after the undos before this one; names in lower case, None for a record that is gone."""

    records: dict[str, FieldValues | None] = field(default_factory=dict)
    remade: set[str] = field(default_factory=set)
    entries: set[str] = field(default_factory=set)

    def made(self, record_id: str, fields: Sequence[str]) -> FieldValues | None:
        """A record that would be made again, or taken away, by then."""
        record = self.records[record_id]
        return None if record is None else dict.fromkeys(map(str.lower, fields)) | record

    def seen(self, record_id: str, found: FieldValues | None) -> FieldValues | None:
        """A record as it would stand, from what was found of it now."""
        return None if found is None else lowered(found) | (self.records.get(record_id) or {})

    def done(self, undo: Undo) -> None:
        """Take an undo as done."""
        self.entries.add(undo.entry.id)
        back = undo.back
        if back is None or undo.blocked is not None:
            return
        if undo.how == "update":
            self.records[back.record_id] = (self.records.get(back.record_id) or {}) | lowered(back.values)
        else:
            self.records[back.record_id] = lowered(back.values) if undo.how == "create" else None
            self.remade.add(back.record_id)


class Undoing:
    """Undoes what the audit log says was done, by ``Operations``: under grants and policy, and on record."""

    def __init__(self, store: Store, access: Access, operations: Operations, trail: Trail) -> None:
        self._store = store
        self._access = access
        self._operations = operations
        self._trail = trail
        self._described: dict[tuple[str, str], Described] = {}

    async def one(self, caller: Caller, entry_id: str) -> Undo:
        """Look at what undoing an entry would meet. CannotUndo, or the CallError of looking."""
        entry = await self._trail.entry(entry_id)
        if entry is None:
            raise CannotUndo("there is no audit entry with this id", hint="orgserver audit list shows ids")
        return await self._look(caller, entry, _Ahead())

    async def span(self, caller: Caller, wanted: EntryFilter, request_id: str | None = None) -> list[Undo]:
        """Look at every change that matches, the newest first, which is the order to undo them in.

        Each is looked at as if the ones before it were undone.
        """
        found = [
            entry
            for action in (*_UNDONE_BY, Action.BULK)  # of which each is said to stay, rather than passed over
            async for entry in self._trail.entries(replace(wanted, action=action))
            if entry.outcome in _HAPPENED and not entry.is_repeat
        ]
        if request_id is not None:
            request_id = _request(request_id, {each.request_id for each in found if each.request_id})
            found = [each for each in found if each.request_id == request_id]
        if request_id is not None and len({(each.principal, each.client, each.process) for each in found}) > 1:
            raise OperatorError(
                "requests of more than one agent or session have this id",
                hint="narrow it with --principal, --since and --until",
            )
        ahead = _Ahead()
        undos: list[Undo] = []
        for entry in sorted(found, key=lambda each: each.sequence, reverse=True):
            try:
                undo = await self._look(caller, entry, ahead)
            except CannotUndo as error:
                undo = Undo(entry, str(error), kind=error.kind)
            except CallError as error:
                undo = Undo(entry, str(error))
            ahead.done(undo)
            undos.append(undo)
        return undos

    async def do(self, caller: Caller, undo: Undo, *, force: bool, moved: dict[str, RecordId]) -> str:
        """Undo one entry; the id of its record now. ``moved`` knows, and learns, new ids by old ones."""
        back = undo.back
        if back is None:
            raise CannotUndo(undo.blocked or "nothing is known to put back")
        back = replace(back, target=moved.get(back.record_id, back.target), force=force)
        make: dict[How, Callable[[Org, Back], Any]] = {
            "update": snapshot.write_back,
            "create": snapshot.make_again,
            "delete": snapshot.take_away,
        }
        plan = make[undo.how or "update"]
        done = await self._operations.undo(caller, back.alias, back.sobject, lambda org: plan(org, back), back.entry_id)
        if undo.how == "create":
            moved[back.record_id] = RecordId(done.id)
        return str(done.id)

    # -- looking

    async def _look(self, caller: Caller, entry: AuditEntry, ahead: _Ahead) -> Undo:
        how = self._how(entry)
        if entry.is_repeat:
            raise _repeat(entry, await self._trail.repeated_by(entry))
        kept = await self._kept(entry)
        if entry.action == Action.UPSERT and kept.before is None:
            how = _made(entry)
        record_id = RecordId(kept.record_id or entry.record_ids[0])
        earlier = await self._earlier(entry, record_id)
        org = await self._org(caller, entry, kept)
        back = Back(
            entry.id,
            org.alias,
            org.row_id,
            SObjectName(kept.object),
            record_id,
            await self._followed(record_id),
            attempt=len(earlier),
        )
        described = await self._describe(caller, back)
        wanted = {"update": kept.before, "create": {}, "delete": kept.after}[how] or {}
        names = [name for name in wanted if name.lower() in described]
        if how == "delete":
            names.append("LastModifiedById")
        if record_id in ahead.remade:
            now = ahead.made(record_id, names)
        else:
            plan = snapshot.look(back, names)
            found = await self._operations.undo(caller, org.alias, back.sobject, plan, None)
            now = ahead.seen(record_id, found)
        if how == "update":
            undo = _update(entry, replace(back, values=kept.before or {}, expected=kept.after or {}), now, described)
        elif how == "create":
            undo = _again(entry, back, kept.before or {}, now, described)
        else:
            undo = _delete(entry, replace(back, expected=kept.after or {}), now)
            if undo.blocked is None:
                undo = await self._since(undo, org, now or {}, ahead, record_id)
        if undo.blocked is None and any(each.outcome is Outcome.UNKNOWN for each in earlier):
            undo = replace(undo, blocked="an earlier undo of it has an unknown outcome", forceable=True)
        read_only = f"{org.alias} is read-only" if org.policy.read_only else None
        return replace(undo, policy=read_only, confirmed=how == "delete" and org.policy.confirm_deletes)

    def _how(self, entry: AuditEntry) -> How:
        if entry.action == "undo":
            raise CannotUndo("this entry is an undo, which cannot be undone", hint="change the record instead")
        if entry.action in _READS:
            raise CannotUndo(f"this entry is a {entry.action}, which changed nothing")
        if entry.action == Action.BULK:
            raise CannotUndo("this entry is a change of many records at once, of which no old values are kept")
        if entry.action not in _UNDONE_BY:
            raise CannotUndo(f"this entry is of {entry.action}; only create, update, upsert and delete can be undone")
        if entry.outcome is Outcome.PENDING:
            raise CannotUndo("this entry has no outcome yet", hint="try again in a minute")
        if entry.outcome not in _HAPPENED:
            raise CannotUndo(f"this {entry.action} changed nothing: its outcome is {entry.outcome.value}")
        if not entry.record_ids:
            raise CannotUndo(f"which record this {entry.action} was of is not known: no answer came")
        return _UNDONE_BY[entry.action]

    async def _kept(self, entry: AuditEntry) -> Kept:
        async with self._store.database.reading() as connection:
            try:
                kept = await kept_values.of(connection, self._store.orgs, entry.id)
            except Unsealable as error:
                raise CannotUndo(f"the values that this {entry.action} replaced cannot be opened: {error}") from None
        if kept is None:
            raise CannotUndo(
                f"no values are kept of this {entry.action}: its org did not keep them, or they were erased",
                hint=f"orgserver update-org {entry.org} --keep-values keeps them from now on",
            )
        return kept

    async def _earlier(self, entry: AuditEntry, record_id: str) -> list[AuditEntry]:
        """Undos of this entry so far; CannotUndo if one succeeded or is under way."""
        found = await self._trail.newest(EntryFilter(action="undo", record_id=record_id), 1_000)
        earlier = [each for each in found if each.undoes == entry.id]
        for each in earlier:
            if each.outcome is Outcome.SUCCEEDED:
                when = f"{each.time:%Y-%m-%d %H:%M:%S} UTC"
                raise CannotUndo(
                    f"this entry was undone already, at {when} ({each.id})", kind="this entry was undone already"
                )
            if each.outcome is Outcome.PENDING:
                raise CannotUndo(
                    f"this entry is being undone just now ({each.id})", kind="this entry is being undone just now"
                )
        return earlier

    async def _org(self, caller: Caller, entry: AuditEntry, kept: Kept) -> Org:
        for org in await self._access.visible(caller):
            if org.row_id == kept.row_id:
                return org
        raise CannotUndo(f"the org of this entry ({entry.org}) was removed")

    async def _describe(self, caller: Caller, back: Back) -> Described:
        key = (back.row_id, back.sobject)
        if key not in self._described:
            plan = snapshot.describe(back)
            self._described[key] = await self._operations.undo(caller, back.alias, back.sobject, plan, None)
        return self._described[key]

    async def _followed(self, record_id: RecordId) -> RecordId:
        """The id that a record has now, if an undo has made it again."""
        for each in await self._trail.newest(EntryFilter(action="undo", record_id=record_id, outcome="succeeded"), 100):
            if each.record_ids[0] == record_id and len(each.record_ids) > 1:  # the old one, then the new one
                return RecordId(each.record_ids[1])
        return record_id

    async def _since(self, undo: Undo, org: Org, now: FieldValues, ahead: _Ahead, record_id: str) -> Undo:
        """A record that was made and then changed in fields that the create did not touch is not deleted unasked."""
        by = now.get("lastmodifiedbyid")
        if record_id not in ahead.remade and org.user is not None and by not in (None, org.user.id):
            return replace(undo, blocked="somebody else changed the record since it was created", forceable=True)
        for later in await self._trail.newest(EntryFilter(action="update", record_id=record_id), 100):
            if later.outcome in _HAPPENED and later.id not in ahead.entries:
                with suppress(CannotUndo):
                    await self._earlier(later, record_id)
                    why = "it was updated since"
                    return replace(undo, blocked=f"{why}, by entry {later.id}", forceable=True, kind=why)
        return undo


def _request(beginning: str, known: set[str]) -> str:
    """The request id that was meant: itself, or the only one that begins so; what is short is never a beginning."""
    if beginning in known or len(beginning) < _BEGINNING:
        return beginning
    found = sorted(each for each in known if each.startswith(beginning))
    if len(found) > 1:
        raise several(beginning, "request ids", found)
    return found[0] if found else beginning


def _repeat(entry: AuditEntry, first: Sequence[AuditEntry]) -> CannotUndo:
    """The refusal of an entry that repeats another with its idempotency key."""
    what = f"this entry repeats an earlier {entry.action} with its idempotency key, and nothing was sent for it"
    if not first:
        return CannotUndo(f"{what}; the entry of that {entry.action} was pruned")
    ids = " or ".join(each.id for each in first)
    return CannotUndo(f"{what}: the change is that of {ids}", hint=f"orgserver audit undo {first[0].id}", kind=what)


def _made(entry: AuditEntry) -> How:
    """How an upsert is undone that found no record; it may have met one that was made meanwhile."""
    if entry.http_status != _CREATED:
        raise CannotUndo("this upsert changed a record that was made a moment before: its old values are not known")
    return "delete"


def lowered(record: FieldValues) -> FieldValues:
    """A record with its field names in lower case."""
    return {name.lower(): value for name, value in record.items()}


def _update(entry: AuditEntry, back: Back, now: FieldValues | None, described: Described) -> Undo:
    if now is None:
        return Undo(entry, "the record is gone", how="update")
    spelled = lowered(now)
    changes = tuple(Change(name, spelled.get(name.lower()), value) for name, value in back.values.items())
    undo = Undo(entry, how="update", changes=changes, back=back)
    lacking = [name for name in back.expected if name not in back.values]
    if lacking:
        return replace(undo, blocked=f"the old value of {_listed(lacking)} was not kept", back=None)
    fixed = [name for name in back.values if not described.get(name.lower(), {}).get("updateable")]
    if fixed:
        return replace(undo, blocked=f"{_listed(fixed)} cannot be written by the org's user", back=None)
    if not snapshot.differing(now, back.values):
        return replace(undo, blocked="the record has its old values already", back=None)
    changed = snapshot.differing(now, back.expected)
    if changed:
        return replace(undo, blocked=f"changed since: {_listed(changed)}", forceable=True)
    return undo


def _again(entry: AuditEntry, back: Back, before: FieldValues, now: FieldValues | None, described: Described) -> Undo:
    if now is not None:
        return Undo(entry, "the record is there", how="create")
    values = snapshot.createable(back.sobject, before, described)
    if not values:
        return Undo(entry, "none of the kept values can be written by the org's user", how="create")
    changes = tuple(Change(name, None, value) for name, value in values.items())
    return Undo(entry, how="create", changes=changes, back=replace(back, values=values))


def _delete(entry: AuditEntry, back: Back, now: FieldValues | None) -> Undo:
    if now is None:
        return Undo(entry, "the record is gone already", how="delete")
    spelled = lowered(now)
    changes = tuple(Change(name, spelled.get(name.lower()), None) for name in back.expected)
    changed = snapshot.differing(now, back.expected)
    blocked = f"changed since: {_listed(changed)}" if changed else None
    return Undo(entry, blocked, forceable=True, how="delete", changes=changes, back=back)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
