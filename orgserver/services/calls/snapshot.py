"""The values that a change replaces: read and stored before the change is sent, for orgs whose policy says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from orgserver.model.audit import Intent
from orgserver.model.errors import KeyProblem, NotSent, Rejected, StoreAway, StoreError, Unanswered
from orgserver.model.results import FieldValues
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.protocol.messages import Reply, Request
from orgserver.services.calls.access import OrgSession
from orgserver.services.results import truncation
from orgserver.store.audit import snapshots
from orgserver.store.audit.snapshots import Snapshot, SnapshotSpec
from orgserver.store.session import Store

T = TypeVar("T")
MAX_BYTES = 8 * 1024 * 1024
"""Bytes of a record, far above what any has: its longest texts have 131,072 characters."""


async def take_snapshot(store: Store, intent: Intent, spec: SnapshotSpec, session: OrgSession) -> None:
    """Read what will be replaced, and keep it; whatever prevents that, the change is not sent."""
    record_id, before = await _before(spec, session)
    row_id = session.org.row_id
    login = session.org.login
    login_id = login.id if login.is_own else None
    snapshot = Snapshot(row_id, spec.sobject, record_id, before, spec.after, login_id)
    try:
        async with store.database.reading() as reading:
            await store.orgs.credentials.data_key(
                reading, row_id
            )  # if the ring must be read again, then not in the writer
        write = partial(snapshots.save_in, orgs=store.orgs, log=store.audit, entry_id=intent.id, snapshot=snapshot)
        await store.database.write(write)
    except (StoreError, KeyProblem) as error:
        raise StoreAway(
            "the values that this change replaces cannot be kept, so nothing was sent", hint=str(error)
        ) from error


async def _before(spec: SnapshotSpec, session: OrgSession) -> tuple[str, FieldValues | None]:
    """The id and values of the record that will be changed; an empty id and None if it will be made."""
    version = session.org.api_version
    if spec.record_id is not None:
        request = rest.read(version, spec.sobject, spec.record_id, spec.fields)
    elif spec.key is not None:
        request = rest.read_by_key(version, spec.sobject, spec.key, ("Id", *(spec.fields or ())))
    else:
        return "", None
    try:
        record = await read_first(session, request, _read_bounded, is_kept=True)
    except Rejected as error:
        if spec.key is not None and error.category == "not_found":
            return "", None
        raise
    before = record if spec.fields is None else pick_fields(record, spec.fields)
    return spec.record_id or str(record.get("Id", "")), before


def _read_bounded(reply: Reply) -> FieldValues:
    record = rest.read_record(reply)
    if truncation.size_within(record, MAX_BYTES) is None:
        raise NotSent(
            f"the values that this change replaces are larger than the {MAX_BYTES >> 20} MiB that are kept of a record",
            code="VALUES_TOO_LARGE",
            retryable=False,
        )
    return record


async def read_first(session: OrgSession, request: Request, read: Callable[[Reply], T], *, is_kept: bool = False) -> T:
    """Read before a change is sent: while no answer came to that, nothing can have changed."""
    try:
        return await session.call(request, read, is_kept=is_kept)
    except Unanswered as error:
        raise NotSent(f"{error}, so nothing was changed", code=error.code) from error
    finally:
        session.trace.sent = False


def pick_fields(record: Mapping[str, Any], fields: Sequence[str]) -> FieldValues:
    """Some fields of a record under the names they were asked by; Salesforce answers with its own spelling."""
    spelled = {name.lower(): value for name, value in record.items()}
    return {name: spelled[name.lower()] for name in fields if name.lower() in spelled}
