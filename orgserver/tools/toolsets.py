"""Which tools belong together, and which of them a server offers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from orgserver.model.errors import ConfigError
from orgserver.model.orgs import Scope
from orgserver.tools import appointments, bulk, contacts, describe, fleet, orgs, query, records
from orgserver.tools.tool import ToolSpec

TOOLSETS: dict[str, tuple[ToolSpec, ...]] = {
    "contacts": contacts.TOOLS,
    "appointments": appointments.TOOLS,
    "query": query.TOOLS,
    "orgs": orgs.TOOLS,
    "metadata": describe.TOOLS,
    "records": records.TOOLS,
    "bulk": bulk.TOOLS,
    "fleet": fleet.TOOLS,
}
EVERY = {spec.name: spec for specs in TOOLSETS.values() for spec in specs}
"""All tools by name, offered or not."""
DEFAULT = ("contacts", "appointments", "query", "orgs", "metadata")


def toolset_names(chosen: Iterable[str]) -> tuple[str, ...]:
    """The toolsets that were asked for, the default ones when none was; ConfigError for one that does not exist."""
    requested = set(chosen) or set(DEFAULT)
    for name in sorted(requested):
        if name != "all" and name not in TOOLSETS:
            raise _unknown("toolset", name, (*TOOLSETS, "all"))
    return tuple(name for name in TOOLSETS if "all" in requested or name in requested)


def chosen(names: Iterable[str], tools: Iterable[str] = (), exclude: Iterable[str] = ()) -> dict[str, ToolSpec]:
    """The tools of some toolsets and single ones beside them, by name; ConfigError for one that does not exist.

    Single ones alone are exactly these: the default toolsets come only where nothing is named.
    """
    toolsets, single, without = set(names), set(tools), set(exclude)
    for name in sorted(single | without):
        if name not in EVERY:
            raise _unknown("tool", name, EVERY)
    whole = toolset_names(toolsets) if toolsets or not single else ()
    offered = single | {spec.name for name in whole for spec in TOOLSETS[name]}
    return {name: spec for name, spec in EVERY.items() if name in offered - without}


def of_scope(scope: Scope) -> dict[str, ToolSpec]:
    """The tools that a server works with, those included that it refuses because it is read-only.

    ConfigError where a name does not exist or nothing is left to offer.
    """
    specs = chosen(scope.toolsets, scope.tools, scope.exclude_tools)
    if not specs:
        raise ConfigError("no tool is left to offer", hint="exclude fewer tools")
    if scope.read_only and all(spec.writes for spec in specs.values()):
        raise ConfigError(
            "no tool is left to offer: each of them changes something, and this server is to read only",
            hint="choose a tool that reads, or leave --read-only out",
        )
    return specs


def _unknown(kind: str, name: str, known: Collection[str]) -> ConfigError:
    near = [f"did you mean {each}?" for each in get_close_matches(name, known, n=1)]
    every = [] if near and known is EVERY else [f"choose from: {', '.join(known)}"]  # two dozen tools are many words
    return ConfigError(f"there is no {kind} {name!r} in this version", hint=" ".join(near + every))
