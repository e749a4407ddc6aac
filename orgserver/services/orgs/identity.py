"""Who is this org, and who are we in it: the questions that registering and checking ask."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from orgserver.model.errors import Rejected
from orgserver.model.names import OrgId, org_id
from orgserver.model.orgs import OrgKind, OrgUser
from orgserver.model.secret import Secret
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.hosts import OrgHosts
from orgserver.salesforce.protocol import rest

SECONDS = 60.0
_NAME = 255
"""The most characters of a name that an org gives itself or a user."""
_ORGANIZATION = "SELECT Id, Name, OrganizationType, IsSandbox, TrialExpirationDate, InstanceName FROM Organization"


@dataclass(frozen=True, slots=True)
class Identity:
    """What an org says of itself and of our user in it."""

    org_id: OrgId
    name: str
    kind: OrgKind
    edition: str | None
    user: OrgUser
    api_version: str


async def read_identity(client: SalesforceClient, where: OrgHosts, token: Secret, api_version: str | None) -> Identity:
    """Ask for versions, identity and organization; CallError if the org does not answer like one."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    trace = Trace()
    offered = rest.read_versions(await client.send(where, token, rest.versions(), deadline=deadline, trace=trace))
    version = api_version or offered[-1]
    if version not in offered:
        raise Rejected(f"the org does not offer API version {version}", hint=f"it offers {offered[0]} to {offered[-1]}")
    # The query comes first: an ended token is INVALID_SESSION_ID there, but a bare 403 at the identity endpoint.
    page = rest.read_page(
        await client.send(
            where,
            token,
            rest.query(version, _ORGANIZATION, 200, include_deleted=False),
            deadline=deadline,
            trace=trace,
        )
    )
    user = rest.read_userinfo(await client.send(where, token, rest.userinfo(), deadline=deadline, trace=trace))
    organization = page.records[0] if page.records else {}
    return Identity(
        org_id=org_id(user["organization_id"]),
        name=_text(organization.get("Name")) or user["organization_id"],
        kind=_kind(organization),
        edition=_text(organization.get("OrganizationType")) or None,
        user=OrgUser(user["user_id"], _text(user["preferred_username"]), _text(user.get("zoneinfo")) or "UTC"),
        api_version=version,
    )


def _text(value: object) -> str:
    """A name as the org gives it, within bounds; whoever shows it to somebody makes it safe."""
    return value.encode("utf-8", "replace").decode()[:_NAME] if isinstance(value, str) else ""


def _kind(organization: dict[str, object]) -> OrgKind:
    if organization.get("IsSandbox"):
        return "scratch" if organization.get("TrialExpirationDate") else "sandbox"
    return "developer" if organization.get("OrganizationType") == "Developer Edition" else "production"
