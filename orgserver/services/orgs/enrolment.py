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

from orgserver.model.access.logins import LoginKey
from orgserver.model.access.policies import Policy
from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import CallError, EnrolmentError, StoreAway
from orgserver.model.names import Alias
from orgserver.model.orgs import AccessToken, Caller, Credential, Org, OrgHosts
from orgserver.salesforce import hosts
from orgserver.services.calls.access import Access
from orgserver.services.orgs.authentication import Authenticated, Authentication, Session
from orgserver.services.orgs.changes import intent_on, record_identity_in
from orgserver.services.orgs.identities import check_kept
from orgserver.services.orgs.new_orgs import make_org
from orgserver.services.orgs.pending_enrolment import EnrolmentProgress, already_registered
from orgserver.services.orgs.registration import Registration, SignIn, checked, hosts_of
from orgserver.services.orgs.registry import Identity, Registry, read_identity
from orgserver.store.orgs import policies, rows
from orgserver.store.orgs.policies import PolicyChange
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

__all__ = ["Enrolled", "Enrolment", "Registration"]

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
    twins: tuple[Alias, ...]


class Enrolment:
    """Registers orgs."""

    def __init__(
        self, store: Store, access: Access, registry: Registry, progress: EnrolmentProgress | None = None
    ) -> None:
        self._store = store
        self._access = access
        self._registry = registry
        self._progress = progress or EnrolmentProgress(store)
        self._authentication = Authentication(self._progress, access.client)

    async def add(
        self, caller: Caller, registration: Registration, sign_in: SignIn | None = None, *, is_one_of_many: bool = False
    ) -> Enrolled:
        """Prove a credential and register its org under an alias; ``sign_in`` has somebody log in (``web``).

        ``is_one_of_many``: its alias was free, and is asked for only where it is written; whoever adds them reads the
        catalog after the last.
        """
        if not is_one_of_many:
            existing = await self._taken(registration)
            if existing is not None and registration.identity is None:
                check_kept(existing, registration.auth)  # before anybody logs in
        registration = checked(registration)
        try:
            return await self._enrol(caller, registration, sign_in, is_one_of_many=is_one_of_many)
        except EnrolmentError as error:
            if error.outcome is not None:
                with suppress(StoreAway):  # what failed is the better thing to say
                    await self._record_failed(
                        caller, registration, Completion(Outcome(error.outcome), error_code=error.code)
                    )
            raise

    async def _enrol(
        self, caller: Caller, registration: Registration, sign_in: SignIn | None, *, is_one_of_many: bool
    ) -> Enrolled:
        where = hosts_of(registration)
        try:
            authenticated = await self._authentication.authenticate(registration, sign_in)
            session = authenticated.session
            identity = await self._prove(authenticated, session, registration, where) if session else None
        finally:
            await self._access.client.close_org(where.key)
        existing = await self._taken(registration) if registration.replace else None  # a login may take minutes
        if identity and existing and existing.org_id not in (None, identity.org_id):
            await self._refuse_other_org(registration, authenticated, existing, identity)
        org = make_org(registration, authenticated, identity, existing)
        done = await self._register(caller, org, registration, authenticated, existing)
        if not is_one_of_many:
            await self._access.reload()
        limits = done.org.policy.limits if existing is None else ()
        retired = await self._retire(registration, authenticated, existing, done.old) if existing and done.old else None
        return Enrolled(
            done.org,
            authenticated.rotated,
            authenticated.resumed,
            done.twins,
            retired,
            tuple(limit for limit in limits if limit not in registration.policy.limits),
            done.tightened,
        )

    async def _taken(self, registration: Registration) -> Org | None:
        """The org that has this alias, if it shall get new credentials."""
        async with self._store.database.reading() as db:
            existing = await self._store.orgs.find(db, registration.alias)
        if existing is not None and not registration.replace:
            raise already_registered(registration.alias)
        return existing

    async def kept_draft(self, alias: Alias) -> bool:
        """Tell whether an enrolment waits that has already been answered by Salesforce."""
        return await self._progress.answered(alias)

    # -- proving

    async def _prove(
        self, authenticated: Authenticated, session: Session, registration: Registration, where: OrgHosts
    ) -> Identity:
        """Ask the org who it is. What fails here loses nothing: a refresh token is sealed in the draft."""
        try:
            instance = hosts.check_url(session.instance_url, registration.trusted_hosts)
        except ValueError as error:
            raise EnrolmentError(
                f"the org's instance may not be trusted: {error}",
                hint="if it is yours, run the same command again with --trust-host HOST",
                outcome="denied",
                code="HOST_NOT_TRUSTED",
            ) from None
        where = OrgHosts(authenticated.row_id, instance, where.login_url, where.trusted)
        try:
            return await read_identity(self._access.client, where, session.token, registration.api_version)
        except CallError as error:
            if error.code == "INVALID_SESSION_ID" and authenticated.enrolment:
                await self._progress.start_over(authenticated.enrolment)
            consequence = "its refresh token is kept, sealed" if authenticated.enrolment else "nothing was stored"
            raise EnrolmentError(
                f"the org could not be asked who it is: {error}",
                hint=f"{consequence}; run the same command again",
                outcome=error.outcome,
                code=error.code,
            ) from error
        finally:
            await self._access.client.close_org(authenticated.row_id)

    async def _refuse_other_org(
        self, registration: Registration, authenticated: Authenticated, existing: Org, identity: Identity
    ) -> None:
        if registration.auth == "web" and authenticated.enrolment and authenticated.credential.refresh_token:
            # Nobody has a copy of this token; kept, it would be gone on from instead of the next login.
            with suppress(CallError):
                await self._registry.revoke_at(hosts_of(registration), authenticated.credential.refresh_token)
            await self._progress.drop(authenticated.enrolment)
        raise EnrolmentError(
            f"these credentials are of another org ({identity.org_id}); {registration.alias} is {existing.org_id}",
            hint="register the other org under an alias of its own",
            outcome="denied",
            code="ANOTHER_ORG",
        )

    # -- registering

    async def _register(
        self, caller: Caller, org: Org, registration: Registration, authenticated: Authenticated, existing: Org | None
    ) -> _Registered:
        """Write the org and its credential in one transaction."""
        session = authenticated.session

        def change(tx: Transaction) -> _Registered:
            if existing is None and self._store.orgs.is_registered_in(tx, org.alias):
                raise already_registered(org.alias)  # by a cancelled run whose last step went in all the same
            old = self._store.orgs.credentials.credential_in(tx, LoginKey.shared(org.row_id))
            fencing = old.fencing + 1 if old else (1 if session else 0)
            credential = replace(authenticated.credential, fencing=fencing)
            access = AccessToken(session.token, org.instance_url, fencing) if session else None
            if existing is None:
                changes = self._store.orgs.add_in(tx, org, credential, access)
            else:
                changes = self._renew_in(tx, org, registration, credential, access)
            if session:
                self._store.orgs.credentials.touch_in(tx, LoginKey.shared(org.row_id))
            if authenticated.enrolment:
                self._store.orgs.enrolments.remove_in(tx, authenticated.enrolment, keep_key=existing is None)
            if registration.identity is not None:
                record_identity_in(tx, self._store, caller, registration.command, org, registration.identity)
            now = rows.one_in(tx, org.row_id) or org
            if registration.identity is None:
                check_kept(now)
            others = [each for each in changes if each.org.row_id != org.row_id]
            intent = intent_on(caller, registration.command if existing is None else "update-org", now)
            if existing is None:
                intent = intent.about(Policy().changed_to(now.policy))
            intents = (each.intent(intent.tool, caller) for each in (others if existing is None else changes))
            for each_intent in (intent, *intents):
                self._store.audit.record_in(tx, each_intent, Completion(Outcome.SUCCEEDED))
            same = policies.aliases_in(tx, now.org_id) if now.org_id else []
            twins = tuple(each.alias for each in same if each.row_id != now.row_id)
            return _Registered(now, old, tuple(each.org.alias for each in others), twins)

        return await self._store.database.write(change)

    def _renew_in(
        self, tx: Transaction, org: Org, registration: Registration, credential: Credential, access: AccessToken | None
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
        changes += policies.limit_in(tx, org.row_id, lambda policy: policy.limited_by(registration.policy))
        self._store.orgs.change_in(tx, org.row_id, lambda _old: org)
        return changes

    async def _record_failed(self, caller: Caller, registration: Registration, completion: Completion) -> None:
        org = (await self._access.catalog()).by_alias.get(registration.alias)
        await self._store.audit.record(
            intent_on(caller, registration.command if org is None else "update-org", org, said=registration.alias),
            completion,
        )

    async def _retire(
        self, registration: Registration, authenticated: Authenticated, before: Org, old: Credential
    ) -> OldToken | None:
        """Revoke the refresh token that an org had, where that cannot touch the new one; never a reason to fail."""
        new = authenticated.credential.refresh_token
        if old.refresh_token is None or (new is not None and new.same_as(old.refresh_token)):
            return None
        if before.refresh_suspended or not _another_login(registration, authenticated, old):
            return "kept"
        where = before.hosts_with(before.instance_url)
        try:
            return "revoked" if await self._registry.revoke_at(where, old.refresh_token) else "unknown"
        except CallError:
            return "kept"


def _another_login(registration: Registration, authenticated: Authenticated, old: Credential) -> bool:
    """Whether the old refresh token is of another login than the new one, which revoking it leaves alone.

    Where a given token has rotated, the old one may be its ancestor: another program had it, too, and went on with it.
    """
    return registration.auth != "refresh-token" or registration.client_id != old.client_id or not authenticated.rotated
