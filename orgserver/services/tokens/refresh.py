"""One refresh of one org's token: asked once, judged late, and on the disk before anybody uses it.

The ten steps are those of docs/adr/0007-lease.md. Once a request has left, only a refusal in OAuth's words or a whole
token answer says what became of the refresh token; after anything else it may be spent: it is sent again once, when
nothing else works any more, and what that says settles the doubt.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import CallError, NoConnection, NotSent, StoreAway, StoreBusy, StoreError, Unanswered
from orgserver.model.names import new_id
from orgserver.model.orgs import AccessToken, Org, OrgState, Problem
from orgserver.model.secret import Secret
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.hosts import OrgHosts
from orgserver.services.observer import Observer
from orgserver.services.tokens import assertion_login, failures, instance_moves
from orgserver.services.tokens.instance_moves import Moves
from orgserver.services.tokens.persistence import Deposit, Safekeeping
from orgserver.services.tokens.refresh_request import Wish, hosts_of, same
from orgserver.store.orgs import policies
from orgserver.store.orgs.refreshes import Busy, Closed, Finished, Granted, Refreshes, moment
from orgserver.store.session import Store
from orgserver.store.times import to_datetime
from orgserver.store.transaction import Transaction, microseconds

logger = logging.getLogger("orgserver.tokens")

AT_ONCE = 10
"""Refreshes under way in one process, whatever the number of orgs."""
_LOOK_AFTER = 0.5
"""Seconds: whoever waits longer for a lease looks whether its holder is stopped."""
_LEASE_PAUSE = (0.03, 0.12)
_LOST_PAUSE = (1.0, 2.0)
_BUSY_WAITS = (0.3, 0.6, 1.2, 2.4, 4.8)
"""How long to wait, in seconds, for somebody else's refresh before looking at the store again."""


class _Again(Exception):
    """Nothing is decided: begin anew, after so many seconds."""

    def __init__(self, seconds: float, busy: Busy | None = None) -> None:
        super().__init__()
        self.seconds = seconds
        self.busy = busy


class _BeingProcessed(Exception):
    """Salesforce is answering somebody else about this very token."""


class Refresher:
    """Gets new access tokens, one holder of an org's lease at a time."""

    def __init__(
        self,
        store: Store,
        client: SalesforceClient,
        observer: Observer,
        *,
        lease_seconds: float,
        token_seconds: float,
    ) -> None:
        self._store = store
        self._client = client
        self._observer = observer
        self._steps = Refreshes(store.orgs, store.lives)
        self._lease_seconds = lease_seconds
        self._token_seconds = token_seconds
        self._places = asyncio.Semaphore(AT_ONCE)
        self.ending = False
        """The process is about to end: nobody waits for somebody else's refresh any more."""
        self._safe = Safekeeping(store)
        self._moves = Moves(store, client)

    async def refresh(self, org: Org, wish: Wish) -> AccessToken:
        """Get another token, from Salesforce or from whoever is refreshing already.

        Raises NeedsLogin, NoConnection or another NotSent.
        """
        if self._safe.holds(org):  # until the store has taken it, nothing else is sent
            deposit = await self._safe.put_again(org)
            return await self.refresh(org, Wish()) if deposit is None or deposit.access is None else deposit.access
        holder = self._store.lives.holder()
        began = asyncio.get_running_loop().time()
        proofs = 1 if wish.prove else 0
        while True:
            try:
                async with self._places:
                    return await self._attempt(org, wish, holder)
            except _Again as again:
                pause, busy = again.seconds, again.busy
            except _BeingProcessed as processed:
                return await self._somebody_elses(org, wish, str(processed))
            except Unanswered as lost:
                if not proofs:
                    raise failures.lost(org, lost) from lost
                proofs -= 1
                pause, busy = random.uniform(*_LOST_PAUSE), None  # noqa: S311  # jitter
            await self._give_up_on(busy, org, asyncio.get_running_loop().time() - began)
            await asyncio.sleep(pause)

    async def _give_up_on(self, busy: Busy | None, org: Org, waited: float) -> None:
        """Wait no longer for the holder of the lease: at the end of a lease, of this process, or if it is stopped."""
        over, process = self.ending or waited > self._lease_seconds, None
        if busy is not None and (over or waited > _LOOK_AFTER):
            process = await asyncio.to_thread(self._store.lives.process_of, busy.holder)
        if over or (process is not None and process.stopped):
            raise failures.refreshed_elsewhere(org, process)

    # -- beginning

    async def _attempt(self, org: Org, wish: Wish, holder: str) -> AccessToken:
        began = time.monotonic()
        not_this = wish.not_this.fencing if wish.not_this is not None else None
        try:
            begun = await self._store.database.write(
                lambda tx: self._steps.begin_in(
                    tx,
                    org.row_id,
                    holder,
                    life_us=int(self._lease_seconds * 1_000_000),
                    not_this=not_this,
                    prove=wish.prove,
                    force=wish.force,
                )
            )
        except StoreBusy as error:
            raise StoreAway(str(error), code="STORE_BUSY", hint=error.hint) from error
        if isinstance(begun, Finished):
            return begun.token
        if isinstance(begun, Busy):
            await self._take_in_rescued(org)
            raise _Again(random.uniform(*_LEASE_PAUSE), begun)  # noqa: S311  # so that waiting processes do not march in step
        if isinstance(begun, Closed):
            raise failures.closed(org, begun.org)
        if begun.doubted_since is not None and await self._take_in_rescued(org):
            raise _Again(0)  # the lost answer was kept beside the store
        if not self._time_is_left(begun, began):
            await self._end(begun, holder, doubted=begun.doubted_since is not None)
            raise _Again(0)
        return await self._ask(begun, wish, holder)

    def _time_is_left(self, granted: Granted, began: float) -> bool:
        """Whether a whole token request fits into the lease, by both clocks: a laptop may have slept in between."""
        elapsed = max(time.monotonic() - began, (self._store.database.clock() - granted.taken_at) / 1_000_000)
        return elapsed < self._lease_seconds - self._token_seconds

    async def _take_in_rescued(self, org: Org) -> bool:
        """Whether another process had to leave this org's answer beside the store, and it is in now."""
        return org.row_id in await self._store.take_in_rescued()

    # -- asking

    async def _ask(self, granted: Granted, wish: Wish, holder: str) -> AccessToken:
        """Ask Salesforce, once, and keep everything it answers before anybody uses it."""
        org, answer, login_host = granted.org, None, granted.org.login_url
        where = hosts_of(org, org.instance_url)
        try:
            if granted.credential.private_key is not None:
                granted, answer, login_host = await self._log_in(granted, where)
            else:
                reply = await self._client.request_token(where, oauth.build_token_form(granted.credential, time.time()))
        except oauth.TokenRefused as refusal:  # of an assertion, which spends nothing
            return await self._refused(granted, refusal, wish, holder)
        except NoConnection as error:
            problem = Problem("no_connection", _now(), "check the network and the login host")
            await self._end(granted, holder, problem=problem, doubted=granted.doubted_since is not None)
            raise NoConnection(f"the login host of {org.alias} could not be reached", hint=error.hint) from error
        except NotSent as error:  # nothing left
            problem = Problem(error.code, _now(), error.hint or "an administrator looks at this org's hosts")
            await self._end(granted, holder, problem=problem, doubted=granted.doubted_since is not None)
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, CallError) else "it could not be read"
            raise await self._unanswered(granted, holder, reason) from error
        if answer is not None:
            return await self._accept(granted, answer, failures.mismatch(org, answer), holder, login_host)
        return await self._read(granted, reply.status, reply.body, wish, holder)

    async def _read(self, granted: Granted, status: int, body: Any, wish: Wish, holder: str) -> AccessToken:
        """Tell what an answer is. Until its refresh token is stored, nothing else happens with it."""
        rotated = oauth.refresh_token_in(status, body)
        try:
            answer = oauth.read_tokens(status, body)
            mismatch = failures.mismatch(granted.org, answer)
        except oauth.TokenRefused as refusal:
            if rotated is not None:
                raise await self._kept_for_later(granted, rotated, refusal.reason, holder) from refusal
            if granted.credential.refresh_token is None or oauth.was_refused(status, body):
                return await self._refused(granted, refusal, wish, holder)
            raise await self._unanswered(granted, holder, refusal.reason) from refusal
        except Exception as error:
            if rotated is not None:
                raise await self._kept_for_later(granted, rotated, "it could not be read", holder) from error
            raise await self._unanswered(granted, holder, "it could not be read") from error
        return await self._accept(granted, answer, mismatch, holder, granted.org.login_url)

    async def _accept(
        self, granted: Granted, answer: oauth.TokenAnswer, mismatch: str | None, holder: str, login_host: str
    ) -> AccessToken:
        """Keep a whole answer; where it names another host, the org's own is asked nothing until that is proven."""
        if mismatch is not None:
            await self._quarantine(granted, answer.refresh_token, mismatch, holder)
            raise failures.quarantined(granted.org, mismatch)
        access = await self._keep(granted, answer, holder)
        if access.instance_url == instance_moves.named_by(answer, granted.org):
            return access
        return await self._moves.settle(granted.org, answer, access, login_host)

    async def _log_in(self, granted: Granted, where: OrgHosts) -> tuple[Granted, oauth.TokenAnswer, str]:
        """Show an assertion; the audience that worked is kept with the answer, whose host comes last."""
        began = time.monotonic()
        answer = await assertion_login.log_in(
            self._client, where, granted.credential, has_time=lambda: self._time_is_left(granted, began)
        )
        credential = replace(granted.credential, audience=answer.recipient.audience)
        return replace(granted, credential=credential), answer.tokens, answer.recipient.token_host

    async def _unanswered(self, granted: Granted, holder: str, reason: str) -> Unanswered:
        """Note that nobody knows what became of the refresh token that was sent; the error to raise."""
        if granted.credential.refresh_token is None:  # nothing can have been spent
            problem = Problem("no_answer", _now(), "try again shortly")
            await self._end(granted, holder, problem=problem)
        else:
            cause = f"a refresh was sent at {moment(_now())} and its answer was lost: {reason}"
            await self._end(granted, holder, state=OrgState.IN_DOUBT, cause=cause, doubted=True)
        return Unanswered(reason)

    # -- keeping

    async def _keep(self, granted: Granted, answer: oauth.TokenAnswer, holder: str) -> AccessToken:
        """Store an answer as the very next step."""
        org, credential = granted.org, granted.credential
        access = AccessToken(answer.access_token, instance_moves.home_until_proven(org, answer), credential.fencing + 1)
        # no move, or one that was named is taken back
        settled = access.instance_url == instance_moves.named_by(answer, org)
        refresh_token = answer.refresh_token or credential.refresh_token
        intent = _intent(org)

        def change(tx: Transaction) -> bool:
            stored = self._steps.keep_in(tx, granted, holder, refresh_token, access)
            if stored and org.org_id is None:  # registered with --no-verify: the first answer pins it
                for each in policies.pin_in(tx, org.row_id, answer.org_id):
                    self._store.audit.record_in(tx, each.intent("refresh"), Completion(Outcome.SUCCEEDED))
            if stored and settled and org.move is not None and not org.move.proven:
                self._store.orgs.note_move_in(tx, org.row_id, access.fencing, None)
            self._store.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED, attempts=1))
            return stored

        await self._put(Deposit(org, credential.fencing, change, answer.refresh_token, access))
        self._observer.refreshed()
        logger.info("token refreshed", extra={"org": org.alias, "rotated": answer.refresh_token is not None})
        return access

    async def _quarantine(self, granted: Granted, rotated: Secret | None, mismatch: str, holder: str) -> None:
        """Of an answer for another org or host, the refresh token alone is stored."""
        if rotated is None:
            await self._end(granted, holder, state=OrgState.QUARANTINED, cause=mismatch)
        else:
            await self._put_rotated(granted, rotated, OrgState.QUARANTINED, mismatch, holder)

    async def _kept_for_later(self, granted: Granted, rotated: Secret, reason: str, holder: str) -> Unanswered:
        """Keep the new refresh token of an answer that is no good otherwise; the error to raise."""
        cause = f"a refresh was sent at {moment(_now())} and of its answer only the refresh token was kept: {reason}"
        await self._put_rotated(granted, rotated, OrgState.IN_DOUBT, cause, holder)
        return Unanswered(reason)

    async def _put_rotated(self, granted: Granted, rotated: Secret, state: OrgState, cause: str, holder: str) -> None:
        """Store a refresh token whose access token may not be used, and the org's state with it."""
        intent, code = _intent(granted.org), state.value

        def change(tx: Transaction) -> bool:
            stored = self._steps.keep_rotated_in(tx, granted, holder, rotated, state, cause)
            self._store.audit.record_in(tx, intent, Completion(failures.outcome(code), error_code=code, attempts=1))
            return stored

        await self._put(Deposit(granted.org, granted.credential.fencing, change, rotated, state=state, cause=cause))
        self._say(granted.org, code)

    async def _put(self, deposit: Deposit) -> None:
        if not await self._safe.put(deposit):
            raise NotSent(f"{deposit.org.alias} was given another credential at the same moment", code="TOKEN_RACE")

    # -- refusals

    async def _refused(self, granted: Granted, refusal: oauth.TokenRefused, wish: Wish, holder: str) -> AccessToken:
        """Tell a dead credential from everything that looks like it."""
        org, doubted = granted.org, granted.doubted_since
        if refusal.kind == "busy":
            await self._end(granted, holder, doubted=doubted is not None)
            raise _BeingProcessed(refusal.reason)
        sibling = await self._another(org, wish.not_this)
        if sibling is not None:  # its holder's lease has gone on with the credential
            return sibling
        if refusal.kind == "dead":
            cause = refusal.reason
            if doubted is not None:
                cause = f"the answer to a refresh sent at {moment(doubted)} was lost, with the rotated token: {cause}"
            await self._end(granted, holder, state=OrgState.NEEDS_LOGIN, cause=cause)
            raise failures.needs_login(org, cause)
        problem = Problem(refusal.error, _now(), failures.hint(refusal))
        await self._end(granted, holder, problem=problem, doubted=doubted is not None)
        raise failures.refused(org, refusal)

    async def _somebody_elses(self, org: Org, wish: Wish, reason: str) -> AccessToken:
        """Wait for what somebody else gets; without the lease, or they might wait for us."""
        for pause in _BUSY_WAITS:
            await asyncio.sleep(pause)
            token = await self._another(org, wish.not_this)
            if token is not None:
                return token
        raise NotSent(f"{org.alias} gave no token: {reason}", code="TOKEN_BUSY", hint="try again shortly")

    async def _another(self, org: Org, not_this: AccessToken | None) -> AccessToken | None:
        """The stored token, if it is another one: somebody may have finished a refresh."""
        async with self._store.database.reading() as connection:
            stored = await self._store.orgs.credentials.access_token(connection, org.row_id)
        return None if stored is None or same(stored, not_this) else stored

    async def _end(
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
        intent = _intent(granted.org)

        def change(tx: Transaction) -> None:
            self._steps.end_in(tx, granted, holder, state=state, cause=cause, problem=problem, doubted=doubted)
            if code is not None:
                self._store.audit.record_in(tx, intent, Completion(failures.outcome(code), error_code=code, attempts=1))

        if code is not None:
            self._say(granted.org, code)
        with suppress(StoreError):  # then the lease ends by itself, and says that something was sent
            await self._store.database.write(change)

    def _say(self, org: Org, code: str) -> None:
        self._observer.refreshed(code)
        logger.warning("no token for %s: %s", org.alias, code, extra={"org": org.alias})


def _intent(org: Org) -> Intent:
    return Intent(
        id=new_id(),
        principal="orgserver",
        transport="stdio",
        action=Action.REFRESH,
        org=org.alias,
        org_row=org.row_id,
        org_id=org.org_id,
    )


def _now() -> datetime:
    return to_datetime(microseconds())
