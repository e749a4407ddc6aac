"""Logins of people's own that a command at this machine gives and ends, in place of a page.

What Salesforce answers is durable before it is shown, as that of a page is: a command that is killed leaves a login
that waits for nobody's word, and that a server, or the next command, has revoked when it is late.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from orgserver.model.errors import EnrolmentError
from orgserver.model.orgs import Caller, Connection, Org
from orgserver.model.secret import Secret
from orgserver.services.calls.access import Access
from orgserver.services.connections.authorization import read_app
from orgserver.services.connections.callbacks import Callbacks
from orgserver.services.connections.checks import Checks, command_proof
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.services.connections.storing import Answered, Storing
from orgserver.services.connections.visitors import Visitor
from orgserver.services.orgs.registration import CALLBACK, Login, Registration, begin_login
from orgserver.services.tokens import login_ends
from orgserver.store.orgs.connect_links import ConnectLink
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.vault.ring import retry_behind

_NONCE_BYTES = 32
BY_OPERATOR = "an administrator ended it"


@dataclass(frozen=True, slots=True)
class BegunLogin:
    """A login that waits for Salesforce's answer."""

    login: Login
    link: ConnectLink
    visitor: Visitor = field(repr=False)


class CommandLogins:
    """Gives and ends them."""

    def __init__(self, store: Store, access: Access, callback_url: str | None = None) -> None:
        self._store = store
        self._access = access
        self._callback_url = callback_url or CALLBACK
        self._checks = Checks(store, access)
        self._storing = Storing(store, access, self._checks)
        self._callbacks = Callbacks(store, access.client, self._checks, self._callback_url, self._storing)

    async def begin(self, caller: Caller, org: Org, principal: str, *, replace: bool) -> BegunLogin | Refusal:
        """Begin a login of a principal at this machine's screen."""
        await self._storing.sweep()
        link = self._make_link(caller, org, principal, replace=replace)
        refusal = await self._checks.find_org(link)
        if isinstance(refusal, Refusal):
            return refusal
        app = await read_app(self._store, org)
        if app is None:
            return Refusal(RefusalKind.NO_BROWSER)
        before = await self._storing.find_connection(link)
        login = begin_login(
            Registration(
                alias=org.alias,
                client_id=app.client_id,
                client_secret=None,
                login_url=org.login_url,
                source="",
                auth="web",
                username=before.username if before is not None and not replace else None,
                callback_url=self._callback_url,
                trusted_hosts=org.trusted_hosts,
            )
        )
        visitor = Visitor(Secret(secrets.token_urlsafe(_NONCE_BYTES)))
        link = _of_visitor(link, visitor)
        facts = {"verifier": login.verifier.reveal(), "client_id": app.client_id}

        def add(tx: Transaction) -> None:
            self._store.connect_links.add_in(tx, link, secrets.token_bytes(_NONCE_BYTES), facts=facts)

        await retry_behind(lambda: self._store.database.write(add))
        return BegunLogin(login, link, visitor)

    def _make_link(self, caller: Caller, org: Org, principal: str, *, replace: bool) -> ConnectLink:
        if org.org_id is None:
            raise EnrolmentError(
                f"nobody knows yet which org {org.alias} is", hint=f"run: orgserver check-org {org.alias}"
            )
        now, proof = self._store.database.clock(), command_proof(caller)
        return ConnectLink.to_org(org, principal, now, stage="salesforce", replace=replace, proof=proof)

    async def answer(self, begun: BegunLogin, code: Secret) -> Answered | Refusal:
        """Redeem Salesforce's answer: the login as it waits for a person's word."""
        link = await self._callbacks.take(begun.link, begun.visitor, code, None)
        return link if isinstance(link, Refusal) else await self._storing.show(link)

    async def give_up(self, begun: BegunLogin, *, is_denied: bool) -> None:
        """End a login to which Salesforce has said no."""
        kind = RefusalKind.CONSENT_REFUSED if is_denied else RefusalKind.LOGIN_REFUSED
        await self._storing.give_up(begun.link, Refusal(kind))

    async def find(self, org: Org, principal: str) -> Connection | None:
        """A principal's login to an org, whether or not it still works."""
        async with self._store.database.reading() as connection:
            return await self._store.orgs.connections.find(connection, org.row_id, principal)

    async def keep(self, answered: Answered) -> Connection | Refusal:
        """Store a login as the person said."""
        return await self._storing.keep(answered.link)

    async def discard(self, answered: Answered) -> None:
        """Do away with it as the person said."""
        await self._storing.discard(answered.link)

    async def end(self, caller: Caller, org: Org, principal: str, *, forget: bool) -> int:
        """End a principal's login, or forget that it was ever there; how many there were."""
        cause = login_ends.BY_ITSELF if caller.principal.name == principal else BY_OPERATOR

        def change(tx: Transaction) -> int:
            return login_ends.end_of_person_in(
                tx, self._store, org, principal, cause, caller, tool="disconnect-org", forget=forget
            )

        count = await retry_behind(lambda: self._store.database.write(change))
        await self._access.reload()
        return count


def _of_visitor(link: ConnectLink, visitor: Visitor) -> ConnectLink:
    return replace(link, browser_digest=visitor.digest)
