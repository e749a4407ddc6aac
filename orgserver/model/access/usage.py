"""How much of an org's API agents have used up today, and how much they may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec


@dataclass(frozen=True, slots=True)
class ApiUse:
    """API calls of the present day (UTC) in one org."""

    org: int
    """By all agents."""
    principal: int
    """By those of the principal who calls."""


class ApiBudget(msgspec.Struct, frozen=True):
    """API calls that a day may have in one org; None where nothing limits them."""

    org: int | None = None
    """Of all agents together."""
    principal: int | None = None
    """Of the principal who calls."""

    @property
    def is_limited(self) -> bool:
        """Whether anything is counted at all."""
        return self.org is not None or self.principal is not None

    def used_up_by(self, use: ApiUse) -> Literal["org", "principal"] | None:
        """Whose part is used up; the org's is told before the principal's."""
        if self.org is not None and use.org >= self.org:
            return "org"
        if self.principal is not None and use.principal >= self.principal:
            return "principal"
        return None
