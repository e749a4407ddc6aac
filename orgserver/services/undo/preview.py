"""What undoing one entry would do, judged by how its record stands: what would change, and why it may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orgserver.model.audit import AuditEntry
from orgserver.model.results import Change, FieldValues
from orgserver.model.schema import SchemaLookup
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.masks import mask
from orgserver.services.undo.eligibility import How
from orgserver.services.undo.operations import FieldInfos, Restore, pick_createable
from orgserver.services.undo.values import find_differing_fields, lower_names

HIDDEN = "(hidden)"
"""Stands for a value that the org's policy hides …"""
HIDDEN_BEFORE = "(hidden, as it was)"
"""… and for the one that is put back."""
NEW_ID = "with a new id: Salesforce's REST API has no undelete, and what pointed at the old id will not find it"


@dataclass(frozen=True, slots=True)
class Undo:
    """What undoing one entry would do, and why it may not."""

    entry: AuditEntry
    problem: str | None = None
    """Why it may not."""
    forceable: bool = False
    """Whether ``--force`` overrules that."""
    how: How | None = None
    changes: tuple[Change, ...] = ()
    """From what is there now to what would be there."""
    restore: Restore | None = None
    policy_problem: str | None = None
    """What the org's policy has against it: doing it all the same is denied, on record."""
    needs_confirmation: bool = False
    """Whether it deletes in an org whose policy wants a person to confirm deletes."""
    acts_as: str | None = None
    """The Salesforce user of the person's own login by which it would be done; None: the one that all share."""
    kind: str | None = None
    """``problem`` without what belongs to this entry alone, where that is another text."""

    @property
    def reason(self) -> str:
        """Why it may not, as other entries may say it too."""
        return self.kind or self.problem or ""

    def with_policy_problem(self) -> Undo:
        """The same, with a problem at once if the org's policy would deny it."""
        if self.policy_problem is None or self.restore is None:
            return self
        return replace(self, problem=self.policy_problem, forceable=False, kind=None)

    def limited(self, limits: FieldLimits, sobject: str, lookup: SchemaLookup, *, names: bool) -> Undo:
        """The same as it may be shown: of hidden fields no values, and their names only to who may know them."""
        if limits.is_free:
            return self
        own = limits.of_object(sobject, lookup)
        changes: list[Change] = []
        for each in self.changes:
            if each.field.lower() in own.masked:
                changes.append(Change(each.field, mask(each.before), mask(each.after)))
            elif each.field.lower() not in own.hidden:
                changes.append(each)
            elif names:
                changes.append(Change(each.field, HIDDEN, HIDDEN if each.before == each.after else HIDDEN_BEFORE))
        return replace(self, changes=tuple(changes))

    def is_possible(self, *, force: bool) -> bool:
        """Whether it may be done."""
        return self.restore is not None and (self.problem is None or (force and self.forceable))


@dataclass(slots=True)
class SimulatedState:
    """How records would stand after the undos before this one; names in lower case, None for a record that is gone."""

    records: dict[str, FieldValues | None] = field(default_factory=dict)
    remade: set[str] = field(default_factory=set)
    entries: set[str] = field(default_factory=set)

    def read_remade(self, record_id: str, fields: Sequence[str]) -> FieldValues | None:
        """A record that would be made again, or taken away, by then."""
        record = self.records[record_id]
        return None if record is None else dict.fromkeys(map(str.lower, fields)) | record

    def apply_to(self, record_id: str, record: FieldValues | None) -> FieldValues | None:
        """A record as it would stand, from how it is now."""
        return None if record is None else lower_names(record) | (self.records.get(record_id) or {})

    def add(self, undo: Undo) -> None:
        """Go on as if an undo were done."""
        self.entries.add(undo.entry.id)
        restore = undo.restore
        if restore is None or undo.problem is not None:
            return
        if undo.how == "update":
            self.records[restore.record_id] = (self.records.get(restore.record_id) or {}) | lower_names(restore.values)
        else:
            self.records[restore.record_id] = lower_names(restore.values) if undo.how == "create" else None
            self.remade.add(restore.record_id)


def judge_update(entry: AuditEntry, restore: Restore, now: FieldValues | None, field_infos: FieldInfos) -> Undo:
    """Whether old values can be written back to a record as it is now."""
    if now is None:
        return Undo(entry, "the record is gone", how="update")
    spelled = lower_names(now)
    changes = tuple(Change(name, spelled.get(name.lower()), value) for name, value in restore.values.items())
    undo = Undo(entry, how="update", changes=changes, restore=restore)
    missing = [name for name in restore.expected if name not in restore.values]
    if missing:
        return replace(undo, problem=f"the old value of {_list(missing)} was not kept", restore=None)
    read_only = [name for name in restore.values if not field_infos.get(name.lower(), {}).get("updateable")]
    if read_only:
        return replace(undo, problem=f"{_list(read_only)} cannot be written by the org's user", restore=None)
    if not find_differing_fields(now, restore.values):
        return replace(undo, problem="the record has its old values already", restore=None)
    changed = find_differing_fields(now, restore.expected)
    if changed:
        return replace(undo, problem=f"changed since: {_list(changed)}", forceable=True)
    return undo


def judge_create(
    entry: AuditEntry, restore: Restore, before: FieldValues, now: FieldValues | None, field_infos: FieldInfos
) -> Undo:
    """Whether a record that was deleted can be created again."""
    if now is not None:
        return Undo(entry, "the record is there", how="create")
    values = pick_createable(restore.sobject, before, field_infos)
    if not values:
        return Undo(entry, "none of the kept values can be written by the org's user", how="create")
    changes = tuple(Change(name, None, value) for name, value in values.items())
    return Undo(entry, how="create", changes=changes, restore=replace(restore, values=values))


def judge_delete(entry: AuditEntry, restore: Restore, now: FieldValues | None) -> Undo:
    """Whether a record that was created can be deleted."""
    if now is None:
        return Undo(entry, "the record is gone already", how="delete")
    spelled = lower_names(now)
    changes = tuple(Change(name, spelled.get(name.lower()), None) for name in restore.expected)
    changed = find_differing_fields(now, restore.expected)
    problem = f"changed since: {_list(changed)}" if changed else None
    return Undo(entry, problem, forceable=True, how="delete", changes=changes, restore=restore)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
