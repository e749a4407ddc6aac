"""The checks of ``doctor`` on own sign-in: what the identity provider says that it can do, and who is signed in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from orgserver.config import Settings
from orgserver.model.text import count_of, replace_unsafe
from orgserver.oauth.provider.client import Provider, ProviderExamination, make_provider
from orgserver.oauth.provider.refusals import ProviderRefused, ProviderUnavailable
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.salesforce.connections import build_tls_context
from orgserver.services.doctor.machine import Finding
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.store.people import records
from orgserver.store.people.records import GroupRecord
from orgserver.store.session import Store

_PROVIDER = "identity provider"
_OFFLINE_ACCESS_UNKNOWN = frozenset({"https://accounts.google.com"})
"""They give refresh tokens in a way of their own."""


async def check_sign_in(store: Store, settings: Settings, *, offline: bool) -> list[Finding]:
    """Ask the provider, unless ``offline``, and look at what the store has of sign-in."""
    if settings.signin_issuer is None:
        return []
    findings = [] if offline else await ask_provider(settings)
    async with store.database.reading() as connection:
        groups = await records.groups(connection)
    sessions = await SignInSessions(store).count()
    signed_in = f"{count_of(sessions, 'session') if sessions else 'no sessions'}: orgserver list-sessions"
    return [*findings, *empty_groups(groups, settings.signin_groups_claim), Finding("signed in", "ok", signed_in)]


async def ask_provider(settings: Settings) -> list[Finding]:
    """What the identity provider says that it can do; nothing where no sign-in is set."""
    issuer, client_id = settings.signin_issuer, settings.signin_client_id
    if issuer is None or client_id is None:
        return []
    make_tls = partial(build_tls_context, settings.ca_file)
    claim = settings.signin_groups_claim
    try:
        provider = make_provider(issuer, client_id, None, claim, "", make_tls, settings.proxy)
    except ValueError as error:
        return [unusable(issuer, str(error))]
    try:
        return await _examine(provider, settings)
    finally:
        await provider.aclose()


async def _examine(provider: Provider, settings: Settings) -> list[Finding]:
    try:
        examination = await provider.examine()
    except (ProviderUnavailable, ProviderRefused, IssuerUnavailable) as error:
        return [unusable(provider.issuer, error.reason)]
    return describe(examination, settings.signin_groups_claim, has_secret=settings.signin_client_secret is not None)


def unusable(issuer: str, reason: str) -> Finding:
    """Nobody signs in while it is so; sessions that are there wait with their refreshes."""
    text = f"{replace_unsafe(issuer)} cannot be used: {replace_unsafe(reason)}"
    todo = "check ORGSERVER_SIGNIN_ISSUER, to the letter as the provider's metadata say it, and the network"
    return Finding(_PROVIDER, "problem", text, todo)


def describe(examination: ProviderExamination, groups_claim: str | None, *, has_secret: bool) -> list[Finding]:
    """What it can do, and what will not work because it cannot. What it does not say, it may do all the same."""
    keys = count_of(examination.keys, "key")
    findings = [Finding(_PROVIDER, "ok", f"{replace_unsafe(examination.issuer)} answers, with {keys}")]
    if not has_secret:
        text = "ORGSERVER_SIGNIN_CLIENT_SECRET is not set here: this server is a public client there"
        findings.append(Finding("client secret", "note", text))
    if "S256" not in examination.challenge_methods:
        findings.append(
            Finding("PKCE", "note", "the provider does not say that it checks S256; it is sent all the same")
        )
    gives_tokens = "offline_access" in examination.scopes or examination.issuer in _OFFLINE_ACCESS_UNKNOWN
    if not gives_tokens:
        text = "the provider does not offer offline_access: each sign-in ends after --session-hours"
        findings.append(Finding("refresh tokens", "note", text))
    if "auth_time" not in examination.claims:
        text = "the provider does not list the claim auth_time, without which nobody says yes at /me"
        findings.append(Finding("auth_time", "note", text, "add it to its id tokens: docs/sign-in.md says how"))
    if groups_claim is not None and groups_claim not in examination.claims:
        text = f"the provider does not list the claim {replace_unsafe(groups_claim)} (ORGSERVER_SIGNIN_GROUPS_CLAIM)"
        findings.append(Finding("groups", "note", text, "add it to its id tokens, if people are in no groups here"))
    return findings


def empty_groups(groups: Sequence[GroupRecord], groups_claim: str | None) -> list[Finding]:
    """Groups by claim that nobody is in: a value may be misspelt, or nobody of them has signed in yet."""
    by_claim = [group for group in groups if group.claim is not None]
    if not by_claim:
        return []
    if groups_claim is None:
        names = ", ".join(group.name for group in by_claim)
        todo = "set ORGSERVER_SIGNIN_GROUPS_CLAIM to the claim that has their values"
        return [Finding("groups by claim", "warning", f"no claim fills {names}", todo)]
    names = ", ".join(group.name for group in by_claim if not group.claim_members)
    return [Finding("groups by claim", "note", f"nobody who is signed in is in {names}")] if names else []
