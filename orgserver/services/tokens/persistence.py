"""Where a token answer goes until the store has it: the store, a sealed file beside it, this process's memory.

Salesforce has spent the refresh token that was sent, so nobody else has the one that came back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orgserver.model.names import RowId
from orgserver.model.orgs import AccessToken, Org, OrgState
from orgserver.model.secret import Secret
from orgserver.services.tokens import failures
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

logger = logging.getLogger("orgserver.tokens")
_KEEP_TRYING = (0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Deposit:
    """What one answer changes in the store, and what must not be lost if the store does not take it."""

    org: Org
    fencing: int
    """Of the refresh token that was sent."""
    change: Callable[[Transaction], bool]
    """False where the store has gone on with another credential."""
    rotated: Secret | None
    access: AccessToken | None = None
    """None where it may not be used; ``state`` and ``cause`` say why."""
    state: OrgState | None = None
    cause: str | None = None


class Safekeeping:
    """Puts answers into the store, and holds on to those that it does not take."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unsaved: dict[RowId, tuple[Deposit, Path | None]] = {}

    def holds(self, org: Org) -> bool:
        """Whether an answer for this org is still not in the store."""
        return org.row_id in self._unsaved

    async def put(self, deposit: Deposit) -> bool:
        """Store an answer; False if the org was given another credential meanwhile.

        Raises StoreAway once the answer is as safe as it can be and the store still does not take it.
        """
        try:
            return await self._store.database.write(deposit.change)
        except Exception as error:  # noqa: BLE001  # whatever it is, the answer must not be lost with it
            kind = type(error).__name__
            logger.error("a token answer could not be stored (%s)", kind, extra={"org": deposit.org.alias})  # noqa: TRY400
        return await self._rescue(deposit)

    async def put_again(self, org: Org) -> Deposit | None:
        """Store the answer that this process holds; None if the store has gone on without it. Raises StoreAway."""
        deposit, path = self._unsaved[org.row_id]
        try:
            stored = await self._store.database.write(deposit.change)
        except Exception as error:
            raise failures.away(org) from error
        self._unsaved.pop(org.row_id, None)
        await _discard(path)
        return deposit if stored else None

    async def _rescue(self, deposit: Deposit) -> bool:
        """Seal an answer beside the store, go on trying, and only then say so."""
        org = deposit.org
        path = await self._sealed_beside(deposit)
        for pause in _KEEP_TRYING:
            await asyncio.sleep(pause)
            with suppress(Exception):
                stored = await self._store.database.write(deposit.change)
                await _discard(path)
                return stored
        self._unsaved[org.row_id] = (deposit, path)
        kept = f"sealed in {path.name}" if path else "kept in this process's memory: do not stop it"
        logger.error("a rotated refresh token of %s is not in the store yet; it is %s", org.alias, kept)
        raise failures.away(org)

    async def _sealed_beside(self, deposit: Deposit) -> Path | None:
        """The rescue file; None if there is none, as a full disk may refuse it too."""
        if deposit.rotated is None:
            return None
        with suppress(OSError):
            return await asyncio.to_thread(
                self._store.rescue.keep,
                deposit.org.row_id,
                deposit.fencing,
                deposit.rotated,
                deposit.access,
                state=deposit.state,
                cause=deposit.cause,
            )
        return None


async def _discard(path: Path | None) -> None:
    if path is not None:
        await asyncio.to_thread(path.unlink, missing_ok=True)
