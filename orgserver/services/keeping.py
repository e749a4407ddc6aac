"""How the values that a change replaces are read and kept before the change is sent, where the org's policy says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from orgserver.model import names
from orgserver.model.audit import Act
from orgserver.model.errors import KeyProblem, NotSent, StoreAway, StoreError, Unanswered
from orgserver.model.names import RecordId, SObjectName
from orgserver.model.results import FieldValues
from orgserver.salesforce import protocol
from orgserver.salesforce.protocol import Reply, Request
from orgserver.services import values
from orgserver.services.access import Connection
from orgserver.store import kept
from orgserver.store.kept import Kept
from orgserver.store.opened import Store

T = TypeVar("T")
COSTS = "this org keeps what changes replace: the change will read before it writes, which is one more API call"
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Keeps:
    """What of a change is to be kept."""

    sobject: SObjectName
    record_id: RecordId | None = None
    """None for a create."""
    fields: tuple[str, ...] | None = None
    """Which to read first; None for every field that there is."""
    after: FieldValues | None = None


async def keep(store: Store, act: Act, keeps: Keeps, connection: Connection) -> None:
    """Read what will be replaced, and keep it; whatever prevents that, the change is not sent."""
    before: FieldValues | None = None
    if keeps.record_id is not None:
        version = connection.org.api_version
        request = protocol.read(version, keeps.sobject, keeps.record_id, keeps.fields)
        record = await read_first(connection, request, protocol.read_record)
        before = record if keeps.fields is None else picked(record, keeps.fields)
    row_id = connection.org.row_id
    found = Kept(row_id, keeps.sobject, keeps.record_id or "", before, keeps.after)
    try:
        async with store.database.reading() as reading:
            await store.orgs.data_key(reading, row_id)  # if the ring must be read again, then not in the writer
        write = partial(kept.keep_in, orgs=store.orgs, log=store.audit, entry_id=act.id, kept=found)
        await store.database.write(write)
    except (StoreError, KeyProblem) as error:
        raise StoreAway(
            "the values that this change replaces cannot be kept, so nothing was sent", hint=str(error)
        ) from error


async def read_first(connection: Connection, request: Request, read: Callable[[Reply], T]) -> T:
    """Read before a change is sent: while no answer came to that, nothing can have changed."""
    try:
        return await connection.call(request, read)
    except Unanswered as error:
        raise NotSent(f"{error}, so nothing was changed", code=error.code) from error
    finally:
        connection.trace.sent = False


def picked(record: Mapping[str, Any], fields: Sequence[str]) -> FieldValues:
    """Some fields of a record under the names they were asked by; Salesforce answers with its own spelling."""
    spelled = {name.lower(): value for name, value in record.items()}
    return {name: spelled[name.lower()] for name in fields if name.lower() in spelled}


def same(one: object, other: object) -> bool:
    """Whether Salesforce would keep both as the same value."""
    return one == other or _plain(one) == _plain(other)


def differing(record: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """The fields of a record that are not as expected."""
    now = picked(record, tuple(expected))
    return [name for name, value in expected.items() if not same(now.get(name, _MISSING), value)]


def _plain(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip().replace("\r\n", "\n")
    if values.is_datetime(text):
        return datetime.fromisoformat(text).replace(microsecond=0)
    try:
        return names.record_id(text)
    except ValueError:
        return (text.lower() if "@" in text else text) or None
