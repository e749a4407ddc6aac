"""How an org gets in: proving a credential, pinning the org, registering it; and giving it another credential.

Proving a rotating refresh token spends it. So the store is written before the token is sent, and what Salesforce
answers is sealed at once as a draft, which the same command goes on from after a crash or Ctrl-C at any step:

    draft "given" → token sent → draft "proven" (with the rotated token) → identity, org, version → org registered

A login in the browser begins with a draft "login" and goes on from "proven" in the same way.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import CallError, EnrolmentError, StoreAway
from orgserver.model.names import Alias, OrgId
from orgserver.model.orgs import AccessToken, Caller, Credential, Org, OrgState, OrgUser, Policy
from orgserver.salesforce import hosts
from orgserver.salesforce.hosts import hosts_of_org
from orgserver.services.calls.access import Access
from orgserver.services.orgs.authentication import Entry, Session, WaysIn
from orgserver.services.orgs.browser_login import SignIn
from orgserver.services.orgs.identity import Proof, prove
from orgserver.services.orgs.pending_enrolment import Drafts, already_registered
from orgserver.services.orgs.registration import Registration, checked, hosts_of
from orgserver.services.orgs.registry import Registry, intent_on
from orgserver.store.orgs import policies, rows
from orgserver.store.orgs.credentials import credential_of
from orgserver.store.orgs.policies import PolicyChange
from orgserver.store.orgs.registry import OrgSnapshot
from orgserver.store.session import Store
from orgserver.store.times import to_datetime
from orgserver.store.transaction import Transaction

__all__ = ["Enrolled", "Enrolment", "Registration"]

DEFAULT_API_VERSION = "v66.0"
"""Only where ``--no-verify`` keeps us from asking which versions the org offers."""

OldToken = Literal["revoked", "unknown", "kept"]
"""What became of the refresh token that an org had before: Salesforce may not know it any more, or it may be in use."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An org that is registered now."""

    org: Org
    rotated: bool
    """The proof spent the refresh token that was given: its other copies are dead."""
    resumed: bool
    also_known_as: tuple[Alias, ...]
    """Other aliases of the same org."""
    old_token: OldToken | None = None
    """None: there was none, or it is the same."""
    known_limits: tuple[str, ...] = ()
    """Limits that nobody gave just now: the store knew them of this org, under whatever alias."""
    tightened: tuple[Alias, ...] = ()
    """Other aliases of the same org that became stricter with it."""


@dataclass(frozen=True, slots=True)
class _Registered:
    """An org as it was written, the credential that it had before, and which other aliases became stricter."""

    org: Org
    old: Credential | None
    tightened: tuple[Alias, ...]


class Enrolment:
    """Registers orgs."""

    def __init__(self, store: Store, access: Access, registry: Registry) -> None:
        self._store = store
        self._access = access
        self._client = access.client
        self._registry = registry
        self._drafts = Drafts(store)
        self._ways_in = WaysIn(self._drafts, access.client)

    async def add(self, caller: Caller, given: Registration, sign_in: SignIn | None = None) -> Enrolled:
        """Prove a credential and register its org under an alias; ``sign_in`` has somebody log in (``web``)."""
        _taken(await self._access.reload(), given)
        given = checked(given)
        try:
            return await self._enrol(caller, given, sign_in)
        except EnrolmentError as error:
            if error.outcome is not None:
                with suppress(StoreAway):  # what failed is the better thing to say
                    await self._record_failed(caller, given, Completion(Outcome(error.outcome), error_code=error.code))
            raise

    async def _enrol(self, caller: Caller, given: Registration, sign_in: SignIn | None) -> Enrolled:
        try:
            entry = await self._ways_in.enter(given, sign_in)
            proof = await self._prove(entry, entry.session, given) if entry.session else None
        finally:
            await self._client.close_org(hosts_of(given).key)
        catalog = await self._access.reload()
        existing = _taken(catalog, given)  # a login may take minutes
        if proof and existing and existing.org_id not in (None, proof.org_id):
            await self._refuse_other_org(given, entry, existing, proof)
        org = _org(given, entry, proof, existing)
        done = await self._register(caller, org, given, entry, existing)
        known = done.org.policy.limits if existing is None else ()
        retired = await self._retire(given, entry, existing, done.old) if existing and done.old else None
        return Enrolled(
            done.org,
            entry.rotated,
            entry.resumed,
            await self._registry.twins(done.org),
            retired,
            tuple(limit for limit in known if limit not in given.policy.limits),
            done.tightened,
        )

    async def kept_draft(self, alias: Alias) -> bool:
        """Tell whether an enrolment waits that has already been answered by Salesforce."""
        return await self._drafts.answered(alias)

    # -- proving

    async def _prove(self, entry: Entry, session: Session, given: Registration) -> Proof:
        """Ask the org who it is. What fails here loses nothing: a refresh token is sealed in the draft."""
        try:
            instance = hosts.check_url(session.instance_url, given.trusted_hosts)
        except ValueError as error:
            raise EnrolmentError(
                f"the org's instance may not be trusted: {error}",
                hint="if it is yours, run the same command again with --trust-host HOST",
                outcome="denied",
                code="HOST_NOT_TRUSTED",
            ) from None
        where = replace(hosts_of(given), key=entry.row_id, instance_url=instance)
        try:
            return await prove(self._client, where, session.token, given.api_version)
        except CallError as error:
            if error.code == "INVALID_SESSION_ID" and entry.draft:
                await self._drafts.start_over(entry.draft)
            kept = "its refresh token is kept, sealed" if entry.draft else "nothing was stored"
            raise EnrolmentError(
                f"the org could not be asked who it is: {error}",
                hint=f"{kept}; run the same command again",
                outcome=error.outcome,
                code=error.code,
            ) from error
        finally:
            await self._client.close_org(entry.row_id)

    async def _refuse_other_org(self, given: Registration, entry: Entry, existing: Org, proof: Proof) -> None:
        if given.auth == "web" and entry.draft and entry.credential.refresh_token:
            # Nobody has a copy of this token; kept, it would be gone on from instead of the next login.
            with suppress(CallError):
                await self._registry.revoke_at(hosts_of(given), entry.credential.refresh_token)
            await self._drafts.drop(entry.draft)
        raise EnrolmentError(
            f"these credentials are of another org ({proof.org_id}); {given.alias} is {existing.org_id}",
            hint="register the other org under an alias of its own",
            outcome="denied",
            code="ANOTHER_ORG",
        )

    # -- registering

    async def _register(
        self, caller: Caller, org: Org, given: Registration, entry: Entry, existing: Org | None
    ) -> _Registered:
        """Write the org and its credential in one transaction."""
        session = entry.session

        def change(tx: Transaction) -> _Registered:
            if existing is None and self._store.orgs.is_registered_in(tx, org.alias):
                raise already_registered(
                    org.alias
                )  # by a run that was cancelled, and whose last step went in all the same
            old = self._old_in(tx, org)
            fencing = old.fencing + 1 if old else (1 if session else 0)
            credential = replace(entry.credential, fencing=fencing)
            access = AccessToken(session.token, org.instance_url, fencing) if session else None
            if existing is None:
                changes = self._store.orgs.add_in(tx, org, credential, access)
            else:
                changes = self._renew_in(tx, org, given, credential, access)
            if session:
                self._store.orgs.credentials.touch_in(tx, org.row_id)
            if entry.draft:
                self._store.orgs.enrolments.remove_in(tx, entry.draft, keep_key=existing is None)
            now = rows.one_in(tx, org.row_id) or org
            others = [each for each in changes if each.org.row_id != org.row_id]
            intent = intent_on(caller, given.command if existing is None else "update-org", now)
            if existing is None:
                intent = replace(intent, fields=Policy().changed_to(now.policy))
            self._registry.record_in(tx, intent)
            for each in others if existing is None else changes:
                self._registry.record_in(tx, each.intent(intent.tool, caller))
            return _Registered(now, old, tuple(each.org.alias for each in others))

        done = await self._store.database.write(change)
        await self._access.reload()
        return done

    def _renew_in(
        self, tx: Transaction, org: Org, given: Registration, credential: Credential, access: AccessToken | None
    ) -> list[PolicyChange]:
        """Give a registered org another credential. That may add limits; only ``update-org`` takes one away."""
        now = rows.one_in(tx, org.row_id)
        if now is None:
            raise EnrolmentError(f"{org.alias} was removed meanwhile")
        if org.org_id is not None and now.org_id not in (None, org.org_id):
            raise EnrolmentError(
                f"{org.alias} has turned out to be {now.org_id} meanwhile, and these credentials are not"
            )
        self._store.orgs.credentials.replace_in(tx, org.row_id, credential, access)
        changes = policies.pin_in(tx, org.row_id, org.org_id) if org.org_id is not None else []
        changes += policies.limit_in(tx, org.row_id, given.policy.strictest)
        self._store.orgs.change_in(tx, org.row_id, lambda _old: org)
        return changes

    async def _record_failed(self, caller: Caller, given: Registration, completion: Completion) -> None:
        org = (await self._access.catalog()).by_alias.get(given.alias)
        await self._store.audit.record(
            intent_on(caller, given.command if org is None else "update-org", org, said=given.alias), completion
        )

    def _old_in(self, tx: Transaction, org: Org) -> Credential | None:
        row = tx.connection.execute(credential_of(org.row_id)).first()
        return self._store.orgs.credentials.open_credential(org.row_id, row) if row is not None else None

    async def _retire(self, given: Registration, entry: Entry, before: Org, old: Credential) -> OldToken | None:
        """Revoke the refresh token that an org had, where that cannot touch the new one; never a reason to fail."""
        new = entry.credential.refresh_token
        if old.refresh_token is None or (new is not None and new.same_as(old.refresh_token)):
            return None
        if before.refresh_suspended or not _another_login(given, entry, old):
            return "kept"
        where = hosts_of_org(before, before.instance_url)
        try:
            return "revoked" if await self._registry.revoke_at(where, old.refresh_token) else "unknown"
        except CallError:
            return "kept"


def _taken(catalog: OrgSnapshot, given: Registration) -> Org | None:
    """The org that has this alias, if it shall get new credentials."""
    existing = catalog.by_alias.get(given.alias)
    if existing is not None and not given.replace:
        raise already_registered(given.alias)
    return existing


def _another_login(given: Registration, entry: Entry, old: Credential) -> bool:
    """Whether the old refresh token is of another login than the new one, which revoking it leaves alone.

    Where a given token has rotated, the old one may be its ancestor: another program had it, too, and went on with it.
    """
    return given.auth != "refresh-token" or given.client_id != old.client_id or not entry.rotated


def _org(given: Registration, entry: Entry, proof: Proof | None, existing: Org | None) -> Org:
    instance = entry.session.instance_url if entry.session else (given.instance_url or given.login_url)
    return Org(
        row_id=existing.row_id if existing else entry.row_id,
        alias=given.alias,
        org_id=OrgId(proof.org_id) if proof else (existing.org_id if existing else None),
        name=proof.name if proof else (existing.name if existing else given.alias),
        kind=proof.kind if proof else (existing.kind if existing else None),
        edition=proof.edition if proof else (existing.edition if existing else None),
        login_url=hosts.check_url(given.login_url, given.trusted_hosts),
        instance_url=hosts.check_url(instance, given.trusted_hosts),
        trusted_hosts=given.trusted_hosts,
        api_version=proof.api_version if proof else (given.api_version or DEFAULT_API_VERSION),
        user=OrgUser(proof.user.id, proof.user.username, proof.user.time_zone) if proof else None,
        state=OrgState.READY,
        cause=None,
        problem=None,
        policy=given.policy,
        tags=given.tags or (existing.tags if existing else ()),
        source=given.source,
        created_at=existing.created_at if existing else to_datetime(0),
        refreshed_at=None,
        enabled=existing.enabled if existing else True,
        auth=given.auth,
    )
