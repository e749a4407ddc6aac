"""The one decision: may this principal do this in this org, and which rule says so.

Everything here is a pure function of what it is given. The order: who calls → is the org granted → the permission →
the policy → its limits. What nothing allows is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from orgserver.model.access.acts import Act
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import EVERY_PERMISSION, Permission, Principal
from orgserver.model.access.scopes import scope_of
from orgserver.model.access.standing import Standing
from orgserver.model.access.usage import ApiBudget, ApiUse
from orgserver.model.errors import CallError, Forbidden, PolicyDenied, UnknownOrg
from orgserver.model.names import Alias, RowId
from orgserver.model.orgs import Org, Scope
from orgserver.services.policies import field_rules, limit_refusals

NO_GRANT = "no grant"
LOCAL_USER = "local user"
SERVER_READ_ONLY = "server:read-only"
_SERVER_ORGS = "server:org"
_POLICY, _PRINCIPAL = "policy:", "principal:"
_NOTHING: frozenset[Permission] = frozenset()
_NO_LIMITS = Policy()
_NO_ROW = RowId("")
_READING = ("read", None)


class Decision(msgspec.Struct, frozen=True):
    """Whether an act is allowed, by which rule, and what limits the principal in the org."""

    rule: str
    """``grant:<id>``, ``no grant``, ``permission:delete``, ``policy:hide-field Contact.Email`` …"""
    policy: Policy = _NO_LIMITS
    """The org's, with the principal's own limits."""
    error: CallError | None = None
    """What the agent is told; None where the act is allowed."""

    @property
    def allowed(self) -> bool:
        """Whether the act is allowed."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class _NoOrg:
    """Stands for an org that does not exist, so that it is judged like one without a grant."""

    alias: Alias
    row_id: RowId = _NO_ROW
    tags: tuple[str, ...] = ()
    policy: Policy = _NO_LIMITS


def decide(
    principal: Principal,
    standing: Standing | None,
    scope: Scope,
    org: Org,
    act: Act,
    now: datetime,
    used: ApiUse | None = None,
    scopes: frozenset[Permission] | None = None,
) -> Decision:
    """Decide on one act. ``standing`` is what the store says of the principal, ``scope`` what the server is for.

    ``used`` is how much of the API budget is used up; None where that does not matter. ``scopes`` are those of the
    caller's access token, which take away from what grants allow; None where none narrows it.
    """
    policy = org.policy
    if scope.orgs is not None and org.alias not in scope.orgs:
        return Decision(_SERVER_ORGS, error=unknown_org(scope, org.alias))
    if principal.is_local:
        rule = LOCAL_USER
    else:
        grant = standing.find_grant(org, act.permission, now) if standing is not None else None
        if standing is None or grant is None:
            return _without_grant(standing, org, act, now)
        rule, policy = f"grant:{grant.id}", standing.policy_in(org)
    permission = act.permission or "read"
    if scopes is not None and permission not in scopes:
        return _refuse(_missing_scope(permission), f"scope:{permission}", policy)
    if act.permission not in _READING:
        if scope.read_only:
            return _refuse(read_only_server(), SERVER_READ_ONLY, policy)
        if policy.read_only:
            return _read_only(org, policy)
    refusal = _judge_data(org, policy, act)
    if refusal is None and act.is_by_agent:
        refusal = _judge_hours(org, policy, now)
        if refusal is None and used is not None:
            refusal = _judge_use(org, policy, api_budget(principal, standing, org), now, used)
    return refusal if refusal is not None else Decision(rule, policy)


def find_org(
    principal: Principal,
    standing: Standing | None,
    scope: Scope,
    by_alias: Mapping[str, Org],
    alias: str,
    now: datetime,
) -> Org | None:
    """The org of an alias, if the principal may do anything in it.

    One that does not exist goes through the same steps as one that is not granted.
    """
    name = Alias(alias)
    if scope.orgs is not None and name not in scope.orgs:
        return None
    if principal.is_local:
        return by_alias.get(name)
    org = by_alias.get(name, _NoOrg(name))
    permissions = standing.permissions_in(org, now) if standing is not None else _NOTHING
    return org if permissions and isinstance(org, Org) else None


def find_orgs(
    principal: Principal, standing: Standing | None, scope: Scope, orgs: Iterable[Org], now: datetime
) -> list[Org]:
    """Those of some orgs in which the principal may do anything."""
    if scope.orgs is not None:
        orgs = [org for org in orgs if org.alias in scope.orgs]
    if principal.is_local:
        return list(orgs)
    return standing.select_orgs(orgs, now) if standing is not None else []


def permissions_in(
    principal: Principal, standing: Standing | None, scope: Scope, org: Org, now: datetime
) -> frozenset[Permission]:
    """What a principal may do in an org, whatever limits the objects and fields; nothing: it is not to be seen."""
    if scope.orgs is not None and org.alias not in scope.orgs:
        return _NOTHING
    if principal.is_local:
        return EVERY_PERMISSION
    return standing.permissions_in(org, now) if standing is not None else _NOTHING


def effective_policy(principal: Principal, standing: Standing | None, org: Org) -> Policy:
    """What limits a principal in an org: the org's policy, and its own limits."""
    return org.policy if principal.is_local or standing is None else standing.policy_in(org)


def unknown_org(scope: Scope, alias: str) -> UnknownOrg:
    """The one refusal of an org that does not exist, or is not granted, or not served here."""
    error = UnknownOrg("no org of this name is available to you", hint="salesforce_list_orgs names those that are")
    error.rule = NO_GRANT if scope.orgs is None or alias in scope.orgs else _SERVER_ORGS
    return error


def api_budget(principal: Principal, standing: Standing | None, org: Org) -> ApiBudget:
    """What the day's API calls in an org may be: the org's counts those of all agents, a principal's own its own."""
    own = None if principal.is_local or standing is None else standing.limits.api_budget
    return ApiBudget(org.policy.api_budget, own)


def read_only_server() -> Forbidden:
    """The refusal of every change by a server that was started so."""
    error = Forbidden("this server was started with --read-only")
    error.rule = SERVER_READ_ONLY
    return error


def _refuse(error: CallError, rule: str, policy: Policy = _NO_LIMITS) -> Decision:
    error.rule = rule
    return Decision(rule, policy, error)


def _without_grant(standing: Standing | None, org: Org, act: Act, now: datetime) -> Decision:
    """An org of which nothing is granted does not exist for its principal; another permission is told apart."""
    if standing is None or not standing.permissions_in(org, now):
        return Decision(NO_GRANT, error=unknown_org(Scope(), org.alias))
    error = Forbidden(
        f"you have no permission to {act.permission} in {org.alias}",
        hint="salesforce_list_orgs shows your permissions in each org; an administrator grants them",
    )
    return _refuse(error, f"permission:{act.permission}", standing.policy_in(org))


def _missing_scope(permission: Permission) -> Forbidden:
    return Forbidden(
        f"your access token lacks the scope {scope_of(permission)}",
        code="INSUFFICIENT_SCOPE",
        hint="sign in again and allow it",
    )


def _read_only(org: Org, policy: Policy) -> Decision:
    if org.policy.read_only:
        error = PolicyDenied(f"{org.alias} is read-only", code="READ_ONLY", hint="its administrator set it so")
        return _refuse(error, f"{_POLICY}read-only", policy)
    error = PolicyDenied("you may only read", code="READ_ONLY", hint="an administrator set it so")
    return _refuse(error, f"{_PRINCIPAL}read-only", policy)


def _judge_data(org: Org, policy: Policy, act: Act) -> Decision | None:
    """What the policy says of the objects and fields that the act touches."""
    if not policy.limits_data:
        return None
    if not act.is_understood:
        error = PolicyDenied(
            "which objects and fields this call touches cannot be told, and this org limits them",
            code="QUERY_NOT_UNDERSTOOD",
            hint="a simpler query that names its objects and fields may pass",
        )
        return _refuse(error, _blame("policy:not-understood", is_own=not org.policy.limits_data), policy)
    refusal = field_rules.first_refusal(policy, act.uses)
    if refusal is None:
        return None
    is_own = policy is not org.policy and field_rules.first_refusal(org.policy, act.uses) is None
    fields = [refusal.argument] if refusal.argument is not None else ()
    error = PolicyDenied(refusal.message, code=refusal.code, fields=fields, hint=refusal.hint)
    return _refuse(error, _blame(refusal.rule, is_own=is_own), policy)


def _judge_hours(org: Org, policy: Policy, now: datetime) -> Decision | None:
    """What the policies say of when agents may work."""
    if not policy.hours or all(hours.hold(now) for hours in policy.hours):
        return None
    is_own = all(hours.hold(now) for hours in org.policy.hours)
    return _refuse(limit_refusals.outside_hours(org, policy.hours, now), _blame("policy:hours", is_own=is_own), policy)


def _judge_use(org: Org, policy: Policy, budget: ApiBudget, now: datetime, used: ApiUse) -> Decision | None:
    """What they say of how much of the API a day may use up."""
    whose = budget.used_up_by(used)
    if whose is None:
        return None
    rule = _blame("policy:api-budget", is_own=whose == "principal")
    return _refuse(limit_refusals.budget_used(org, now), rule, policy)


def _blame(rule: str, *, is_own: bool) -> str:
    """The rule as the org's, or as the principal's own where the org's policy alone would have allowed the act."""
    return _PRINCIPAL + rule.removeprefix(_POLICY) if is_own else rule
