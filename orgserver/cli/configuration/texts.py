"""A plan and what came of it, in words for a person and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orgserver.cli.orgs import org_details
from orgserver.cli.output import plain
from orgserver.cli.policies.limit_texts import change_lines, loosening_lines
from orgserver.model.access.policies import CONFIRM_ABOVE, Policy
from orgserver.model.access.principals import grant_text
from orgserver.model.hosts import is_loopback
from orgserver.services.configuration.declarations import OrgDeclaration, Place
from orgserver.services.configuration.reconciler import StepResult
from orgserver.services.configuration.steps import Enrolment, GroupStep, OrgStep, OrgUpdate, Plan, Step
from orgserver.services.people.differences import NONE, Update

_SIGNS = {"add": "+", "update": "~", "remove": "-", "enrol": "+"}
_USUAL = {("group", "exists"), ("state", "enabled")}
"""What needs no saying of what is new."""
_GOES = ("grant ", "key ", "members", "subjects")
"""What somebody who is removed loses, and should be said."""
_LOOSENS = "  (loosens)"
_MOST = 10
"""So many are named of what could be thousands."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a plan is about."""

    kind: str
    name: str
    verb: str
    place: Place | None
    lines: tuple[str, ...]
    """What is another, in words."""
    loosens: tuple[str, ...] = ()
    """Of what loosens, what a person is asked for."""
    note: str | None = None
    """What stands in the way, or what it waits for."""

    @property
    def heading(self) -> str:
        """``+ principal ada``."""
        verb = f": {self.verb}" if self.verb == "enrol" else ""
        return f"{_SIGNS[self.verb]} {self.kind} {self.name}{verb}"

    def facts(self) -> dict[str, Any]:
        """The same as data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "change": self.verb,
            "file": self.place.file if self.place else None,
            "line": self.place.line if self.place else None,
            "details": [line.removesuffix(_LOOSENS) for line in self.lines],
            "loosens": list(self.loosens),
            "note": self.note,
        }


def changes_of(plan: Plan, results: Sequence[StepResult]) -> list[Change]:
    """Everything that a plan will do, in its order."""
    every = [_change(result) for result in results]
    every += [_enrolment(each) for each in plan.enrolments]
    for alias, step in plan.later:
        (request,) = step.changes.grants.grants if not isinstance(step, OrgStep) else ()
        line = f"grant {alias}: {grant_text(request.permissions, request.until)}"
        every.append(Change(_kind(step), step.name, "update", step.place, (line,), note=f"once {alias} is enrolled"))
    return every


def lines_of(changes: Iterable[Change]) -> Iterator[str]:
    """What a person reads."""
    for change in changes:
        yield change.heading
        yield from (f"    {line}" for line in change.lines)
        if change.note is not None:
            yield f"    {change.note}"


def summary(plan: Plan, changes: Sequence[Change]) -> str:
    """How much it is."""
    verbs = ("enrol", "add", "update", "remove")
    words = {"enrol": "to enrol", "add": "to add", "update": "to change", "remove": "to remove"}
    counts = {verb: sum(change.verb == verb for change in changes) for verb in verbs}
    if plan.is_empty:
        return "Nothing to do: everything is as the files say."
    loosens = sum(bool(change.loosens) for change in changes)
    end = f"; {loosens} of it loosens, and a person is asked" if loosens else ""
    return f"Plan: {', '.join(f'{count} {words[verb]}' for verb, count in counts.items() if count)}{end}."


def loosening_texts(changes: Iterable[Change]) -> list[str]:
    """What a person is asked for."""
    return [f"{change.name}: {text}" for change in changes for text in change.loosens]


def remarks(plan: Plan, *, prune: bool) -> list[str]:
    """What nothing is done about."""
    lines = list(plan.notes[:_MOST])
    if len(plan.notes) > _MOST:
        lines.append(f"… and {len(plan.notes) - _MOST} more of this kind")
    if plan.surplus and not prune:
        more = f" and {len(plan.surplus) - _MOST} more" if len(plan.surplus) > _MOST else ""
        lines.append(f"In no file, and left alone without --prune: {'; '.join(plan.surplus[:_MOST])}{more}.")
    return lines


def command_remarks(plan: Plan) -> list[str]:
    """What will refuse the apply as long as nobody allows programs."""
    commands = [
        f"{reference.place}: {reference}"
        for each in plan.enrolments
        if each.problem is None
        for reference in each.declaration.secrets.values()
        if reference.kind == "command"
    ]
    more = f"; and {len(commands) - _MOST} more" if len(commands) > _MOST else ""
    named = "; ".join(commands[:_MOST])
    return [f"Apply refuses these without --allow-commands: {named}{more}."] if commands else []


def _change(result: StepResult) -> Change:
    step = result.step
    change = Change(_kind(step), step.name, "update", step.place, ())
    if isinstance(step, OrgStep):
        lines = (*_org_lines(result.update), *_map_lines(step))
        return replace(change, lines=tuple(lines), loosens=(*_loosens(step), *_shares(step)))
    assert isinstance(result.update, Update)  # noqa: S101  # of a group or a principal
    lines = tuple(_people_lines(step, result.update))
    return replace(change, verb=step.verb, lines=lines, loosens=_loosens(step))


def _kind(step: Step) -> str:
    if isinstance(step, OrgStep):
        return "org"
    return "group" if isinstance(step, GroupStep) else "principal"


def _org_lines(update: Update | OrgUpdate) -> Iterator[str]:
    assert isinstance(update, OrgUpdate)  # noqa: S101  # of an org
    before, after = update.before, update.after
    for change in org_details.own_changes(before, after):
        yield f"{change['field']}: {plain(change['from']) or NONE} → {plain(change['to']) or NONE}"
    yield from _limit_lines(before.policy, after.policy)


def _map_lines(step: OrgStep) -> Iterator[str]:
    """That the map of usernames is another, where it is."""
    change = step.changes.identity
    if change is not None and change.usernames is not None:
        yield f"usernames: a map of {len(change.usernames)}"


def _shares(step: OrgStep) -> tuple[str, ...]:
    return (f"identity {step.org.identity} → {step.shares}",) if step.shares is not None else ()


def _limit_lines(before: Policy, after: Policy) -> Iterator[str]:
    loosening = loosening_lines(before, after)
    for line in change_lines(before, after):
        yield line + (_LOOSENS if line in loosening else "")


def _people_lines(step: Step, update: Update) -> Iterator[str]:
    if update.after is None:
        yield from (f"{each.field}: {each.before}" for each in update.differences if each.field.startswith(_GOES))
        return
    for each in update.differences:
        if each.field == "limits" and step.policies is not None:
            yield from (f"limit {line}" for line in _limit_lines(*step.policies))
        elif update.before is not None:
            yield f"{each.field}: {each.before} → {each.after}"
        elif each.after != NONE and (each.field, each.after) not in _USUAL:
            yield f"{each.field}: {each.after}"


def _loosens(step: Step) -> tuple[str, ...]:
    texts = loosening_lines(*step.policies) if step.policies is not None else []
    return (*texts, *(("takes calls again",) if step.enables else ()))


def _enrolment(enrolment: Enrolment) -> Change:
    org = enrolment.declaration
    facts = {
        "identity": org.identity,
        "username_from": str(org.username_from) if org.username_from is not None else None,
        "auth": org.auth,
        "client_id": org.client_id,
        "login_url": org.login_url,
        "username": org.username,
        "trust_hosts": ", ".join(org.trusted_hosts or ()),
        "tags": ", ".join(org.tags),
        "policy": ", ".join(org.policy.limits) if org.policy else None,
    }
    lines = [f"{name}: {value}" for name, value in facts.items() if value]
    lines += [f"{name}: from {reference}" for name, reference in org.secrets.items()]
    if enrolment.problem is not None:
        return Change("org", org.alias, "enrol", org.place, (), note=f"cannot be enrolled: {enrolment.problem}")
    return Change("org", org.alias, "enrol", org.place, tuple(lines), _enrolment_loosens(org))


def _enrolment_loosens(org: OrgDeclaration) -> tuple[str, ...]:
    """What a person is asked for of a new org: it may name whom its secrets go to."""
    policy = org.policy or Policy()
    texts = [f"confirm-above {CONFIRM_ABOVE} → {policy.confirm_above}"] if Policy().loosened_by(policy) else []
    beyond = [host for host in org.trusted_hosts or () if not is_loopback(_name(host))]
    texts += [f"its secrets may go to {host}, which is not Salesforce's" for host in beyond]
    return tuple(texts)


def _name(host: str) -> str:
    """A host without its port."""
    return host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
