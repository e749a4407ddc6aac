"""Tells Salesforce of tokens that are over: what the store holds of them is sent until an answer says that it is done.

It is sent by servers, and once by a command that has ended a login. Where nobody answers it is tried again, by whatever
process comes first; who has ended a login never waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import CallError, OrgserverError
from orgserver.model.names import new_id
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.client import FormReply, SalesforceClient
from orgserver.store.orgs.revocations import Revocation
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.vault.ring import retry_behind

logger = logging.getLogger("orgserver.connections")

REVOKE = "revoke"
"""The tool of the entries."""
AT_ONCE = 4
_AT_A_TIME = 100
_SECOND_US = 1_000_000
_CLAIM_US = 120 * _SECOND_US
"""So long a process has one to itself: longer than an answer takes."""
_FIRST_US, _LONGEST_US = 60 * _SECOND_US, 3_600 * _SECOND_US
GIVEN_UP_US = 24 * _LONGEST_US
"""After so long the token has likely ended by itself; that it was not revoked is on record."""
_POLL_SECONDS = 15.0
_CLOSE_SECONDS = 3.0


class Revoker:
    """Sends them, for as long as the process lives."""

    def __init__(self, store: Store, client: SalesforceClient) -> None:
        self._store = store
        self._revocations = store.revocations
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._is_new = asyncio.Event()

    def wake(self) -> None:
        """Send soon; from any thread, and never failing."""
        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(self._is_new.set)

    async def run(self) -> None:
        """Send what is due, for as long as the server lives: at once what ends here, soon what others left."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_new.wait(), _POLL_SECONDS)
            try:
                await self.send_due()
            except OrgserverError as error:
                logger.warning("tokens that are over are revoked later: %s", error)

    async def close(self) -> None:
        """Send what this process has added and not sent, for three seconds at most; another process sends the rest."""
        await asyncio.sleep(0)  # for what was told from the writer's thread
        if not self._is_new.is_set():
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.send_due()
        except (OrgserverError, TimeoutError):
            logger.warning("Salesforce was not told yet of every login that has ended: a server goes on with it")

    async def send_due(self) -> int:
        """Send those whose time has come; of how many Salesforce was told."""
        self._is_new.clear()
        places, told = asyncio.Semaphore(AT_ONCE), 0

        async def one(revocation: Revocation) -> bool:
            async with places:
                return await self._send(revocation)

        while True:
            due = await self._read_due()
            results = await asyncio.gather(*map(one, due), return_exceptions=True)  # one that fails ends no other
            told += sum(each is True for each in results)
            for each in results:
                if isinstance(each, BaseException):
                    raise each
            if len(due) < _AT_A_TIME:
                return told

    async def _read_due(self) -> list[Revocation]:
        async def read() -> list[Revocation]:
            async with self._store.database.reading() as connection:
                return await self._revocations.due(connection, self._store.database.clock(), _AT_A_TIME)

        return await retry_behind(read)

    async def _send(self, revocation: Revocation) -> bool:
        """Send one, unless another process does."""
        write, now = self._store.database.write, self._store.database.clock()
        if not await write(partial(self._revocations.claim_in, revocation=revocation, until=now + _CLAIM_US)):
            return False
        problem = await self._ask(revocation)
        if problem is None:
            await write(partial(self._revocations.done_in, revocation_id=revocation.id))
            return True
        logger.warning("a token that is over was not revoked: %s", problem, extra={"org": revocation.alias})
        if revocation.token is None or now - revocation.created_at >= GIVEN_UP_US:
            await write(partial(self._give_up_in, revocation=revocation))
        else:
            pause = min(_FIRST_US << min(revocation.tries, 10), _LONGEST_US)
            await write(partial(self._revocations.later_in, revocation_id=revocation.id, next_at=now + pause))
        return False

    async def _ask(self, revocation: Revocation) -> str | None:
        """Why Salesforce does not know yet, if it does not."""
        if revocation.token is None:
            return "what is kept of it does not open"
        try:
            reply = await self._client.post_form(revocation.hosts, oauth.REVOKE_PATH, oauth.revoke(revocation.token))
        except CallError as error:
            return str(error)
        finally:
            await self._client.close_org(revocation.hosts.key)
        return None if _is_over(reply) else f"the login host answered {reply.status}"

    def _give_up_in(self, tx: Transaction, revocation: Revocation) -> None:
        if self._revocations.done_in(tx, revocation.id):
            intent = Intent(
                new_id(),
                "orgserver",
                "cli",
                Action.ENROL,
                tool=REVOKE,
                org=revocation.alias,
                object=revocation.principal,
                identity="own",
            )
            self._store.audit.record_in(tx, intent, Completion(Outcome.NOT_SENT, error_code="NOT_REVOKED"))


def _is_over(reply: FormReply) -> bool:
    """Whether an answer says that the token opens nothing any more: one that is not known does not, either."""
    if reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return True
    return isinstance(reply.body, dict) and reply.body.get("error") in {"invalid_token", "unsupported_token_type"}
