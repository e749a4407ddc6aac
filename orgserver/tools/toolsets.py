"""Which tools belong together, and which of them a server offers."""

from __future__ import annotations

from collections.abc import Iterable

from orgserver.model.errors import ConfigError
from orgserver.tools import appointments, contacts, orgs, query
from orgserver.tools.family import ToolSpec

TOOLSETS: dict[str, tuple[ToolSpec, ...]] = {
    "contacts": contacts.TOOLS,
    "appointments": appointments.TOOLS,
    "query": query.TOOLS,
    "orgs": orgs.TOOLS,
}
DEFAULT = tuple(TOOLSETS)


def chosen(names: Iterable[str]) -> dict[str, ToolSpec]:
    """The tools of some toolsets, by name; the default ones when none is named. ConfigError for an unknown name."""
    wanted = list(names) or list(DEFAULT)
    for name in wanted:
        if name != "all" and name not in TOOLSETS:
            raise ConfigError(
                f"there is no toolset {name!r} in this version", hint=f"choose from: {', '.join((*TOOLSETS, 'all'))}"
            )
    picked = TOOLSETS if "all" in wanted else {name: TOOLSETS[name] for name in TOOLSETS if name in wanted}
    return {spec.name: spec for family in picked.values() for spec in family}
