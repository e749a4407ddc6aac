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
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.client import SalesforceClient
from orgserver.services.orgs.login_refusals import lost, refused, unanswered, unusable
from orgserver.services.orgs.pending_enrolment import EnrolmentProgress, credential_in
from orgserver.services.orgs.registration import Login, Registration, SignIn, begin_login, credential_of, hosts_of
from orgserver.services.tokens import assertion_login
from orgserver.store.orgs.registry import PendingEnrolment

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """An access token, and where Salesforce says it belongs."""

    token: Secret
    instance_url: str


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A way into an org: what is registered once the org has said who it is."""

    row_id: RowId
    credential: Credential
    session: Session | None
    """None with ``--no-verify``: nobody has asked for a token yet."""
    enrolment: PendingEnrolment | None = None
    rotated: bool = False
    resumed: bool = False


class Authentication:
    """Gets the first token, by whatever was given. Each failure is an EnrolmentError with one sentence."""

    def __init__(self, progress: EnrolmentProgress, client: SalesforceClient) -> None:
        self._progress = progress
        self._client = client

    async def authenticate(self, registration: Registration, sign_in: SignIn | None) -> Authenticated:
        """Take the way that was given, as far as an access token; no farther than to the store with ``--no-verify``."""
        if registration.auth in ("jwt", "client-credentials"):
            credential = credential_of(registration)
            if not registration.verify:
                return Authenticated(RowId(new_id()), credential, None)
            session, credential = await self._session(registration, credential)
            return Authenticated(RowId(new_id()), credential, session)
        enrolment, resumed = await self._progress.begin(registration)
        if enrolment.facts["phase"] == "login":
            return _authenticated(await self._logged_in(enrolment, registration, sign_in), resumed=False)
        if not registration.verify:
            return Authenticated(enrolment.row_id, credential_in(enrolment), None, enrolment)
        return _authenticated(
            await _unbroken(self._refreshed(enrolment, registration, resumed=resumed)), resumed=resumed
        )

    # -- what spends nothing

    async def _session(self, registration: Registration, credential: Credential) -> tuple[Session, Credential]:
        """A first session, and the credential with the audience that got it."""
        try:
            if credential.private_key is not None:
                answer, credential = await self._by_assertion(registration, credential)
            else:
                answer = oauth.read_tokens(
                    *await self._ask(registration, oauth.build_token_form(credential, time.time()))
                )
        except oauth.TokenRefused as refusal:
            raise refused(refusal, registration, registration.auth) from None
        except Unanswered as error:
            raise unanswered(registration, error, "; nothing was stored") from error
        return Session(answer.access_token, answer.instance_url), credential

    async def _by_assertion(
        self, registration: Registration, credential: Credential
    ) -> tuple[oauth.TokenAnswer, Credential]:
        where = hosts_of(registration)
        with _unreachable_explained(registration):
            answer = await assertion_login.log_in(self._client, where, credential)
        answer = await assertion_login.at_home(self._client, where, credential, answer)
        return answer.tokens, replace(credential, audience=answer.recipient.audience)

    # -- a login in the browser

    async def _logged_in(
        self, enrolment: PendingEnrolment, registration: Registration, sign_in: SignIn | None
    ) -> PendingEnrolment:
        """Have somebody log in, and redeem the code. Until there is an answer, nothing is worth keeping."""
        if sign_in is None:
            raise EnrolmentError("nobody is here to log in", hint="use another --auth")
        try:
            begun = begin_login(registration)
            code = await sign_in(begun)
        except BaseException:
            await _unbroken(self._progress.drop(enrolment))
            raise
        return await _unbroken(self._redeemed(enrolment, registration, begun, code))

    async def _redeemed(
        self, enrolment: PendingEnrolment, registration: Registration, begun: Login, code: Secret
    ) -> PendingEnrolment:
        """Redeem a code, once, and seal what comes back."""
        try:
            status, body = await self._redeem(registration, begun, code)
            answer = _login(registration, status, body)
        except EnrolmentError:
            await self._progress.drop(enrolment)
            raise
        except _OnlyRefreshToken as answer_error:
            await self._progress.seal_rotated(enrolment, answer_error.refresh_token)
            raise unusable(registration, answer_error) from None
        return await self._progress.seal_answer(enrolment, answer, rotated=False)

    async def _redeem(self, registration: Registration, begun: Login, code: Secret) -> tuple[int, Any]:
        form = oauth.authorization_code(
            registration.client_id,
            registration.client_secret,
            code=code,
            callback=begun.callback.url,
            verifier=begun.verifier,
        )
        try:
            return await self._ask(registration, form)
        except Unanswered as error:
            raise unanswered(registration, error, ", and a code works only once") from error

    # -- a refresh token

    async def _refreshed(
        self, enrolment: PendingEnrolment, registration: Registration, *, resumed: bool
    ) -> PendingEnrolment:
        """Spend the refresh token and seal what comes back, before anything else can happen."""
        if enrolment.facts["phase"] == "proven":
            return enrolment
        sent_before = bool(enrolment.facts.get("sent"))
        sending = await self._progress.keep(enrolment, sent=True)
        try:
            status, body = await self._ask(registration, oauth.refresh(credential_in(enrolment)))
        except Unanswered as error:
            raise lost(registration, str(error)) from error
        except EnrolmentError:
            if not sent_before:
                await self._progress.drop_copy(enrolment)
            raise
        rotated = oauth.refresh_token_in(status, body)
        try:
            answer = oauth.read_tokens(status, body)
        except oauth.TokenRefused as refusal:
            if rotated is not None:
                await self._progress.seal_rotated(sending, rotated)
                raise unusable(registration, refusal) from None
            if not oauth.was_refused(status, body):
                raise lost(registration, refusal.reason) from None
            await self._drop_refused(enrolment, refusal)
            raise refused(refusal, registration, "refresh-token", interrupted=resumed and sent_before) from None
        return await self._progress.seal_answer(sending, answer, rotated=answer.refresh_token is not None)

    async def _drop_refused(self, enrolment: PendingEnrolment, refusal: oauth.TokenRefused) -> None:
        """End an enrolment whose token is dead, or may be given again with what was wrong beside it."""
        if refusal.kind == "dead":
            await self._progress.drop(enrolment)
        elif refusal.kind not in ("busy", "unclear"):
            await self._progress.drop_copy(enrolment)

    # -- asking

    async def _ask(self, registration: Registration, form: oauth.Form) -> tuple[int, Any]:
        """Ask the token endpoint, once; status and JSON. Raises Unanswered, or EnrolmentError if nothing was sent."""
        with _unreachable_explained(registration):
            reply = await self._client.request_token(hosts_of(registration), form)
        return reply.status, reply.body


class _OnlyRefreshToken(Exception):
    """A login's answer is no good but for its refresh token."""

    def __init__(self, refresh_token: Secret, reason: str) -> None:
        super().__init__(reason)
        self.refresh_token = refresh_token


def _login(registration: Registration, status: int, body: Any) -> oauth.TokenAnswer:
    """Read what a code got."""
    try:
        answer = oauth.read_tokens(status, body)
    except oauth.TokenRefused as refusal:
        rotated = oauth.refresh_token_in(status, body)
        if rotated is not None:
            raise _OnlyRefreshToken(rotated, refusal.reason) from None
        raise refused(refusal, registration, registration.auth) from None
    if answer.refresh_token is None:
        raise EnrolmentError(
            "Salesforce gave no refresh token: the app lacks the scope refresh_token (offline_access)",
            hint="an administrator adds it to the app (Perform requests at any time); then log in again",
            outcome="rejected",
            code="NO_REFRESH_TOKEN",
        )
    return answer


@contextmanager
def _unreachable_explained(registration: Registration) -> Iterator[None]:
    try:
        yield
    except NotSent as error:
        raise EnrolmentError(
            f"{registration.login_url} could not be reached: {error}",
            hint=error.hint,
            outcome=error.outcome,
            code=error.code,
        ) from None


def _authenticated(enrolment: PendingEnrolment, *, resumed: bool) -> Authenticated:
    session = Session(Secret(enrolment.facts["access_token"]), enrolment.facts["instance_url"])
    return Authenticated(
        enrolment.row_id, credential_in(enrolment), session, enrolment, bool(enrolment.facts.get("rotated")), resumed
    )


async def _unbroken(step: Coroutine[Any, Any, T]) -> T:
    """Run a step to its end even when the command is interrupted: a token that was sent for must reach the store."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
