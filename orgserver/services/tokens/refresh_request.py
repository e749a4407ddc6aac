"""What a refresh is for, where its token may go, and whether two tokens are the same."""

from __future__ import annotations

from dataclasses import dataclass

from orgserver.model.orgs import AccessToken, Org
from orgserver.salesforce.hosts import OrgHosts


@dataclass(frozen=True, slots=True)
class Wish:
    """What a refresh is for."""

    not_this: AccessToken | None = None
    """The token that was refused, or that shall be followed by another."""
    prove: bool = True
    """Nothing else works: a refresh token whose answer was lost may be tried once more."""
    force: bool = False
    """An operator wants the token tried whatever the org's state says."""


def hosts_of(org: Org, instance_url: str) -> OrgHosts:
    """Where an org's token and credential may be sent."""
    return OrgHosts(org.row_id, instance_url, org.login_url, org.trusted_hosts)


def same(token: AccessToken, other: AccessToken | None) -> bool:
    """Tell whether two tokens came from the same answer."""
    return other is not None and token.fencing == other.fencing
