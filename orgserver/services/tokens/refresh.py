"""Gets one login a new access token: under its lease it asks Salesforce once, and stores the answer before it is used.

The ten steps are those of docs/adr/0007-lease.md. Once a request has left, only a refusal in OAuth's words or a whole
token answer says what became of the refresh token; after anything else it may be spent: it is sent again once, when
nothing else works any more, and what that says settles the doubt.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass, replace
from typing import Any

from orgserver.model.errors import CallError, NoConnection, NotSent, StoreAway, StoreBusy, Unanswered
from orgserver.model.orgs import AccessToken, Org, OrgHosts, OrgState, Problem
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.client import SalesforceClient
from orgserver.services.observer import Observer
from orgserver.services.tokens import assertion_login, token_errors
from orgserver.services.tokens.instance_moves import Moves
from orgserver.services.tokens.refresh_outcomes import (
    Pauses,
    RefreshOutcomes,
    Safekeeping,
    find_mismatch,
    present_time,
)
from orgserver.store.orgs.refreshes import SENDING_SECONDS, Busy, Closed, Finished, Granted, Refreshes, moment
from orgserver.store.session import Store

logger = logging.getLogger("orgserver.tokens")

AT_ONCE = 10
"""Refreshes under way in one process, whatever the number of orgs."""
_LOOK_AFTER = 0.5
"""Seconds: whoever waits longer for a lease looks whether its holder is stopped."""
_LEASE_PAUSE = (0.03, 0.12)
_BUSY_WAITS = (0.3, 0.6, 1.2, 2.4, 4.8)
"""How long to wait, in seconds, for somebody else's refresh before looking at the store again."""


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """What a refresh is for."""

    not_this: AccessToken | None = None
    """The token that was refused, or that shall be followed by another."""
    prove: bool = True
    """Nothing else works: a refresh token whose answer was lost may be tried once more."""
    force: bool = False
    """An operator wants the token tried whatever the org's state says."""


class _Again(Exception):
    """Nothing is decided: begin anew, after so many seconds."""

    def __init__(self, seconds: float, busy: Busy | None = None) -> None:
        super().__init__()
        self.seconds = seconds
        self.busy = busy


class _BeingProcessed(Exception):
    """Salesforce is answering somebody else about this very token."""


class Refresher:
    """Gets new access tokens, one holder of a login's lease at a time."""

    def __init__(
        self,
        store: Store,
        client: SalesforceClient,
        observer: Observer | None,
        *,
        lease_seconds: float,
        token_seconds: float,
        pauses: Pauses,
    ) -> None:
        self._store = store
        self._client = client
        self._steps = Refreshes(store.orgs, store.process_lock, token_seconds)
        self._lease_seconds = lease_seconds
        self._token_seconds = token_seconds
        self._pauses = pauses
        self._places = asyncio.Semaphore(AT_ONCE)
        self.ending = False
        """The process is about to end: nobody waits for somebody else's refresh any more."""
        self._safe = Safekeeping(store, pauses)
        self._outcomes = RefreshOutcomes(store, observer, self._steps, self._safe)
        self._moves = Moves(store, client)

    async def refresh(self, org: Org, request: RefreshRequest) -> AccessToken:
        """Get another token, from Salesforce or from whoever is refreshing already.

        Raises NeedsLogin, NoConnection or another NotSent.
        """
        if self._safe.holds(org):  # until the store has taken it, nothing else is sent
            deposit = await self._safe.put_again(org)
            if deposit is None or deposit.access is None:
                return await self.refresh(org, RefreshRequest())
            return deposit.access
        holder = self._store.process_lock.holder()
        began = asyncio.get_running_loop().time()
        proofs = 1 if request.prove else 0
        while True:
            try:
                async with self._places:
                    return await self._attempt(org, request, holder)
            except _Again as again:
                pause, busy = again.seconds, again.busy
            except _BeingProcessed as processed:
                return await self._wait_for_other_refresh(org, request, str(processed))
            except Unanswered as lost:
                if not proofs:
                    raise token_errors.lost(org, lost) from lost
                proofs -= 1
                pause, busy = random.uniform(*self._pauses.lost), None  # noqa: S311  # jitter
            await self._give_up_on(busy, org, asyncio.get_running_loop().time() - began)
            await asyncio.sleep(pause)

    async def _give_up_on(self, busy: Busy | None, org: Org, waited: float) -> None:
        """Wait no longer for the holder of the lease: at the end of a lease, of this process, or if it is stopped."""
        over, process = self.ending or waited > self._lease_seconds, None
        if busy is not None and (over or waited > _LOOK_AFTER):
            process = await asyncio.to_thread(self._store.process_lock.process_of, busy.holder)
        if over or (process is not None and process.stopped):
            raise token_errors.refreshed_elsewhere(org, process)

    # -- beginning

    async def _attempt(self, org: Org, request: RefreshRequest, holder: str) -> AccessToken:
        began = time.monotonic()
        not_this = request.not_this.fencing if request.not_this is not None else None
        try:
            begun = await self._store.database.write(
                lambda tx: self._steps.begin_in(
                    tx,
                    org.login,
                    holder,
                    life_us=int(self._lease_seconds * 1_000_000),
                    not_this=not_this,
                    prove=request.prove,
                    force=request.force,
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
            raise token_errors.closed(org, begun.org)
        if begun.doubted_since is not None and await self._take_in_rescued(org):
            raise _Again(0)  # the lost answer was kept beside the store
        if not self._time_is_left(begun, began):
            await self._outcomes.end(begun, holder, doubted=begun.doubted_since is not None)
            raise _Again(0)
        return await self._ask(begun, request, holder)

    def _time_is_left(self, granted: Granted, began: float) -> bool:
        """Whether a token request begins soon and fits into the lease, by both clocks: a laptop may have slept."""
        since = time.monotonic() - began
        if granted.credential.refresh_token is not None and since > SENDING_SECONDS:
            return False
        elapsed = max(since, (self._store.database.clock() - granted.taken_at) / 1_000_000)
        return elapsed < self._lease_seconds - self._token_seconds

    async def _take_in_rescued(self, org: Org) -> bool:
        """Whether another process had to leave this org's answer beside the store, and it is in now."""
        return org.login.id in await self._store.take_in_rescued()

    # -- asking

    async def _ask(self, granted: Granted, request: RefreshRequest, holder: str) -> AccessToken:
        """Ask Salesforce, once, and keep everything it answers before anybody uses it."""
        org, answer, login_host = granted.org, None, granted.org.login_url
        where = org.hosts_with(org.instance_url)
        try:
            if granted.credential.private_key is not None:
                granted, answer, login_host = await self._log_in(granted, where)
            else:
                reply = await self._client.request_token(where, oauth.build_token_form(granted.credential, time.time()))
        except oauth.TokenRefused as refusal:  # of an assertion, which spends nothing
            return await self._refused(granted, refusal, request, holder)
        except NoConnection as error:
            problem = Problem("no_connection", present_time(), "check the network and the login host")
            await self._outcomes.end(granted, holder, problem=problem, doubted=granted.doubted_since is not None)
            raise NoConnection(f"the login host of {org.alias} could not be reached", hint=error.hint) from error
        except NotSent as error:  # nothing left
            problem = Problem(error.code, present_time(), error.hint or "an administrator looks at this org's hosts")
            await self._outcomes.end(granted, holder, problem=problem, doubted=granted.doubted_since is not None)
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, CallError) else "it could not be read"
            raise await self._unanswered(granted, holder, reason) from error
        if answer is not None:
            return await self._accept(granted, answer, find_mismatch(granted.org, answer), holder, login_host)
        return await self._read(granted, reply.status, reply.body, request, holder)

    async def _read(
        self, granted: Granted, status: int, body: Any, request: RefreshRequest, holder: str
    ) -> AccessToken:
        """Tell what an answer is. Until its refresh token is stored, nothing else happens with it."""
        rotated = oauth.refresh_token_in(status, body)
        try:
            answer = oauth.read_tokens(status, body)
            mismatch = find_mismatch(granted.org, answer)
        except oauth.TokenRefused as refusal:
            if rotated is not None:
                raise await self._outcomes.store_for_later(granted, rotated, refusal.reason, holder) from refusal
            if granted.credential.refresh_token is None or oauth.was_refused(status, body):
                return await self._refused(granted, refusal, request, holder)
            raise await self._unanswered(granted, holder, refusal.reason) from refusal
        except Exception as error:
            if rotated is not None:
                raise await self._outcomes.store_for_later(granted, rotated, "it could not be read", holder) from error
            raise await self._unanswered(granted, holder, "it could not be read") from error
        return await self._accept(granted, answer, mismatch, holder, granted.org.login_url)

    async def _accept(
        self, granted: Granted, answer: oauth.TokenAnswer, mismatch: str | None, holder: str, login_host: str
    ) -> AccessToken:
        """Keep a whole answer; where it names another host, the org's own is asked nothing until that is proven."""
        if mismatch is not None:
            await self._outcomes.quarantine(granted, answer.refresh_token, mismatch, holder)
            raise token_errors.quarantined(granted.org, mismatch)
        access, settled = await self._outcomes.store_answer(granted, answer, holder)
        if settled:
            return access
        return await self._moves.settle(granted.org, answer, access, login_host)

    async def _log_in(self, granted: Granted, where: OrgHosts) -> tuple[Granted, oauth.TokenAnswer, str]:
        """Show an assertion; the audience that worked is kept with the answer, whose host comes last."""
        began = time.monotonic()
        answer = await assertion_login.log_in(
            self._client, where, granted.credential, has_time=lambda: self._time_is_left(granted, began)
        )
        credential = replace(granted.credential, audience=answer.recipient.audience)
        org = await assertion_login.identify(self._client, granted.org, answer)
        return replace(granted, org=org, credential=credential), answer.tokens, answer.recipient.token_host

    async def _unanswered(self, granted: Granted, holder: str, reason: str) -> Unanswered:
        """Note that nobody knows what became of the refresh token that was sent; the error to raise."""
        if granted.credential.refresh_token is None:  # nothing can have been spent
            problem = Problem("no_answer", present_time(), "try again shortly")
            await self._outcomes.end(granted, holder, problem=problem)
        else:
            cause = f"a refresh was sent at {moment(present_time())} and its answer was lost: {reason}"
            await self._outcomes.end(granted, holder, state=OrgState.IN_DOUBT, cause=cause, doubted=True)
        return Unanswered(reason)

    # -- refusals

    async def _refused(
        self, granted: Granted, refusal: oauth.TokenRefused, request: RefreshRequest, holder: str
    ) -> AccessToken:
        """Tell a dead credential from everything that looks like it."""
        org, doubted = granted.org, granted.doubted_since
        if refusal.kind == "busy":
            await self._outcomes.end(granted, holder, doubted=doubted is not None)
            raise _BeingProcessed(refusal.reason)
        sibling = await self._read_other_token(org, request.not_this)
        if sibling is not None:  # its holder's lease has gone on with the credential
            return sibling
        if refusal.kind == "dead":
            cause = refusal.reason
            if doubted is not None:
                cause = f"the answer to a refresh sent at {moment(doubted)} was lost, with the rotated token: {cause}"
            await self._outcomes.end(granted, holder, state=OrgState.NEEDS_LOGIN, cause=cause)
            raise token_errors.needs_login(org, cause)
        problem = Problem(refusal.error, present_time(), token_errors.hint(refusal))
        await self._outcomes.end(granted, holder, problem=problem, doubted=doubted is not None)
        raise token_errors.refused(org, refusal)

    async def _wait_for_other_refresh(self, org: Org, request: RefreshRequest, reason: str) -> AccessToken:
        """Wait for what somebody else gets; without the lease, or they might wait for us."""
        for pause in _BUSY_WAITS:
            await asyncio.sleep(pause)
            token = await self._read_other_token(org, request.not_this)
            if token is not None:
                return token
        raise NotSent(f"{org.alias} gave no token: {reason}", code="TOKEN_BUSY", hint="try again shortly")

    async def _read_other_token(self, org: Org, not_this: AccessToken | None) -> AccessToken | None:
        """The stored token, if it is another one: somebody may have finished a refresh."""
        async with self._store.database.reading() as connection:
            stored = await self._store.orgs.credentials.access_token(connection, org.login)
        return None if stored is None or is_same_token(stored, not_this) else stored


def is_same_token(token: AccessToken, other: AccessToken | None) -> bool:
    """Whether both came from the same answer."""
    return other is not None and token.fencing == other.fencing
