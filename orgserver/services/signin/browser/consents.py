"""A person's yes or no to what a client asks for: asked every time, of the person who has just signed in.

A yes makes a session and a code, in one transaction with its entry; the client sees nothing before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orgserver.model.access.people import OAuthClient
from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action, Outcome
from orgserver.model.digests import digest_text
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.oauth.clients.redirect_uris import host_of, is_same_redirect
from orgserver.services.calls.access import Access
from orgserver.services.people.holdings import ReachableOrg, find_orgs
from orgserver.services.signin.browser.callbacks import FailureKind
from orgserver.services.signin.entries import record_in
from orgserver.services.signin.tokens.authorization_server import AuthorizationServer
from orgserver.store.people import changes
from orgserver.store.session import Store
from orgserver.store.signin import clients
from orgserver.store.signin.requests import RequestRefusal, SignInRequest
from orgserver.store.signin.rows import Session
from orgserver.store.transaction import Transaction
from orgserver.vault.ring import retry_behind

MOST_ORGS = 20
"""Shown by name."""
COMMAND = "consent"


@dataclass(frozen=True, slots=True)
class ConsentView:
    """What a person is asked."""

    request: SignInRequest
    client: OAuthClient
    scopes: tuple[str, ...]
    """To be allowed or not."""
    allowed_scopes: tuple[str, ...]
    """Of those that the client asks for: allowed already."""
    orgs: Sequence[ReachableOrg]
    org_count: int


class Consents:
    """Asks, and takes the answers."""

    def __init__(self, store: Store, access: Access, server: AuthorizationServer) -> None:
        self._store = store
        self._access = access
        self._server = server
        self._requests = store.signin_requests
        self._sessions = store.signin_sessions

    async def find(self, request_id: str, browser: Secret | None) -> ConsentView | FailureKind:
        """What is to be asked in this browser; or why nothing is."""
        return await retry_behind(lambda: self._find(request_id, browser))

    async def _find(self, request_id: str, browser: Secret | None) -> ConsentView | FailureKind:
        async with self._store.database.reading() as connection:
            request = await self._requests.find(connection, request_id, _digest(browser))
            if isinstance(request, RequestRefusal):
                return _name(request)
            stored = await clients.find(connection, request.client_id or "")
            sessions = await self._sessions.all(connection, request.principal)
        if stored is None:
            return FailureKind.OVER
        alike = [each for each in sessions if _is_alike(each, request)]
        allowed = {scope for session in alike for scope in session.scopes}
        caller = Caller(Principal(request.principal or ""), "http")
        orgs, count = await find_orgs(self._access, caller, MOST_ORGS)
        return ConsentView(
            request,
            stored.client,
            tuple(scope for scope in request.scopes if scope not in allowed),
            tuple(scope for scope in request.scopes if scope in allowed),
            orgs,
            count,
        )

    async def allow(self, view: ConsentView, browser: Secret, scopes: frozenset[str]) -> str | FailureKind | None:
        """Take a yes to some of the scopes that were asked for; where the browser goes with its code.

        None where everything was taken away: then it is still to be asked.
        """
        chosen = tuple(
            scope
            for scope in view.request.scopes
            if scope in view.allowed_scopes or (scope in view.scopes and scope in scopes)
        )
        if not chosen:
            return None

        def allow_in(tx: Transaction) -> str | FailureKind:
            request = self._requests.finish_in(tx, view.request.id, _digest(browser))
            if isinstance(request, RequestRefusal):
                return _name(request)
            if not changes.is_enabled_in(tx, request.principal or ""):
                return FailureKind.SUSPENDED
            narrowed = replace(request, scopes=chosen)
            clients.use_in(tx, view.client.client_id)
            session_id = self._sessions.add_client_in(tx, narrowed, view.client)
            self._record_in(tx, narrowed, view.client, session_id, Outcome.SUCCEEDED)
            return self._server.issue_code_in(tx, narrowed, session_id)

        return await retry_behind(lambda: self._store.database.write(allow_in))

    async def deny(self, view: ConsentView, browser: Secret) -> str | FailureKind:
        """Take a no; where the browser goes with it."""

        def deny_in(tx: Transaction) -> str | FailureKind:
            request = self._requests.finish_in(tx, view.request.id, _digest(browser))
            if isinstance(request, RequestRefusal):
                return _name(request)
            self._record_in(tx, request, view.client, None, Outcome.DENIED)
            return self._server.deny(request)

        return await retry_behind(lambda: self._store.database.write(deny_in))

    def _record_in(
        self, tx: Transaction, request: SignInRequest, client: OAuthClient, session_id: str | None, outcome: Outcome
    ) -> None:
        facts = {
            "client": client.client_id,
            "redirect": host_of(request.redirect_uri or ""),
            "scopes": " ".join(request.scopes),
            "session": session_id,
        }
        record_in(
            tx,
            self._store.audit,
            request.principal or "",
            Action.GRANT,
            COMMAND,
            object_name=client.client_id,
            facts=facts,
            outcome=outcome,
        )


def _digest(browser: Secret | None) -> bytes | None:
    return digest_text(browser.reveal()) if browser is not None else None


def _name(refusal: RequestRefusal) -> FailureKind:
    return FailureKind.OTHER_BROWSER if refusal is RequestRefusal.OTHER_BROWSER else FailureKind.OVER


def _is_alike(session: Session, request: SignInRequest) -> bool:
    """Whether a session is of the same client at the same place, for the same server, by a yes of the same person.

    On this computer the place's port is another each time.
    """
    own = (session.client_id, session.resource, session.subject)
    return own == (request.client_id, request.resource, request.subject) and is_same_redirect(
        request.redirect_uri or "", session.redirect_uri or ""
    )
