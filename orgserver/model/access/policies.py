"""What limits an org, whoever calls, and what limits a principal wherever it calls: one form for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import Any, Literal

from orgserver.model.access.hours import Hours
from orgserver.model.access.limit_changes import LimitChange, compare

ObjectAction = Literal["read", "create", "update", "delete"]
OBJECT_ACTIONS: tuple[ObjectAction, ...] = ("read", "create", "update", "delete")
EVERY_ACTION: frozenset[ObjectAction] = frozenset(OBJECT_ACTIONS)
CONFIRM_ABOVE = 200
"""More records than this are changed by one call only when a person says so, where no policy says another number."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectRule:
    """An object, by its API name, and the actions on it that a rule is about: ``Contact:read,create``."""

    object: str
    actions: frozenset[ObjectAction] = EVERY_ACTION

    def __str__(self) -> str:
        if self.actions == EVERY_ACTION:
            return self.object
        return f"{self.object}:{','.join(action for action in OBJECT_ACTIONS if action in self.actions)}"


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits. Each can only take away, so two policies together are the strictest of both."""

    read_only: bool = False
    confirm_deletes: bool = False
    keep_values: bool = False
    """What changes replace is kept, sealed, so that they can be undone."""
    allow_objects: tuple[ObjectRule, ...] | None = None
    """Nothing but these; None: every object."""
    deny_objects: tuple[ObjectRule, ...] = ()
    """These not, whatever is allowed."""
    hide_fields: tuple[str, ...] = ()
    """``Object.Field``: never shown, compared, written or told of."""
    mask_fields: tuple[str, ...] = ()
    """``Object.Field``: shown in part, and never compared."""
    row_limit: int | None = None
    """The most records that one query may give, over all its pages."""
    confirm_above: int | None = None
    """A change of more records than this needs a person; None: ``CONFIRM_ABOVE``."""
    api_budget: int | None = None
    """Calls of the org's API that agents may use up in a day (UTC); a principal's own counts its calls in each org."""
    hours: tuple[Hours, ...] = ()
    """When agents may work; all of them must hold, each in one of its spans."""

    def strictest(self, other: Policy) -> Policy:
        """Every limit of either; keeping what changes replace counts as one, for it makes them answerable."""
        return Policy(
            read_only=self.read_only or other.read_only,
            confirm_deletes=self.confirm_deletes or other.confirm_deletes,
            keep_values=self.keep_values or other.keep_values,
            allow_objects=_common(self.allow_objects, other.allow_objects),
            deny_objects=join_rules(self.deny_objects, other.deny_objects),
            hide_fields=join_names(self.hide_fields, other.hide_fields),
            mask_fields=join_names(self.mask_fields, other.mask_fields),
            row_limit=_least(self.row_limit, other.row_limit),
            confirm_above=_least_confirm(self.confirm_above, other.confirm_above),
            api_budget=_least(self.api_budget, other.api_budget),
            hours=tuple(sorted({*self.hours, *other.hours}, key=str)),
        )

    def limited_by(self, own: Policy) -> Policy:
        """These limits of an org together with a principal's own, which say nothing where they have no number."""
        if own == _NO_LIMITS:
            return self
        return self.strictest(own if own.confirm_above is not None else replace(own, confirm_above=self.confirm_above))

    @property
    def limits_data(self) -> bool:
        """Whether it matters which objects and fields a call touches."""
        return bool(self.allow_objects is not None or self.deny_objects or self.hide_fields or self.mask_fields)

    @property
    def limits(self) -> tuple[str, ...]:
        """What is limited, in the words of the options that set it, with its value where it has one."""
        return tuple(f"{option(name)}{value and ' '}{value}" for name, value in self.texts().items())

    def texts(self) -> dict[str, str]:
        """By field, the value of each limit as people read it; empty for what is on or off."""
        facts = self.facts()
        return {name: "" if value is True else _text(value) for name, value in facts.items()}

    def facts(self) -> dict[str, Any]:
        """What is limited, as plain values: what the store keeps, and a policy file holds. ``read`` is the way back."""
        plain = {name: _plain(getattr(self, name)) for name in _FIELDS}
        return {n: value for n, value in plain.items() if value is not None and (value != [] or n == "allow_objects")}

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Policy:
        """Read plain values; ValueError names what is wrong, and a limit that this version does not know."""
        unknown = sorted(set(facts) - set(_FIELDS))
        if unknown:
            raise ValueError(f"{unknown[0]} is no limit; there are {', '.join(_FIELDS)}")
        return cls(**{name: _READERS[name](name, value) for name, value in facts.items() if value is not None})

    def loosened_by(self, other: Policy) -> tuple[str, ...]:
        """Which of these limits another policy takes away or widens, in the words of the options that set them."""
        after = _explicit(other.strictest(other))  # in the one order that ``strictest`` gives
        both = _explicit(self).strictest(after)
        if all(any(later.is_within(hours) for later in after.hours) for hours in self.hours):
            both = replace(both, hours=after.hours)  # narrower by the same clock
        return tuple(option(name) for name in _FIELDS if getattr(both, name) != getattr(after, name))

    def changes(self, other: Policy) -> tuple[LimitChange, ...]:
        """What is another in ``other``; of two lists, item by item."""
        return tuple(change for name in _FIELDS for change in compare(name, getattr(self, name), getattr(other, name)))

    def changed_to(self, other: Policy) -> tuple[str, ...]:
        """What is another in ``other``, in the words of the audit log: ``no_keep_values``, ``row_limit:50->20``."""
        return tuple(str(change) for change in self.changes(other))


def option(name: str) -> str:
    """A limit in the words of the option that sets it: ``hide-field`` for ``hide_fields``."""
    return _SINGULAR.get(name, name).replace("_", "-")


def read_object_rule(text: str) -> ObjectRule:
    """Read ``Contact`` or ``Contact:read,create``; ValueError says what is wrong."""
    from orgserver.model.names import sobject  # noqa: PLC0415  # names read policies' parts nowhere

    name, colon, actions = text.partition(":")
    words = [word.strip() for word in actions.split(",")] if colon else list(OBJECT_ACTIONS)
    unknown = [word for word in words if word not in OBJECT_ACTIONS]
    if unknown:
        raise ValueError(f"{unknown[0] or 'an empty word'} is no action; there are {', '.join(OBJECT_ACTIONS)}")
    return ObjectRule(sobject(name.strip()), frozenset(each for each in OBJECT_ACTIONS if each in words))


def read_policy_field(text: str) -> str:
    """Read ``Object.Field``; ValueError says what is wrong."""
    from orgserver.model.names import is_field, sobject  # noqa: PLC0415

    name, dot, field_name = text.strip().partition(".")
    if not dot or not is_field(field_name):
        raise ValueError("a field is named with its object, such as Contact.Email")
    return f"{sobject(name)}.{field_name}"


SWITCHES = ("read_only", "confirm_deletes", "keep_values")
"""Limits that are on or off."""
_NO_LIMITS = Policy()
_FIELDS = tuple(each.name for each in fields(Policy))
_SINGULAR = {
    "allow_objects": "allow_object",
    "deny_objects": "deny_object",
    "hide_fields": "hide_field",
    "mask_fields": "mask_field",
}


def _read_switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is true or false")  # noqa: TRY004  # what people wrote, not what code gave
    return value


def _read_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is a whole number from 0")
    return value


def _list_reader(read: Callable[[str], Any]) -> Callable[[str, Any], tuple[Any, ...]]:
    def read_list(name: str, value: Any) -> tuple[Any, ...]:
        if (
            isinstance(value, str)
            or not isinstance(value, Iterable)
            or not all(isinstance(each, str) for each in value)
        ):
            raise ValueError(f"{name} is a list of texts")
        return tuple(map(read, value))

    return read_list


def _read_rules(name: str, value: Any) -> tuple[ObjectRule, ...]:
    return join_rules(_list_reader(read_object_rule)(name, value), ())


def _read_fields(name: str, value: Any) -> tuple[str, ...]:
    return join_names(_list_reader(read_policy_field)(name, value), ())


def _read_hours(name: str, value: Any) -> tuple[Hours, ...]:
    return _list_reader(Hours.read)(name, [value] if isinstance(value, str) else value)


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "read_only": _read_switch,
    "confirm_deletes": _read_switch,
    "keep_values": _read_switch,
    "allow_objects": _read_rules,
    "deny_objects": _read_rules,
    "hide_fields": _read_fields,
    "mask_fields": _read_fields,
    "row_limit": _read_number,
    "confirm_above": _read_number,
    "api_budget": _read_number,
    "hours": _read_hours,
}


def _plain(value: Any) -> Any:
    """A value as JSON and YAML hold it; None for what limits nothing."""
    if value is None or value is False:
        return None
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return value


def _text(value: Any) -> str:
    return (", ".join(value) or "nothing") if isinstance(value, list) else str(value)


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _least_confirm(one: int | None, other: int | None) -> int | None:
    """Where one of two says a number, the other's silence is the usual one."""
    if one is None and other is None:
        return None
    return min(CONFIRM_ABOVE if number is None else number for number in (one, other))


def join_names(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    """Names of either, each once whatever its case, sorted."""
    return tuple(sorted({name.casefold(): name for name in (*other, *one)}.values(), key=str.casefold))


def rules_by_object(rules: Iterable[ObjectRule]) -> dict[str, ObjectRule]:
    """One rule for each object, whatever the case it is written in: every action of all of them."""
    found: dict[str, ObjectRule] = {}
    for rule in rules:
        before = found.get(rule.object.casefold())
        found[rule.object.casefold()] = ObjectRule(
            rule.object, rule.actions | (before.actions if before else frozenset())
        )
    return found


def join_rules(one: Iterable[ObjectRule], other: Iterable[ObjectRule]) -> tuple[ObjectRule, ...]:
    """Rules of either, one for each object."""
    rules = rules_by_object((*other, *one))
    return tuple(rules[name] for name in sorted(rules))


def _common(one: tuple[ObjectRule, ...] | None, other: tuple[ObjectRule, ...] | None) -> tuple[ObjectRule, ...] | None:
    """What both allow."""
    if one is None or other is None:
        return other if one is None else one
    mine, yours = rules_by_object(one), rules_by_object(other)
    common = {name: mine[name].actions & yours[name].actions for name in sorted(mine) if name in yours}
    return tuple(ObjectRule(mine[name].object, actions) for name, actions in common.items() if actions)


def _explicit(policy: Policy) -> Policy:
    """The same limits, with the number of records that need a person said."""
    return policy if policy.confirm_above is not None else replace(policy, confirm_above=CONFIRM_ABOVE)


def strictest(policies: Iterable[Policy]) -> Policy:
    """Every limit of all of them."""
    return reduce(Policy.strictest, policies, Policy())
