"""Enrolments under way: sealed in the store before a token is spent, and gone on from after whatever broke them off.

``facts`` holds ``phase``, ``auth``, ``given`` (a digest of the refresh token as the operator gave it; empty for a login
in the browser), ``client_id``, ``client_secret``, ``login_url``, ``refresh_token``, and from phase ``proven`` on what
Salesforce answered: ``rotated``, ``access_token``, ``instance_url``. Phases:

    login    somebody is logging in; there is no token yet, and nothing to go on from
    given    there is a refresh token, and no access token; ``sent`` when it may have been spent, ``rotated`` when it
             is all that could be used of an answer
    proven   there are both
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from orgserver.model.access.logins import LoginKey
from orgserver.model.errors import EnrolmentError
from orgserver.model.names import Alias, RowId, new_id
from orgserver.model.orgs import AccessToken, Credential
from orgserver.model.secret import Secret
from orgserver.salesforce.auth.oauth import TokenAnswer
from orgserver.services.orgs.known_tokens import KnownTokens
from orgserver.services.orgs.registration import Registration
from orgserver.store.orgs.registry import PendingEnrolment
from orgserver.store.orgs.token_digests import KnownToken, digest_token, find_tokens_in
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

logger = logging.getLogger("orgserver.tokens")
KEEP_TRYING = (0.1, 0.3, 1.0, 3.0, 5.0)
"""Seconds between tries to seal an answer that the store did not take."""


def already_registered(alias: Alias) -> EnrolmentError:
    """What an alias that is in use answers."""
    return EnrolmentError(
        f"an org is already registered as {alias}",
        hint=f"choose another alias, or give it new credentials with: orgserver update-org {alias} --auth …",
    )


class EnrolmentProgress:
    """The unfinished enrolments of one store."""

    def __init__(self, store: Store, pauses: Sequence[float] = KEEP_TRYING) -> None:
        self._store = store
        self._pauses = pauses
        self._known_tokens = KnownTokens(store)

    async def find(self, alias: Alias, given: str | None = None) -> dict[Alias, PendingEnrolment]:
        """The unfinished enrolments of an alias, and of the refresh token of this digest, opened."""
        async with self._store.database.reading() as connection:
            return await self._store.orgs.enrolments.find(connection, alias, given)

    async def answered(self, alias: Alias) -> bool:
        """Tell whether an enrolment waits that Salesforce has already answered."""
        enrolment = (await self.find(alias)).get(alias)
        return enrolment is not None and (enrolment.facts["phase"] == "proven" or bool(enrolment.facts.get("rotated")))

    async def begin(self, registration: Registration) -> tuple[PendingEnrolment, bool]:
        """Find the draft of an earlier run, or write a new one: before a token is spent, the store must take writes.

        EnrolmentError for a token that another alias uses, and for a copy of one that was spent when an org was
        registered.
        """
        await self._known_tokens.fill()
        enrolment, resumed, known = await self._store.database.write(partial(self._begin_in, registration=registration))
        await self._refuse_shared(enrolment, known)
        return enrolment, resumed

    def _begin_in(self, tx: Transaction, registration: Registration) -> tuple[PendingEnrolment, bool, list[KnownToken]]:
        """The draft, whether it is of an earlier run, and the orgs that have or had its token."""
        enrolment, resumed = self._draft_in(tx, registration)
        token = enrolment.facts["refresh_token"]
        known = find_tokens_in(tx, digest_token(Secret(token)), enrolment.facts["given"]) if token else []
        return enrolment, resumed, known

    def _draft_in(self, tx: Transaction, registration: Registration) -> tuple[PendingEnrolment, bool]:
        token, enrolments = registration.refresh_token, self._store.orgs.enrolments
        pending = enrolments.find_in(tx, registration.alias, digest_token(token) if token else None)
        earlier = pending.get(registration.alias)
        resumed = _begun(pending, registration)
        if resumed is not None and resumed is earlier:
            return resumed, True
        enrolment = (
            replace(resumed, alias=registration.alias)
            if resumed
            else PendingEnrolment(registration.alias, RowId(new_id()), _first(registration))
        )
        if not registration.replace and self._store.orgs.is_registered_in(tx, registration.alias):
            raise already_registered(registration.alias)  # by an interrupted run whose last step has gone in since
        if earlier is not None:
            enrolments.remove_in(tx, earlier, keep_key=False)
        if resumed is not None:
            enrolments.remove_in(tx, resumed, keep_key=True)
        enrolments.write_in(tx, enrolment)
        return enrolment, resumed is not None

    async def keep(self, enrolment: PendingEnrolment, **facts: Any) -> PendingEnrolment:
        """Write a draft, a step further."""
        further = replace(enrolment, facts=enrolment.facts | facts)
        await self._store.database.write(lambda tx: self._store.orgs.enrolments.write_in(tx, further))
        return further

    async def seal_answer(self, enrolment: PendingEnrolment, answer: TokenAnswer, *, rotated: bool) -> PendingEnrolment:
        """Write what Salesforce answered, and go on trying for a while: nobody else has it."""
        facts = {
            "phase": "proven",
            "rotated": rotated or bool(enrolment.facts.get("rotated")),
            "refresh_token": answer.refresh_token.reveal()
            if answer.refresh_token
            else enrolment.facts["refresh_token"],
            "access_token": answer.access_token.reveal(),
            "instance_url": answer.instance_url,
        }
        return await self._seal(enrolment, facts)

    async def seal_rotated(self, enrolment: PendingEnrolment, rotated: Secret) -> PendingEnrolment:
        """Write the refresh token of an answer that is no good otherwise: the next run goes on from it."""
        facts = {"phase": "given", "sent": False, "rotated": True, "refresh_token": rotated.reveal()}
        return await self._seal(enrolment, facts)

    async def _seal(self, enrolment: PendingEnrolment, facts: Mapping[str, Any]) -> PendingEnrolment:
        try:
            return await self.keep(enrolment, **facts)
        except Exception:  # noqa: BLE001  # whatever it is, the answer must not be lost with it
            logger.warning("the store does not take Salesforce's answer for %s; trying again", enrolment.alias)
        rescued = await self._rescue(enrolment, facts)
        for pause in self._pauses:
            await asyncio.sleep(pause)
            with suppress(Exception):
                sealed = await self.keep(enrolment, **facts)
                if rescued is not None:
                    await asyncio.to_thread(rescued.unlink, missing_ok=True)
                return sealed
        if rescued is None:
            raise EnrolmentError(
                f"Salesforce's answer for {enrolment.alias} could not be stored, and is lost",
                hint="orgserver doctor says what keeps the store from it; then log in again",
            )
        raise EnrolmentError(
            f"the store did not take Salesforce's answer for {enrolment.alias}; it is kept, sealed, in {rescued.name}",
            hint="orgserver doctor says what keeps the store from it; then run the same command again, which goes on",
        )

    async def _rescue(self, enrolment: PendingEnrolment, facts: Mapping[str, Any]) -> Path | None:
        """Seal an answer beside the store; None if even that fails."""
        access = None
        if "access_token" in facts:
            access = AccessToken(Secret(facts["access_token"]), facts["instance_url"], 1)
        with suppress(OSError, KeyError):
            return await asyncio.to_thread(
                self._store.rescue.keep, LoginKey.shared(enrolment.row_id), 0, Secret(facts["refresh_token"]), access
            )
        return None

    async def start_over(self, enrolment: PendingEnrolment) -> None:
        """The draft's access token ended meanwhile: its refresh token gets another at the next run."""
        await self.keep(enrolment, phase="given", sent=False)

    async def drop(self, enrolment: PendingEnrolment) -> None:
        """End an enrolment, and destroy its secrets."""
        await self._store.database.write(
            lambda tx: self._store.orgs.enrolments.remove_in(tx, enrolment, keep_key=False)
        )

    async def drop_copy(self, enrolment: PendingEnrolment) -> None:
        """End an enrolment whose token the operator still has; one that lives only here is kept."""
        if digest_token(Secret(enrolment.facts["refresh_token"])) == enrolment.facts["given"]:
            await self.drop(enrolment)

    async def _refuse_shared(self, enrolment: PendingEnrolment, every: Sequence[KnownToken]) -> None:
        token = digest_token(Secret(enrolment.facts["refresh_token"])) if every else None
        for known in every:
            other = known.alias
            if known.digest == token:
                if other != enrolment.alias or known.principal is not None:
                    await self.drop_copy(enrolment)
                    raise EnrolmentError(
                        f"this refresh token is already in use for {other}; two aliases must not share one",
                        hint="log in once more, with --auth web, to get a refresh token of its own",
                    )
            else:
                await self.drop_copy(enrolment)
                raise EnrolmentError(
                    f"this is the copy of the refresh token that was spent when {other} was registered; it was not "
                    f"sent, for Salesforce would then revoke the one {other} uses now",
                    hint="delete the copy; log in once more, with --auth web, if you need another refresh token",
                )


def credential_in(enrolment: PendingEnrolment) -> Credential:
    """The credential that a draft holds."""
    secret = enrolment.facts["client_secret"]
    return Credential(
        enrolment.facts["client_id"],
        Secret(secret) if secret else None,
        Secret(enrolment.facts["refresh_token"]),
        given_digest=enrolment.facts["given"],
    )


def _begun(pending: Mapping[Alias, PendingEnrolment], registration: Registration) -> PendingEnrolment | None:
    """The draft that this registration goes on from.

    The same token under another alias is the same enrolment: sent anew, a spent token would revoke the new one.
    """
    if registration.refresh_token is not None:
        token_digest = digest_token(registration.refresh_token)
        return next((enrolment for enrolment in pending.values() if enrolment.facts["given"] == token_digest), None)
    earlier = pending.get(registration.alias)
    if earlier is None or earlier.facts["phase"] == "login":
        return None
    same = {"auth": "web", "client_id": registration.client_id, "login_url": registration.login_url}
    return earlier if same.items() <= earlier.facts.items() else None


def _first(registration: Registration) -> dict[str, Any]:
    token = registration.refresh_token
    return {
        "phase": "given" if token else "login",
        "auth": registration.auth,
        "given": digest_token(token) if token else "",
        "client_id": registration.client_id,
        "client_secret": registration.client_secret.reveal() if registration.client_secret else None,
        "login_url": registration.login_url,
        "refresh_token": token.reveal() if token else None,
    }
