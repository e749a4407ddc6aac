"""Puts each call to the one decision, with what it hangs on: who calls, and which objects and fields are touched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from msgspec import structs

from orgserver.model import names
from orgserver.model.access.acts import Act, ObjectUse, PathUse
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Permission
from orgserver.model.access.usage import ApiUse
from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import CallError, InvalidArgument, PolicyDenied, Rejected
from orgserver.model.orgs import CLOSED_STATES, Caller, Org
from orgserver.model.schema import Schema, SchemaLookup
from orgserver.services.calls import logins
from orgserver.services.calls.access import Access, OrgSession
from orgserver.services.calls.decision import Decision, api_budget, decide, unknown_org
from orgserver.services.calls.plan import Call, Operation, Plan
from orgserver.services.describe.schemas import Schemas
from orgserver.services.policies import field_rules, limit_refusals
from orgserver.services.policies.uses import MissingSchemas, behind_formulas, resolve
from orgserver.services.tokens import token_errors
from orgserver.store.people.api_usage import CallBudget

_DISABLED = "org:disabled"
_ROUNDS = 8
"""Each may tell of relationships to objects whose describes are needed in the next."""
_MOST_DESCRIBES = 30
_SECONDS = 10.0
"""How long a call waits for all of them."""
_TERMINAL = "cli"
"""Hours and budgets are for agents, not for a person at a terminal, undo included."""


class Authorization:
    """Whether calls are allowed: the only caller of ``decide``."""

    def __init__(self, access: Access, schemas: Schemas) -> None:
        self._access = access
        self._schemas = schemas

    async def allow(self, call: Call, org: Org, plan: Plan[Any]) -> Policy:
        """The policy that binds a call that is allowed. CallError where it is not, or the org's state forbids it."""
        self._check_state(org)
        decision = await self._decide(call, org, plan, call.caller)
        if decision.error is not None:
            raise decision.error
        return decision.policy

    async def allow_look_back(
        self, call: Call, permission: Permission, uses: tuple[PathUse, ...]
    ) -> tuple[Org, Policy]:
        """The org of a call that shows what an earlier one did there, and what binds it; CallError where it may not.

        Asks no org, and has no intent that would tell of a change: so the store is asked first.
        """
        org = await self._access.current_org(call.caller, call.org)
        if org is None:
            raise unknown_org(self._access.scope, call.org)
        plan: Plan[None] = Plan(permission, _send_nothing, lambda _none: Completion(Outcome.SUCCEEDED), uses=uses)
        decision = await self._decide(call, org, plan, call.caller)
        if decision.error is not None:
            raise decision.error
        return org, decision.policy

    async def judge(self, call: Call, operation: Operation[Any], reader: Caller) -> Decision:
        """What would be decided of a call that is not made; InvalidArgument for one that means nothing.

        ``reader`` asks for describes that are needed and not at hand.
        """
        try:
            org, _ = await self._access.org(call.caller, call.org)
        except CallError as error:
            return Decision(error.rule or "", error=error)
        plan = operation.plan(call, org)
        if not org.enabled:
            return Decision(_DISABLED, error=_disabled(org))
        org = await self._access.as_seen_by(reader, org)
        decision = await self._decide(call, org, plan, reader)
        budget = self.budget(call.caller, org)
        if decision.error is None and budget is not None:
            use = await self._access.api_use(budget)
            if budget.budget.used_up_by(use) is not None:
                return self._decide_on(call.caller, org, self._act(call, plan), use)
        return decision

    def budget(self, caller: Caller, org: Org) -> CallBudget | None:
        """What limits a call's use of the API, which its intent asks; None where nothing does."""
        if caller.transport == _TERMINAL or org.org_id is None:
            return None
        budget = api_budget(caller.principal, self._access.standing(caller), org)
        return CallBudget(org.org_id, caller.principal.name, budget) if budget.is_limited else None

    def refuse_use(self, call: Call, org: Org, plan: Plan[Any], use: ApiUse) -> CallError:
        """What is said of a call whose intent found the budget used up."""
        error = self._decide_on(call.caller, org, self._act(call, plan), use).error
        return error if error is not None else limit_refusals.budget_used(org, self._access.now())

    def _check_state(self, org: Org) -> None:
        """NotSent where the org takes no calls now."""
        if not org.enabled:
            raise _disabled(org)
        if org.state in CLOSED_STATES and not org.login.is_own:  # an own one is asked for once it is of use
            raise token_errors.closed(org, org)
        if org.org_id is None:
            raise logins.NotPinned(org)  # other limits may bind it, too

    async def _decide(self, call: Call, org: Org, plan: Plan[Any], reader: Caller) -> Decision:
        act = self._act(call, plan)
        decision = self._decide_on(call.caller, org, act)
        if decision.error is not None or not plan.uses or not decision.policy.limits_data:
            return decision  # whatever is refused anyway asks the org nothing
        try:
            logins.require(org)  # nobody is judged by what another's login sees of the org
            uses = await self._resolve(reader, org, decision.policy, plan.uses)
        except CallError as error:
            return Decision(error.rule or "", decision.policy, error)
        return self._decide_on(call.caller, org, structs.replace(act, uses=uses))

    @staticmethod
    def _act(call: Call, plan: Plan[Any]) -> Act:
        """The act as far as it is known before its relationships are followed."""
        is_understood = plan.understood and plan.uses is not None
        return Act(call.tool, plan.permission, (), is_understood, is_by_agent=call.caller.transport != _TERMINAL)

    def _decide_on(self, caller: Caller, org: Org, act: Act, used: ApiUse | None = None) -> Decision:
        access = self._access
        standing = access.standing(caller)
        return decide(caller.principal, standing, access.scope, org, act, access.now(), used, caller.scopes)

    async def _resolve(
        self, reader: Caller, org: Org, policy: Policy, path_uses: tuple[PathUse, ...]
    ) -> tuple[ObjectUse, ...]:
        """Every object and field that a call touches; what describes are needed for that are fetched."""
        for use in path_uses:
            if not (use.children or use.optional or field_rules.is_object_allowed(policy, use.object, use.action)):
                return (ObjectUse(use.object, use.action),)  # whatever its fields are
        stale: set[str] = set()
        asked: set[str] = set()

        def look_up(sobject: str) -> Schema | None:
            schema = self._schemas.memory.cached(org, sobject)
            if schema is not None and self._schemas.memory.fresh(org, sobject) is None:
                stale.add(schema.name)
            return schema

        try:
            async with asyncio.timeout(_SECONDS):
                for _ in range(_ROUNDS):
                    try:
                        uses = resolve(path_uses, look_up)
                    except MissingSchemas as missing:
                        await self._fetch(reader, org, missing.names)
                        continue
                    new = {use.object for use in uses if use.undescribed} - asked
                    if new:  # a field made since may be a formula that tells of a hidden one
                        await self._fetch(reader, org, new, anew=True)
                        asked |= new
                        continue
                    for sobject in stale:
                        self._schemas.renew(reader, org, sobject)
                    await self._learn_formulas(reader, org, path_uses, look_up)
                    return uses
        except TimeoutError:
            raise _refused("the org did not say in time which fields its objects have") from None
        raise _refused("what this call touches leads through too many objects")

    async def _learn_formulas(
        self, reader: Caller, org: Org, path_uses: Iterable[PathUse], look_up: SchemaLookup
    ) -> None:
        """What formulas are made from, where every field is read: one of which that stays unknown is taken out."""
        schemas = [schema for use in path_uses if use.every_field and (schema := look_up(use.object)) is not None]
        missing = frozenset[str]().union(*(behind_formulas(schema, look_up) for schema in schemas))
        learning = (self._schemas.learn(reader, org, each) for each in sorted(missing)[:_MOST_DESCRIBES])
        for answer in await asyncio.gather(*learning, return_exceptions=True):
            if answer is not None and not isinstance(answer, CallError):
                raise answer

    async def _fetch(self, reader: Caller, org: Org, sobjects: Iterable[str], *, anew: bool = False) -> None:
        """Ask for describes at once, by acts of their own; InvalidArgument for an object that the org does not have."""
        missing = list(sobjects)
        if len(missing) > _MOST_DESCRIBES or not all(map(names.is_field, missing)):
            raise _refused("what this call touches leads through too many objects")
        answers = await asyncio.gather(
            *(self._schemas.learn(reader, org, each, anew=anew) for each in missing), return_exceptions=True
        )
        for sobject, answer in zip(missing, answers, strict=True):
            if isinstance(answer, Rejected) and answer.category == "not_found":
                raise InvalidArgument(f"no object '{sobject}' here", code="INVALID_TYPE")
            if isinstance(answer, CallError) and answer.rule is not None:  # whatever refused that refuses this, too
                raise answer
            if isinstance(answer, CallError):
                raise _refused(f"{sobject} could not be described ({answer})")
            if answer is not None:
                raise answer


async def _send_nothing(_session: OrgSession) -> None:
    """What is looked back at was sent before."""


def _disabled(org: Org) -> PolicyDenied:
    error = PolicyDenied(f"{org.alias} is disabled", code="ORG_DISABLED", hint="an administrator enables it")
    error.rule = _DISABLED
    return error


def _refused(reason: str) -> PolicyDenied:
    error = PolicyDenied(f"{reason}, so the call is refused", hint="this org's policy limits objects and fields")
    error.rule = "policy:not-understood"
    return error
