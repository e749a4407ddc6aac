"""What Salesforce's answer makes of a login: a question to the person whose it becomes, or nothing.

Each answer is taken once. A refresh token is durable before anything else is asked; where nothing comes of it, that it
is to be revoked is durable in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from orgserver.model.digests import digest_text
from orgserver.model.errors import CallError, NotSent, Unanswered
from orgserver.model.orgs import Credential, Org, OrgHosts, OrgUser
from orgserver.model.secret import Secret
from orgserver.model.text import clean_text
from orgserver.salesforce import hosts
from orgserver.salesforce.auth import identity, oauth
from orgserver.salesforce.client import SalesforceClient
from orgserver.services.connections.authorization import read_app
from orgserver.services.connections.checks import Checks
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.services.connections.storing import Storing
from orgserver.services.connections.visitors import Visitor
from orgserver.store.orgs.connect_links import ConnectLink
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.vault.ring import retry_behind

T = TypeVar("T")
_SECONDS = 20.0
"""For the answer to who logged in."""
_LONGEST_CODE = 100


class Callbacks:
    """Takes Salesforce's answers."""

    def __init__(
        self, store: Store, client: SalesforceClient, checks: Checks, callback_url: str, storing: Storing
    ) -> None:
        self._store = store
        self._client = client
        self._checks = checks
        self._callback_url = callback_url
        self._links = store.connect_links
        self._storing = storing

    async def find(self, state: str | None, visitor: Visitor | None) -> ConnectLink | Refusal:
        """The login that an answer is to: one that was begun in this browser."""
        if state is None or visitor is None:
            return Refusal(RefusalKind.FORGED, reason="it has no state, or the browser no cookie")
        async with self._store.database.reading() as connection:
            link = await self._links.find(connection, state_digest=digest_text(state))
        if link is None or not visitor.is_browser_of(link):
            return Refusal(RefusalKind.FORGED, reason="its state is of no login of this browser")
        if link.stage != "salesforce" or link.expires_at <= self._store.database.clock():
            return Refusal(RefusalKind.OVER)
        return link

    async def take(
        self, link: ConnectLink, visitor: Visitor, code: Secret | None, error: str | None
    ) -> ConnectLink | Refusal:
        """Take an answer: the login as it waits for the person's word, or why nothing comes of it, on record."""
        refusal = visitor.check_begun(link)
        if refusal is not None:
            return refusal
        if error is not None:
            denied = error == "access_denied"
            kind = RefusalKind.CONSENT_REFUSED if denied else RefusalKind.LOGIN_REFUSED
            return await self._storing.give_up(link, Refusal(kind, reason=clean_text(error, _LONGEST_CODE)))
        if code is None:
            return Refusal(RefusalKind.FORGED, reason="it holds no code")
        return await _unbroken(self._redeem(link, code))

    async def _redeem(self, link: ConnectLink, code: Secret) -> ConnectLink | Refusal:
        def spend(tx: Transaction, org: Org, _catalog: object) -> tuple[Org, dict[str, Any]] | Refusal:
            secrets = self._links.open_in(tx, link)
            is_first = self._links.step_in(tx, link, "salesforce", "redeeming")
            return (org, secrets) if secrets and is_first else Refusal(RefusalKind.OVER)

        begun = await self._checks.write(link, link.proof, spend)
        if isinstance(begun, Refusal):
            return begun if begun.kind is RefusalKind.OVER else await self._storing.give_up(link, begun)
        org, secrets = begun
        redeeming = _at(link, "redeeming")
        app = await read_app(self._store, org)
        if app is None or app.client_id != secrets["client_id"]:
            return await self._storing.give_up(redeeming, Refusal(RefusalKind.APP_CHANGED))
        where = OrgHosts(f"connect/{link.id}", org.instance_url, org.login_url, org.trusted_hosts)
        try:
            return await self._ask(redeeming, org, app, where, code, Secret(secrets["verifier"]))
        finally:
            await self._client.close_org(where.key)

    async def _ask(
        self, link: ConnectLink, org: Org, app: Credential, where: OrgHosts, code: Secret, verifier: Secret
    ) -> ConnectLink | Refusal:
        form = oauth.authorization_code(
            app.client_id, app.client_secret, code=code, callback=self._callback_url, verifier=verifier
        )
        try:
            reply = await self._client.request_token(where, form)
        except (NotSent, Unanswered) as error:
            return await self._storing.give_up(link, _describe(error))
        secrets = {"client_id": app.client_id}
        token = oauth.refresh_token_in(reply.status, reply.body)
        try:
            answer = oauth.read_tokens(reply.status, reply.body)
        except oauth.TokenRefused as refused:
            secrets |= {"refresh_token": token.reveal()} if token is not None else {}
            refusal = Refusal(RefusalKind.LOGIN_REFUSED, reason=refused.reason)
            return await self._storing.give_up(link, refusal, secrets, org)
        secrets |= {"access_token": answer.access_token.reveal(), "user_id": answer.user_id}
        if token is None:
            return await self._storing.give_up(link, Refusal(RefusalKind.NO_REFRESH_TOKEN), secrets, org)
        secrets |= {"refresh_token": token.reveal()}
        if not await self._keep(link, secrets):
            return await self._storing.give_up(link, Refusal(RefusalKind.OVER), secrets, org)
        return await self._identify(_at(link, "answered"), org, where, answer, secrets)

    async def _identify(
        self, link: ConnectLink, org: Org, where: OrgHosts, answer: oauth.TokenAnswer, secrets: dict[str, Any]
    ) -> ConnectLink | Refusal:
        """Learn who logged in, and whether that may be."""
        refusal = _find_mismatch(org, answer)
        if refusal is not None:
            return await self._storing.give_up(link, refusal)
        try:
            user = await self._read_user(org, where, answer)
        except (CallError, ValueError) as error:
            return await self._storing.give_up(link, _describe(error))

        def name(tx: Transaction, org: Org, catalog: Any) -> ConnectLink | Refusal:
            refusal = self._storing.check_user(link, org, catalog, user)
            if refusal is not None:
                return refusal
            named = secrets | {"username": user.username, "time_zone": user.time_zone}
            is_there = self._links.step_in(tx, link, "answered", "answered", facts=named)
            return link if is_there else Refusal(RefusalKind.OVER)

        result = await self._checks.write(link, link.proof, name)
        return await self._storing.give_up(link, result) if isinstance(result, Refusal) else result

    async def _read_user(self, org: Org, where: OrgHosts, answer: oauth.TokenAnswer) -> OrgUser:
        """Who the login host says it is."""
        login_host = hosts.check_url(org.login_url, org.trusted_hosts)
        request = identity.request_identity(answer, login_host, org.trusted_hosts)
        deadline = asyncio.get_running_loop().time() + _SECONDS
        reply = await self._client.send_to_login_host(where, answer.access_token, request, deadline=deadline)
        user = OrgUser(*identity.read_user(reply))
        if user.id != answer.user_id:
            raise ValueError("its identity answer is about another user than its token")
        return user

    async def _keep(self, link: ConnectLink, secrets: dict[str, Any]) -> bool:
        def keep(tx: Transaction) -> bool:
            return self._links.step_in(tx, link, "redeeming", "answered", facts=secrets)

        return await retry_behind(lambda: self._store.database.write(keep))


def _at(link: ConnectLink, stage: Any) -> ConnectLink:
    return replace(link, stage=stage)


def _find_mismatch(org: Org, answer: oauth.TokenAnswer) -> Refusal | None:
    if answer.org_id != org.org_id:
        return Refusal(RefusalKind.OTHER_ORG, {"named": answer.org_id, "expected": org.org_id or ""})
    try:
        hosts.check_url(answer.instance_url, org.trusted_hosts)
    except ValueError as error:
        return Refusal(RefusalKind.HOST_NOT_TRUSTED, reason=str(error))
    return None


def _describe(error: CallError | ValueError) -> Refusal:
    kind = RefusalKind.LOGIN_REFUSED
    if isinstance(error, NotSent):
        kind = RefusalKind.AWAY
    elif isinstance(error, Unanswered):
        kind = RefusalKind.UNANSWERED
    return Refusal(kind, reason=str(error))


async def _unbroken(step: Coroutine[Any, Any, T]) -> T:
    """Run a step to its end also when the browser is gone: a token that was asked for must reach the store."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
