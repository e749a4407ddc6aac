"""What happened: reading, verifying and exporting the audit log, in constant memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from orgserver.model.audit import Action, AuditEntry, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import AuditBroken, OperatorError, OrgserverError, StoreError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.services.audit import export
from orgserver.store.audit import checkpoints, reader, result_parts
from orgserver.store.audit.anchors import Anchors, find_start
from orgserver.store.audit.verification import CHECKS, Verification
from orgserver.store.session import Store
from orgserver.vault.signed_notes import BadNote, Checkpoint

T = TypeVar("T")
_LOOK_BACK = 1_000
"""Entries of one record among which the first use of an idempotency key is looked for."""
_NAMED = 3
"""Ids that an error names."""


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What a verification came to."""

    events: int
    entries: int
    checks: tuple[str, ...]
    first_bad: int | None = None
    problem: str | None = None
    since: int = 0
    """The sequence that the verification went on from."""


def refuse_ambiguous(beginning: str, what: str, ids: Sequence[str]) -> OperatorError:
    """The error for an id that is not whole and could be one of several."""
    named = ", ".join(ids[:_NAMED])
    more = " and others" if len(ids) > _NAMED else ""
    return OperatorError(f"{beginning} is the beginning of several {what}: {named}{more}", hint="give more of the id")


class AuditLogReader:
    """The audit log, for administrators."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def newest(self, criteria: EntryFilter, limit: int) -> list[AuditEntry]:
        """The latest entries, newest first."""
        await self._store.audit.catch_up()
        async with self._store.database.reading() as connection:
            return await reader.read_newest(connection, criteria, limit)

    async def entry(self, id_: str) -> AuditEntry | None:
        """One entry by its id, or by what only its id begins with; OperatorError if several do."""
        await self._store.audit.catch_up()
        async with self._store.database.reading() as connection:
            ids = await reader.find_ids(connection, id_.lower(), _NAMED + 1) if id_ else []
            if len(ids) > 1:
                raise refuse_ambiguous(id_, "audit entries", ids)
            return await reader.find_entry(connection, ids[0]) if ids else None

    async def find_repeated(self, repeat: AuditEntry) -> list[AuditEntry]:
        """The entries that a repeat was answered from, of which it is one: several only where upserts are alike."""
        call = EntryFilter(
            principal=repeat.principal,
            tool=repeat.tool,
            action=repeat.action,
            object=repeat.object,
            record_id=next(iter(repeat.record_ids), None),
            outcome=Outcome.SUCCEEDED,
        )
        same = (repeat.org_id, repeat.fields, repeat.undoes)
        return [
            each
            for each in await self.newest(call, _LOOK_BACK)
            if each.sequence < repeat.sequence
            and not each.is_repeat
            and (each.org_id, each.fields, each.undoes) == same
        ]

    async def find_record_id(self, beginning: str) -> str:
        """The id of the one record in the log whose id begins so; OperatorError if there is none, or several are."""
        await self._store.audit.catch_up()
        async with self._store.database.reading() as connection:
            ids = await reader.find_record_ids(connection, beginning, _NAMED + 1)
        if len(ids) > 1:
            raise refuse_ambiguous(beginning, "records", ids)
        if not ids:
            raise OperatorError(
                f"no record in the audit log has an id that begins with {beginning}", hint="give the whole id"
            )
        return ids[0]

    async def counts(self, entry: AuditEntry) -> dict[str, int]:
        """How many records of a large change came out how, as far as its parts say; empty for any other entry."""
        if entry.action != Action.BULK:
            return {}
        async with self._store.database.reading() as connection:
            counts, number = await result_parts.count_results(connection, entry.id)
        return {"succeeded": counts.succeeded, "failed": counts.failed, "unknown": counts.unknown, "parts": number}

    async def head(self) -> int:
        """The sequence of the newest event."""
        async with self._store.database.reading() as connection:
            return await reader.read_head(connection)

    async def completed(self, after: int, criteria: EntryFilter) -> tuple[list[AuditEntry], int]:
        """Entries that ended after a sequence, in the order in which they did, and the sequence to go on from."""
        await self._store.audit.catch_up()
        async with self._store.database.reading() as connection:
            return await reader.read_completed(connection, after, criteria)

    async def entries(self, criteria: EntryFilter) -> AsyncIterator[AuditEntry]:
        """Every entry, oldest first, in short read transactions."""
        await self._store.audit.catch_up()
        after = 0
        while True:
            async with self._store.database.reading() as connection:
                page, last = await reader.read_page(connection, criteria, after)
            for entry in page:
                yield entry
            if last is None:
                return
            after = last

    async def lines(self, criteria: EntryFilter, format_: str) -> AsyncIterator[list[str]]:
        """Every entry as a line of ``jsonl``, ``csv`` or ``ocsf``, oldest first, a page at a time."""
        async for page in export.render_pages(self._store, criteria, format_):
            yield page

    async def pages(self, criteria: EntryFilter, shape: export.Shape[T]) -> AsyncIterator[T]:
        """Every entry, oldest first, in pages of another form."""
        async for page in export.read_pages(self._store, criteria, shape):
            yield page

    async def events(self, criteria: EntryFilter) -> AsyncIterator[dict[str, Any]]:
        """The raw chain within a span of time: the evidence, with the newest checkpoint of the span last."""
        with suppress(OrgserverError):  # a log that was tampered with is evidence too, and takes no checkpoint
            await self._store.audit.look_after(idle_us=0)  # so that all that is there now is under a signature
        first, after = 0, 0
        while True:
            async with self._store.database.reading() as connection:
                page, last = await reader.read_events(connection, criteria, after, self._store.id)
            for event in page:
                first, after = first or event["sequence"], event["sequence"]
                yield event
            if last is None:
                break
        async with self._store.database.reading() as connection:
            note = await checkpoints.read_newest(connection, first, after)
        if note is not None:
            yield {"checkpoint": note}

    async def verify(
        self,
        progress: Callable[[int, int], None] = lambda _events, _total: None,
        *,
        external: Sequence[str] = (),
        since_checkpoint: bool = False,
    ) -> VerificationResult:
        """Check every event of the chain, what it is searched by, its head and its checkpoints.

        ``external`` are checkpoints that were kept elsewhere; ``since_checkpoint`` begins at the last good one.
        Raises AuditBroken for a note that this store did not sign.
        """
        log = self._store.audit
        state = Verification(
            self._store.id,
            log.mac,
            log.open_head,
            Anchors(log.signer.verifier, [self._read_checkpoint(note) for note in external]),
            self._store.orgs.credentials.open_value,
        )
        if since_checkpoint:
            with suppress(StoreError):  # an entry that was edited beyond reading is for the check itself to find
                await log.catch_up()
            async with self._store.database.reading() as connection:
                start = await find_start(connection, log.signer.verifier)
            state.sequence, state.hash = start if start is not None else (0, b"")
        began = state.sequence
        async with self._store.database.reading() as connection:
            total = await reader.read_head(connection)
        run = partial(state.run, progress=lambda events: progress(events, total))
        await self._store.database.scan(run)
        return VerificationResult(state.events, state.intents, CHECKS, state.first_bad, state.problem, began)

    def _read_checkpoint(self, note: str) -> Checkpoint:
        try:
            return self._store.audit.signer.verifier.checkpoint(note)
        except BadNote as bad:
            raise AuditBroken(
                f"a checkpoint cannot be compared with this log: {bad}",
                hint=f"this log signs as {self._store.audit.signer.origin}",
            ) from None

    @property
    def public_key(self) -> str:
        """The key that checks this log's checkpoints, as C2SP writes it."""
        return str(self._store.audit.signer.verifier)

    @property
    def checkpoint_file(self) -> Path:
        """Where the store writes its checkpoints: beside itself."""
        return self._store.audit.checkpoint_file

    async def record_export(self, caller: Caller, what: str, rows: int) -> None:
        """Put on record that the log was exported."""
        await self._record(caller, Action.EXPORT, what, Completion(Outcome.SUCCEEDED, row_count=rows))

    async def record_verification(self, caller: Caller, result: VerificationResult) -> None:
        """Put on record that the log was verified, and whether it held."""
        code = "AUDIT_BROKEN" if result.problem is not None else None
        completion = Completion(Outcome.SUCCEEDED, error_code=code, row_count=result.entries)
        await self._record(caller, Action.VERIFY, "audit verify", completion)

    async def _record(self, caller: Caller, action: Action, what: str, completion: Completion) -> None:
        intent = Intent(
            id=new_id(), principal=caller.principal.name, transport=caller.transport, action=action, tool=what
        )
        await self._store.audit.record(intent, completion)
