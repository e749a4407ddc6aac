"""From our page to Salesforce: a login that only its browser brings back, and only this server can redeem.

The state ties the answer to the browser; the verifier (PKCE, RFC 7636) makes the code worthless to anybody else.
"""

from __future__ import annotations

import secrets

from orgserver.model.access.logins import LoginKey
from orgserver.model.digests import digest_text
from orgserver.model.orgs import Credential, Org
from orgserver.model.secret import Secret
from orgserver.salesforce import hosts
from orgserver.salesforce.auth import oauth
from orgserver.services.connections.checks import Checks
from orgserver.services.connections.links import ConnectLinks
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.services.connections.visitors import Visitor
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.orgs.connect_links import ConnectLink
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

_STATE_BYTES = 32
_VERIFIER_BYTES = 64


class Authorization:
    """Begins logins at Salesforce."""

    def __init__(self, store: Store, checks: Checks, links: ConnectLinks) -> None:
        self._store = store
        self._checks = checks
        self._links = links

    async def begin(self, link: ConnectLink, proof: str, visitor: Visitor) -> str | Refusal:
        """Use a link; where the browser goes on, or why it does not."""
        org = await self._checks.find_org(link)
        if isinstance(org, Refusal):
            return org
        app = await read_app(self._store, org)
        if app is None:
            return Refusal(RefusalKind.NO_BROWSER)
        state = Secret(secrets.token_urlsafe(_STATE_BYTES))
        verifier = Secret(secrets.token_urlsafe(_VERIFIER_BYTES))

        def change(tx: Transaction, org: Org, catalog: OrgSnapshot) -> str | Refusal:
            is_first = self._store.connect_links.step_in(
                tx,
                link,
                "asked",
                "salesforce",
                facts={"verifier": verifier.reveal(), "client_id": app.client_id},
                proof=proof,
                browser_digest=visitor.digest,
                state_digest=digest_text(state.reveal()),
            )
            return self._make_url(link, org, catalog, app, state, verifier) if is_first else _OVER

        return await self._checks.write(link, proof, change)

    def _make_url(
        self, link: ConnectLink, org: Org, catalog: OrgSnapshot, app: Credential, state: Secret, verifier: Secret
    ) -> str:
        connection = catalog.connections.get((org.row_id, link.principal))
        is_pinned = connection is not None and not link.replace
        return oauth.authorize_url(
            hosts.check_url(org.login_url, org.trusted_hosts),
            client_id=app.client_id,
            callback=self._links.callback_url,
            state=state,
            verifier=verifier,
            login_hint=connection.username if connection is not None and is_pinned else None,
        )


_OVER = Refusal(RefusalKind.OVER)


async def read_app(store: Store, org: Org) -> Credential | None:
    """The app by which people log in to an org, with its secret."""
    async with store.database.reading() as connection:
        return await store.orgs.credentials.credential(connection, LoginKey.shared(org.row_id))
