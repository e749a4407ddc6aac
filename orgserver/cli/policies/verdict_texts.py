"""What was decided of a call, and why, in words for a person and as data."""

from __future__ import annotations

from typing import Any

from orgserver.cli.policies.trial import Verdict
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import PERMISSIONS, Grant
from orgserver.model.access.standing import Standing
from orgserver.model.orgs import CLOSED_STATES

_DISABLED = "org:disabled"
_POLICY, _PRINCIPAL, _PERMISSION = "policy:", "principal:", "permission:"


def facts_of(verdict: Verdict) -> dict[str, Any]:
    """Everything as data; ``error`` is what the agent is told."""
    error = verdict.decision.error
    return {
        "org": verdict.org.alias,
        "principal": verdict.principal,
        "tool": verdict.tool,
        "allowed": verdict.decision.allowed,
        "rule": verdict.decision.rule,
        "why": explain(verdict),
        "grant": _grant_facts(verdict.grant) if verdict.grant is not None else None,
        "hidden": list(verdict.hidden),
        "masked": list(verdict.masked),
        "asks_person": verdict.asks_person,
        "state": verdict.org.visible_state.value,
        "error": error.as_json(verdict.org.alias)["error"] if error is not None else None,
    }


def lines_of(verdict: Verdict) -> dict[str, str]:
    """The same for a person, a fact each."""
    error = verdict.decision.error
    lines = {"rule": verdict.decision.rule, "why": explain(verdict)}
    if error is not None:
        lines["agent is told"] = f"{error.code}: {error}" + (f" ({error.hint})" if error.hint else "")
    if verdict.hidden and error is None:
        lines["left out"] = ", ".join(verdict.hidden)
    if verdict.masked and error is None:
        lines["masked"] = ", ".join(verdict.masked)
    if verdict.decision.policy.row_limit is not None and error is None:
        lines["rows"] = f"at most {verdict.decision.policy.row_limit} of a query, over all its pages"
    if verdict.asks_person:
        lines["a person"] = "is asked before it is done"
    if verdict.org.state in CLOSED_STATES:
        lines["but now"] = f"no call passes: {verdict.org.alias} is {verdict.org.state.value}"
    return lines


def explain(verdict: Verdict) -> str:
    """The rule in words: the grant, or the limit and whose it is."""
    rule, alias, name = verdict.decision.rule, verdict.org.alias, verdict.principal
    if rule.startswith(_POLICY):
        return _limit(rule.removeprefix(_POLICY), f"the policy of {alias} has", verdict.org.policy)
    if rule.startswith(_PRINCIPAL) and verdict.standing is not None:
        return _limit(rule.removeprefix(_PRINCIPAL), f"{name}'s own limits have", verdict.standing.limits)
    if rule == _DISABLED:
        return f"an operator has disabled {alias}; update-org {alias} --enable takes calls again"
    if rule.startswith(_PERMISSION):
        return f"what {name} is granted in {alias} does not include to {rule.removeprefix(_PERMISSION)}"
    if verdict.standing is None:
        return "on stdio, the user of this machine may do everything in every org, and no limit stands against it"
    return _explain_grants(verdict, verdict.standing)


def _explain_grants(verdict: Verdict, standing: Standing) -> str:
    alias, name = verdict.org.alias, verdict.principal
    if verdict.grant is not None:
        return f"{name} {_grant(verdict.grant, name)}, and no limit stands against it"
    if not standing.enabled:
        return f"{name} is disabled, so {alias} does not exist for it"
    return f"nothing that counts now is granted to {name} in {alias}, so the org does not exist for it"


def _limit(rule: str, owner: str, policy: Policy) -> str:
    if rule == "not-understood":
        return f"{owner} limits of objects or fields, and which of them the call touches cannot be told"
    texts = {text.partition(" ")[0]: text for text in policy.limits}
    return f"{owner} {rule if ' ' in rule else texts.get(rule, rule)}"


def _grant(grant: Grant, name: str) -> str:
    holder = "" if grant.holder == name else f" by the group {grant.holder}"
    until = f" until {grant.until:%Y-%m-%d %H:%M} UTC" if grant.until is not None else ""
    return f"is granted {_permissions(grant)} on {grant.selector.text}{holder}{until}"


def _permissions(grant: Grant) -> str:
    return ", ".join(permission for permission in PERMISSIONS if permission in grant.permissions)


def _grant_facts(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "holder": grant.holder,
        "selector": grant.selector.text,
        "permissions": [each for each in PERMISSIONS if each in grant.permissions],
        "until": grant.until.isoformat() if grant.until is not None else None,
    }
