"""The secret of the one-time codes that people confirm with (RFC 6238), and which of them have been used.

All of it is one value, sealed under the master key: whoever can write the database but has no key can neither read the
secret nor forget wrong codes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.secret import Secret
from orgserver.store.calls import tables as call_tables
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Context, Key, key_id
from orgserver.vault.ring import Vault

_codes = call_tables.one_time_codes
_SEALED = select(_codes.c.sealed).where(_codes.c.id == 1)


@dataclass(frozen=True, slots=True)
class CodeState:
    """One-time codes that are set up. Times are microseconds since 1970 UTC."""

    secret: Secret
    """In base32, as authenticator apps take it."""
    set_up_at: int
    last_step: int
    """The time step of the newest code that was used: neither it nor an older one serves again."""
    wrong: int = 0
    """Wrong codes since the last right one, or since approvals were closed for them."""
    closed_until: int = 0


def state_in(tx: Transaction, vault: Vault, store_id: str) -> CodeState | None:
    """What is set up; None if nothing is."""
    sealed = tx.connection.execute(_SEALED).scalar()
    return _opened(vault, store_id, sealed) if sealed is not None else None


async def current_state(connection: AsyncConnection, vault: Vault, store_id: str) -> CodeState | None:
    """The same, outside a transaction."""
    sealed = (await connection.execute(_SEALED)).scalar()
    return _opened(vault, store_id, sealed) if sealed is not None else None


def save_in(tx: Transaction, vault: Vault, store_id: str, state: CodeState) -> None:
    """Write what is set up, in place of what was."""
    plain = {
        "secret": state.secret.reveal(),
        "set_up_at": state.set_up_at,
        "last_step": state.last_step,
        "wrong": state.wrong,
        "closed_until": state.closed_until,
    }
    sealed = vault.seal(json.dumps(plain).encode(), context(store_id))
    if tx.connection.execute(update(_codes).where(_codes.c.id == 1).values(sealed=sealed)).rowcount == 0:
        tx.connection.execute(insert(_codes).values(id=1, sealed=sealed))


def move_in(tx: Transaction, vault: Vault, store_id: str, to: Key) -> int:
    """Bring it under another master key; how many values that were."""
    sealed = tx.connection.execute(_SEALED).scalar()
    if sealed is None or key_id(sealed) == to.id:
        return 0
    where = context(store_id)
    moved = to.seal(vault.open(sealed, where), where)
    tx.connection.execute(update(_codes).where(_codes.c.id == 1).values(sealed=moved))
    return 1


def context(store_id: str) -> Context:
    """Where it belongs."""
    return Context(store_id, _codes.name, "sealed")


def _opened(vault: Vault, store_id: str, sealed: bytes) -> CodeState:
    plain = json.loads(vault.open(sealed, context(store_id)))
    return CodeState(Secret(plain.pop("secret")), **plain)
