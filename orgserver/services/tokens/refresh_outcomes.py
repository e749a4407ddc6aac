"""Stores the answer of a refresh, in a sealed file while the store refuses it; or the state that its org ended in.

Salesforce has spent the refresh token that was sent, so nobody else has the one that came back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from orgserver.model.access.logins import LoginKey
from orgserver.model.audit import Action, Completion, Intent, Outcome, org_facts
from orgserver.model.errors import StoreError, Unanswered
from orgserver.model.names import new_id
from orgserver.model.orgs import AccessToken, Org, OrgState, Problem
from orgserver.model.secret import Secret
from orgserver.salesforce import hosts
from orgserver.salesforce.auth.oauth import TokenAnswer
from orgserver.services.observer import Observer
from orgserver.services.tokens import token_errors
from orgserver.services.tokens.assertion_login import is_same_username
from orgserver.services.tokens.late_answers import keep_or_revoke_in
from orgserver.store.orgs import policies
from orgserver.store.orgs.refreshes import Granted, Refreshes, moment
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction, read_clock, to_datetime

logger = logging.getLogger("orgserver.tokens")


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long a refresh pauses between its tries, in seconds."""

    lost: tuple[float, float] = (1.0, 2.0)
    """Before a refresh token is sent again whose answer was lost: at least, and at most."""
    unsaved: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    """Between tries to store an answer that the store did not take."""


PAUSES = Pauses()


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

    def __init__(self, store: Store, pauses: Pauses) -> None:
        self._store = store
        self._pauses = pauses
        self._unsaved: dict[LoginKey, tuple[Deposit, Path | None]] = {}

    def holds(self, org: Org) -> bool:
        """Whether an answer for this org is still not in the store."""
        return org.login in self._unsaved

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
        deposit, path = self._unsaved[org.login]
        try:
            stored = await self._store.database.write(deposit.change)
        except Exception as error:
            raise token_errors.away(org) from error
        self._unsaved.pop(org.login, None)
        await _discard(path)
        return deposit if stored else None

    async def _rescue(self, deposit: Deposit) -> bool:
        """Seal an answer beside the store, go on trying, and only then say so."""
        org = deposit.org
        path = await self._sealed_beside(deposit)
        for pause in self._pauses.unsaved:
            await asyncio.sleep(pause)
            with suppress(Exception):
                stored = await self._store.database.write(deposit.change)
                await _discard(path)
                return stored
        self._unsaved[org.login] = (deposit, path)
        place = f"sealed in {path.name}" if path else "kept in this process's memory: do not stop it"
        logger.error("a rotated refresh token of %s is not in the store yet; it is %s", org.alias, place)
        raise token_errors.away(org)

    async def _sealed_beside(self, deposit: Deposit) -> Path | None:
        """The rescue file; None if there is none, as a full disk may refuse it too."""
        if deposit.rotated is None:
            return None
        with suppress(OSError):
            return await asyncio.to_thread(
                self._store.rescue.keep,
                deposit.org.login,
                deposit.fencing,
                deposit.rotated,
                deposit.access,
                state=deposit.state,
                cause=deposit.cause,
            )
        return None


class RefreshOutcomes:
    """Writes what became of a refresh: a token, a state or a problem of its org, and the entry in the audit log."""

    def __init__(self, store: Store, observer: Observer | None, steps: Refreshes, safe: Safekeeping) -> None:
        self._store = store
        self._observer = observer
        self._steps = steps
        self._safe = safe

    async def store_answer(self, granted: Granted, answer: TokenAnswer, holder: str) -> tuple[AccessToken, bool]:
        """Store an answer as the very next step; the access token, and whether it is for where the answer says."""
        org, credential = granted.org, granted.credential
        access = AccessToken(answer.access_token, home_until_proven(org, answer), credential.fencing + 1)
        settled = access.instance_url == instance_named_by(answer, org)  # no move, or a named one is taken back
        refresh_token = answer.refresh_token or credential.refresh_token
        intent = intent_on(org)
        refusals: list[str] = []

        def change(tx: Transaction) -> bool:
            refusals[:] = self._pin_user_in(tx, org, answer)
            if refusals:
                self._steps.end_in(tx, granted, holder, state=OrgState.QUARANTINED, cause=refusals[0])
                code = OrgState.QUARANTINED.value
                self._store.audit.record_in(tx, intent, Completion(_outcome(code), error_code=code, attempts=1))
                return True
            stored = self._steps.keep_in(tx, granted, holder, refresh_token, access)
            if stored and org.org_id is None:  # registered with --no-verify: the first answer pins it
                for each in policies.pin_in(tx, org.row_id, answer.org_id):
                    self._store.audit.record_in(tx, each.intent("refresh"), Completion(Outcome.SUCCEEDED))
            if stored and settled and org.move is not None and not org.move.proven:
                self._store.orgs.note_move_in(tx, org.login, access.fencing, None)
            self._store.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED, attempts=1))
            return stored

        await self._put(Deposit(org, credential.fencing, change, answer.refresh_token, access))
        if refusals:
            raise token_errors.quarantined(org, refusals[0])
        if self._observer is not None:
            self._observer.refreshed(identity=org.used_identity)
        logger.info("token refreshed", extra={"org": org.alias, "rotated": answer.refresh_token is not None})
        return access, settled

    def _pin_user_in(self, tx: Transaction, org: Org, answer: TokenAnswer) -> list[str]:
        """Note whom the first answer to a person's assertion logs in; why not, where that is another person already."""
        connection, user = org.connection, org.user
        if connection is None or connection.kind != "jwt" or user is None or org.org_id is None:
            return []
        connections = self._store.orgs.connections
        if connections.user_is_taken_in(tx, org.org_id, answer.user_id, connection.principal):
            return ["the Salesforce user that it logs in is another person's login already"]
        connections.pin_in(tx, org.login, user)
        return []

    async def quarantine(self, granted: Granted, rotated: Secret | None, mismatch: str, holder: str) -> None:
        """Of an answer for another org or host, the refresh token alone is stored."""
        if rotated is None:
            await self.end(granted, holder, state=OrgState.QUARANTINED, cause=mismatch)
        else:
            await self._put_rotated(granted, rotated, OrgState.QUARANTINED, mismatch, holder)

    async def store_for_later(self, granted: Granted, rotated: Secret, reason: str, holder: str) -> Unanswered:
        """Keep the new refresh token of an answer that is no good otherwise; the error to raise."""
        sent_at = moment(present_time())
        cause = f"a refresh was sent at {sent_at} and of its answer only the refresh token was kept: {reason}"
        await self._put_rotated(granted, rotated, OrgState.IN_DOUBT, cause, holder)
        return Unanswered(reason)

    async def _put_rotated(self, granted: Granted, rotated: Secret, state: OrgState, cause: str, holder: str) -> None:
        """Store a refresh token whose access token may not be used, and the org's state with it."""
        intent, code = intent_on(granted.org), state.value

        def change(tx: Transaction) -> bool:
            stored = self._steps.keep_rotated_in(tx, granted, holder, rotated, state, cause)
            self._store.audit.record_in(tx, intent, Completion(_outcome(code), error_code=code, attempts=1))
            return stored

        await self._put(Deposit(granted.org, granted.credential.fencing, change, rotated, state=state, cause=cause))
        self._say(granted.org, code)

    async def _put(self, deposit: Deposit) -> None:
        change = partial(keep_or_revoke_in, self._store, deposit.org, deposit.rotated, deposit.change)
        if not await self._safe.put(replace(deposit, change=change)):
            raise token_errors.replaced_meanwhile(deposit.org)

    async def end(
        self,
        granted: Granted,
        holder: str,
        *,
        state: OrgState | None = None,
        cause: str | None = None,
        problem: Problem | None = None,
        doubted: bool = False,
    ) -> None:
        """Give the lease back without a token; what Salesforce said is kept for people and other processes."""
        code = problem.code if problem else (state.value if state else None)
        intent = intent_on(granted.org)

        def change(tx: Transaction) -> None:
            self._steps.end_in(tx, granted, holder, state=state, cause=cause, problem=problem, doubted=doubted)
            if code is not None:
                self._store.audit.record_in(tx, intent, Completion(_outcome(code), error_code=code, attempts=1))

        if code is not None:
            self._say(granted.org, code)
        with suppress(StoreError):  # then the lease ends by itself, and says that something was sent
            await self._store.database.write(change)

    def _say(self, org: Org, code: str) -> None:
        if self._observer is not None:
            self._observer.refreshed(code, org.used_identity)
        logger.warning("no token for %s: %s", org.alias, code, extra={"org": org.alias})


def find_mismatch(org: Org, answer: TokenAnswer) -> str | None:
    """Why an answer is not this login's to get, if it is not."""
    if org.org_id is not None and answer.org_id != org.org_id:
        return f"its login host answered for another org ({answer.org_id})"
    if org.connection is not None and org.user is not None and answer.user_id != org.user.id:
        return f"it answered for another Salesforce user ({answer.user_id})"
    if org.connection is not None and org.user is not None and not is_same_username(org.user, org.connection):
        return f"it answered for {org.user.username}, not for {org.connection.username}"
    try:
        instance_named_by(answer, org)
    except ValueError as error:
        return f"its login host named an instance that may not be trusted: {error}"
    return None


def instance_named_by(answer: TokenAnswer, org: Org) -> str:
    """The origin of the instance that a token answer names, which may be trusted; ValueError if it may not."""
    return hosts.check_url(answer.instance_url, org.trusted_hosts)


def home_until_proven(org: Org, answer: TokenAnswer) -> str:
    """Where a new access token may go at once: the origin that is pinned, or the first one that an org names."""
    if org.org_id is None and org.instance_url == org.login_url:  # registered with --no-verify: nothing is pinned yet
        return instance_named_by(answer, org)
    try:
        return hosts.check_url(org.instance_url, org.trusted_hosts)
    except ValueError:  # trusted no more; the client refuses it
        return org.instance_url


async def _discard(path: Path | None) -> None:
    if path is not None:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def intent_on(org: Org, action: Action = Action.REFRESH) -> Intent:
    """What is done to an org by nobody's order, as the audit log says it."""
    whose = org.connection.principal if org.connection is not None else None
    return Intent(id=new_id(), principal="orgserver", transport="stdio", action=action, label=whose, **org_facts(org))


def present_time() -> datetime:
    """The present instant, as the store writes it."""
    return to_datetime(read_clock())


def _outcome(code: str) -> Outcome:
    """What a refresh that gave no token is on record as: most often Salesforce refused."""
    return {
        OrgState.IN_DOUBT.value: Outcome.UNKNOWN,
        "no_answer": Outcome.UNKNOWN,
        "no_connection": Outcome.NOT_SENT,
        OrgState.QUARANTINED.value: Outcome.DENIED,
    }.get(code, Outcome.REJECTED)
