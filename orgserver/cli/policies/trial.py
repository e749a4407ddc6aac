"""What would be decided of a call that nobody makes: the tool's own plan, put to the one decision, and nothing sent.

The org is asked for describes at most, where its policy limits objects or fields and they are not at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from orgserver.cli.process import local_principal, operator
from orgserver.model.access.acts import ObjectUse
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Grant, Principal
from orgserver.model.access.standing import Standing
from orgserver.model.errors import InvalidArgument, OperatorError
from orgserver.model.orgs import Caller, Org
from orgserver.services.calls.confirmation import may_need_person
from orgserver.services.calls.decision import Decision
from orgserver.services.calls.plan import Call, Operation, Plan
from orgserver.services.executor import Executor
from orgserver.services.policies.uses import MissingSchemas, resolve
from orgserver.tools.arguments import ArgumentForms
from orgserver.tools.toolsets import EVERY

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.tools.tool import ToolSpec

_FLEET = "salesforce_query_orgs"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would be decided, and what it hangs on."""

    org: Org
    principal: str
    tool: str
    decision: Decision
    standing: Standing | None
    """None of the user of this machine."""
    hidden: tuple[str, ...] = ()
    """Fields that the result would leave out."""
    masked: tuple[str, ...] = ()
    """Fields of which it would show a part."""
    asks_person: bool = False

    @property
    def grant(self) -> Grant | None:
        """The one that decided."""
        grants = self.standing.grants if self.standing is not None else ()
        return next((grant for grant in grants if self.decision.rule == f"grant:{grant.id}"), None)


class _Captured(Exception):
    """A tool has said which call it makes, and by which operation."""

    def __init__(self, call: Call, operation: Operation[Any]) -> None:
        super().__init__()
        self.call = call
        self.operation = operation


class _Recorder(Executor):
    """Runs nothing: it hands back what it was to run."""

    async def run(self, call: Call, operation: Operation[Any]) -> NoReturn:
        """Take the operation, and end the tool."""
        raise _Captured(call, operation)


async def try_call(app: App, alias: str, principal: str | None, tool: str, arguments: Mapping[str, Any]) -> Verdict:
    """What would be decided; InvalidArgument where the call means nothing, OperatorError where nobody can tell."""
    org = await app.registry.one(alias)
    caller = Caller(Principal(principal or local_principal()), "stdio")
    await app.access.reload()  # who the principals are is read with the orgs
    standing = app.access.standing(caller)
    if principal is not None and standing is None:
        raise OperatorError(f"no principal is called {principal}", hint="orgserver list-principals shows them")
    captured = await _capture(app, caller, _spec(tool), {"org": org.alias, **arguments})
    executor = app.services.executor
    decision = await executor.authorization.judge(captured.call, captured.operation, operator())
    if isinstance(decision.error, InvalidArgument):
        raise decision.error
    verdict = Verdict(org, caller.principal.name, tool, decision, standing)
    if not decision.allowed:
        return verdict
    plan = captured.operation.plan(captured.call, org)
    hidden, masked = _left_out(app, org, decision.policy, plan)
    asks_person = plan.confirm is not None and may_need_person(decision.policy, plan.confirm)
    return replace(verdict, hidden=hidden, masked=masked, asks_person=asks_person)


def _spec(tool: str) -> ToolSpec:
    spec = EVERY.get(tool)
    if spec is None:
        raise OperatorError(f"there is no tool {tool}", hint=f"choose from: {', '.join(EVERY)}")
    if tool == _FLEET:
        raise OperatorError(f"{tool} asks each org as salesforce_query does", hint="try it with --soql")
    if "org" not in spec.arguments.model_fields:
        raise OperatorError(f"{tool} touches no org")
    return spec


async def _capture(app: App, caller: Caller, spec: ToolSpec, arguments: dict[str, Any]) -> _Captured:
    """The call that a tool makes of its arguments."""
    if arguments.get("cursor"):
        raise OperatorError("each page is judged as the first one is", hint="leave the cursor out")
    recorder = _Recorder(app.store, app.access, call_timeout=app.settings.call_timeout)
    readable = ArgumentForms(spec.listed().input_schema).read(arguments)
    try:
        await spec.answer(replace(app.services, executor=recorder), caller, readable)
    except _Captured as captured:
        return captured
    raise OperatorError(f"{spec.name} touches no org")


def _left_out(app: App, org: Org, policy: Policy, plan: Plan[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of what a call shows, the fields that its result leaves out, and those that it shows in part."""
    try:
        uses = resolve(plan.uses or (), app.services.executor.schemas.lookup(org)) if policy.limits_data else ()
    except MissingSchemas:  # refused for its object, so nothing was asked
        return (), ()
    return _touched(policy.hide_fields, uses), _touched(policy.mask_fields, uses)


def _touched(fields: tuple[str, ...], uses: tuple[ObjectUse, ...]) -> tuple[str, ...]:
    shown = {f"{use.object}.{name}".casefold() for use in uses for name in use.shown}
    whole = {use.object.casefold() for use in uses if use.every_field}
    return tuple(field for field in fields if field.casefold() in shown or field.partition(".")[0].casefold() in whole)
