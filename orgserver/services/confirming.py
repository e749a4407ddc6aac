"""Whether a person must allow a call, and how they are asked: at the client, or by ``orgserver approve``.

A yes is bound to principal, org, tool and arguments by a digest and serves once. The question comes after the intent,
for the names it shows are read from the org; the answer that a repeated call brings is spent with the new
intent.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from orgserver.model.audit import Act
from orgserver.model.errors import NotSent, PolicyDenied, Rejected, StoreAway, StoreError, Unanswered
from orgserver.model.names import EVENT, RecordId, SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.text import replace_unsafe
from orgserver.salesforce import protocol
from orgserver.salesforce import soql as soql_text
from orgserver.services.access import Connection
from orgserver.store import approvals
from orgserver.store.approvals import Pass, Wanted
from orgserver.store.opened import Store
from orgserver.store.writer import microseconds
from orgserver.vault import Context, Unsealable

T = TypeVar("T")
ANSWER_SECONDS = 300
"""How long a question at the client stands."""
MANY = 200
"""More records than this are changed only when a person says so, in every org."""
_SHOWN = 5
_LONGEST = 60
_MAX_STATE = 4_096
_NAME_FIELDS = {EVENT: "Subject", "Task": "Subject", "Case": "CaseNumber", "Contract": "ContractNumber"}
_VERBS = {"delete": "Delete", "update": "Change", "create": "Create", "upsert": "Create or change"}


@dataclass(frozen=True, slots=True)
class Told:
    """What a look at the org found: how many records, and some of their names."""

    count: int
    names: tuple[str, ...] = ()
    """Quoted."""
    ids: tuple[str, ...] = ()
    """Of some records, where their names are still to be read."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a plan would do, as a person must hear it."""

    verb: str
    """``delete``, ``update``, ``create`` or ``upsert``."""
    object: str
    arguments: Mapping[str, Any]
    """Everything that decides what is sent: another value is another call."""
    count: int | None = None
    """How many records; None where only a look tells."""
    look: Callable[[Connection], Awaitable[Told]] | None = None
    """Reads before anything is changed; needed where ``count`` is None."""


def of_record(sobject: SObjectName, record_id: RecordId) -> Confirmation:
    """The deletion of one record, which is shown with its name."""

    async def look(connection: Connection) -> Told:
        field = _NAME_FIELDS.get(sobject, "Name")
        request = protocol.read(connection.org.api_version, sobject, record_id, ("Id", field))
        try:
            record = await connection.call(request, protocol.read_record)
        except Rejected as error:
            if error.category == "not_found":
                raise
            return Told(1, (record_id,))  # an object without a name, or one that its user may not see
        return Told(1, (_quoted(record.get(field), record_id),))

    return Confirmation("delete", sobject, {"object": sobject, "id": record_id}, 1, look)


class Confirming:
    """Asks a person, where the org's policy or the size of a change wants it."""

    def __init__(self, store: Store, *, call_timeout: float) -> None:
        self._store = store
        self._call_timeout = call_timeout

    def wanted(self, caller: Caller, org: Org, confirm: Confirmation | None) -> bool:
        """Whether a person is to be asked, as far as that is known before a look."""
        if confirm is None or caller.transport == "cli":  # there a person has just typed it
            return False
        return confirm.count is None or _needed(org, confirm, confirm.count)

    async def allowed(self, caller: Caller, org: Org, act: Act, confirm: Confirmation) -> Pass | None:
        """What lets this call pass; None if a person is still to be asked. PolicyDenied if the person said no."""
        want = _want(caller, org, act, confirm)
        said = caller.person.said if caller.person is not None else None
        if said is not None:
            return self._answered(said[0], said[1], want)
        async with self._store.database.reading() as connection:
            found = await approvals.approved(connection, want.digest, microseconds())
        return Pass(found[0], replace(want, count=found[1])) if found is not None else None

    async def ask(
        self,
        caller: Caller,
        act: Act,
        confirm: Confirmation,
        connection: Connection,
        passed: Pass | None,
        sending: asyncio.Timeout,
    ) -> bool:
        """Ask, unless a pass covers what a look finds now; whether anybody was asked. PolicyDenied without a yes."""
        org = connection.org
        told = await _look(confirm, connection)
        if not _needed(org, confirm, told.count):
            return False
        if passed is not None:
            if told.count > passed.wanted.count:
                raise PolicyDenied(
                    f"a person allowed {passed.wanted.count:,} records, and now there are {told.count:,}",
                    code="CONFIRMATION_OUTDATED",
                    hint="repeat the call without the old answer, so that a person is asked again",
                )
            return False
        if told.ids:
            told = replace(
                told, names=await _reading(connection, _names(connection, confirm.object, told.ids[:_SHOWN]))
            )
        want = replace(_want(caller, org, act, confirm), count=told.count, names=told.names[:_SHOWN])
        if not await self._asked(caller, want, _text(org, confirm, told), sending):
            raise await self._code(want)
        _extend(sending, connection, self._call_timeout)
        return True

    async def _asked(self, caller: Caller, want: Wanted, text: str, sending: asyncio.Timeout) -> bool:
        """Ask at the client; False where it cannot be asked."""
        if caller.person is None:
            return False
        _reschedule(sending, ANSWER_SECONDS + self._call_timeout)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reply = await caller.person.ask(text, self._state(want))
        except TimeoutError:
            raise PolicyDenied(
                "nobody answered in 5 minutes", code="CONFIRMATION_TIMEOUT", hint="repeat the call to ask again"
            ) from None
        if reply is None:
            return False
        if reply != "accept":
            raise _declined()
        return True

    async def _code(self, want: Wanted) -> PolicyDenied:
        """Let the request wait for an administrator."""
        try:
            code = await self._store.database.write(lambda tx: approvals.wait_in(tx, self._store.orgs, want))
        except StoreError as error:
            raise StoreAway("the request for approval cannot be kept, so nothing was sent", hint=str(error)) from error
        if code is None:
            return PolicyDenied(
                "a person must allow this, and too many requests wait already",
                code="CONFIRMATION_REQUIRED",
                hint="an administrator looks at them: orgserver approvals",
            )
        return PolicyDenied(
            "a person must allow this, and this client cannot ask one",
            code="CONFIRMATION_REQUIRED",
            hint=f"an administrator runs: orgserver approve {code} — then repeat exactly this call within 15 minutes",
        )

    # -- what goes through the client between a question and its answer

    def _state(self, want: Wanted) -> str:
        note = {"n": secrets.token_hex(12), "x": microseconds() + ANSWER_SECONDS * 1_000_000, "c": want.count}
        sealed = self._store.cursors.seal(json.dumps(note).encode(), _context(want))
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def _answered(self, state: str, reply: str, want: Wanted) -> Pass | None:
        try:
            state = state if len(state) <= _MAX_STATE and state.isascii() else "!"
            sealed = base64.b64decode(state + "=" * (-len(state) % 4), altchars=b"-_", validate=True)
            note = json.loads(self._store.cursors.open(sealed, _context(want)))
        except (binascii.Error, ValueError, Unsealable):
            raise PolicyDenied(
                "this answer belongs to another call",
                code="CONFIRMATION_INVALID",
                hint="repeat the call without it, so that a person is asked",
            ) from None
        if reply != "accept":
            raise _declined()
        if note["x"] < microseconds():
            return None  # too late: the question is asked again
        return Pass(note["n"], replace(want, count=note["c"]), note["x"])


def spent() -> PolicyDenied:
    """The refusal of a pass that was used already."""
    return PolicyDenied(
        "a person's yes serves once, and this one was used or has run out",
        code="CONFIRMATION_USED",
        hint="repeat the call without it, so that a person is asked again",
    )


def _declined() -> PolicyDenied:
    return PolicyDenied("the person said no", code="CONFIRMATION_DECLINED", hint="do not repeat it unless they ask")


def _needed(org: Org, confirm: Confirmation, count: int) -> bool:
    return count > MANY or (confirm.verb == "delete" and count > 0 and org.policy.confirm_deletes)


def _want(caller: Caller, org: Org, act: Act, confirm: Confirmation) -> Wanted:
    bound = {
        "principal": caller.principal.name,
        "org": org.row_id,
        "tool": act.tool,
        "verb": confirm.verb,
        "arguments": confirm.arguments,
    }
    text = json.dumps(bound, sort_keys=True, ensure_ascii=False, default=str)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    row_id, principal, tool = org.row_id, caller.principal.name, act.tool or ""
    return Wanted(row_id, principal, tool, digest, confirm.verb, confirm.object, confirm.count or 0)


async def _look(confirm: Confirmation, connection: Connection) -> Told:
    """Read what will be changed."""
    if confirm.look is None:
        return Told(confirm.count or 0)
    return await _reading(connection, confirm.look(connection))


async def _reading(connection: Connection, reading: Awaitable[T]) -> T:
    """While no answer came to what was read, nothing can have changed."""
    try:
        return await reading
    except Unanswered as error:
        raise NotSent(f"{error}, so nothing was changed", code=error.code) from error
    finally:
        connection.trace.sent = False


async def _names(connection: Connection, sobject: str, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Of the records with these ids; the id of what has no name."""
    field = _NAME_FIELDS.get(sobject, "Name")
    some = ", ".join(soql_text.literal(each) for each in ids)
    soql = f"SELECT Id, {field} FROM {sobject} WHERE Id IN ({some})"  # noqa: S608  # names and ids were checked
    try:
        page = await connection.call(protocol.query(connection.org.api_version, soql, len(ids)), protocol.read_page)
    except Rejected:
        return ids  # an object without a name, or one that its user may not see
    found = {record.get("Id"): record.get(field) for record in page.records}
    return tuple(_quoted(found.get(each), each) for each in ids)


def given_names(records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names that the first of some new records are given; none unless each has one."""
    told = []
    for record in records[:_SHOWN]:
        given = {name.lower(): value for name, value in record.items() if isinstance(value, str)}
        parts = [given.get(name, "") for name in ("firstname", "lastname")]
        name = given.get("name") or given.get("subject") or " ".join(filter(None, parts))
        told.append(_clean(name) if name.strip() else "")
    return tuple(told) if all(told) else ()


def _text(org: Org, confirm: Confirmation, told: Told) -> str:
    """The question: ours but for the names, which are quoted and short."""
    noun = f"{told.count:,} {confirm.object} record{'s' if told.count != 1 else ''}"
    kind = f" ({org.kind})" if org.kind else ""
    shown = ", ".join(told.names[:_SHOWN])
    rest = f" and {told.count - _SHOWN:,} more" if shown and told.count > _SHOWN else ""
    named = f": {shown}{rest}" if shown else ""
    return f"{_VERBS[confirm.verb]} {noun} in the Salesforce org {org.alias}{kind}{named}?"


def _quoted(name: object, record_id: str) -> str:
    """A name from a record as people may safely read it, with its id."""
    if not isinstance(name, str) or not name.strip():
        return record_id
    return f"{_clean(name)} ({record_id})"


def _clean(name: str) -> str:
    clean = replace_unsafe(name[: _LONGEST + 1]).replace('"', "\N{REPLACEMENT CHARACTER}")
    return f'"{clean[:_LONGEST]}{"…" if len(clean) > _LONGEST else ""}"'


def _context(want: Wanted) -> Context:
    return Context(want.row_id, "confirmation", want.principal, want.digest.hex())


def _reschedule(sending: asyncio.Timeout, seconds: float) -> None:
    if not sending.expired():
        sending.reschedule(asyncio.get_running_loop().time() + seconds)


def _extend(sending: asyncio.Timeout, connection: Connection, seconds: float) -> None:
    """Thinking took the person's time, not the call's."""
    _reschedule(sending, seconds)
    connection.deadline = asyncio.get_running_loop().time() + seconds
