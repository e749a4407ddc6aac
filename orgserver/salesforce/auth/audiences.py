"""Where a signed assertion goes and whom it is meant for: the org's own host first.

External Client Apps take only their org's My Domain, as token host and as audience, since Spring '26 (n8n#28990,
forcedotcom/cli#3482); older apps may take only ``login`` or ``test`` (Help ``remoteaccess_oauth_jwt_flow``), also where
the token host is My Domain (simple-salesforce#711). Whoever holds an assertion can use it at its audience, so a host
that is not Salesforce's own gets assertions for itself alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orgserver.salesforce import hosts

LOGIN_URL = "https://login.salesforce.com"
TEST_URL = "https://test.salesforce.com"
_SHARED = (LOGIN_URL, TEST_URL)
_MY_DOMAIN = re.compile(r"\.my\.(salesforce\.com|salesforce\.mil|sfcrmproducts\.cn|sfcrmapps\.cn)$")
_LOGS_IN_AT_TEST = re.compile(r"\.(sandbox|scratch)\.my\.|--[^.]+(\.cs\d+)?\.my\.")
"""My Domains of sandboxes, of scratch orgs, and of sandboxes from before enhanced domains."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets an assertion."""

    token_host: str
    audience: str


def recipients(
    login_url: str, instance_url: str, trusted: Sequence[str], *, audience: str | None, explicit: bool
) -> tuple[Recipient, ...]:
    """Whom to send an assertion to, best first; two at most.

    ``audience`` is the one that worked last, or with ``explicit`` the one that an operator chose, which is the only one
    then. Raises ValueError where the login host may not be trusted.
    """
    login = hosts.check_url(login_url, trusted)
    if not hosts.is_salesforces(login):
        return (Recipient(login, login),)
    if explicit and audience is not None:
        at_home = login in _SHARED and is_my_domain(audience)
        return (Recipient(audience if at_home else login, audience),)
    candidates = _with_my_domain(login, instance_url)
    if audience is not None and not is_my_domain(audience) and audience not in {each.audience for each in candidates}:
        return (Recipient(login, audience), candidates[0])  # written by a version that did not tell a choice apart
    return tuple(sorted(candidates, key=lambda each: each.audience != audience))


def _with_my_domain(login: str, instance_url: str) -> list[Recipient]:
    if login not in _SHARED:
        return [Recipient(login, login), Recipient(login, shared_audience(login))]
    instance = instance_url.lower().rstrip("/")
    home = [Recipient(instance, instance)] if is_my_domain(instance) else []
    return [*home, Recipient(login, login)]


def check(audience: str, login_url: str, trusted: Sequence[str]) -> str:
    """Read an audience that somebody chose; ValueError says in one line why it cannot be."""
    login = hosts.check_url(login_url, trusted)
    url = audience.strip()
    if not hosts.is_salesforces(login):
        if url.lower().rstrip("/") != login:
            raise ValueError("a host that is not Salesforce's own gets assertions for itself alone")
        return login
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:\d+)?(/[\w./~%-]*)?", url, re.ASCII):
        raise ValueError("an audience is a URL such as https://MYDOMAIN.my.salesforce.com")
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.lower()}{slash}{path}" if path else f"{scheme}://{host.lower()}"


def shared_audience(login_url: str) -> str:
    """The login host that an org shares with others: ``test`` for sandboxes and scratch orgs, else ``login``."""
    if login_url in _SHARED:
        return login_url
    return TEST_URL if _LOGS_IN_AT_TEST.search(login_url.partition("://")[2]) else LOGIN_URL


def is_shared(url: str) -> bool:
    """Whether a login host is for every org, and so cannot tell which one an app means."""
    return url.lower().rstrip("/") in _SHARED


def is_my_domain(url: str) -> bool:
    """Whether a URL is one org's own origin, and Salesforce's."""
    try:
        return hosts.check_url(url) == url and bool(_MY_DOMAIN.search(url))
    except ValueError:
        return False
