"""What is another of orgs in the files than in the store: tags, limits, whether they take calls, and which are new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from orgserver.model.access.policies import Policy
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.errors import ConfigError, EnrolmentError
from orgserver.model.names import OrgId
from orgserver.model.orgs import Org
from orgserver.salesforce import hosts
from orgserver.services.configuration.declarations import Configuration, OrgDeclaration
from orgserver.services.configuration.inventory import Inventory
from orgserver.services.configuration.steps import Enrolment, OrgStep
from orgserver.services.orgs.changes import OrgChanges
from orgserver.services.orgs.identities import IdentityChange
from orgserver.store.orgs.logins import Login

_SECRET = {"refresh-token": "refresh_token", "jwt": "private_key", "client-credentials": "client_secret"}


@dataclass(slots=True)
class OrgComparison:
    """Steps for orgs that are registered, and those that are to be."""

    steps: list[OrgStep] = field(default_factory=list)
    enrolments: tuple[Enrolment, ...] = ()
    surplus: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(configuration: Configuration, inventory: Inventory, *, prune: bool) -> OrgComparison:
    """Compare them; ConfigError is one line for what files cannot change."""
    comparison = OrgComparison()
    pairs = [(each, inventory.orgs.get(each.alias)) for each in configuration.orgs.values()]
    new = [each for each, org in pairs if org is None]
    # One that is to take no calls is not logged in to: that may spend a token, for nothing.
    comparison.enrolments = tuple(_enrolment(each) for each in new if each.enabled is not False)
    comparison.notes += [
        f"org {each.alias} is not registered, and not enabled" for each in new if each.enabled is False
    ]
    policies = _policies((each, org) for each, org in pairs if org is not None)
    identities = _identities((each, org, inventory) for each, org in pairs if org is not None)
    for declaration, org in pairs:
        if org is None:
            continue
        _refuse_other_login(declaration, org, inventory.logins.get(org.row_id))
        policy = policies.pop(org.org_id or org.row_id, None)
        identity = identities.pop(org.org_id or org.row_id, None)
        changes = replace(_changes(declaration, org, policy, prune=prune), identity=identity)
        if declaration.enabled is None and not org.enabled:
            comparison.notes.append(f"org {org.alias} is disabled, and no file says enabled: true")
        if not prune:
            comparison.surplus += [f"{org.alias}: tag {tag}" for tag in org.tags if tag not in declaration.tags]
        if changes != OrgChanges():
            limits = org.policy if changes.policy else None
            comparison.steps.append(OrgStep(declaration.place, org.alias, org, limits, changes))
    for org in inventory.orgs.values():
        if org.alias in configuration.orgs or not org.enabled:
            continue
        if prune:
            comparison.steps.append(OrgStep(None, org.alias, org, None, OrgChanges(enabled=False)))
        else:
            comparison.surplus.append(f"org {org.alias}")
    return comparison


def _policies(pairs: Iterable[tuple[OrgDeclaration, Org]]) -> dict[str | OrgId, Policy]:
    """The policy of each org id: all its aliases share it, so the first of them changes it."""
    policies: dict[str | OrgId, Policy] = {}
    first: dict[str | OrgId, OrgDeclaration] = {}
    for declaration, org in pairs:
        if declaration.policy is None:
            continue
        key = org.org_id or org.row_id
        other = first.setdefault(key, declaration)
        if policies.setdefault(key, declaration.policy) != declaration.policy:
            raise ConfigError(
                f"{declaration.place}: {declaration.alias} is the same org as {other.alias} ({other.place}), and its "
                "policy is another",
                hint="what limits one alias of an org limits all; give both the same policy",
            )
    return policies


def _identities(
    pairs: Iterable[tuple[OrgDeclaration, Org, Inventory]],
) -> dict[str | OrgId, IdentityChange | None]:
    """What is another of whose login is used, of each org id: the first of its aliases changes it."""
    first: dict[str | OrgId, OrgDeclaration] = {}
    changes: dict[str | OrgId, IdentityChange | None] = {}
    for declaration, org, inventory in pairs:
        if declaration.identity is None and declaration.username_from is None:
            continue
        key = org.org_id or org.row_id
        other = first.setdefault(key, declaration)
        if _identity_of(other) != _identity_of(declaration):
            raise ConfigError(
                f"{declaration.place}: {declaration.alias} is the same org as {other.alias} ({other.place}), and its "
                "identity is another",
                hint="whose login is used binds all aliases of an org; give both the same identity and username_from",
            )
        changes.setdefault(key, _identity_change(declaration, org, inventory))
    return changes


def _identity_of(declaration: OrgDeclaration) -> tuple[object, ...]:
    return declaration.identity, declaration.username_from, declaration.usernames


def _identity_change(declaration: OrgDeclaration, org: Org, inventory: Inventory) -> IdentityChange | None:
    usernames = declaration.usernames
    change = IdentityChange(declaration.identity, declaration.username_from, usernames, seen=org.identity)
    try:
        after = change.apply(org)
    except EnrolmentError as error:
        raise ConfigError(f"{declaration.place}: {error}", hint=error.hint) from None
    before = inventory.usernames.get(org.org_id, {}) if org.org_id is not None else {}
    is_mapped = usernames is None or before == {who: username.lower() for who, username in usernames.items()}
    return None if after == (org.identity, org.username_from) and is_mapped else change


def _changes(declaration: OrgDeclaration, org: Org, policy: Policy | None, *, prune: bool) -> OrgChanges:
    tags = declaration.tags if prune else tuple(dict.fromkeys((*org.tags, *declaration.tags)))
    return OrgChanges(
        enabled=declaration.enabled if declaration.enabled != org.enabled else None,
        tags=tags if set(tags) != set(org.tags) else None,
        policy=PolicyEdit.replacing(policy) if policy is not None and policy != org.policy else PolicyEdit(),
    )


def _enrolment(declaration: OrgDeclaration) -> Enrolment:
    """How an org gets in that is not registered; what the files lack for it."""
    alias, auth = declaration.alias, declaration.auth
    if auth == "web":
        login = f" --login-url {declaration.login_url}" if declaration.login_url else ""
        app = f" --client-id {declaration.client_id}" if declaration.client_id else ""
        problem = f"a person logs in to it: orgserver add-org {alias} --auth web{login}{app}"
        return Enrolment(declaration, problem)
    required = ("client_id", *(("username",) if auth == "jwt" else ()))
    lacking = ["auth"] if auth is None else []
    lacking += [name for name in required if getattr(declaration, name) is None]
    lacking += [_SECRET[auth]] if auth is not None and _SECRET[auth] not in declaration.secrets else []
    if not lacking:
        return Enrolment(declaration, None)
    return Enrolment(
        declaration, f"it is not registered, and {declaration.place} has no {', no '.join(lacking)} for it"
    )


def _refuse_other_login(declaration: OrgDeclaration, org: Org, login: Login | None) -> None:
    """A credential is changed where it can be proven, never by a file that differs."""
    for name, (here, there) in _login_facts(declaration, org, login).items():
        if here is None or here == there:
            continue
        command = f"orgserver update-org {org.alias} --auth {declaration.auth or org.auth} …"
        raise ConfigError(
            f"{declaration.place}: {org.alias} is registered with the {name} {there or 'none'}, not {here or 'none'}",
            hint=f"correct the file, or log in again: {command}",
        )


def _login_facts(
    declaration: OrgDeclaration, org: Org, login: Login | None
) -> dict[str, tuple[str | None, str | None]]:
    url = declaration.login_url
    trusted = declaration.trusted_hosts if declaration.trusted_hosts is not None else org.trusted_hosts
    facts: dict[str, tuple[str | None, str | None]] = {
        "auth": (declaration.auth, org.auth),
        "login_url": (hosts.check_url(url, trusted) if url is not None else None, org.login_url),
        "trust_hosts": (", ".join(sorted(trusted)), ", ".join(sorted(org.trusted_hosts))),
    }
    if login is not None:
        facts["client_id"] = (declaration.client_id, login.client_id)
        facts["username"] = (declaration.username, login.username)
    return facts
