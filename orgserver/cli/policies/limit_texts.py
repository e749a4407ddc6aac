"""Limits, and changes of them, in the words that a person reads."""

from __future__ import annotations

from orgserver.model.access.limit_changes import LimitChange
from orgserver.model.access.policies import CONFIRM_ABOVE, EVERY_ACTION, SWITCHES, ObjectRule, Policy, option


def limit_lines(policy: Policy) -> list[str]:
    """Every limit, in the words of the option that sets it; of a list, a line for each item."""
    lines: list[str] = []
    for name, value in policy.facts().items():
        items = value if isinstance(value, list) else ["" if value is True else value]
        lines += [f"{option(name)} {item}".rstrip() for item in items or ["nothing"]]
    return lines


def brief(policy: Policy) -> str:
    """Every limit in few words: of a list with several items, how many."""
    texts = policy.texts()
    counts = {name: len(value) for name, value in policy.facts().items() if isinstance(value, list)}
    words = [(option(name), text if counts.get(name, 1) <= 1 else f"×{counts[name]}") for name, text in texts.items()]  # noqa: RUF001
    return ", ".join(f"{name} {text}".rstrip() for name, text in words)


def change_lines(before: Policy, after: Policy) -> list[str]:
    """What is another than it was, a line each: ``row-limit 50 → 20``."""
    return [_line(change) for change in before.changes(after)]


def loosening_lines(before: Policy, after: Policy) -> list[str]:
    """Of what is another, the limits that are taken away or widened."""
    loosened = before.loosened_by(after)
    return [_line(change) for change in before.changes(after) if option(change.name) in loosened]


def contradictions(policy: Policy) -> list[tuple[str, str, str]]:
    """Rules of which one forbids what another allows: the limit and item that lose, and what holds."""
    denied = {rule.object.casefold(): rule.actions for rule in policy.deny_objects}
    texts: list[tuple[str, str, str]] = []
    for rule in policy.allow_objects or ():
        both = rule.actions & denied.get(rule.object.casefold(), frozenset())
        if both and (both == rule.actions or rule.actions != EVERY_ACTION):
            words = f"{ObjectRule(rule.object, both)} is both allowed and denied: it is denied"
            texts.append(("allow_objects", rule.object, words))
    hidden = {name.casefold() for name in policy.hide_fields}
    masked = (name for name in policy.mask_fields if name.casefold() in hidden)
    texts += [("mask_fields", name, f"{name} is both hidden and masked: it is hidden") for name in masked]
    return texts


def _line(change: LimitChange) -> str:
    nothing = _nothing(change)
    return f"{option(change.name)} {change.before or nothing} → {change.after or nothing}"


def _nothing(change: LimitChange) -> str:
    """What holds where a limit says nothing."""
    if change.name == "confirm_above":
        return str(CONFIRM_ABOVE)
    return "no" if change.name in SWITCHES else "none"
