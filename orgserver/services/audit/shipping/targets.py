"""What a place is that the audit log is shipped to, and what is said where it cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orgserver.model.errors import OperatorError


class TargetError(OperatorError):
    """The place cannot be used now: one line that says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file at the place."""

    name: str
    size: int
    modified: float
    """When the place says that it was last written, in seconds of the place's own clock."""


class Target(Protocol):
    """A place whose files appear whole or not at all, and are never replaced. Each method may raise TargetError."""

    name: str
    """As people call it."""

    async def list_files(self) -> list[Listed]:
        """Every file that is there."""

    async def read(self, name: str) -> bytes | None:
        """What is in a file; None where there is none of this name."""

    async def add(self, name: str, content: bytes) -> bool:
        """Put a new file there, whole and for good; False where there is one of this name."""
