"""An org as it is registered: of what was given for it, what its login answered, and what it says of itself."""

from __future__ import annotations

from orgserver.model.names import OrgId
from orgserver.model.orgs import Org, OrgState, OrgUser
from orgserver.salesforce import hosts
from orgserver.services.orgs.authentication import Authenticated
from orgserver.services.orgs.registration import Registration
from orgserver.services.orgs.registry import Identity
from orgserver.store.transaction import to_datetime

DEFAULT_API_VERSION = "v66.0"
"""Only where ``--no-verify`` keeps us from asking which versions the org offers."""


def make_org(
    registration: Registration, authenticated: Authenticated, identity: Identity | None, existing: Org | None
) -> Org:
    """What is to be written of an org, new or with another credential."""
    instance = (
        authenticated.session.instance_url
        if authenticated.session
        else (registration.instance_url or registration.login_url)
    )
    return Org(
        row_id=existing.row_id if existing else authenticated.row_id,
        alias=registration.alias,
        org_id=OrgId(identity.org_id) if identity else (existing.org_id if existing else None),
        name=identity.name if identity else (existing.name if existing else registration.alias),
        kind=identity.kind if identity else (existing.kind if existing else None),
        edition=identity.edition if identity else (existing.edition if existing else None),
        login_url=hosts.check_url(registration.login_url, registration.trusted_hosts),
        instance_url=hosts.check_url(instance, registration.trusted_hosts),
        trusted_hosts=registration.trusted_hosts,
        api_version=identity.api_version if identity else (registration.api_version or DEFAULT_API_VERSION),
        user=OrgUser(identity.user.id, identity.user.username, identity.user.time_zone) if identity else None,
        state=OrgState.READY,
        cause=None,
        problem=None,
        policy=registration.policy,
        tags=registration.tags or (existing.tags if existing else ()),
        source=registration.source,
        created_at=existing.created_at if existing else to_datetime(0),
        refreshed_at=None,
        enabled=existing.enabled if existing else True,
        auth=registration.auth,
    )
