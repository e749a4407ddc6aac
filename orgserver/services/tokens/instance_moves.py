"""An org that lives somewhere else from now on: believed once its pinned login host has said so of that very org.

The new host cannot prove itself: it can answer anything, and asking it would send it the token. Until the proof, the
access token goes to the old host alone; the login host has just made that token, so it learns nothing by seeing it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from msgspec import structs

from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.errors import CallError, StoreError
from orgserver.model.orgs import AccessToken, Move, Org, OrgState
from orgserver.salesforce import hosts
from orgserver.salesforce.auth import identity
from orgserver.salesforce.auth.oauth import TokenAnswer
from orgserver.salesforce.client import SalesforceClient
from orgserver.services.tokens import token_errors
from orgserver.services.tokens.refresh_outcomes import instance_named_by, intent_on, present_time
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

logger = logging.getLogger("orgserver.tokens")
SECONDS = 10.0
"""How long the login host may take to say who an org is."""
NEWS = timedelta(days=30)
"""How long a proven move is told of."""


class _Contradiction(Exception):
    """The login host says something else than its own token answer."""


def describe_move(org: Org, now: datetime) -> str | None:
    """What people are told of an org's move, if there is news."""
    move = org.move
    if move is None or (move.proven and now - move.since > NEWS):
        return None
    before, after = _host(move.before), _host(move.after)
    if move.proven:
        return f"it moved from {before} to {after} on {move.since:%Y-%m-%d}, which its login host confirmed"
    return (
        f"its login host names a new instance, {after}, which could not be confirmed ({move.reason}); "
        f"{before} is still used, and the next refresh asks again"
    )


class Moves:
    """Proves that an org has moved, and pins its new place."""

    def __init__(self, store: Store, client: SalesforceClient) -> None:
        self._store = store
        self._client = client

    async def settle(self, org: Org, answer: TokenAnswer, access: AccessToken, login_host: str) -> AccessToken:
        """Ask the host that gave an answer whether the org has moved; the access token, with where it may go.

        ``access`` is stored already, for the old host. Raises NeedsLogin where the login host contradicts itself.
        """
        after = instance_named_by(answer, org)
        try:
            await self._prove(org, answer, access, after, login_host)
        except _Contradiction as contradiction:
            await self._quarantine(org, access, str(contradiction))
            raise token_errors.quarantined(org, str(contradiction)) from None
        except (CallError, ValueError) as error:
            move = Move(org.instance_url, after, present_time(), proven=False, reason=str(error))
            logger.warning("a move of %s to %s could not be confirmed: %s", org.alias, _host(after), error)
            await self._note(org, access, move)
            return access
        return await self._pin(org, replace(access, instance_url=after))

    async def _prove(self, org: Org, answer: TokenAnswer, access: AccessToken, after: str, login_host: str) -> None:
        """Returns if it is so; raises _Contradiction, or whatever keeps the answer away."""
        request = identity.request_identity(answer, hosts.check_url(login_host, org.trusted_hosts), org.trusted_hosts)
        deadline = asyncio.get_running_loop().time() + SECONDS
        where = structs.replace(org.hosts_with(org.instance_url), login_url=login_host)
        reply = await self._client.send_to_login_host(where, access.token, request, deadline=deadline)
        identity_reply = identity.read_identity(reply, org.trusted_hosts)
        if identity_reply.org_id != (org.org_id or answer.org_id):
            raise _Contradiction(
                f"its login host named a new instance, {_host(after)}, of another org ({identity_reply.org_id})"
            )
        if identity_reply.homes != {after}:
            homes = ", ".join(sorted(map(_host, identity_reply.homes)))
            raise _Contradiction(f"its login host named a new instance, {_host(after)}, and says it lives at {homes}")

    async def _pin(self, org: Org, access: AccessToken) -> AccessToken:
        """Let the org's token go to the new host from now on; the change is an entry."""
        move = Move(org.instance_url, access.instance_url, present_time(), proven=True)
        intent = intent_on(org, Action.ENROL).about(("instance_url",), _host(access.instance_url))

        def change(tx: Transaction) -> bool:
            moved = self._store.orgs.move_in(tx, org.login, access, move)
            if moved:
                self._store.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED))
            return moved

        try:
            moved = await self._store.database.write(change)
        except StoreError as error:  # the old host is as good as before; the next refresh proves it again
            logger.warning("a move of %s could not be stored: %s", org.alias, error, extra={"org": org.alias})
            moved = False
        if not moved:
            return replace(access, instance_url=org.instance_url)
        logger.warning("%s moved from %s to %s", org.alias, _host(move.before), _host(move.after))
        return access

    async def _note(self, org: Org, access: AccessToken, move: Move) -> None:
        with suppress(StoreError):  # it is a warning, and the next refresh comes to it again
            await self._store.database.write(
                lambda tx: self._store.orgs.note_move_in(tx, org.login, access.fencing, move)
            )

    async def _quarantine(self, org: Org, access: AccessToken, cause: str) -> None:
        """Use the access token of a login host that contradicts itself no more."""
        intent = intent_on(org, Action.ENROL)

        def change(tx: Transaction) -> None:
            if self._store.orgs.credentials.fencing_in(tx, org.login) == access.fencing:
                self._store.orgs.credentials.forget_access_token_in(tx, org.login)
                self._store.orgs.mark_in(tx, org.login, state=OrgState.QUARANTINED, cause=cause, problem=None)
            self._store.audit.record_in(tx, intent, Completion(Outcome.DENIED, error_code=OrgState.QUARANTINED.value))

        with suppress(StoreError):  # whoever waits for the token is refused all the same
            await self._store.database.write(change)


def _host(url: str) -> str:
    return url.partition("://")[2] or url
