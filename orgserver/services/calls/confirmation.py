"""Whether a person must allow a call, and how they are asked: at the client, or by ``orgserver approve``.

A yes is bound to principal, org, tool and arguments by a digest and serves once. The question comes after the intent,
for the names it shows are read from the org; the answer that a repeated call brings is spent with the new
intent.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from msgspec import structs

from orgserver.model.access.policies import CONFIRM_ABOVE, Policy
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.digests import digest_arguments
from orgserver.model.errors import NotSent, PolicyDenied, StoreAway, StoreError, Unanswered
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller, Org
from orgserver.services.calls import questions
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.questions import AffectedRecords, Confirmation
from orgserver.store import approvals
from orgserver.store.approvals import ApprovalRequest, Pass, QueueResult
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.time_limits import TimeLimit
from orgserver.vault.keys import Context, Unsealable
from orgserver.vault.sealed_tokens import bind_token, open_token, seal_token

T = TypeVar("T")
Notify = Callable[[str], None]
"""Shows a person at the desktop that a question waits; returns at once and never fails."""
_AT_A_TERMINAL = "a person allows it at a terminal, where orgserver approvals shows it"
_WHO_ALLOWS = {
    "stdio": _AT_A_TERMINAL,
    "cli": _AT_A_TERMINAL,
    "http": "an operator of this server allows it, to whom orgserver approvals shows it",
}
ANSWER_SECONDS = 300
"""How long a question at the client stands."""


class Confirmer:
    """Asks a person, where the org's policy or the size of a change wants it."""

    def __init__(
        self,
        store: Store,
        *,
        call_timeout: float,
        answer_seconds: float = ANSWER_SECONDS,
        notify: Notify | None = None,
    ) -> None:
        self._store = store
        self._call_timeout = call_timeout
        self.answer_seconds = answer_seconds
        self._notify = notify or (lambda _text: None)

    def needs_person(self, caller: Caller, policy: Policy, confirm: Confirmation) -> bool:
        """Whether a person is to be asked, as far as that is known before a look."""
        if caller.transport == "cli":  # there a person has just typed it
            return False
        return may_need_person(policy, confirm)

    async def find_pass(self, caller: Caller, org: Org, intent: Intent, confirm: Confirmation) -> Pass | None:
        """What lets this call pass; None if a person is still to be asked. PolicyDenied if the person said no."""
        request = _approval_request(caller, org, intent, confirm)
        answer = caller.elicitor.answer if caller.elicitor is not None else None
        if answer is not None:
            return self._read_answer(answer[0], answer[1], request)
        async with self._store.database.reading() as connection:
            row = await approvals.find_approved(connection, request.digest, self._store.database.clock())
        return Pass(row[0], replace(request, count=row[1])) if row is not None else None

    async def ask(
        self,
        caller: Caller,
        intent: Intent,
        confirm: Confirmation,
        session: OrgSession,
        passed: Pass | None,
        sending: TimeLimit,
    ) -> bool:
        """Ask, unless a pass covers what a look finds now; whether anybody was asked. PolicyDenied without a yes."""
        org, policy = session.org, session.policy
        affected = await _look(confirm, session)
        if not _needs_person(policy, confirm, affected.count):
            return False
        if passed is not None:
            if affected.count > passed.request.count:
                raise PolicyDenied(
                    f"a person allowed {passed.request.count:,} records, and now there are {affected.count:,}",
                    code="CONFIRMATION_OUTDATED",
                    hint="repeat the call without the old answer, so that a person is asked again",
                )
            return False
        if affected.ids:
            affected = replace(
                affected,
                names=await _reading(
                    session, questions.read_names(session, confirm.object, affected.ids[: questions.SHOWN])
                ),
            )
        request = replace(
            _approval_request(caller, org, intent, confirm),
            count=affected.count,
            names=affected.names[: questions.SHOWN],
        )
        summary = questions.summary(org, policy, confirm, affected.count)
        question = questions.question(org, policy, confirm, affected)
        if not await self._ask_client(caller, request, question, summary, sending):
            raise await self._wait(caller, request, intent, summary)
        await self._store.audit.record(_yes(intent), Completion(Outcome.SUCCEEDED))
        _extend(sending, session, self._call_timeout)
        return True

    def spend_in(self, tx: Transaction, passed: Pass, intent: Intent) -> bool:
        """Use a pass with the intent of its call; a yes that came from the client is put on record, too."""
        if not approvals.spend_in(tx, passed):
            return False
        if passed.answer_expires_at is not None:
            self._store.audit.record_in(tx, _yes(intent), Completion(Outcome.SUCCEEDED))
        return True

    async def _ask_client(
        self, caller: Caller, request: ApprovalRequest, text: str, summary: str, sending: TimeLimit
    ) -> bool:
        """Ask at the client; False where it cannot be asked."""
        if caller.elicitor is None:
            return False
        self._notify(f"{summary}? The client that asked waits for your answer.")
        _reschedule(sending, self.answer_seconds + self._call_timeout)
        try:
            async with asyncio.timeout(self.answer_seconds):
                reply = await caller.elicitor.ask(text, self._state(request))
        except TimeoutError:
            raise PolicyDenied(
                "nobody answered in 5 minutes", code="CONFIRMATION_TIMEOUT", hint="repeat the call to ask again"
            ) from None
        if reply is None:
            return False
        if reply != "accept":
            raise _declined()
        return True

    async def _wait(self, caller: Caller, request: ApprovalRequest, intent: Intent, summary: str) -> PolicyDenied:
        """Let the request wait for a person. Its code is theirs: no result, log or export has it."""
        try:
            queued = await self._store.database.write(
                lambda tx: approvals.wait_in(tx, self._store.orgs, request, intent)
            )
        except StoreError as error:
            raise StoreAway("the request for approval cannot be kept, so nothing was sent", hint=str(error)) from error
        if queued is QueueResult.NEW:
            self._notify(f"{summary}? See: orgserver approvals")
        if queued is QueueResult.FULL:
            return PolicyDenied(
                "a person must allow this, and too many requests wait already",
                code="CONFIRMATION_REQUIRED",
                hint="a person looks at them at a terminal: orgserver approvals",
            )
        return PolicyDenied(
            "a person must allow this, and this client cannot ask one",
            code="CONFIRMATION_REQUIRED",
            hint=f"{_who_allows(caller)}; repeat exactly this call within 15 minutes after that",
        )

    # -- what goes through the client between a question and its answer

    def _state(self, request: ApprovalRequest) -> str:
        expires_at = self._store.database.clock() + int(self.answer_seconds * 1_000_000)
        note = {"n": secrets.token_hex(12), "c": request.count}
        return seal_token(self._store.cursors, note, expires_at, _context(request))

    def _read_answer(self, state: str, reply: str, request: ApprovalRequest) -> Pass | None:
        try:
            note, expires_at = open_token(self._store.cursors, state, _context(request))
        except Unsealable:
            raise PolicyDenied(
                "this answer belongs to another call",
                code="CONFIRMATION_INVALID",
                hint="repeat the call without it, so that a person is asked",
            ) from None
        if reply != "accept":
            raise _declined()
        if expires_at < self._store.database.clock():  # microseconds, as the table of spent answers has them
            return None  # too late: the question is asked again
        return Pass(note["n"], replace(request, count=note["c"]), expires_at)


def spent() -> PolicyDenied:
    """The refusal of a pass that was used already."""
    return PolicyDenied(
        "a person's yes serves once, and this one was used or has run out",
        code="CONFIRMATION_USED",
        hint="repeat the call without it, so that a person is asked again",
    )


def _declined() -> PolicyDenied:
    return PolicyDenied("the person said no", code="CONFIRMATION_DECLINED", hint="do not repeat it unless they ask")


def may_need_person(policy: Policy, confirm: Confirmation) -> bool:
    """Whether an agent's call waits for a person; where the number of records is not known, it may."""
    return confirm.count is None or _needs_person(policy, confirm, confirm.count)


def _needs_person(policy: Policy, confirm: Confirmation, count: int) -> bool:
    most = CONFIRM_ABOVE if policy.confirm_above is None else policy.confirm_above
    return count > most or (confirm.verb == "delete" and count > 0 and policy.confirm_deletes)


@contextmanager
def naming_rule(org: Org, policy: Policy, confirm: Confirmation) -> Iterator[None]:
    """What is refused in here is refused by the limit that makes a person needed: its name goes on record."""
    try:
        yield
    except PolicyDenied as error:
        whose = "policy" if may_need_person(org.policy, confirm) else "principal"
        limit = "confirm-deletes" if confirm.verb == "delete" and policy.confirm_deletes else "confirm-above"
        error.rule = error.rule or f"{whose}:{limit}"
        raise


def _who_allows(caller: Caller) -> str:
    if caller.approval_url is not None:
        return f"the person whose sign-in this is allows it at {caller.approval_url}, after signing in there again"
    return _WHO_ALLOWS[caller.transport]


def _approval_request(caller: Caller, org: Org, intent: Intent, confirm: Confirmation) -> ApprovalRequest:
    bound = {
        "principal": caller.principal.name,
        "org": org.login_owner,
        "tool": intent.tool,
        "verb": confirm.verb,
        "arguments": confirm.arguments,
    }
    return ApprovalRequest(
        org.row_id,
        caller.principal.name,
        intent.tool or "",
        digest_arguments(bound),
        confirm.verb,
        confirm.object,
        confirm.count or 0,
        session_id=caller.session_id,
    )


async def _look(confirm: Confirmation, session: OrgSession) -> AffectedRecords:
    """Read what will be changed."""
    if confirm.look is None:
        return AffectedRecords(confirm.count or 0)
    return await _reading(session, confirm.look(session))


async def _reading(session: OrgSession, reading: Awaitable[T]) -> T:
    """While no answer came to what was read, nothing can have changed."""
    try:
        return await reading
    except Unanswered as error:
        raise NotSent(f"{error}, so nothing was changed", code=error.code) from error
    finally:
        session.trace.sent = False


def _yes(intent: Intent) -> Intent:
    """The entry of a yes that was given at the client: ``request_id`` is the entry of the call that it lets pass."""
    bare = structs.replace(intent, fields=(), soql=None, undoes=None, salesforce_user=None, identity=None)
    return structs.replace(
        bare, id=new_id(), action=Action.POLICY, tool="approve", label="client", request_id=intent.id
    )


def _context(request: ApprovalRequest) -> Context:
    return bind_token("confirmation", request.row_id, request.principal, request.digest)


def _reschedule(sending: TimeLimit, seconds: float) -> None:
    sending.reschedule(asyncio.get_running_loop().time() + seconds)


def _extend(sending: TimeLimit, session: OrgSession, seconds: float) -> None:
    """Thinking took the person's time, not the call's."""
    _reschedule(sending, seconds)
    session.deadline = asyncio.get_running_loop().time() + seconds
