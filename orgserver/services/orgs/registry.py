"""Registered orgs: what they say of themselves, whether they still answer, how they are changed and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from orgserver.model.access.logins import LoginKey
from orgserver.model.access.policies import Policy
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.errors import CallError, EnrolmentError, Rejected
from orgserver.model.names import Alias, OrgId, nearest, org_id
from orgserver.model.orgs import CLOSED_STATES, Caller, Credential, Org, OrgHosts, OrgKind, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.protocol import rest
from orgserver.services.calls.access import Access
from orgserver.services.orgs.changes import OrgChanges, change_org_in, intent_on
from orgserver.services.orgs.identities import IdentityChange
from orgserver.services.people.differences import record_end_in
from orgserver.services.tokens import login_ends
from orgserver.services.tokens.token_errors import closed
from orgserver.store.people import api_usage, grants
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

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


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of one org found."""

    org: Org
    error: CallError | None
    username: str | None = None


class Registry:
    """Checks, changes and removes orgs. Each method raises EnrolmentError with one sentence."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access
        self._client = access.client

    async def all(self) -> list[Org]:
        """Every registered org, by alias, read anew: when a token was used last changes no catalog."""
        async with self._store.database.reading() as connection:
            return list((await self._store.orgs.catalog(connection)).by_alias.values())

    async def one(self, alias: str) -> Org:
        """One registered org."""
        async with self._store.database.reading() as connection:
            org = await self._store.orgs.find(connection, Alias(alias))
        if org is None:
            near = nearest(alias.lower(), (await self._access.reload()).by_alias)
            meant = f"did you mean {near}? " if near else ""
            raise EnrolmentError(
                f"no org is registered as {alias}", hint=f"{meant}orgserver list-orgs shows those that are"
            )
        return org

    async def twins(self, org: Org) -> tuple[Alias, ...]:
        """The other aliases of the same org."""
        async with self._store.database.reading() as connection:
            return await self._store.orgs.twins(connection, org)

    async def calls_today(self, org: Org) -> dict[str, int]:
        """What each principal's agents used up of an org's API today (UTC), as far as a budget has it counted."""
        if org.org_id is None:
            return {}
        async with self._store.database.reading() as connection:
            return await api_usage.calls_on(connection, org.org_id, api_usage.day_of(self._store.database.clock()))

    async def credential(self, alias: str) -> tuple[Org, Credential | None]:
        """One registered org, and what it logs in with."""
        org = await self.one(alias)
        async with self._store.database.reading() as connection:
            return org, await self._store.orgs.credentials.credential(connection, LoginKey.shared(org.row_id))

    async def check(self, alias: str, *, try_token: bool = False) -> Checked:
        """Ask an org who we are there, refreshing its token if need be.

        ``try_token`` sends its refresh token whatever its state says: an operator's word.
        """
        org = await self.one(alias)
        # Where nothing can be spent, a credential that was refused may be tried again: somebody may have allowed it.
        again = not org.holds_refresh_token and org.state is OrgState.NEEDS_LOGIN
        try:
            if try_token or again:
                token = await self._access.tokens.renew(org, force=True)
            elif org.state in CLOSED_STATES:  # its access token is not to be sent, be it ever so alive
                raise closed(org, org)
            else:
                token = await self._access.tokens.current(org)
            where = org.hosts_with(token.instance_url)
            try:
                identity = await read_identity(self._client, where, token.token, org.api_version)
            except CallError as error:
                if error.code != "INVALID_SESSION_ID":
                    raise
                token = await self._access.tokens.current(org, not_this=token)
                identity = await read_identity(self._client, where, token.token, org.api_version)
        except CallError as error:
            return Checked(await self.one(alias), error)
        return Checked(await self.one(alias), None, identity.user.username)

    async def update(
        self,
        caller: Caller,
        alias: str,
        *,
        rename: Alias | None = None,
        enabled: bool | None = None,
        policy: PolicyEdit | Mapping[str, Any] | None = None,
        tags: tuple[str, ...] | None = None,
        identity: IdentityChange | None = None,
        seen: Policy | None = None,
    ) -> Org:
        """Rename, enable, disable, or change an org's policy, which binds its other aliases too.

        A policy's change is an edit, or what its limits are to be, by name.

        ``seen`` is the policy that a person saw when they agreed to the change: another one is not changed.
        """
        org = await self.one(alias)
        edit = policy if isinstance(policy, PolicyEdit) else PolicyEdit(policy or {})
        changes = OrgChanges(rename, enabled, edit, tags, identity)
        if rename is not None and rename != org.alias and rename in (await self._access.catalog()).by_alias:
            raise EnrolmentError(f"an org is already registered as {rename}")

        def change(tx: Transaction) -> Org:
            return change_org_in(tx, self._store, caller, "update-org", org, changes, seen=seen)

        after = await self._store.database.write(change)
        await self._access.reload()
        return after

    async def remove(self, caller: Caller, alias: str, *, keep_token: bool) -> bool:
        """Remove an org with the grants on it, and destroy its secrets; True if its token was revoked at Salesforce."""
        org, credential = await self.credential(alias)
        revoked = False if keep_token else await self._revoke(org, credential)

        def change(tx: Transaction) -> None:
            for grant in grants.of_org_in(tx, org.row_id):
                record_end_in(tx, self._store.audit.record_in, caller, "remove-org", org.alias, grant)
            login_ends.end_of_org_in(tx, self._store, org, login_ends.ORG_REMOVED, caller, "remove-org")
            self._store.orgs.remove_in(tx, org.row_id)
            self.record_in(tx, intent_on(caller, "remove-org", org))

        await self._store.database.write(change)
        await self._access.reload()
        return revoked

    async def _revoke(self, org: Org, credential: Credential | None) -> bool:
        """Revoke what an org holds: its refresh token, or else the access token that is cached."""
        if credential is None or credential.refresh_token is None:
            return await self._revoke_access(org)
        if org.refresh_suspended:
            raise EnrolmentError(
                f"{org.alias} was not removed: revoking its token would cut off the store that this one is a copy of",
                hint="add --keep-token to remove it here only",
            )
        try:
            return await self.revoke_at(org.hosts_with(org.instance_url), credential.refresh_token)
        except CallError as error:
            raise EnrolmentError(
                f"the refresh token of {org.alias} could not be revoked at Salesforce: {error}",
                hint="try again, or remove the org here only with --keep-token",
            ) from error

    async def _revoke_access(self, org: Org) -> bool:
        """End the cached session, if that is easily done; it ends by itself anyway."""
        async with self._store.database.reading() as connection:
            access = await self._store.orgs.credentials.access_token(connection, LoginKey.shared(org.row_id))
        if access is None:
            return False
        with suppress(CallError):
            return await self.revoke_at(org.hosts_with(access.instance_url), access.token)
        return False

    async def revoke_at(self, where: OrgHosts, token: Secret) -> bool:
        """Revoke a token at its login host; False if Salesforce does not know it (any more)."""
        reply = await self._client.post_form(where, oauth.REVOKE_PATH, oauth.revoke(token))
        return reply.status < HTTPStatus.MULTIPLE_CHOICES

    def record_in(self, tx: Transaction, intent: Intent) -> None:
        """Put a change to the orgs on record, in the same transaction."""
        self._store.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED))


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
