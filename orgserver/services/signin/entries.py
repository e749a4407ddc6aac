"""What is put on record of sign-in, in the transaction that changes something. Never a token, a code or a state."""

from __future__ import annotations

from collections.abc import Mapping

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.model.text import replace_unsafe
from orgserver.store.audit.log import AuditLog
from orgserver.store.transaction import Transaction

SIGN_IN, SIGN_OUT, REVOKE_SESSION = "sign-in", "sign-out", "revoke-session"
"""What did something, as entries name it."""
ME_LABEL = "me"
"""Of the entries of what people do at ``/me``."""


def record_in(
    tx: Transaction,
    log: AuditLog,
    principal: str,
    action: Action,
    tool: str,
    *,
    object_name: str | None = None,
    facts: Mapping[str, str | None] | None = None,
    outcome: Outcome = Outcome.SUCCEEDED,
    label: str | None = None,
) -> None:
    """Put something that is over on record: ``tool`` is what did it: ``SIGN_IN``, ``consent`` …

    ``facts`` become ``name:value`` of an entry's fields; those without a value are left out.
    """
    fields = tuple(f"{name}:{replace_unsafe(value)}" for name, value in (facts or {}).items() if value)
    intent = Intent(new_id(), principal, "http", action, tool=tool, object=object_name, fields=fields, label=label)
    log.record_in(tx, intent, Completion(outcome))
