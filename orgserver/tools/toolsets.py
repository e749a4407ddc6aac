"""Which tools belong together, and which of them a server offers."""

from __future__ import annotations

from collections.abc import Iterable

from orgserver.model.errors import ConfigError
from orgserver.tools import appointments, bulk, contacts, fleet, metadata, orgs, query, records
from orgserver.tools.family import ToolSpec

TOOLSETS: dict[str, tuple[ToolSpec, ...]] = {
    "contacts": contacts.TOOLS,
    "appointments": appointments.TOOLS,
    "query": query.TOOLS,
    "orgs": orgs.TOOLS,
    "metadata": metadata.TOOLS,
    "records": records.TOOLS,
    "bulk": bulk.TOOLS,
    "fleet": fleet.TOOLS,
}
EVERY = {spec.name: spec for specs in TOOLSETS.values() for spec in specs}
"""All tools by name, offered or not."""
DEFAULT = ("contacts", "appointments", "query", "orgs", "metadata")


def toolset_names(chosen: Iterable[str]) -> tuple[str, ...]:
    """The toolsets that were asked for, the default ones when none was; ConfigError for one that does not exist."""
    wanted = set(chosen) or set(DEFAULT)
    for name in sorted(wanted):
        if name != "all" and name not in TOOLSETS:
            raise ConfigError(
                f"there is no toolset {name!r} in this version", hint=f"choose from: {', '.join((*TOOLSETS, 'all'))}"
            )
    return tuple(name for name in TOOLSETS if "all" in wanted or name in wanted)


def chosen(names: Iterable[str]) -> dict[str, ToolSpec]:
    """The tools of some toolsets, by name."""
    return {spec.name: spec for name in toolset_names(names) for spec in TOOLSETS[name]}
