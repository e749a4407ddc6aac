"""What may never be shown: a value that cannot be printed, compared, copied or pickled by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """A text that is opened with ``reveal()`` at the line that needs it, and nowhere else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("a secret may not be empty")
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def same_as(self, other: Secret) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> str:
        return "Secret(…)"

    def __format__(self, spec: str) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.same_as(other)

    def __hash__(self) -> NoReturn:  # a hash of a secret in a set would outlive its use
        raise TypeError("secrets are not hashable")

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled or copied")
