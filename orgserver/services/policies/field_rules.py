"""Which of the things that a call touches its policy forbids: objects and actions, hidden fields, masked fields."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from orgserver.model.access.acts import ANY_OBJECT, UNKNOWN, ObjectUse
from orgserver.model.access.policies import ObjectAction, ObjectRule, Policy
from orgserver.services.policies import derived_fields

_SHOWING_CONTACTS = frozenset({"account", "case"})
"""An account may be a person, and a case shows how its contact is reached."""
_SHOWN_OF_ANY = frozenset({"id", "type"})
"""Of a parent that may be of several objects, these tell what it is and no more."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call may not touch what it touches."""

    rule: str
    """``policy:hide-field Contact.Email``, ``policy:deny-object Contact``: for the audit log and for people."""
    code: str
    """``OBJECT_NOT_ALLOWED``, ``FIELD_NOT_ALLOWED`` or ``QUERY_NOT_UNDERSTOOD``."""
    message: str
    """What the agent is told; it must not say that a hidden field exists."""
    hint: str | None = None
    argument: str | None = None


def first_refusal(policy: Policy, uses: Sequence[ObjectUse]) -> Refusal | None:
    """The first thing that a policy forbids; None where it allows all of it."""
    rules = _Rules(policy)
    refused = [(use, refusal) for use in uses if (refusal := rules.refusal(use)) is not None]
    if not refused:
        return None
    labels = {use.via for use, _ in refused if use.via is not None}
    direct = [refusal for use, refusal in refused if use.via is None and not use.grouped]
    return (direct or [_with_group(uses, labels, rules, refused[0][1])])[0]


def is_object_allowed(policy: Policy, sobject: str, action: ObjectAction = "read") -> bool:
    """Whether a policy allows an action on an object."""
    return _Rules(policy).forbidding(sobject, action) is None


def limits_fields(policy: Policy, sobject: str) -> bool:
    """Whether a policy limits any field of an object, or of a contact whose fields it shows."""
    objects = {sobject.casefold()} | ({"contact"} if sobject.casefold() in _SHOWING_CONTACTS else set())
    if sobject.casefold() == "case" and not is_object_allowed(policy, "Contact"):
        return True
    limited = (*policy.hide_fields, *policy.mask_fields)
    return any(field.partition(".")[0].casefold() in objects for field in limited)


def is_searchable(policy: Policy, sobject: str) -> bool:
    """Whether a policy lets a standard object be searched by the names of its records.

    An account may be a person, whose name is its contact's.
    """
    uses = [ObjectUse(sobject, "read", compared=frozenset(derived_fields.name_search_fields(sobject)))]
    if sobject.casefold() == "account":
        parts = frozenset(derived_fields.NAME_PARTS)
        uses.append(ObjectUse("Contact", "read", compared=parts, is_copy=True))
    return first_refusal(policy, uses) is None


class _Rules:
    """A policy, ready to be asked."""

    def __init__(self, policy: Policy) -> None:
        self._allowed = None if policy.allow_objects is None else _actions(policy.allow_objects)
        self._denied = _actions(policy.deny_objects)
        self._hidden = _by_object(policy.hide_fields)
        self._masked = _by_object(policy.mask_fields)

    def forbidding(self, sobject: str, action: ObjectAction) -> str | None:
        """The rule that forbids an action on an object."""
        name = sobject.casefold()
        if name == ANY_OBJECT:
            return self._forbidding_any(action)
        if action in self._denied.get(name, ()):
            return f"policy:deny-object {sobject}"
        if self._allowed is not None and action not in self._allowed.get(name, ()):
            return "policy:allow-object"
        return None

    def _forbidding_any(self, action: ObjectAction) -> str | None:
        denied = next((name for name, actions in self._denied.items() if action in actions), None)
        if denied is not None:
            return f"policy:deny-object {denied}"
        return None if self._allowed is None else "policy:allow-object"

    def hidden(self, sobject: str, name: str) -> str | None:
        """The rule that hides a field, as it was written."""
        return _find(self._hidden, sobject, name)

    def refusal(self, use: ObjectUse) -> Refusal | None:
        """Whether what is touched of one object may be."""
        return self._object_refusal(use) or self._field_refusal(use)

    def _object_refusal(self, use: ObjectUse) -> Refusal | None:
        """Whether the object itself may be touched so."""
        if use.object == UNKNOWN:
            return _not_understood(use)
        if use.is_copy or (not use.is_certain and _tells_kind_alone(use)):
            return None
        rule = self.forbidding(use.object, use.action)
        if rule is None:
            return None
        if use.via is not None:
            return Refusal(rule, "OBJECT_NOT_ALLOWED", f"{use.via} may not be used in this org", argument=use.via)
        hint = "its administrator says which objects agents may use"
        if not use.is_certain:
            hint = "of a record that may be of several objects, Id and Type may be read"
        return Refusal(rule, "OBJECT_NOT_ALLOWED", f"{use.object} may not be {_PAST[use.action]} in this org", hint)

    def _field_refusal(self, use: ObjectUse) -> Refusal | None:
        """Whether each of the fields may be touched so."""
        if not use.is_certain and _tells_kind_alone(use):
            return None
        for name in _sorted(use.shown | use.compared | use.written):
            field = self.hidden(use.object, name)
            if field is not None:
                return _forbid(use, name, f"policy:hide-field {field}", "may not be used in this org")
        for name in _sorted(use.compared):
            field = _find(self._masked, use.object, name)
            if field is not None:
                what = "is shown in part in this org: records are not chosen, sorted, grouped or summed up by it"
                return _forbid(use, name, f"policy:mask-field {field}", what)
        for name in _sorted(use.written):
            field = _find(self._masked, use.object, name)
            if field is not None:
                return _forbid(use, name, f"policy:mask-field {field}", "is shown in part in this org, and not written")
        return None


_PAST: Mapping[ObjectAction, str] = {"read": "read", "create": "created", "update": "updated", "delete": "deleted"}


def _forbid(use: ObjectUse, name: str, rule: str, what: str) -> Refusal:
    label = use.via or f"{use.object}.{name}"
    hint = "its administrator says which fields agents may use"
    if use.searched:
        label, what = use.object, "cannot be searched in this org"
    return Refusal(rule, "FIELD_NOT_ALLOWED", f"{label} {what}", hint, label)


def _not_understood(use: ObjectUse) -> Refusal:
    path = use.via or _sorted(use.shown | use.compared | use.written)[0]
    return Refusal(
        "policy:not-understood",
        "QUERY_NOT_UNDERSTOOD",
        f"{path} leads nowhere that this org describes, so it cannot be judged by the org's limits",
        "salesforce_describe_object names fields and relationships",
        path,
    )


def _with_group(uses: Iterable[ObjectUse], labels: Container[str], rules: _Rules, first: Refusal) -> Refusal:
    """The refusal of FIELDS(), with what to name instead; else the first one as it is."""
    for use in uses:
        bad = {n for n in use.grouped if rules.hidden(use.object, n) is not None or f"{use.object}.{n}" in labels}
        if bad:
            names = ", ".join(_sorted(use.grouped - bad))
            message = f"FIELDS() stands for fields of {use.object} that may not be used in this org"
            return Refusal(first.rule, first.code, message, f"name fields instead: {names}", "soql")
    return first


def _tells_kind_alone(use: ObjectUse) -> bool:
    names = {name.lower() for name in use.shown | use.compared | use.written}
    return bool(names) and names <= _SHOWN_OF_ANY


def _find(fields: Mapping[str, Mapping[str, str]], sobject: str, name: str) -> str | None:
    """The rule's own spelling of a field that it names; Id always passes."""
    if sobject == ANY_OBJECT:
        return next((field for each in fields if (field := _find(fields, each, name)) is not None), None)
    names = fields.get(sobject.casefold())
    if not names or name.lower() == "id":
        return None
    if name == UNKNOWN:
        return next(iter(names.values()))
    return names.get(name.casefold())


def _actions(rules: Iterable[ObjectRule]) -> dict[str, frozenset[ObjectAction]]:
    return {rule.object.casefold(): rule.actions for rule in rules}


def _by_object(fields: Iterable[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for field in fields:
        sobject, _, name = field.partition(".")
        found.setdefault(sobject.casefold(), {})[name.casefold()] = field
    return found


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=str.casefold)
