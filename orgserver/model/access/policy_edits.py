"""What options or a file change of a policy, limit by limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from orgserver.model.access.policies import ObjectRule, Policy, join_names, join_rules, rules_by_object

RULE_LISTS = ("allow_objects", "deny_objects")
FIELD_LISTS = ("hide_fields", "mask_fields")


@dataclass(frozen=True, slots=True)
class PolicyEdit:
    """A change of a policy: limits that get another value, then items that leave a list, then items that join one."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """By limit, what it is to be."""
    removed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    added: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @classmethod
    def replacing(cls, policy: Policy) -> PolicyEdit:
        """Have every limit be as this policy says."""
        return cls({each.name: getattr(policy, each.name) for each in fields(policy)})

    @property
    def is_whole(self) -> bool:
        """Whether it names every limit."""
        return len(self.values) == len(fields(Policy))

    def __bool__(self) -> bool:
        return bool(self.values or self.removed or self.added)

    def apply(self, policy: Policy) -> Policy:
        """The policy with the change; limits that it does not name stay."""
        edited = replace(policy, **self.values)
        for name, items in self.removed.items():
            values: dict[str, Any] = {name: _remove(getattr(edited, name), items)}
            edited = replace(edited, **values)
        for name, items in self.added.items():
            values = {name: _add(name, getattr(edited, name), items)}
            edited = replace(edited, **values)
        return edited

    def absent_from(self, policy: Policy) -> dict[str, tuple[str, ...]]:
        """By list, the items that are to leave it and are not in it."""
        absent = {
            name: tuple(str(item) for item in items if _remove(getattr(policy, name), (item,)) == getattr(policy, name))
            for name, items in self.removed.items()
        }
        return {name: items for name, items in absent.items() if items}


def _add(name: str, items: tuple[Any, ...] | None, new: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list with more items. What is allowed of an object is what was said last; denials of it add up."""
    if name in FIELD_LISTS:
        return join_names(new, items or ())
    if name == "allow_objects":
        named = rules_by_object(new)
        items = tuple(rule for rule in items or () if rule.object.casefold() not in named)
    return join_rules(new, items or ())


def _remove(items: tuple[Any, ...] | None, without: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A list without some of its items; of a rule, only the actions that leave."""
    if items is None:
        return None
    if not any(isinstance(item, ObjectRule) for item in items):
        names = {str(item).casefold() for item in without}
        return tuple(item for item in items if item.casefold() not in names)
    actions = {name: rule.actions for name, rule in rules_by_object(without).items()}
    rest = (ObjectRule(r.object, r.actions - actions.get(r.object.casefold(), frozenset())) for r in items)
    return tuple(rule for rule in rest if rule.actions)
