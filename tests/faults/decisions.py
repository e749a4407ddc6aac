"""Who may what, against a model: generated principals, groups, grants, policies, tools and arguments.

What decides is what calls go by: the org of an alias, the plan of the tool's operation, the fields that it leads to by
the describe, and ``decide``. The model knows none of it: it reads the same lists by their plainest meaning.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, cast

from orgserver.model.access.acts import Act
from orgserver.model.access.policies import Policy, read_object_rule
from orgserver.model.access.principals import PERMISSIONS, Grant, Permission, Principal, Selector
from orgserver.model.access.standing import Standing
from orgserver.model.access.usage import ApiUse
from orgserver.model.names import Alias, OrgId, RowId, SObjectName
from orgserver.model.orgs import Caller, Org, OrgState, Scope
from orgserver.model.schema import Schema
from orgserver.salesforce.protocol import describe
from orgserver.sandbox.state import schema as sandbox
from orgserver.services.calls.decision import decide, find_org, unknown_org
from orgserver.services.calls.plan import Call, Operation
from orgserver.services.policies.uses import resolve
from orgserver.services.queries.operations import QueryOperations
from orgserver.services.records.default_fields import DefaultFields
from orgserver.services.records.preparation import Preparation
from orgserver.services.records.reading import ReadOperations
from orgserver.services.records.writing import WriteOperations
from orgserver.vault.keys import Key

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)  # a Sunday
FIELDS = {"Contact": ("Title", "Department", "LeadSource"), "Account": ("Industry", "Rating", "Site")}
IDS = {"Contact": "003xx000004TmiQAAS", "Account": "001xx000003DGb2AAG"}
ALIASES = ("emea-1", "emea-2", "apac-1", "acme")
SELECTORS = ("*", "emea-*", "*-1", "acm?", "[ae]*", "tag:vip", "tag:live", "tag:nobody", *ALIASES)
HOURS = {"Mon-Sun 00:00-24:00 UTC": True, "Mon-Sat 00:00-24:00 UTC": False, "Sun 12:00-13:00 UTC": True}
RULES = ("Contact", "Account", "Contact:read", "Contact:read,create", "Account:update,delete", "Contact:delete")
Touch = tuple[str, str, set[str], set[str], set[str]]
"""An object, an action, and the fields that are shown, compared and written."""
Policies = tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]
"""The org's and the principal's own."""


@dataclass
class World:
    """What the store says, as plain lists, and the same as the product has it."""

    enabled: dict[str, bool]
    members: dict[str, set[str]]
    grants: list[tuple[str, str, str, str | None, frozenset[str], datetime | None]]
    """Id, holder, selector, the row that an alias meant, permissions, end."""
    limits: dict[str, dict[str, Any]]
    orgs: dict[str, Org]
    policies: dict[str, dict[str, Any]]
    standings: dict[str, Standing] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One call: who, where, by which server, with which tool and arguments, and what it touches by its meaning."""

    principal: str
    alias: str
    scope: Scope
    permission: str
    operation: Operation[Any]
    sobject: str
    touches: tuple[Touch, ...]
    is_understood: bool = True
    is_by_agent: bool = True
    used: ApiUse | None = None
    scopes: frozenset[Permission] | None = None


@dataclass
class Decided:
    """How many cases there were, how many of each rule, and those on which the two do not agree."""

    cases: int = 0
    rules: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether the two agree on every case, and every kind of rule was seen."""
        return not self.differences and len(self.rules) >= 19

    def __str__(self) -> str:
        rules = ", ".join(f"{name} {count:,}" for name, count in sorted(self.rules.items()))
        first = f"; the first: {self.differences[0]}" if self.differences else ""
        return f"{self.cases:,} decisions, {len(self.differences)} unlike the model: {rules}{first}"


# -- the model


def expected(world: World, case: Case) -> set[str]:
    """The rules, one of which must have decided."""
    own = {} if case.principal.startswith("local:") else world.limits.get(case.principal, {})
    of_org = world.policies.get(case.alias, {})
    granting, refusing = grant(world, case)
    both = (("policy", of_org), ("principal", own))
    return refusing or forbid_changes(case, both) or forbid_data(case, both) or stop(case, both) or granting


def grant(world: World, case: Case) -> tuple[set[str], set[str]]:
    """The rules that grant the act, or those that say that none does."""
    org = world.orgs.get(case.alias)
    if case.scope.orgs is not None and case.alias not in case.scope.orgs:
        return set(), {"server:org"}
    if case.principal.startswith("local:"):
        return {"local user"}, set() if org else {"no grant"}
    holders = {case.principal} | {group for group, members in world.members.items() if case.principal in members}
    grants = [
        (id_, permissions)
        for id_, holder, selector, row, permissions, until in world.grants
        if world.enabled.get(case.principal) and org and holder in holders and (until is None or until > NOW)
        if (org.row_id == row if selector in ALIASES else selects(selector, org))
    ]
    granting = {f"grant:{id_}" for id_, permissions in grants if case.permission in permissions}
    missing = {f"permission:{case.permission}"} if grants else {"no grant"}
    if granting and case.scopes is not None and case.permission not in case.scopes:
        return granting, {f"scope:{case.permission}"}
    return granting, set() if granting else missing


def forbid_changes(case: Case, both: Policies) -> set[str]:
    if case.permission == "read":
        return set()
    rules = [f"{whose}:read-only" for whose, policy in both if policy.get("read_only")]
    return set(["server:read-only"] if case.scope.read_only else rules[:1])


def forbid_data(case: Case, both: Policies) -> set[str]:
    limiting = [whose for whose, policy in both if limits_data(policy)]
    if limiting and not case.is_understood:
        return {f"{limiting[0]}:not-understood"}
    refusals = [{rule for touch in case.touches for rule in refuse(policy, touch)} for _, policy in both]
    whose = "policy" if refusals[0] else "principal"
    return {f"{whose}:{rule}" for rules in refusals for rule in rules}  # together, another of them may be the first


def stop(case: Case, both: Policies) -> set[str]:
    if not case.is_by_agent:
        return set()
    used = {} if case.used is None else {"policy": case.used.org, "principal": case.used.principal}
    closed = [f"{whose}:hours" for whose, policy in both if not all(HOURS[text] for text in policy.get("hours", ()))]
    spent = [f"{who}:api-budget" for who, policy in both if used.get(who, -1) >= policy.get("api_budget", 99)]
    return set((closed or spent)[:1])


def selects(selector: str, org: Org) -> bool:
    return selector[4:] in org.tags if selector.startswith("tag:") else fnmatchcase(org.alias, selector)


def limits_data(policy: dict[str, Any]) -> bool:
    return any(name in policy for name in ("allow_objects", "deny_objects", "hide_fields", "mask_fields"))


def refuse(policy: dict[str, Any], touch: Touch) -> Iterator[str]:
    """The rules of one policy that a touch breaks."""
    sobject, action, shown, compared, written = touch
    if any(covers(rule, sobject, action) for rule in policy.get("deny_objects", ())):
        yield f"deny-object {sobject}"
    if "allow_objects" in policy and not any(covers(rule, sobject, action) for rule in policy["allow_objects"]):
        yield "allow-object"
    yield from (
        f"hide-field {sobject}.{name}" for name in shown | compared | written if name in names(policy, "hide", sobject)
    )
    yield from (f"mask-field {sobject}.{name}" for name in compared | written if name in names(policy, "mask", sobject))


def covers(rule: str, sobject: str, action: str) -> bool:
    name, _, actions = rule.partition(":")
    return name == sobject and (not actions or action in actions.split(","))


def names(policy: dict[str, Any], how: str, sobject: str) -> set[str]:
    return {each.split(".")[1] for each in policy.get(f"{how}_fields", ()) if each.split(".")[0] == sobject}


# -- the product


def actual(world: World, case: Case) -> str:
    """The rule by which the product decides."""
    principal, standing = Principal(case.principal), world.standings.get(case.principal)
    org = find_org(principal, standing, case.scope, world.orgs, case.alias, NOW)
    if org is None:
        return str(unknown_org(case.scope, case.alias).rule)
    call = Call(Caller(principal, "stdio"), "a tool", case.alias, SObjectName(case.sobject))
    plan = case.operation.plan(call, org)
    uses = resolve(plan.uses or (), schema)
    act = Act(call.tool, plan.permission, uses, plan.understood, is_by_agent=case.is_by_agent)
    decision = decide(principal, standing, case.scope, org, act, NOW, case.used, case.scopes)
    assert decision.allowed is decision.rule.startswith(("grant:", "local"))
    assert decision.error is None or decision.error.rule == decision.rule
    return decision.rule


@cache
def schema(name: str) -> Schema | None:
    found = sandbox.find(name)
    return describe.schema(found.describe) if found is not None else None


# -- chance


def decisions(cases: int, *, seed: int) -> Decided:
    """Compare both on generated cases."""
    chance, tools, decided = random.Random(seed), Tools(), Decided()
    while decided.cases < cases:
        world = make_world(chance)
        for _ in range(min(100, cases - decided.cases)):
            case = make_case(chance, tools, world)
            rule, rules = actual(world, case), expected(world, case)
            decided.cases += 1
            kind = rule.split(" ")[0] if rule.startswith("p") else rule.split(":")[0] if "grant:" in rule else rule
            decided.rules[kind] = decided.rules.get(kind, 0) + 1
            if rule not in rules:
                decided.differences.append(f"{rule} instead of {rules}: {case} in {world}")
    return decided


def make_world(chance: random.Random) -> World:
    aliases = chance.sample(ALIASES, chance.randint(1, 4))
    rows = {alias: f"row-{number}" for number, alias in enumerate(ALIASES)}
    policies = {alias: make_policy(chance) for alias in aliases}
    people = {name: chance.random() < 0.85 for name in ("ada", "bob", "cyd")}
    holders = [*people, "ops", "all"]
    grants = []
    for number in range(chance.randint(0, 14)):
        selector = chance.choice(SELECTORS)
        row = chance.choice([rows[selector], f"row-{chance.randint(0, 4)}", None]) if selector in ALIASES else None
        permissions = frozenset(chance.sample(PERMISSIONS, chance.randint(1, 3)))
        until = chance.choice([None, None, NOW, NOW + timedelta(seconds=1), NOW - timedelta(days=1)])
        grants.append((f"g{number}", chance.choice(holders), selector, row, permissions, until))
    members = {"ops": set(chance.sample(list(people), 2)), "all": set(people)}
    limits = {name: make_policy(chance) if chance.random() < 0.4 else {} for name in people}
    orgs = {alias: make_org(rows[alias], alias, policies[alias], chance) for alias in aliases}
    world = World(people, members, grants, limits, orgs, policies)
    world.standings = {name: make_standing(world, name) for name in people}
    return world


def make_standing(world: World, name: str) -> Standing:
    """A principal with its grants, its own and those of its groups, as the store reads it."""
    holders = [name, *(group for group in sorted(world.members) if name in world.members[group])]
    granted = [
        Grant(id_, holder, Selector(selector), cast("Any", permissions), NOW, RowId(row) if row else None, until)
        for each in holders
        for id_, holder, selector, row, permissions, until in world.grants
        if holder == each
    ]
    return Standing(name, "person", world.enabled[name], limits=Policy.read(world.limits[name]), grants=tuple(granted))


def make_policy(chance: random.Random) -> dict[str, Any]:
    every = [f"{sobject}.{name}" for sobject, fields in FIELDS.items() for name in fields]
    facts: dict[str, Any] = {
        "read_only": True,
        "allow_objects": [str(read_object_rule(each)) for each in dict.fromkeys(chance.choices(RULES, k=2))],
        "deny_objects": [chance.choice(RULES)],
        "hide_fields": chance.sample(every, chance.randint(1, 2)),
        "mask_fields": chance.sample(every, chance.randint(1, 2)),
        "hours": chance.sample(list(HOURS), chance.randint(1, 2)),
        "api_budget": chance.randint(0, 10),
    }
    return {name: value for name, value in facts.items() if chance.random() < 0.15}


def make_org(row: str, alias: str, policy: dict[str, Any], chance: random.Random) -> Org:
    return Org(
        row_id=RowId(row), alias=Alias(alias), org_id=OrgId("00Dxx0000001gPLEAY"), name="x", kind=None, edition=None,
        login_url="https://l", instance_url="https://i", trusted_hosts=(), api_version="v66.0", user=None,
        state=OrgState.READY, cause=None, problem=None, policy=Policy.read(policy),
        tags=tuple(chance.sample(("vip", "live"), chance.randint(0, 2))), source="test", created_at=NOW,
        refreshed_at=NOW,
    )  # fmt: skip


def make_case(chance: random.Random, tools: Tools, world: World) -> Case:
    name = chance.choice(
        ["ada", "bob", "cyd", "local:me", "nobody"] if chance.random() < 0.2 else ["ada", "bob", "cyd"]
    )
    only = frozenset(map(Alias, chance.sample(ALIASES, 2))) if chance.random() < 0.15 else None
    scope = Scope(only, read_only=chance.random() < 0.1)
    alias = chance.choice(list(world.orgs)) if chance.random() < 0.9 else chance.choice([*ALIASES, "nowhere"])
    permission, operation, sobject, touches, is_understood = tools.pick(chance)
    used = ApiUse(chance.randint(0, 12), chance.randint(0, 8)) if chance.random() < 0.5 else None
    by_agent = chance.random() < 0.9
    scopes = None
    if not name.startswith("local:") and chance.random() < 0.3:
        scopes = frozenset(each for each in PERMISSIONS if chance.random() < 0.6)
    return Case(name, alias, scope, permission, operation, sobject, touches, is_understood, by_agent, used, scopes)


class Tools:
    """The operations of tools, with arguments that are drawn."""

    def __init__(self) -> None:
        default_fields, nothing = DefaultFields(), cast("Any", None)
        self._reading = ReadOperations(default_fields)
        self._writing = WriteOperations(Preparation(nothing), default_fields)
        self._queries = QueryOperations(Key.new(), nothing, default_fields)

    def pick(self, chance: random.Random) -> tuple[str, Operation[Any], str, tuple[Touch, ...], bool]:
        """The permission, operation and object of a call, what it touches, and whether it can be understood."""
        sobject = chance.choice(list(FIELDS))
        some = set(chance.sample(FIELDS[sobject], chance.randint(1, 2)))
        others = set(chance.sample(FIELDS[sobject], chance.randint(0, 1)))
        none: set[str] = set()
        values = dict.fromkeys(some, "x")
        record_id = IDS[sobject]
        verb = chance.choice(["read", "create", "update", "preview", "delete", "query", "strange"])
        if verb == "read":
            return (
                "read",
                self._reading.read(record_id, sorted(some)),
                sobject,
                ((sobject, "read", some, none, none),),
                True,
            )
        if verb == "create":
            written = {"Name" if sobject == "Account" else "LastName": "x"} | values
            return "write", self._writing.create(written), sobject, ((sobject, "create", none, none, some),), True
        if verb in ("update", "preview"):
            update = self._writing.update(record_id, values, preview=verb == "preview")
            touches: tuple[Touch, ...] = ((sobject, "update", none, none, some),)
            if verb == "preview":
                touches = (*touches, (sobject, "read", some, none, none))
            return "read" if verb == "preview" else "write", update, sobject, touches, True
        if verb == "delete":
            return "delete", self._writing.delete(record_id), sobject, ((sobject, "delete", none, none, none),), True
        if verb == "strange":
            return "read", self._queries.query(f"SELECT Id FROM {sobject} WITH WISDOM", limit=5), sobject, (), False
        where = "".join(f" WHERE {name} = 'x'" for name in others)
        soql = f"SELECT {', '.join(sorted(some))} FROM {sobject}{where}"
        return "read", self._queries.query(soql, limit=5), sobject, ((sobject, "read", some, others, none),), True


def narrowed(decided: Decided) -> Decided:
    """The same without what need not be printed."""
    return replace(decided, differences=decided.differences[:10])


async def run_decisions(cases: int, *, seed: int) -> Decided:
    """The comparison as the other faults are run."""
    return narrowed(decisions(cases, seed=seed))
