"""The page on which a person allows a client, or does not, and what becomes of the answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import Receive

from orgserver.model.secret import Secret
from orgserver.oauth.clients.redirect_uris import host_of, is_on_this_computer
from orgserver.services.people.auth_failures import AuthFailure, AuthFailures
from orgserver.services.signin.browser.callbacks import Failure, FailureKind
from orgserver.services.signin.browser.consents import Consents, ConsentView
from orgserver.services.signin.browser.me_sessions import Browsers
from orgserver.services.signin.options import CONSENT_PATH
from orgserver.services.signin.parameters import BadParameters, Parameters
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages, find_forms
from orgserver.serving.http.replies import Reply
from orgserver.serving.http.signin import cookies
from orgserver.serving.http.signin.callback import fail
from orgserver.serving.http.signin.forms import UnreadableBody, read_form
from orgserver.serving.http.signin.returns import return_error, see_other

PURPOSE = "consent"
_DENIED = (
    "You did not allow it",
    "The client gets nothing. If you did not know it, close this page.",
    "If you know the client, the link tells it that you said no.",
)
_NOTHING_TICKED = "Leave at least one tick, or choose not to allow it."


class ConsentEndpoint:
    """Asks a person, and takes the answer. What is no answer to its question is on record."""

    def __init__(self, consents: Consents, browsers: Browsers, failures: AuthFailures, pages: Pages) -> None:
        self._consents = consents
        self._browsers = browsers
        self._failures = failures
        self._pages = pages

    async def answer(self, exchange: Exchange, admitted: Admitted, receive: Receive) -> Reply:
        """Show the question, or take its answer."""
        scope = exchange.scope
        browser = cookies.read_cookie(scope, cookies.SIGN_IN)
        if browser is None:
            return await self._fail(FailureKind.NO_COOKIE, admitted)
        view = await self._consents.find(scope["path"].removeprefix(CONSENT_PATH), browser)
        if not isinstance(view, ConsentView):
            return await self._fail(view, admitted)
        if scope["method"] != "POST":
            return self._ask(view, browser)
        try:
            form = await read_form(scope, receive)
        except (BadParameters, UnreadableBody):
            return self._ask(view, browser, "The form did not come whole.")
        if not self._browsers.check_csrf(form.one("csrf"), PURPOSE, view.request.id, browser):
            principal, client_id = view.request.principal, view.client.client_id
            failure = AuthFailure(admitted.source, "SIGNIN_FORM", 400, principal, client_id=client_id)
            await self._failures.record(failure)
            return self._ask(view, browser, "The form was not the one of this page. Look at it, and choose again.")
        return await self._take(view, browser, form, admitted)

    async def _take(self, view: ConsentView, browser: Secret, form: Parameters, admitted: Admitted) -> Reply:
        decision = form.one("decision")
        if decision == "deny":
            result: str | FailureKind | None = await self._consents.deny(view, browser)
        elif decision == "allow":
            ticked = frozenset(scope for scope in view.scopes if form.one(scope) is not None)
            result = await self._consents.allow(view, browser, ticked)
        else:
            return self._ask(view, browser, "The form says neither yes nor no.")
        if decision == "deny" and isinstance(result, str):
            return return_error(self._pages, result, 200, *_DENIED)
        if result is None:
            return self._ask(view, browser, _NOTHING_TICKED)
        return see_other(result) if isinstance(result, str) else await self._fail(result, admitted, view)

    async def _fail(self, kind: FailureKind, admitted: Admitted, view: ConsentView | None = None) -> Reply:
        failure = Failure(kind, "at consent", principal=view.request.principal if view is not None else None)
        await self._failures.record(failure.describe(admitted.source))
        return fail(self._pages, failure)

    def _ask(self, view: ConsentView, browser: Secret, problem: str | None = None) -> Reply:
        request, client = view.request, view.client
        redirect_uri = request.redirect_uri or ""
        return self._pages.render(
            "consent.html",
            400 if problem else 200,
            forms=find_forms(redirect_uri),
            action=CONSENT_PATH + request.id,
            csrf=self._browsers.make_csrf(PURPOSE, request.id, browser),
            problem=problem,
            client_name=client.name,
            client_id=client.client_id,
            client_host=urlsplit(client.client_id).netloc if client.kind == "document" else None,
            redirect_host=host_of(redirect_uri),
            is_on_this_computer=is_on_this_computer(redirect_uri),
            resource=request.resource,
            person=request.person_name,
            principal=request.principal,
            scopes=view.scopes,
            allowed_scopes=view.allowed_scopes,
            orgs=view.orgs,
            org_count=view.org_count,
        )
