"""What a tool is: its name, its words, its arguments, and the one call it makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_types import Tool, ToolAnnotations

from orgserver.model.audit import Action
from orgserver.model.names import SObjectName
from orgserver.model.names import sobject as sobject_name
from orgserver.model.orgs import Caller
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.tools.arguments import Arguments, schema_of

Run = Callable[[Services, Call, Any], Awaitable[dict[str, Any]]]
"""Runs a tool's operation with its arguments, and shapes the result."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool."""

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    output: dict[str, Any]
    run: Run
    action: Action
    """What a refused call is in the audit log."""
    sobject: SObjectName | None = None
    """None where an argument names it, or none is meant."""
    writes: bool = False
    destroys: bool = False
    idempotent: bool = False

    def call(self, caller: Caller, arguments: Mapping[str, Any]) -> Call:
        """A call of this tool, as far as it can be told from arguments that may be wrong."""
        org = arguments.get("org")
        return Call(caller, self.name, org[:255] if isinstance(org, str) else "", self._object(arguments))

    def _object(self, arguments: Mapping[str, Any]) -> SObjectName | None:
        named = arguments.get("object")
        if self.sobject is not None or not isinstance(named, str):
            return self.sobject
        try:
            return sobject_name(named)
        except ValueError:
            return None

    def listed(self) -> Tool:
        """The tool as ``tools/list`` shows it."""
        hints = ToolAnnotations(read_only_hint=True, open_world_hint=True)
        if self.writes:
            hints = ToolAnnotations(
                read_only_hint=False,
                destructive_hint=self.destroys,
                idempotent_hint=self.idempotent,
                open_world_hint=True,
            )
        return Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=schema_of(self.arguments, nullable=self.idempotent),
            output_schema=self.output,
            annotations=hints,
        )
