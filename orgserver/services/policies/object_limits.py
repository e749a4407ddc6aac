"""What of one object's records a policy hides, and what it masks: as what is refused when a call names it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from orgserver.model.access.acts import PathUse
from orgserver.model.access.policies import ObjectAction, ObjectRule, Policy
from orgserver.model.schema import Schema, SchemaLookup
from orgserver.services.policies.derived_fields import standard_siblings
from orgserver.services.policies.field_rules import first_refusal, is_object_allowed
from orgserver.services.policies.uses import MissingSchemas, resolve

_WRITING: tuple[ObjectAction, ...] = ("create", "update", "delete")
Verdict = Literal["shown", "hidden", "masked"]
ATTRIBUTES = "attributes"
"""Where a record says of which object it is."""
_IDENTITY = frozenset({ATTRIBUTES, "id", "type"})
"""What may be seen of a record of an object that may not be read."""
_MOST_NAMES = 5_000
_CUSTOM = ("__c", "__pc")
_CUSTOM_PATHS = (("__c", "__r"), ("__pc", "__pr"), ("Id", ""))
"""How a lookup's relationship is called, by the end of its name."""


@dataclass(frozen=True, slots=True)
class ObjectLimits:
    """What of an object's records may not be seen, by names in lower case, those of relationships too."""

    hidden: frozenset[str] = frozenset()
    masked: frozenset[str] = frozenset()
    is_denied: bool = False
    """Nothing may be seen but which record it is."""
    described: frozenset[str] | None = None
    """The fields that the org tells of. A custom one that is not among them may be a formula made since."""
    is_certain: bool = True
    """False where more describes may tell better."""

    _verdicts: dict[str, Verdict] = field(default_factory=dict, compare=False, repr=False)

    def judge(self, name: str) -> Verdict:
        """What becomes of a field of a record, by its name in any case; remembered, for records are many and alike."""
        verdict = self._verdicts.get(name)
        if verdict is None:
            lower = name.lower()
            is_hidden = self.hides(lower) or (self.is_denied and lower not in _IDENTITY)
            verdict = "hidden" if is_hidden and lower != ATTRIBUTES else "masked" if lower in self.masked else "shown"
            if len(self._verdicts) < _MOST_NAMES:
                self._verdicts[name] = verdict
        return verdict

    def hides(self, name: str) -> bool:
        """Whether a field, by its name in lower case, may not be seen."""
        if name in self.hidden:
            return True
        return self.described is not None and name.endswith(_CUSTOM) and name not in self.described


NOTHING = ObjectLimits()


def limit_by_schema(policy: Policy, schema: Schema, lookup: SchemaLookup) -> ObjectLimits:
    """What may not be seen of an object that the org has described: formulas and parts of what is hidden, too."""
    by_name = limit_by_names(policy, schema.name)
    hidden, masked, is_certain = set(by_name.hidden), set(by_name.masked), True
    if by_name.is_denied and any(is_object_allowed(policy, schema.name, action) for action in _WRITING):
        policy = _with_reading(policy, schema.name)  # whoever may write its records must know its fields
    for info in schema.fields:
        name = info.name.lower()
        if name == "id":
            continue
        try:
            shown = resolve((PathUse(schema.name, "read", shown=frozenset({info.name})),), lookup)
        except MissingSchemas:  # a formula of what lies behind objects that nobody has asked about
            hidden.add(name)
            is_certain = False
            continue
        if first_refusal(policy, shown) is not None:
            hidden.add(name)
        elif first_refusal(policy, [replace(use, compared=use.shown) for use in shown]) is not None:
            masked.add(name)
    for info in schema.fields:
        if info.relationship and info.name.lower() in hidden | masked:
            (hidden if info.name.lower() in hidden else masked).add(info.relationship.lower())
    described = frozenset(info.name.lower() for info in schema.fields)
    return ObjectLimits(frozenset(hidden), frozenset(masked - hidden), by_name.is_denied, described, is_certain)


def limit_by_names(policy: Policy, sobject: str) -> ObjectLimits:
    """The same of an object whose describe is not at hand: by what the names of fields tell."""
    hidden = _related(sobject, _own(policy.hide_fields, sobject))
    masked = _related(sobject, _own(policy.mask_fields, sobject))
    return ObjectLimits(hidden, masked - hidden, not is_object_allowed(policy, sobject))


def limit_any(policy: Policy) -> ObjectLimits:
    """What may not be seen of a record of which it is not told what it is."""
    hidden = {name.lower() for field in policy.hide_fields for name in _family(*field.split(".", 1))}
    masked = {name.lower() for field in policy.mask_fields for name in _family(*field.split(".", 1))}
    is_denied = policy.allow_objects is not None or any("read" in rule.actions for rule in policy.deny_objects)
    return ObjectLimits(frozenset(hidden), frozenset(masked - hidden), is_denied)


def _with_reading(policy: Policy, sobject: str) -> Policy:
    """The same policy, which says nothing against reading one object."""
    reading = ObjectRule(sobject, frozenset({"read"}))
    denied = (
        replace(rule, actions=rule.actions - reading.actions) if rule.object.lower() == sobject.lower() else rule
        for rule in policy.deny_objects
    )
    allowed = policy.allow_objects and (
        *(r for r in policy.allow_objects if r.object.lower() != sobject.lower()),
        reading,
    )
    return replace(policy, allow_objects=allowed, deny_objects=tuple(rule for rule in denied if rule.actions))


def _own(fields: Iterable[str], sobject: str) -> list[str]:
    pairs = (field.split(".", 1) for field in fields)
    return [name for owner, name in pairs if owner.lower() == sobject.lower()]


def _related(sobject: str, names: Iterable[str]) -> frozenset[str]:
    return frozenset(each.lower() for name in names for each in _family(sobject, name))


def _family(sobject: str, name: str) -> Iterable[str]:
    """A field, those that tell of it as far as names show that, and the path that goes on from it."""
    yield name
    yield from standard_siblings(sobject, name)
    yield from lookup_paths(name)


def lookup_paths(name: str) -> Iterable[str]:
    """The relationship's name that a lookup's own gives, if it has such a one."""
    for end, path_end in _CUSTOM_PATHS:
        stem = name[: -len(end)]
        if name.lower().endswith(end.lower()) and stem:
            yield f"{stem}{path_end}"
            return
