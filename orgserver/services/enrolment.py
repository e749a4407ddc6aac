"""How an org gets in and out: proving a credential, pinning the org, changing it, removing it.

Proving a rotating refresh token spends it. So the store is written before the token is sent, and what Salesforce
answers is sealed at once as a draft, which the same command goes on from after a crash or Ctrl-C at any step:

    draft "given" → token sent → draft "proven" (with the rotated token) → identity, org, version → org registered
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from orgserver.model.errors import CallError, EnrolmentError, NoConnection, Unanswered
from orgserver.model.names import Alias, OrgId, RowId, new_id
from orgserver.model.orgs import AccessToken, Caller, Credential, Org, OrgState, OrgUser, Policy
from orgserver.model.secret import Secret
from orgserver.salesforce import hosts, oauth
from orgserver.services.proof import Proof, prove
from orgserver.services.registry import Registry
from orgserver.store.chain import when
from orgserver.store.orgs import Draft
from orgserver.store.writer import Transaction

T = TypeVar("T")
DEFAULT_API_VERSION = "v66.0"
"""Only where ``--no-verify`` keeps us from asking which versions the org offers."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What an operator gave to register an org."""

    alias: Alias
    client_id: str
    client_secret: Secret | None
    refresh_token: Secret
    login_url: str
    source: str
    """Where the credential was read from, for people."""
    instance_url: str | None = None
    api_version: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)
    replace: bool = False
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An org that is registered now."""

    org: Org
    rotated: bool
    """The proof spent the refresh token that was given: its other copies are dead."""
    resumed: bool
    also_known_as: tuple[Alias, ...]
    """Other aliases of the same org."""


class Enrolment(Registry):
    """Registers orgs, beside what ``Registry`` does with registered ones."""

    # -- registering

    async def add(self, caller: Caller, given: Registration) -> Enrolled:
        """Prove a credential and register its org under an alias."""
        catalog = await self._access.reload()
        existing = catalog.by_alias.get(given.alias)
        if existing is not None and not given.replace:
            raise EnrolmentError(
                f"an org is already registered as {given.alias}",
                hint="choose another alias, or give it new credentials with --replace",
            )
        _check_hosts(given)
        draft, resumed = await self._draft(given)
        await self._refuse_shared(draft, given.alias)
        if not given.verify:
            return await self._register_unproven(caller, given, draft, existing)
        draft = await _unbroken(self._proven_token(draft, given, resumed=resumed))
        proof = await self._prove(draft, given)
        if existing is not None and existing.org_id not in (None, proof.org_id):
            raise EnrolmentError(
                f"these credentials are of another org ({proof.org_id}); {given.alias} is {existing.org_id}",
                hint="register the other org under an alias of its own",
            )
        org = _org(given, draft, proof, existing)
        others = tuple(o.alias for o in catalog.by_alias.values() if o.org_id == org.org_id and o.alias != org.alias)
        await self._register(caller, org, draft, existing, fenced=1)
        return Enrolled(org, bool(draft.facts.get("rotated")), resumed, others)

    async def _draft(self, given: Registration) -> tuple[Draft, bool]:
        """Find the draft of an earlier run, or write a new one: before a token is spent, the store must take writes."""
        async with self._store.database.reading() as connection:
            drafts = await self._store.orgs.drafts(connection)
        earlier = drafts.get(given.alias)
        digest = _digest(given.refresh_token)
        # The same token under another alias is the same enrolment: sent anew, a spent token would revoke the new one.
        begun = next((draft for draft in drafts.values() if draft.facts.get("given") == digest), None)
        if begun is not None and begun is earlier:
            return begun, True
        facts = {
            "phase": "given",
            "given": digest,
            "client_id": given.client_id,
            "client_secret": given.client_secret.reveal() if given.client_secret else None,
            "refresh_token": given.refresh_token.reveal(),
        }
        draft = replace(begun, alias=given.alias) if begun else Draft(given.alias, RowId(new_id()), facts)

        def change(tx: Transaction) -> None:
            if earlier is not None:
                self._store.orgs.drop_draft_in(tx, earlier, keep_key=False)
            if begun is not None:
                self._store.orgs.drop_draft_in(tx, begun, keep_key=True)
            self._store.orgs.keep_draft_in(tx, draft)

        await self._store.database.write(change)
        return draft, begun is not None

    async def _refuse_shared(self, draft: Draft, alias: Alias) -> None:
        """Refuse a token that another alias uses, and a copy of one that was spent when an org was registered."""
        async with self._store.database.reading() as connection:
            known = await self._store.orgs.refresh_tokens(connection)
        token = Secret(draft.facts["refresh_token"])
        for other, theirs, given in known:
            if theirs.same_as(token):
                if other != alias:
                    await self._drop_copy(draft)
                    raise EnrolmentError(
                        f"this refresh token is already in use for {other}; two aliases must not share one",
                        hint="log in once more to get a refresh token of its own",
                    )
            elif given == draft.facts["given"]:
                await self._drop_copy(draft)
                raise EnrolmentError(
                    f"this is the copy of the refresh token that was spent when {other} was registered; it was not "
                    f"sent, for Salesforce would then revoke the one {other} uses now",
                    hint="delete the copy; log in once more if you need another refresh token",
                )

    async def _proven_token(self, draft: Draft, given: Registration, *, resumed: bool) -> Draft:
        """Spend the refresh token and seal what comes back, before anything else can happen."""
        if draft.facts["phase"] == "proven":
            return draft
        sent_before = draft.facts.get("sent", False)
        sending = replace(draft, facts=draft.facts | {"sent": True})
        await self._store.database.write(lambda tx: self._store.orgs.keep_draft_in(tx, sending))
        try:
            status, body = await self._client.token(_hosts(given), oauth.refresh(_credential(draft)))
            answer = oauth.read_tokens(status, body)
        except oauth.TokenRefused as refusal:
            if refusal.kind == "dead":
                await self._drop(draft)
            elif refusal.kind not in ("busy", "unclear"):
                await self._drop_copy(draft)
            raise _refused(refusal, given, interrupted=resumed and sent_before) from None
        except NoConnection as error:
            await self._drop_copy(draft)
            raise EnrolmentError(f"{given.login_url} could not be reached: {error}", hint=error.hint) from None
        except Unanswered as error:
            raise EnrolmentError(
                f"{given.login_url} did not answer, and may have spent the refresh token",
                hint="run the same command again: it tries the token once more",
            ) from error
        rotated = answer.refresh_token is not None
        facts = sending.facts | {
            "phase": "proven",
            "rotated": rotated,
            "refresh_token": (answer.refresh_token or Secret(draft.facts["refresh_token"])).reveal(),
            "access_token": answer.access_token.reveal(),
            "instance_url": answer.instance_url,
            "org_id": answer.org_id,
        }
        proven = replace(draft, facts=facts)
        await self._store.database.write(lambda tx: self._store.orgs.keep_draft_in(tx, proven))
        return proven

    async def _prove(self, draft: Draft, given: Registration) -> Proof:
        """Ask the org who it is. What fails here loses nothing: the token is sealed in the draft."""
        try:
            instance = hosts.check_url(draft.facts["instance_url"], given.trusted_hosts)
        except ValueError as error:
            raise EnrolmentError(
                f"the org's instance may not be trusted: {error}",
                hint="if it is yours, run the same command again with --trust-host HOST",
            ) from None
        where = replace(_hosts(given), key=draft.row_id, instance_url=instance)
        try:
            return await prove(self._client, where, Secret(draft.facts["access_token"]), given.api_version)
        except CallError as error:
            if error.code == "INVALID_SESSION_ID":
                await self._start_over(draft)
            raise EnrolmentError(
                f"the org could not be asked who it is: {error}",
                hint="its refresh token is kept, sealed; run the same command again to go on",
            ) from error
        finally:
            await self._client.forget(draft.row_id)

    async def _start_over(self, draft: Draft) -> None:
        """The draft's access token ended meanwhile: its refresh token gets another at the next run."""
        again = replace(draft, facts=draft.facts | {"phase": "given", "sent": False})
        await self._store.database.write(lambda tx: self._store.orgs.keep_draft_in(tx, again))

    async def _register_unproven(
        self, caller: Caller, given: Registration, draft: Draft, existing: Org | None
    ) -> Enrolled:
        org = _org(given, draft, None, existing)
        await self._register(caller, org, draft, existing, fenced=0)
        return Enrolled(org, rotated=False, resumed=False, also_known_as=())

    async def _register(self, caller: Caller, org: Org, draft: Draft, existing: Org | None, *, fenced: int) -> None:
        credential = replace(_credential(draft), fencing=fenced)
        token = draft.facts.get("access_token")
        access = AccessToken(Secret(token), org.instance_url, fenced) if token else None

        def change(tx: Transaction) -> None:
            if existing is None:
                self._store.orgs.add_in(tx, org, credential, access)
            else:
                fencing = self._store.orgs.fencing_in(tx, org.row_id) + 1
                newer = replace(access, fencing=fencing) if access else None
                self._store.orgs.replace_credential_in(tx, org.row_id, replace(credential, fencing=fencing), newer)
                self._store.orgs.change_in(tx, org.row_id, lambda _old: org)
            if token:
                self._store.orgs.touched_in(tx, org.row_id)
            self._store.orgs.drop_draft_in(tx, draft, keep_key=existing is None)
            self.record_in(tx, caller, "add-org", org)

        await self._store.database.write(change)
        await self._access.reload()

    async def _drop(self, draft: Draft) -> None:
        await self._store.database.write(lambda tx: self._store.orgs.drop_draft_in(tx, draft, keep_key=False))

    async def _drop_copy(self, draft: Draft) -> None:
        """End an enrolment whose token the operator still has; one that lives only here is kept."""
        if _digest(Secret(draft.facts["refresh_token"])) == draft.facts["given"]:
            await self._drop(draft)

    async def kept_draft(self, alias: Alias) -> bool:
        """Tell whether an enrolment waits that has already been answered by Salesforce."""
        async with self._store.database.reading() as connection:
            draft = (await self._store.orgs.drafts(connection)).get(alias)
        return draft is not None and draft.facts["phase"] == "proven"


async def _unbroken(step: Coroutine[Any, Any, T]) -> T:
    """Run a step to its end even when the command is interrupted: a rotated token must reach the store."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _digest(token: Secret) -> str:
    return hashlib.sha256(token.reveal().encode()).hexdigest()


def _check_hosts(given: Registration) -> None:
    for option, url in (("--login-url", given.login_url), ("--instance-url", given.instance_url)):
        if url is None:
            continue
        try:
            hosts.check_url(url, given.trusted_hosts)
        except ValueError as error:
            raise EnrolmentError(
                f"{option}: {error}", hint="an org outside Salesforce's own domains needs --trust-host HOST[:PORT]"
            ) from None


def _hosts(given: Registration) -> Any:
    from orgserver.salesforce.client import OrgHosts  # noqa: PLC0415  # keeps listing orgs free of HTTP imports

    return OrgHosts(f"enrol/{given.alias}", given.instance_url or given.login_url, given.login_url, given.trusted_hosts)


def _credential(draft: Draft) -> Credential:
    secret = draft.facts["client_secret"]
    return Credential(
        draft.facts["client_id"],
        Secret(secret) if secret else None,
        Secret(draft.facts["refresh_token"]),
        given=draft.facts["given"],
    )


def _refused(refusal: oauth.TokenRefused, given: Registration, *, interrupted: bool) -> EnrolmentError:
    if refusal.kind == "dead" and interrupted:
        return EnrolmentError(
            f"the refresh token is dead ({refusal.reason}): an earlier run sent it and never saw the answer",
            hint="log in again to get a new refresh token",
        )
    wording: dict[str, str] = {
        "dead": "Salesforce does not take this refresh token",
        "client": "Salesforce does not take this client id or secret",
        "place": "Salesforce refuses this network or hour",
        "app": "the app is not allowed to do this",
        "busy": "somebody else is refreshing this token right now",
        "unclear": "Salesforce gave no usable answer",
    }
    told = f"{wording[refusal.kind]}: {refusal.reason}"
    return EnrolmentError(f"{given.alias} was not registered: {told}", hint=refusal.hint)


def _org(given: Registration, draft: Draft, proof: Proof | None, existing: Org | None) -> Org:
    now = when(0) if existing is None else existing.created_at
    instance = draft.facts.get("instance_url") or given.instance_url or given.login_url
    return Org(
        row_id=existing.row_id if existing else draft.row_id,
        alias=given.alias,
        org_id=OrgId(proof.org_id) if proof else (existing.org_id if existing else None),
        name=proof.name if proof else given.alias,
        kind=proof.kind if proof else None,
        edition=proof.edition if proof else None,
        login_url=hosts.check_url(given.login_url, given.trusted_hosts),
        instance_url=hosts.check_url(instance, given.trusted_hosts),
        trusted_hosts=given.trusted_hosts,
        api_version=proof.api_version if proof else (given.api_version or DEFAULT_API_VERSION),
        user=OrgUser(proof.user.id, proof.user.username, proof.user.time_zone) if proof else None,
        state=OrgState.READY,
        cause=None,
        problem=None,
        policy=given.policy if existing is None else _tightened(existing.policy, given.policy),
        tags=given.tags or (existing.tags if existing else ()),
        source=given.source,
        created_at=now,
        refreshed_at=None,
        enabled=existing.enabled if existing else True,
    )


def _tightened(old: Policy, given: Policy) -> Policy:
    """New credentials may add limits to an org; only ``update-org`` takes one away."""
    return replace(old, read_only=old.read_only or given.read_only)
