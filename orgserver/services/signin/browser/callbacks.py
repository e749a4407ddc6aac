"""What the identity provider's answer makes of a sign-in: a question of consent, a session at /me, or nothing.

Each answer is taken once, and only from the browser that began it. Whatever goes wrong ends the sign-in, and is on
record.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from orgserver.model.access.people import Person
from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action
from orgserver.model.digests import digest_text
from orgserver.model.secret import Secret
from orgserver.oauth.provider.client import ProviderAnswer
from orgserver.oauth.provider.refusals import AuthTimeMissing, GrantEnded, ProviderRefused, ProviderUnavailable
from orgserver.services.people.auth_failures import AuthFailure, AuthFailures
from orgserver.services.signin.entries import ME_LABEL, SIGN_IN, record_in
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.parameters import Parameters
from orgserver.services.signin.people.identities import PersonIdentities, Stranger, Suspended
from orgserver.services.signin.tokens.authorization_server import AuthorizationServer
from orgserver.store.session import Store
from orgserver.store.signin.requests import RequestRefusal, SignInRequest
from orgserver.store.transaction import Transaction
from orgserver.vault.ring import retry_behind

T = TypeVar("T")
_HOUR_US = 3_600 * 1_000_000
_DENIALS = frozenset({"access_denied", "consent_required", "interaction_required", "login_required"})
"""Errors of the provider that mean that the person does not sign in now."""
_ERROR_NAME = re.compile(r"[a-z_]{1,60}")
"""As OAuth's and OpenID Connect's errors are called; whatever else a browser brings is not repeated."""


class FailureKind(Enum):
    """Why nobody is signed in."""

    NO_COOKIE = "no cookie"
    OTHER_BROWSER = "other browser"
    OVER = "over"
    DENIED = "denied"
    PROVIDER_AWAY = "provider away"
    PROVIDER_REFUSED = "provider refused"
    NO_AUTH_TIME = "no auth_time"
    STRANGER = "stranger"
    SUSPENDED = "suspended"


_CODES = {
    FailureKind.NO_COOKIE: ("SIGNIN_BROWSER", 400),
    FailureKind.OTHER_BROWSER: ("SIGNIN_BROWSER", 400),
    FailureKind.OVER: ("SIGNIN_STATE", 410),
    FailureKind.DENIED: ("SIGNIN_DENIED", 403),
    FailureKind.PROVIDER_AWAY: ("SIGNIN_PROVIDER_AWAY", 503),
    FailureKind.PROVIDER_REFUSED: ("SIGNIN_PROVIDER", 502),
    FailureKind.NO_AUTH_TIME: ("SIGNIN_AUTH_TIME", 502),
    FailureKind.STRANGER: ("SIGNIN_STRANGER", 403),
    FailureKind.SUSPENDED: ("PRINCIPAL_DISABLED", 403),
}
"""What is put on record of each, with what it is answered."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A sign-in that is over."""

    kind: FailureKind
    reason: str | None = None
    """One short clause for the operator."""
    person: Person | None = None
    principal: str | None = None
    return_url: str | None = None
    """Takes the browser back to its client, and tells that why."""

    @property
    def status(self) -> int:
        """What it is answered."""
        return _CODES[self.kind][1]

    def describe(self, source: str) -> AuthFailure:
        """What is put on record of it; ``source`` is the address that it came from."""
        code, status = _CODES[self.kind]
        subject = self.person.subject if self.person is not None else None
        return AuthFailure(source, code, status, self.principal, subject=subject, reason=self.reason)


@dataclass(frozen=True, slots=True)
class AwaitsConsent:
    """A person who is known, and must say yes or no to what a client asks for."""

    request_id: str


@dataclass(frozen=True, slots=True)
class MeSession:
    """A browser that is signed in at /me."""

    cookie: Secret
    seconds: int
    is_to_connect: bool = False
    """Whether it goes on with a link to a login of its person's own."""


class Provider(Protocol):
    """As much of the identity provider as an answer of it needs."""

    async def check_response_issuer(self, iss: str | None) -> None:
        """ProviderRefused for an answer of another."""

    async def exchange(self, code: Secret, *, verifier: Secret, nonce: str, fresh: bool = False) -> ProviderAnswer:
        """Who has signed in."""


class Callbacks:
    """Takes the provider's answers. ``make_cookie`` makes the cookie of a browser at /me."""

    def __init__(
        self,
        store: Store,
        options: SignInOptions,
        provider: Provider,
        server: AuthorizationServer,
        failures: AuthFailures,
        make_cookie: Callable[[], Secret],
    ) -> None:
        self._store = store
        self._options = options
        self._provider = provider
        self._server = server
        self._failures = failures
        self._make_cookie = make_cookie
        self._identities = PersonIdentities(options, store)
        self._requests = store.signin_requests
        self._sessions = store.signin_sessions

    async def take(
        self, parameters: Parameters, browser: Secret | None, source: str
    ) -> AwaitsConsent | MeSession | Failure:
        """Take one answer, which came from an address with a browser's cookie. StoreError where the store is away."""
        result = await self._take(parameters, browser)
        if isinstance(result, Failure):
            await self._failures.record(result.describe(source))
        return result

    async def refuse(self, reason: str, source: str) -> Failure:
        """Refuse an answer that cannot be read."""
        failure = Failure(FailureKind.OVER, reason)
        await self._failures.record(failure.describe(source))
        return failure

    async def _take(self, parameters: Parameters, browser: Secret | None) -> AwaitsConsent | MeSession | Failure:
        if browser is None:
            return Failure(FailureKind.NO_COOKIE)
        state = digest_text(parameters.one("state") or "")
        digest = digest_text(browser.reveal())
        request = await self._write(lambda tx: self._requests.take_in(tx, state, digest))
        if request is RequestRefusal.OTHER_BROWSER:
            return Failure(FailureKind.OTHER_BROWSER)
        if isinstance(request, RequestRefusal):
            return Failure(FailureKind.OVER, request.value)
        answer = await self._ask(request, parameters)
        if isinstance(answer, Failure):
            await self._write(lambda tx: self._requests.drop_in(tx, request.id))
            return answer
        cookie = self._make_cookie()
        return await self._write(lambda tx: self._settle_in(tx, request, answer, cookie))

    async def _ask(self, request: SignInRequest, parameters: Parameters) -> ProviderAnswer | Failure:
        """Who the provider says it is."""
        try:
            await self._provider.check_response_issuer(parameters.one("iss"))
            error, code = parameters.one("error"), parameters.one("code")
            if error in _DENIALS:
                return self._fail(FailureKind.DENIED, request, f"the provider answered {error}")
            if error is not None or code is None:
                return self._fail(FailureKind.PROVIDER_REFUSED, request, _describe_error(error))
            return await self._provider.exchange(
                Secret(code), verifier=request.verifier, nonce=request.nonce, fresh=request.is_fresh
            )
        except AuthTimeMissing as refused:
            return self._fail(FailureKind.NO_AUTH_TIME, request, refused.reason)
        except (ProviderRefused, GrantEnded) as refused:
            return self._fail(FailureKind.PROVIDER_REFUSED, request, refused.reason)
        except ProviderUnavailable as away:
            return self._fail(FailureKind.PROVIDER_AWAY, request, away.reason)

    def _fail(self, kind: FailureKind, request: SignInRequest, reason: str) -> Failure:
        if request.kind == "me":
            return Failure(kind, reason)
        if kind is FailureKind.PROVIDER_AWAY:
            error, text = "temporarily_unavailable", "the identity provider cannot be reached"
        elif kind is FailureKind.DENIED:
            error, text = "access_denied", "the person did not sign in"
        else:
            error, text = "server_error", "the identity provider's answer could not be used"
        return Failure(kind, reason, return_url=self._server.refuse(request, error, text))

    def _settle_in(
        self, tx: Transaction, request: SignInRequest, answer: ProviderAnswer, cookie: Secret
    ) -> AwaitsConsent | MeSession | Failure:
        """Find out who it is, and go on; or end it where that is nobody."""
        person = answer.person
        identity = self._identities.settle_in(tx, person)
        if isinstance(identity, Principal):
            if request.kind == "me":
                return self._sign_in_in(tx, request, person, identity, cookie)
            return self._await_consent_in(tx, request, answer, identity)
        self._requests.drop_in(tx, request.id)
        return_url = None if request.kind == "me" else self._server.deny(request)
        if isinstance(identity, Suspended):
            return Failure(FailureKind.SUSPENDED, principal=identity.principal, person=person, return_url=return_url)
        assert isinstance(identity, Stranger)  # noqa: S101  # the third of three
        return Failure(FailureKind.STRANGER, person=person, return_url=return_url)

    def _await_consent_in(
        self, tx: Transaction, request: SignInRequest, answer: ProviderAnswer, principal: Principal
    ) -> AwaitsConsent | Failure:
        person = answer.person
        awaits = self._requests.await_consent_in(
            tx,
            request,
            principal=principal.name,
            person_name=person.name,
            subject=person.subject,
            auth_time=person.auth_time,
            provider_token=answer.refresh_token,
        )
        return AwaitsConsent(request.id) if awaits else Failure(FailureKind.OVER, "it ended meanwhile")

    def _sign_in_in(
        self, tx: Transaction, request: SignInRequest, person: Person, principal: Principal, cookie: Secret
    ) -> MeSession:
        self._requests.drop_in(tx, request.id)
        life_us = round(self._options.session_hours * _HOUR_US)
        session_id = self._sessions.add_browser_in(
            tx,
            principal=principal.name,
            person_name=person.name,
            subject=person.subject,
            cookie_digest=digest_text(cookie.reveal()),
            auth_time=person.auth_time,
            expires_at=tx.now + life_us,
        )
        facts = {"session": session_id, "issuer": person.subject.issuer, "subject": person.subject.subject}
        record_in(tx, self._store.audit, principal.name, Action.KEY, SIGN_IN, facts=facts, label=ME_LABEL)
        return MeSession(cookie, life_us // 1_000_000, request.purpose == "connect")

    async def _write(self, change: Callable[[Transaction], T]) -> T:
        return await retry_behind(lambda: self._store.database.write(change))


def _describe_error(error: str | None) -> str:
    """What the provider answered in place of a code, for the log."""
    if error is None:
        return "the provider answered without a code"
    name = error if _ERROR_NAME.fullmatch(error) else "with an error that has no plain name"
    return f"the provider answered {name}"
