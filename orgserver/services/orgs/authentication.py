"""How the first access token of an org is got, by each kind of login, and what a refusal means to the operator.

A refresh token that is sent may be spent, and a code works once: both are sealed in a draft before and after. A signed
assertion and an app's own credentials spend nothing, so nothing is stored until everything is proven.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from orgserver.model.errors import EnrolmentError, NotSent, Unanswered
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Credential
from orgserver.model.secret import Secret
from orgserver.salesforce import hosts
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.client import SalesforceClient
from orgserver.services.orgs import browser_login
from orgserver.services.orgs.browser_login import SignIn
from orgserver.services.orgs.login_refusals import lost, refused, unusable
from orgserver.services.orgs.pending_enrolment import Drafts, credential_in
from orgserver.services.orgs.registration import Registration, credential_of, hosts_of
from orgserver.services.tokens import assertion_login
from orgserver.store.orgs.pending_enrolments import PendingEnrolment

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """An access token, and where Salesforce says it belongs."""

    token: Secret
    instance_url: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A way into an org: what is registered once the org has said who it is."""

    row_id: RowId
    credential: Credential
    session: Session | None
    """None with ``--no-verify``: nobody has asked for a token yet."""
    draft: PendingEnrolment | None = None
    rotated: bool = False
    resumed: bool = False


class WaysIn:
    """Gets the first token, by whatever was given. Each failure is an EnrolmentError with one sentence."""

    def __init__(self, drafts: Drafts, client: SalesforceClient) -> None:
        self._drafts = drafts
        self._client = client

    async def enter(self, given: Registration, sign_in: SignIn | None) -> Entry:
        """Take the way that was given, as far as an access token; no farther than to the store with ``--no-verify``."""
        if given.auth in ("jwt", "client-credentials"):
            credential = credential_of(given)
            if not given.verify:
                return Entry(RowId(new_id()), credential, None)
            session, credential = await self._session(given, credential)
            return Entry(RowId(new_id()), credential, session)
        draft, resumed = await self._drafts.begin(given)
        if draft.facts["phase"] == "login":
            return _entry(await self._logged_in(draft, given, sign_in), resumed=False)
        await self._drafts.refuse_shared(draft)
        if not given.verify:
            return Entry(draft.row_id, credential_in(draft), None, draft)
        return _entry(await _unbroken(self._refreshed(draft, given, resumed=resumed)), resumed=resumed)

    # -- what spends nothing

    async def _session(self, given: Registration, credential: Credential) -> tuple[Session, Credential]:
        """A first session, and the credential with the audience that got it."""
        try:
            if credential.private_key is not None:
                answer, credential = await self._by_assertion(given, credential)
            else:
                answer = oauth.read_tokens(*await self._ask(given, oauth.build_token_form(credential, time.time())))
        except oauth.TokenRefused as refusal:
            raise refused(refusal, given, given.auth) from None
        except Unanswered as error:
            raise EnrolmentError(
                f"{given.login_url} did not answer; nothing was stored",
                hint="run the same command again",
                outcome=error.outcome,
                code=error.code,
            ) from error
        return Session(answer.access_token, answer.instance_url), credential

    async def _by_assertion(self, given: Registration, credential: Credential) -> tuple[oauth.TokenAnswer, Credential]:
        where = hosts_of(given)
        with _unreachable_explained(given):
            answer = await assertion_login.log_in(self._client, where, credential)
        answer = await assertion_login.at_home(self._client, where, credential, answer)
        return answer.tokens, replace(credential, audience=answer.recipient.audience)

    # -- a login in the browser

    async def _logged_in(
        self, draft: PendingEnrolment, given: Registration, sign_in: SignIn | None
    ) -> PendingEnrolment:
        """Have somebody log in, and redeem the code. Until there is an answer, nothing is worth keeping."""
        if sign_in is None:
            raise EnrolmentError("nobody is here to log in", hint="use another --auth")
        try:
            begun = _begin(given)
            code = await sign_in(begun)
        except BaseException:
            await _unbroken(self._drafts.drop(draft))
            raise
        return await _unbroken(self._redeemed(draft, given, begun, code))

    async def _redeemed(
        self, draft: PendingEnrolment, given: Registration, begun: browser_login.Login, code: Secret
    ) -> PendingEnrolment:
        """Redeem a code, once, and seal what comes back."""
        try:
            status, body = await self._redeem(given, begun, code)
            answer = _login(given, status, body)
        except EnrolmentError:
            await self._drafts.drop(draft)
            raise
        except _OnlyRefreshToken as kept:
            await self._drafts.seal_rotated(draft, kept.refresh_token)
            raise unusable(given, kept) from None
        return await self._drafts.seal_answer(draft, answer, rotated=False)

    async def _redeem(self, given: Registration, begun: browser_login.Login, code: Secret) -> tuple[int, Any]:
        form = oauth.authorization_code(
            given.client_id, given.client_secret, code=code, callback=begun.callback.url, verifier=begun.verifier
        )
        try:
            return await self._ask(given, form)
        except Unanswered as error:
            raise EnrolmentError(
                f"{given.login_url} did not answer, and a code works only once",
                hint="run the same command again",
                outcome=error.outcome,
                code=error.code,
            ) from error

    # -- a refresh token

    async def _refreshed(self, draft: PendingEnrolment, given: Registration, *, resumed: bool) -> PendingEnrolment:
        """Spend the refresh token and seal what comes back, before anything else can happen."""
        if draft.facts["phase"] == "proven":
            return draft
        sent_before = bool(draft.facts.get("sent"))
        sending = await self._drafts.keep(draft, sent=True)
        try:
            status, body = await self._ask(given, oauth.refresh(credential_in(draft)))
        except Unanswered as error:
            raise lost(given, str(error)) from error
        except EnrolmentError:
            if not sent_before:
                await self._drafts.drop_copy(draft)
            raise
        rotated = oauth.refresh_token_in(status, body)
        try:
            answer = oauth.read_tokens(status, body)
        except oauth.TokenRefused as refusal:
            if rotated is not None:
                await self._drafts.seal_rotated(sending, rotated)
                raise unusable(given, refusal) from None
            if not oauth.was_refused(status, body):
                raise lost(given, refusal.reason) from None
            await self._drop_refused(draft, refusal)
            raise refused(refusal, given, "refresh-token", interrupted=resumed and sent_before) from None
        return await self._drafts.seal_answer(sending, answer, rotated=answer.refresh_token is not None)

    async def _drop_refused(self, draft: PendingEnrolment, refusal: oauth.TokenRefused) -> None:
        """End an enrolment whose token is dead, or may be given again with what was wrong beside it."""
        if refusal.kind == "dead":
            await self._drafts.drop(draft)
        elif refusal.kind not in ("busy", "unclear"):
            await self._drafts.drop_copy(draft)

    # -- asking

    async def _ask(self, given: Registration, form: oauth.Form) -> tuple[int, Any]:
        """Ask the token endpoint, once; status and JSON. Raises Unanswered, or EnrolmentError if nothing was sent."""
        with _unreachable_explained(given):
            reply = await self._client.request_token(hosts_of(given), form)
        return reply.status, reply.body


class _OnlyRefreshToken(Exception):
    """A login's answer is no good but for its refresh token."""

    def __init__(self, refresh_token: Secret, reason: str) -> None:
        super().__init__(reason)
        self.refresh_token = refresh_token


def _login(given: Registration, status: int, body: Any) -> oauth.TokenAnswer:
    """Read what a code got."""
    try:
        answer = oauth.read_tokens(status, body)
    except oauth.TokenRefused as refusal:
        rotated = oauth.refresh_token_in(status, body)
        if rotated is not None:
            raise _OnlyRefreshToken(rotated, refusal.reason) from None
        raise refused(refusal, given, given.auth) from None
    if answer.refresh_token is None:
        raise EnrolmentError(
            "Salesforce gave no refresh token: the app lacks the scope refresh_token (offline_access)",
            hint="an administrator adds it to the app (Perform requests at any time); then log in again",
            outcome="rejected",
            code="NO_REFRESH_TOKEN",
        )
    return answer


@contextmanager
def _unreachable_explained(given: Registration) -> Iterator[None]:
    try:
        yield
    except NotSent as error:
        raise EnrolmentError(
            f"{given.login_url} could not be reached: {error}",
            hint=error.hint,
            outcome=error.outcome,
            code=error.code,
        ) from None


def _begin(given: Registration) -> browser_login.Login:
    origin = hosts.check_url(given.login_url, given.trusted_hosts)
    return browser_login.begin(origin, given.client_id, browser_login.read_callback(given.callback_url), given.username)


def _entry(draft: PendingEnrolment, *, resumed: bool) -> Entry:
    session = Session(Secret(draft.facts["access_token"]), draft.facts["instance_url"])
    return Entry(draft.row_id, credential_in(draft), session, draft, bool(draft.facts.get("rotated")), resumed)


async def _unbroken(step: Coroutine[Any, Any, T]) -> T:
    """Run a step to its end even when the command is interrupted: a token that was sent for must reach the store."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
