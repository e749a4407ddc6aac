"""Logging in with a signed assertion: whom it is sent to, which audience works, and what a refusal says of the clock.

An assertion is no rotating token: it spends nothing, so showing another one after a refusal is safe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from msgspec import structs

from orgserver.model.errors import CallError
from orgserver.model.orgs import Connection, Credential, Org, OrgHosts, OrgUser
from orgserver.salesforce import clock_difference, hosts
from orgserver.salesforce.auth import audiences, identity, oauth
from orgserver.salesforce.auth.audiences import Recipient
from orgserver.salesforce.client import FormReply, SalesforceClient

CLOCK_OFF = "clock_off"
"""What a refusal is called that our own clock is the reason of."""
LONGEST_SECONDS = 300
"""Salesforce takes no assertion that ends later than this (Help ``remoteaccess_oauth_jwt_flow``)."""
IDENTITY_SECONDS = 10
"""Of the answer to who a person is whom an assertion has logged in for the first time."""
_OF_TIME = ("expired", "not yet valid", "in the future")
_APP_MISSING = ("app_not_found", "oauth_ec_app_not_found")


@dataclass(frozen=True, slots=True)
class AssertionAnswer:
    """A token answer, and whom the assertion was meant for that got it."""

    tokens: oauth.TokenAnswer
    recipient: Recipient


def recipients_of(where: OrgHosts, credential: Credential) -> tuple[Recipient, ...]:
    """Whom a credential's assertions may go to, best first."""
    return audiences.recipients(
        where.login_url,
        where.instance_url,
        where.trusted,
        audience=credential.audience,
        explicit=credential.explicit_audience,
    )


async def log_in(
    client: SalesforceClient,
    where: OrgHosts,
    credential: Credential,
    *,
    has_time: Callable[[], bool] = lambda: True,
) -> AssertionAnswer:
    """Show an assertion, and one with the other audience where the first was refused; ``has_time`` for that one.

    Raises TokenRefused, of kind ``clock`` where our clock is the reason; NoConnection or Unanswered as the client does.
    """
    first, *others = recipients_of(where, credential)
    try:
        return await ask(client, where, credential, first)
    except oauth.TokenRefused as refusal:
        if not others or not _may_be_another(refusal, first, others[0]) or not has_time():
            raise
    return await ask(client, where, credential, others[0])


async def identify(client: SalesforceClient, org: Org, answer: AssertionAnswer) -> Org:
    """The org with the user whom a person's first assertion has logged in, as the login host itself says.

    Raises CallError or ValueError where it does not say: nothing is spent, and the next call asks anew.
    """
    connection = org.connection
    if connection is None or connection.user is not None:
        return org
    host = hosts.check_url(answer.recipient.token_host, org.trusted_hosts)
    request = identity.request_identity(answer.tokens, host, org.trusted_hosts)
    where = structs.replace(org.hosts_with(org.instance_url), login_url=host)
    deadline = asyncio.get_running_loop().time() + IDENTITY_SECONDS
    reply = await client.send_to_login_host(where, answer.tokens.access_token, request, deadline=deadline)
    user_id, username, time_zone = identity.read_user(reply)
    return org.with_connection(replace(connection, user=OrgUser(user_id, username, time_zone)))


def is_same_username(user: OrgUser, connection: Connection) -> bool:
    """Whether a user is the one who was confirmed: Salesforce's usernames are the same in any case."""
    return user.username.lower() == connection.username.lower()


async def ask(
    client: SalesforceClient, where: OrgHosts, credential: Credential, recipient: Recipient
) -> AssertionAnswer:
    """Show one assertion to one recipient, once."""
    signed_at = time.time()
    form = oauth.build_token_form(replace(credential, audience=recipient.audience), signed_at)
    reply = await client.request_token(structs.replace(where, login_url=recipient.token_host), form)
    try:
        return AssertionAnswer(oauth.read_tokens(reply.status, reply.body), recipient)
    except oauth.TokenRefused as refusal:
        raise _explained(refusal, recipient, reply, signed_at) from None


def _may_be_another(refusal: oauth.TokenRefused, first: Recipient, other: Recipient) -> bool:
    """Whether a refusal is of the recipient: its audience, or a shared login host that does not know the org's app."""
    if refusal.kind == "audience":
        return True
    missing = refusal.error.lower() in _APP_MISSING
    return missing and audiences.is_shared(first.token_host) and not audiences.is_shared(other.token_host)


def _explained(
    refusal: oauth.TokenRefused, recipient: Recipient, reply: FormReply, signed_at: float
) -> oauth.TokenRefused:
    """The refusal with what only we know of it: the audience, or that our clock is off."""
    if refusal.kind == "audience":
        return oauth.TokenRefused("audience", refusal.error, f"{refusal.reason} ({recipient.audience})")
    if refusal.kind not in ("dead", "unlisted"):
        return refusal
    names_time = any(words in refusal.reason.lower() for words in _OF_TIME)
    ahead = reply.ahead(time.time())
    if reply.date is None or ahead is None:
        unknown = f"this machine's clock is off, nobody says by how much: {refusal.reason}"
        return oauth.TokenRefused("clock", CLOCK_OFF, unknown) if names_time else refusal
    if _is_out_of_time(signed_at, reply.date.timestamp()) or (names_time and abs(ahead) > clock_difference.NOTICEABLE):
        return oauth.TokenRefused("clock", CLOCK_OFF, clock_difference.describe(ahead))
    return refusal


def _is_out_of_time(signed_at: float, there: float) -> bool:
    """Whether an assertion that we signed then had ended there, or was to end too late."""
    from orgserver.salesforce.auth.assertion import LIFE_SECONDS  # noqa: PLC0415  # RSA is imported where it is used

    expiry = int(signed_at) + LIFE_SECONDS
    return expiry <= there or expiry > there + LONGEST_SECONDS


async def at_home(
    client: SalesforceClient, where: OrgHosts, credential: Credential, answer: AssertionAnswer
) -> AssertionAnswer:
    """The same login at the org's My Domain, which a shared login host has named, where its app takes that.

    Shared hosts stop working the day the app becomes an External Client App; whatever fails here leaves the answer.
    """
    home = answer.tokens.instance_url.rstrip("/")
    shared = audiences.is_shared(answer.recipient.token_host)
    if credential.explicit_audience or not shared or not audiences.is_my_domain(home):
        return answer
    try:
        other = await ask(client, where, credential, Recipient(home, home))
    except (oauth.TokenRefused, CallError):
        return answer
    return other if other.tokens.org_id == answer.tokens.org_id else answer
