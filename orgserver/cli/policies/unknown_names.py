"""Says which objects and fields of a policy an org does not have: what names nothing limits nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orgserver.cli.output import warn
from orgserver.cli.process import operator
from orgserver.model.access.policies import Policy, option
from orgserver.model.errors import CallError, OrgserverError
from orgserver.model.orgs import Org

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.services.describe.schemas import Schemas

_RULES = ("allow_objects", "deny_objects")
_FIELDS = ("hide_fields", "mask_fields")
_MOST_OBJECTS = 30
"""So many are described for it."""
Name = tuple[str, str]
"""A limit, and an object or field that it names."""


async def warn_of_unknown(app: App, org: Org, policy: Policy, before: Policy | None = None) -> None:
    """Warn of each name that is not in the org, or that nobody can tell; those of the policy before were told of."""
    old_names = set(_names(before)) if before is not None else set()
    names = [name for name in _names(policy) if name not in old_names]
    if not names:
        return
    try:
        org = await app.registry.one(org.alias)
        lines = await _unknown(app.services.executor.schemas, org, names)
    except OrgserverError as error:
        lines = [f"whether it has what the policy names could not be looked up: {error}"]
    for line in lines:
        warn(f"{org.alias}: {line}")


def _names(policy: Policy) -> list[Name]:
    rules = [(name, rule.object) for name in _RULES for rule in getattr(policy, name) or ()]
    return rules + [(name, field) for name in _FIELDS for field in getattr(policy, name)]


async def _unknown(schemas: Schemas, org: Org, names: Iterable[Name]) -> list[str]:
    await schemas.learn_objects(operator(), org)
    objects = schemas.memory.names(org)
    if objects is None:
        return ["whether it has what the policy names could not be looked up: the list of its objects was not kept"]
    lines: list[str] = []
    described: dict[str, str | None] = {}
    for limit, name in names:
        sobject, _, field = name.partition(".")
        if objects.find(sobject) is None:
            lines.append(f"it has no object {sobject} that its user sees, so {option(limit)} {name} limits nothing")
            continue
        if not field:
            continue
        key = sobject.lower()
        if key not in described:
            described[key] = await _describe(schemas, org, sobject, len(described))
        schema = schemas.memory.cached(org, sobject)
        if schema is None:
            lines.append(f"whether it has {name} could not be looked up: {described[key]}")
        elif schema.field(field) is None:
            lines.append(f"{sobject} has no field {field} that its user sees, so {option(limit)} {name} limits nothing")
    return lines


async def _describe(schemas: Schemas, org: Org, sobject: str, count: int) -> str | None:
    """Have an object described; why it is not."""
    if count >= _MOST_OBJECTS:
        return f"the policy names fields of more than {_MOST_OBJECTS} objects"
    try:
        await schemas.learn(operator(), org, sobject)
    except CallError as error:
        return str(error)
    return "the describe was not kept"
