"""Parameters of a request to an OAuth endpoint, each of which may be there once (RFC 6749 §3.1, §3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

LONGEST = 2_048
"""Characters of one value."""
LONGEST_STATE = 1_024
LONGEST_CODE = 4_096
"""A provider's may be long: Entra's are."""
_LONGEST = {"state": LONGEST_STATE, "code": LONGEST_CODE}
_MANY = frozenset({"resource"})
"""RFC 8707 lets a client name several."""
_FIRST, _LAST = 0x20, 0x7E


class BadParameters(Exception):
    """Parameters that no client may send."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Parameters:
    """Values by name; those without a value count as missing."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def one(self, name: str) -> str | None:
        """The value of a parameter; None where it is not there."""
        values = self._values.get(name)
        return values[0] if values else None

    def all(self, name: str) -> tuple[str, ...]:
        """The values of a parameter that may be there several times."""
        return tuple(self._values.get(name, ()))


def read_parameters(pairs: Iterable[tuple[str, str]]) -> Parameters:
    """Read what came; BadParameters for one that came twice, is too long, or holds what no parameter may hold."""
    values: dict[str, list[str]] = {}
    counts = Counter()  # type: Counter[str]
    for name, value in pairs:
        counts[name] += 1
        if counts[name] > 1 and name not in _MANY:
            raise BadParameters(f"{_shown(name)} came more than once")
        if len(value) > _LONGEST.get(name, LONGEST):
            raise BadParameters(f"{_shown(name)} is too long")
        if not all(_FIRST <= ord(each) <= _LAST for each in value):
            raise BadParameters(f"{_shown(name)} holds characters that it may not hold")
        if value:
            values.setdefault(name, []).append(value)
    return Parameters(values)


def _shown(name: str) -> str:
    """A parameter's name, where it is one that a sentence may hold."""
    is_plain = name.isascii() and name.replace("_", "").isalnum() and len(name) <= 64  # noqa: PLR2004  # a name of any RFC
    return name if is_plain else "a parameter"
