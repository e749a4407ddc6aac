"""Where the identity provider sends people back to, and what a browser is shown that does not get on from there."""

from __future__ import annotations

from shlex import quote

from starlette.types import Receive

from orgserver.model.access.people import Person
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.services.signin.browser.callbacks import AwaitsConsent, Callbacks, Failure, FailureKind
from orgserver.services.signin.browser.me_sessions import Browsers
from orgserver.services.signin.entries import ME_LABEL
from orgserver.services.signin.options import CONSENT_PATH, CONTINUE_PATH, ME_PATH
from orgserver.services.signin.parameters import BadParameters
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply
from orgserver.serving.http.signin import cookies
from orgserver.serving.http.signin.forms import read_query
from orgserver.serving.http.signin.returns import see_other

_PARAMETERS = frozenset({"state", "code", "error", "iss"})
"""Whatever else a provider says in its answer is ignored (RFC 6749 §4.1.2)."""
_BEGIN_AGAIN = "Begin again at your client, in this browser: connect it once more."
_WORDS = {
    FailureKind.NO_COOKIE: (
        "This sign-in cannot go on",
        "It was begun in another browser, or this one keeps no cookies of this server.",
        "Allow cookies for this server, then begin again at your client, and stay in one browser.",
    ),
    FailureKind.OTHER_BROWSER: (
        "This sign-in cannot go on",
        "It was begun in another browser. If somebody sent you this address, do not use it.",
        _BEGIN_AGAIN,
    ),
    FailureKind.OVER: (
        "This sign-in is over",
        "It has been answered already, or it took too long.",
        _BEGIN_AGAIN,
    ),
    FailureKind.DENIED: (
        "You are not signed in",
        "Your company's identity provider says that the sign-in was called off, or is not allowed.",
        "Begin again; if it happens again, ask whoever looks after your company's sign-in.",
    ),
    FailureKind.PROVIDER_AWAY: (
        "You cannot be signed in now",
        "Your company's identity provider cannot be reached from here, or takes too long. Nothing was done.",
        "Wait a few minutes, then begin again.",
    ),
    FailureKind.PROVIDER_REFUSED: (
        "You are not signed in",
        "What your company's identity provider said cannot be used here. Nothing was done.",
        "Begin again; if it happens again, give your administrator the number below: the log says what was wrong.",
    ),
    FailureKind.NO_AUTH_TIME: (
        "You are not signed in anew",
        "Your identity provider does not say when you signed in (claim auth_time), so nothing can be allowed by it.",
        "Ask an administrator to add the claim auth_time at the provider, or to allow the request in a terminal.",
    ),
    FailureKind.STRANGER: (
        "Nobody here knows you yet",
        "Your company's identity provider says who you are, and you have not been added to this server.",
        "Give these lines to an administrator of this server, who adds you by one of the commands; then begin again.",
    ),
    FailureKind.SUSPENDED: (
        "Your access is suspended",
        "An administrator of orgserver has disabled it.",
        "Ask an administrator of orgserver.",
    ),
}


class CallbackEndpoint:
    """Takes the provider's answers."""

    def __init__(self, callbacks: Callbacks, browsers: Browsers, pages: Pages) -> None:
        self._callbacks = callbacks
        self._browsers = browsers
        self._pages = pages

    async def answer(self, exchange: Exchange, admitted: Admitted, _receive: Receive) -> Reply:
        """Send a browser on, or say why it does not get on."""
        browser = cookies.read_cookie(exchange.scope, cookies.SIGN_IN)
        try:
            parameters = read_query(exchange.scope, _PARAMETERS)
        except BadParameters as bad:
            return fail(self._pages, await self._callbacks.refuse(bad.text, admitted.source))
        result = await self._callbacks.take(parameters, browser, admitted.source)
        if isinstance(result, Failure):
            return fail(self._pages, result)
        if isinstance(result, AwaitsConsent):
            return see_other(CONSENT_PATH + result.request_id)
        await self._end_replaced(cookies.read_cookie(exchange.scope, cookies.ME))
        path = CONTINUE_PATH if result.is_to_connect else ME_PATH
        return see_other(path, cookies.keep_cookie(cookies.ME, result.cookie, result.seconds))

    async def _end_replaced(self, cookie: Secret | None) -> None:
        """End the session that this browser had at /me before: nobody has its cookie any more."""
        session = await self._browsers.find(cookie)
        if session is not None:
            await self._browsers.end(session, Caller(session.principal, "http", label=ME_LABEL))


def fail(pages: Pages, failure: Failure) -> Reply:
    """A page that says why nobody is signed in, and what to do."""
    title, text, todo = _WORDS[failure.kind]
    person = failure.person if failure.kind is FailureKind.STRANGER else None
    facts = _describe(person) if person is not None else None
    return pages.fail(
        failure.status,
        title,
        text,
        todo,
        facts=facts,
        command=_command(person) if person is not None else None,
        return_url=failure.return_url,
        reason=failure.reason,
    )


def _describe(person: Person) -> dict[str, str]:
    facts = {"Issuer": person.subject.issuer, "Subject": person.subject.subject, "Name": person.name}
    return facts | ({"Address": person.email} if person.email else {})


def _command(person: Person) -> str:
    """What adds the person, anew or to a principal that is there, for a shell: nothing of it is more than one word."""
    subject = f"--subject {quote(person.subject.issuer)} {quote(person.subject.subject)}"
    return f"orgserver add-principal NAME --no-key {subject}\norgserver update-principal NAME {subject}"
