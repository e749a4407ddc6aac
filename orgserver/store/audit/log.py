"""The audit log: an intent before the act, one outcome after it, chained, and nothing ever changed.

An entry is an intent event and one outcome event. The first outcome wins; a later one is refused, and its caller gets
``unknown``. Intents whose process has fallen silent get the outcome ``unknown`` from whoever finds them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from sqlalchemy import select

from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.bulk import ResultBatch
from orgserver.model.errors import StoreAway, StoreBusy, StoreError
from orgserver.store import tables
from orgserver.store.audit import chain, checkpoints, index, result_parts
from orgserver.store.audit.chain import ChainAppender
from orgserver.store.audit.checkpoints import CHECKPOINT_US, CheckpointFile
from orgserver.store.audit.heartbeat import Heartbeat
from orgserver.store.calls import idempotency
from orgserver.store.calls.idempotency import Begun, IdempotencyKey
from orgserver.store.catalog_version import has_version_in
from orgserver.store.database import Database
from orgserver.store.people import api_usage
from orgserver.store.people.api_usage import CallBudget
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Key
from orgserver.vault.signed_notes import Signer

logger = logging.getLogger("orgserver.audit")


class AuditLog(ChainAppender):
    """Appends to the chain. Methods ``…_in`` are changes for a transaction; others are durable when they return."""

    def __init__(
        self,
        database: Database,
        key: Key,
        store_id: str,
        signer: Signer,
        *,
        heartbeat_us: int,
        abandoned_us: int,
        free_floor: int,
    ) -> None:
        super().__init__(database, key, store_id, signer)
        self._file = CheckpointFile(database.beside)
        self.checkpoint_file = self._file.path
        """The file beside the store."""
        self._heartbeat = Heartbeat(heartbeat_us, abandoned_us)
        self.process_id = self._heartbeat.process_id
        """This process, in every intent that it writes."""
        self._free_floor = free_floor
        self._pending: dict[str, CallBudget | None] = {}
        self._unwritten: dict[str, Callable[[Transaction], bool]] = {}

    # -- durable steps

    async def begin(
        self,
        intent: Intent,
        *,
        deadline: int,
        catalog_version: int,
        idempotency_key: IdempotencyKey | None = None,
        budget: CallBudget | None = None,
        spend: Callable[[Transaction], bool] | None = None,
        within: float | None = None,
    ) -> Begun:
        """Write the intent. StoreAway if it is not durable within so many seconds: then nothing may be sent.

        ``budget`` is what it may use up, if anything limits that; ``spend`` uses what lets the act pass. Both are asked
        in the same transaction; when one says no, nothing is written.
        """
        if self._unwritten:
            await self._write_unwritten(within)
        self._pending[intent.id] = budget
        try:
            begun: Begun = await self._database.write(
                lambda tx: self._begin_in(tx, intent, deadline, catalog_version, idempotency_key, budget, spend),
                within=within,
                late=partial(self._begun_late, intent.id),
                is_alone=len(self._pending) == 1,
            )
        except StoreBusy as error:
            self._pending.pop(intent.id, None)
            raise _away(error) from error
        except StoreError as error:
            self._pending.pop(intent.id, None)
            raise StoreAway(
                "the audit log cannot be written, so nothing was sent",
                hint=f"{error}; every call is refused until the store takes entries again",
            ) from error
        if begun.verdict != "begun":
            self._pending.pop(intent.id, None)
        return begun

    def _begun_late(self, entry_id: str, begun: Begun) -> None:
        """An intent went in after its caller was told that nothing was sent: that is its outcome."""
        if begun.verdict == "begun":
            completion = Completion(Outcome.NOT_SENT, error_code="STORE_BUSY")
            self._pending[entry_id] = None
            self._unwritten[entry_id] = lambda tx: self._finish_in(tx, entry_id, completion, None)

    async def finish(
        self, entry_id: str, completion: Completion, answer: bytes | None = None, *, within: float | None = None
    ) -> bool:
        """Write the outcome; False if another outcome was first, or if the store is away (then it is tried again).

        StoreBusy, and it is tried again too, if another process holds the store for longer than it may be waited for.
        """
        change = partial(self._finish_in, entry_id=entry_id, completion=completion, answer=answer)
        try:
            written = await self._database.write(change, within=within, is_alone=len(self._pending) <= 1)
        except StoreError as error:
            logger.error(  # noqa: TRY400  # where the store is away, a traceback tells nothing more
                "an outcome could not be written and is kept in memory: %s", error, extra={"entry": entry_id}
            )
            self._unwritten[entry_id] = change
            if isinstance(error, StoreBusy):
                raise
            return False
        self._pending.pop(entry_id, None)
        return written

    async def go_on(self, entry_id: str, deadline: int, number: int = 0, batches: Sequence[ResultBatch] = ()) -> bool:
        """Say that a long act is under way until another deadline, with results of its records so far.

        ``number``: how many parts there are already. False if the entry has its outcome: others took it for dead.
        """

        def change(tx: Transaction) -> bool:
            if not self._heartbeat.renew_in(tx, entry_id, deadline):
                return False
            for offset, part in enumerate(batches, 1):
                self._append(tx, result_parts.build_event(entry_id, number + offset, part, tx.now))
            return True

        return await self._database.write(change)

    async def record(self, intent: Intent, completion: Completion, *, within: float | None = None) -> None:
        """Write intent and outcome of something that sends nothing, or is already over; StoreAway if it cannot."""
        try:
            await self._write_unwritten(within)
            await self._database.write(lambda tx: self.record_in(tx, intent, completion), within=within)
        except StoreBusy as error:
            raise _away(error) from error
        except StoreError as error:
            raise StoreAway("the audit log cannot be written", hint=str(error)) from error

    async def run_heartbeat(self, interval: float, sweep: float) -> None:
        """Say that this process is alive, and look after the log, for as long as it lives; run as a task."""
        since_sweep = 0.0
        while True:
            await asyncio.sleep(interval)
            since_sweep += interval
            try:
                await self.beat()
                await self.look_after(interval / 2)  # the next must not come late
                if since_sweep >= sweep:
                    since_sweep = 0.0
                    await self.adopt()
            except StoreError as error:
                logger.warning("the store did not take a heartbeat: %s", error)

    async def beat(self) -> None:
        """Say that this process is alive, if it has intents that wait for their outcome."""
        if self._unwritten:
            try:
                await self._write_unwritten()
            except StoreAway:
                logger.warning("outcomes still wait to be written", extra={"count": len(self._unwritten)})
        if self._pending:
            await self._database.write(self._heartbeat.beat_in)

    async def look_after(self, seconds: float = 5.0, *, idle_us: int = CHECKPOINT_US) -> None:
        """Make a checkpoint if the last is older than ``idle_us``, and bring its file and the index up to date.

        Not much longer than so many ``seconds``: what the index lacks then, the next time or a search brings.
        """
        async with self._database.reading() as connection:
            due = await checkpoints.is_due(connection, self._database.clock(), idle_us)
        if due:
            await self._database.write(self._checkpoint_in)
        await self._file.follow(self._database)
        await index.catch_up_beside_calls(self._database, seconds)

    async def catch_up(self) -> None:
        """Bring what the log is searched by up to its end."""
        await index.catch_up(self._database)

    async def adopt(self) -> int:
        """Give the outcome ``unknown`` to intents whose process is silent or whose deadline is long past."""
        async with self._database.reading() as connection:
            waiting = (await connection.execute(select(tables.audit_pending.c.entry_id).limit(1))).first()
            has_old_use = await api_usage.has_old(connection, self._database.clock())
        if has_old_use:
            await self._database.write(api_usage.forget_old_in)
        if waiting is None:
            return 0
        return await self._database.write(self._adopt_in)

    async def leave(self) -> None:
        """Take this process off the list, when nothing of it waits."""
        with suppress(StoreAway):
            await self._write_unwritten()
        if self._heartbeat.beat_at and not self._unwritten:
            await self._database.write(self._heartbeat.leave_in)

    async def _write_unwritten(self, within: float | None = None) -> None:
        for entry_id, change in list(self._unwritten.items()):
            try:
                await self._database.write(change, within=within)
            except StoreBusy as error:
                raise _away(error) from error
            except StoreError as error:
                raise StoreAway(
                    "an earlier outcome cannot be written to the audit log, so nothing was sent", hint=str(error)
                ) from error
            self._unwritten.pop(entry_id, None)
            self._pending.pop(entry_id, None)

    # -- changes within a transaction

    def record_in(self, tx: Transaction, intent: Intent, completion: Completion) -> None:
        """Append an intent and its outcome at once."""
        self._append_intent(tx, intent, self.process_id)
        self._append_outcome(tx, intent.id, completion)

    def values_in(self, tx: Transaction, entry_id: str, digest: str) -> None:
        """Say that field values are kept for an entry."""
        self._append(tx, chain.values(entry_id, digest, tx.now))

    def _begin_in(
        self,
        tx: Transaction,
        intent: Intent,
        deadline: int,
        catalog_version: int,
        idempotency_key: IdempotencyKey | None,
        budget: CallBudget | None,
        spend: Callable[[Transaction], bool] | None,
    ) -> Begun:
        head = self._head(tx)
        if not has_version_in(tx, catalog_version):
            return Begun("catalog_changed")
        if "space" not in tx.state:
            tx.state["space"] = self._database.engine.free_bytes()
        if tx.state["space"] is not None and tx.state["space"] < self._free_floor:
            raise StoreError("the store's disk is almost full")
        if idempotency_key is not None:
            earlier = idempotency.begin_in(tx, intent, idempotency_key)
            if earlier is not None:
                return earlier
        use = budget.excess_in(tx) if budget is not None else None
        if use is not None or (spend is not None and not spend(tx)):
            idempotency.settle_in(tx, intent.id, Outcome.DENIED, None)  # the key is free: nothing was begun
            return Begun("spent" if use is None else "budget_used", use=use)
        self._append_intent(tx, intent, self.process_id)
        head.pending.append({"entry_id": intent.id, "process_id": self.process_id, "deadline": deadline})
        if abs(tx.now - self._heartbeat.beat_at) >= self._heartbeat.interval_us:
            self._heartbeat.beat_in(tx)
        return Begun("begun")

    def _finish_in(self, tx: Transaction, entry_id: str, completion: Completion, answer: bytes | None) -> bool:
        if not self._heartbeat.end_in(tx, entry_id):
            return False
        self._append_outcome(tx, entry_id, completion)
        budget = self._pending.get(entry_id)
        if budget is not None:
            budget.count_in(tx, completion.api_calls)
        if answer is not None or completion.outcome in idempotency.FREED:
            idempotency.settle_in(tx, entry_id, completion.outcome, answer)
        return True

    def _adopt_in(self, tx: Transaction) -> int:
        entries = self._heartbeat.find_abandoned_in(tx)
        for entry_id in entries:
            self._finish_in(tx, entry_id, Completion(Outcome.UNKNOWN, error_code="ABANDONED"), None)
            idempotency.settle_in(tx, entry_id, Outcome.UNKNOWN, None)
        self._heartbeat.forget_silent_in(tx)
        return len(entries)


def _away(error: StoreBusy) -> StoreAway:
    """A call that another process's lock keeps from being on record."""
    return StoreAway(str(error), code="STORE_BUSY", hint=f"nothing was sent; {error.hint or 'try again shortly'}")
