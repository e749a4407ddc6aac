"""How one limit became another, as people and the audit log read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_YES = "yes"


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit, or an item of its list, as it was and as it is; None: nothing is limited by it."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        """In the words of the audit log: ``read_only``, ``no_keep_values``, ``row_limit:50->20``."""
        if _YES in (self.before, self.after):
            return self.name if self.after else f"no_{self.name}"
        return f"{self.name}:{self.before or 'none'}->{self.after or 'none'}"


def compare(name: str, before: Any, after: Any) -> list[LimitChange]:
    """What is another in a limit's new value; of two lists, item by item."""
    if before == after:
        return []
    if isinstance(before, tuple) and isinstance(after, tuple):
        old, new = _by_key(before), _by_key(after)
        keys = (key for key in sorted({*old, *new}) if old.get(key) != new.get(key))
        return [LimitChange(name, old.get(key), new.get(key)) for key in keys]
    return [LimitChange(name, _text(before), _text(after))]


def _by_key(items: tuple[Any, ...]) -> dict[str, str]:
    """Items as texts, by what makes them the same item: of a rule, its object."""
    return {str(getattr(item, "object", item)).casefold(): str(item) for item in items}


def _text(value: Any) -> str | None:
    """A value on one line; None where it limits nothing."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "nothing"
    if value is None or value is False:
        return None
    return _YES if value is True else str(value)
