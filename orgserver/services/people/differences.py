"""What was changed of a principal or a group, from what to what: for the person who did it, and for the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from msgspec import structs

from orgserver.model.access.principals import ApiKey, Grant, end_text, grant_text
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.store.orgs import rows as org_rows
from orgserver.store.people.records import GroupRecord, PrincipalRecord
from orgserver.store.transaction import Transaction

NONE = "none"
Record = PrincipalRecord | GroupRecord
RecordIn = Callable[[Transaction, Intent, Completion], object]
"""Puts something that is over on record, in a transaction."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is another now, in words."""

    field: str
    """``kind``, ``roles``, ``limits``; ``grant`` and a selector; ``key`` and an id."""
    before: str
    after: str
    grant: Grant | None = None
    """The one that it is about, as it is or else as it was."""


@dataclass(frozen=True, slots=True)
class Update:
    """A principal or a group as it was and as it is; None: there was or is none."""

    before: Record | None
    after: Record | None

    @property
    def differences(self) -> list[Difference]:
        """What is another now."""
        facts = _differ(_facts(self.before), _facts(self.after))
        old, new = ({each.selector.text: each for each in _grants(record)} for record in (self.before, self.after))
        grants = [
            replace(each, field=f"grant {each.field}", grant=new.get(each.field) or old.get(each.field))
            for each in _differ(_texts(old), _texts(new))
        ]
        keys = _differ(_key_texts(self.before), _key_texts(self.after))
        return [*facts, *grants, *(replace(each, field=f"key {each.field}") for each in keys)]


def record_in(tx: Transaction, record: RecordIn, caller: Caller, command: str, update: Update) -> None:
    """Put an update on record: an entry for what the holder is, and one for each of its grants and keys."""
    holder = update.after or update.before
    assert holder is not None  # noqa: S101  # there was or is one
    facts = [each for each in update.differences if " " not in each.field]
    if facts:
        intent = _intent(caller, command, Action.GRANT, holder.name)
        record(tx, intent.about(tuple(map(_line, facts))), Completion(Outcome.SUCCEEDED))
    for difference in update.differences:
        if difference not in facts:
            record(tx, _single(tx, caller, command, holder.name, difference), Completion(Outcome.SUCCEEDED))


def record_end_in(tx: Transaction, record: RecordIn, caller: Caller, command: str, alias: str, grant: Grant) -> None:
    """Put on record that a grant ends with its org, which is still there."""
    difference = Difference(f"grant {alias}", grant_text(grant.permissions, grant.until), NONE, grant)
    record(tx, _single(tx, caller, command, grant.holder, difference), Completion(Outcome.SUCCEEDED))


def record_sessions_in(
    tx: Transaction, record: RecordIn, caller: Caller, command: str, principal: str, sessions: Iterable[str], why: str
) -> None:
    """Put on record that sign-in sessions of a principal have ended: an entry for each."""
    for session_id in sessions:
        intent = _intent(caller, command, Action.KEY, principal)
        record(tx, intent.about((f"session:{session_id}", f"why:{why}")), Completion(Outcome.SUCCEEDED))


def key_text(key: ApiKey) -> str:
    """Whether a key was revoked, and its end."""
    return "revoked" if key.revoked_at is not None else f"active{end_text(key.until)}"


def _single(tx: Transaction, caller: Caller, command: str, holder: str, difference: Difference) -> Intent:
    kind, _, name = difference.field.partition(" ")
    intent = structs.replace(
        _intent(caller, command, Action.GRANT if kind == "grant" else Action.KEY, holder),
        fields=(_line(replace(difference, field=name)),),
    )
    row_id = difference.grant.row_id if difference.grant is not None else None
    org = org_rows.one_in(tx, row_id) if row_id is not None else None
    return intent if org is None else structs.replace(intent, org=org.alias, org_row=org.row_id, org_id=org.org_id)


def _intent(caller: Caller, command: str, action: Action, holder: str) -> Intent:
    return Intent(
        new_id(), caller.principal.name, caller.transport, action, tool=command, label=caller.label, object=holder
    )


def _line(difference: Difference) -> str:
    return f"{difference.field}:{difference.before}->{difference.after}"


def _facts(record: Record | None) -> dict[str, str]:
    if record is None:
        return {}
    if isinstance(record, GroupRecord):
        return {
            "group": "exists",
            "claim": record.claim or NONE,
            "members": _list(record.members),
            "claim_members": _list(record.claim_members),
        }
    return {
        "kind": record.kind,
        "state": "enabled" if record.enabled else "disabled",
        "roles": _list(sorted(record.roles)),
        "groups": _list(record.groups),
        "claim_groups": _list(record.claim_groups),
        "subjects": _list(f"{each.issuer} {each.subject}" for each in record.subjects),
        "limits": _list(record.limits.limits),
    }


def _grants(record: Record | None) -> tuple[Grant, ...]:
    return record.grants if record is not None else ()


def _texts(grants: Mapping[str, Grant]) -> dict[str, str]:
    return {selector: grant_text(grant.permissions, grant.until) for selector, grant in grants.items()}


def _key_texts(record: Record | None) -> dict[str, str]:
    return {key.id: key_text(key) for key in record.keys} if isinstance(record, PrincipalRecord) else {}


def _list(words: Iterable[str]) -> str:
    return ", ".join(words) or NONE


def _differ(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    names = dict.fromkeys((*before, *after))
    pairs = [Difference(name, before.get(name, NONE), after.get(name, NONE)) for name in names]
    return [each for each in pairs if each.before != each.after]
