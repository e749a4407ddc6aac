"""How long the audit log is kept: what is pruned, and what is held back from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from orgserver.model.audit import EntryFilter
from orgserver.model.errors import AuditBroken, OperatorError
from orgserver.model.orgs import Caller
from orgserver.private_files import create, publish, staging_path
from orgserver.services.audit import evidence
from orgserver.services.audit.export import event_line
from orgserver.services.audit.export_files import write_text
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.audit.shipping.shipper import Shipper
from orgserver.store.audit import chain, holds, pruning, reader
from orgserver.store.audit.holds import Hold
from orgserver.store.audit.pruning import Cut
from orgserver.store.session import Store
from orgserver.store.transaction import to_microseconds

__all__ = ["Cut", "Hold", "Retention", "hold_json"]


class Retention:
    """Pruning and holds, for administrators."""

    def __init__(self, store: Store, shipper: Shipper | None = None) -> None:
        self._store = store
        self._shipper = shipper
        """What was shipped, where nothing may be pruned that was not."""

    async def plan(self, before: datetime) -> Cut:
        """What can be pruned of the events before an instant; OperatorError if nothing can, or a hold covers it."""
        await self._store.audit.catch_up()
        async with self._store.database.reading() as connection:
            cut = await pruning.plan(connection, self._store.id, to_microseconds(before))
            hold = await holds.find_hold(connection, cut.sequence) if cut is not None else None
        if cut is None:
            raise OperatorError(
                f"there is nothing to prune: no checkpoint before {before:%Y-%m-%d %H:%M} UTC has only ended entries",
                hint="the log is cut only at a checkpoint, and never through an entry; try a later --before",
            )
        if hold is not None:
            raise pruning.refuse_for_hold(hold)
        return cut

    async def check(self, progress: Callable[[int, int], None]) -> None:
        """See that the log holds, before any of it goes; AuditBroken if it does not."""
        result = await AuditLogReader(self._store).verify(progress)
        if result.problem is not None:
            raise AuditBroken(
                f"the audit log does not verify, so nothing was pruned: {result.problem} (sequence {result.first_bad})",
                hint="keep what is there as evidence: orgserver audit export --format events --output FILE",
            )

    async def check_shipped(self, cut: Cut) -> None:
        """See that what would be pruned lies where the log is shipped to, where that is the rule."""
        if self._shipper is None:
            return
        try:
            await self._shipper.prove(cut.base.sequence + 1, cut.sequence)
        except OperatorError as error:
            raise OperatorError(f"{error}; nothing was pruned (ship_before_prune)", hint=error.hint) from None

    async def export(self, caller: Caller, cut: Cut, output: Path) -> None:
        """Write what would be pruned to a new file, on the disk and verified; on record however it ends."""
        staging = staging_path(output)
        events = 0
        try:
            with create(staging) as raw, write_text(raw, output) as file:
                async for event in self.read_evidence(cut):
                    file.write(event_line(event) + "\n")
                    events += 1
            result = evidence.check_file(staging, self._store.audit.signer.verifier)
            if result.problem is not None or result.signed_to != cut.sequence or result.events != cut.events:
                problem = result.problem or "it is short"
                raise OperatorError(f"the export does not verify, so nothing was pruned: {problem}")
            publish(staging, output)
        except FileExistsError:
            raise OperatorError(f"{output} exists", hint="choose another name") from None
        except OSError as error:
            raise OperatorError(f"{output} cannot be written: {error.strerror or error}; nothing was pruned") from None
        finally:
            with suppress(OSError):
                staging.unlink(missing_ok=True)
            await AuditLogReader(self._store).record_export(caller, "audit prune --export", max(0, events - 1))

    async def read_evidence(self, cut: Cut) -> AsyncIterator[dict[str, Any]]:
        """The raw chain that would be pruned, and the checkpoint that it ends with."""
        after = cut.base.sequence
        while after < cut.sequence:
            async with self._store.database.reading() as connection:
                page, _ = await reader.read_events(connection, EntryFilter(), after, self._store.id)
            if not page:
                raise AuditBroken(f"entry {after + 1} was removed while the log was exported")
            for event in page:
                if event["sequence"] <= cut.sequence:
                    yield event
            after = page[-1]["sequence"]
        yield {"checkpoint": cut.note}

    async def prune(self, caller: Caller, cut: Cut, progress: Callable[[int, int], None]) -> None:
        """Remove what was planned, in steps after each of which the log verifies."""
        at = cut.base.sequence
        while at < cut.sequence:
            step = partial(pruning.step_in, log=self._store.audit, caller=caller, began=at, cut=cut.sequence)
            at = await self._store.database.write(step)
            progress(at - cut.base.sequence, cut.events)

    async def holds(self) -> list[Hold]:
        """Every hold."""
        async with self._store.database.reading() as connection:
            return await holds.list_holds(connection)

    async def hold(self, caller: Caller, name: str, entries: EntryFilter) -> None:
        """Place a hold, on record; OperatorError if there is one of this name."""
        step = partial(holds.add_hold_in, log=self._store.audit, caller=caller, name=name, entries=entries)
        if not await self._store.database.write(step):
            raise OperatorError(f"there is a hold {name!r} already", hint="orgserver audit hold --list shows it")

    async def release(self, caller: Caller, name: str) -> None:
        """Lift a hold, on record; OperatorError if there is none of this name."""
        step = partial(holds.release_hold_in, log=self._store.audit, caller=caller, name=name)
        if not await self._store.database.write(step):
            raise OperatorError(f"there is no hold {name!r}", hint="orgserver audit hold --list shows them")


def hold_json(hold: Hold) -> dict[str, Any]:
    """A hold as it is printed."""
    return {
        "name": hold.name,
        "principal": hold.principal,
        "time": chain.time_text(hold.time),
        "org": hold.org,
        "record_id": hold.record_id,
        "since": chain.time_text(hold.since) if hold.since is not None else None,
        "until": chain.time_text(hold.until) if hold.until is not None else None,
    }
