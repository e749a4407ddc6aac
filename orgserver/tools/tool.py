"""What a tool is: its name, its words, its arguments, and the one operation it runs, which many have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_types import Tool, ToolAnnotations
from pydantic import BaseModel, ValidationError

from orgserver.model.access.principals import Permission
from orgserver.model.audit import Action
from orgserver.model.names import SObjectName
from orgserver.model.names import sobject as sobject_name
from orgserver.model.orgs import Caller
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.services.queries.list_query import Listing
from orgserver.tools import results
from orgserver.tools.argument_errors import explain
from orgserver.tools.arguments import Arguments

Run = Callable[[Services, Call, Any], Awaitable[dict[str, Any]]]
"""Runs a tool's operation with its arguments, and shapes the result."""
_NOISE = ("title", "additionalProperties", "minLength", "maxLength", "minimum")
"""What a model need not read: a refusal names what was wrong."""


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
        return Call(caller, self.name, org_of(arguments), self._object(arguments))

    async def answer(self, services: Services, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check arguments and run the operation; InvalidArgument names each that is wrong."""
        try:
            values = self.arguments.model_validate(arguments)
        except ValidationError as error:
            raise explain(error) from None
        return await self.run(services, self.call(caller, arguments), values)

    def find_permission(self, arguments: Mapping[str, Any]) -> Permission:
        """What a call needs to be allowed, as far as it can be told from arguments that may be wrong."""
        if not self.writes or arguments.get("preview") is True:
            return "read"
        destroys = self.action is Action.DELETE or (self.action is Action.BULK and arguments.get("action") == "delete")
        return "delete" if destroys else "write"

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


def org_of(arguments: Mapping[str, Any]) -> str:
    """The alias that arguments name; empty where they name none."""
    org = arguments.get("org")
    return org[:255] if isinstance(org, str) else ""


async def create(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
    """Create a record."""
    operation = services.writing.create(
        arguments.data.values(),
        idempotency_key=arguments.idempotency_key,
        allow_duplicates=arguments.allow_duplicates,
    )
    return results.created(call.org, await services.executor.run(call, operation))


def read(id_argument: str) -> Run:
    """Read a record."""

    async def run(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
        operation = services.reading.read(getattr(arguments, id_argument), arguments.fields, id_argument=id_argument)
        return results.record(call.org, await services.executor.run(call, operation))

    return run


def update(id_argument: str) -> Run:
    """Change a record, or show what would change."""

    async def run(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
        operation = services.writing.update(
            getattr(arguments, id_argument),
            arguments.data.values(),
            if_unmodified_since=arguments.if_unmodified_since,
            preview=arguments.preview,
            allow_duplicates=arguments.allow_duplicates,
            id_argument=id_argument,
        )
        return results.updated(call.org, await services.executor.run(call, operation))

    return run


def delete(id_argument: str) -> Run:
    """Delete a record, or show what would go."""

    async def run(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
        operation = services.writing.delete(
            getattr(arguments, id_argument), preview=arguments.preview, id_argument=id_argument
        )
        return results.deleted(call.org, await services.executor.run(call, operation))

    return run


async def list_(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
    """List records; ``start`` and ``end`` where the tool has them."""
    values = vars(arguments)  # a model searches long for an attribute that it has not
    listing = Listing(
        call.object,
        arguments.limit,
        arguments.cursor,
        arguments.fields,
        arguments.filter,
        arguments.order_by,
        values.get("start"),
        values.get("end"),
        arguments.count,
    )
    return results.page(call.org, await services.executor.run(call, services.queries.list(listing)))


def schema_of(arguments: type[BaseModel], *, nullable: bool = True) -> dict[str, Any]:
    """A model's JSON schema without titles, indirections and empty defaults; null only where it clears something."""
    schema = arguments.model_json_schema()
    definitions = schema.pop("$defs", {})
    compact = _compact(schema, definitions)
    compact.pop("description", None)
    if not nullable:
        _without_null(compact)
    assert isinstance(compact, dict)  # noqa: S101  # a model's schema is an object
    return compact


def _compact(node: Any, definitions: dict[str, Any], level: int = 0) -> Any:
    """A schema without what says nothing; ``level`` counts the properties that it is inside of."""
    if isinstance(node, list):
        return [_compact(each, definitions, level) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = dict(definitions[node["$ref"].rpartition("/")[2]])
        target.pop("description", None)
        node = target | {name: value for name, value in node.items() if name != "$ref"}
    compact = {
        name: {key: _compact(value, definitions, level + 1) for key, value in inner.items()}
        if name == "properties"
        else _compact(inner, definitions, level)
        for name, inner in node.items()
        if not _says_nothing(name, inner, level)
    }
    if compact.get("type") == "object" and node.get("additionalProperties") is not False:
        # Without the word, and with properties that are there but empty, clients' converters allow no key, or a text.
        compact["additionalProperties"] = True
        if not compact.get("properties"):
            compact.pop("properties", None)
    return compact


def _says_nothing(name: str, value: Any, level: int) -> bool:
    """Whether a keyword may go. Fields inside ``data`` keep their null: langchain-google-genai requires each field
    without a default, and a model that must fill in an AccountId makes one up.
    """
    return name in _NOISE or (name == "default" and (value is False or (value is None and level <= 1)))


def _without_null(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("type") == ["string", "null"]:
            node["type"] = "string"
        for inner in node.values():
            _without_null(inner)
