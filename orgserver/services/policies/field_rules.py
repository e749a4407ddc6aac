"""Whether a policy lets a call touch the objects and fields that it touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orgserver.model.access.acts import ObjectUse
from orgserver.model.access.policies import Policy


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call may not touch what it touches."""

    rule: str
    """``policy:hide-field Contact.Email``, ``policy:deny-object Contact``: for the audit log and for people."""
    code: str
    """``OBJECT_NOT_ALLOWED`` or ``FIELD_NOT_ALLOWED``."""
    message: str
    """What the agent is told; it must not say that a hidden field exists."""
    hint: str | None = None


def first_refusal(policy: Policy, uses: Sequence[ObjectUse]) -> Refusal | None:
    """The first use that the policy forbids; until rules are told apart, all are where anything is limited."""
    if not policy.limits_data or not uses:
        return None
    return Refusal("policy:objects", "OBJECT_NOT_ALLOWED", f"{uses[0].object} is limited by this org's policy")
