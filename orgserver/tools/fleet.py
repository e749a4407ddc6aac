"""The tool that asks many orgs at once."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from orgserver.model.audit import Action
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.services.fleet.fan_out import MAX_ORGS, FleetResult
from orgserver.tools import results
from orgserver.tools.arguments import Arguments, Limit
from orgserver.tools.tool import ToolSpec


class QueryOrgs(Arguments):
    """Arguments of salesforce_query_orgs."""

    orgs: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=255)]],
        Field(min_length=1, max_length=MAX_ORGS),
        WithJsonSchema({"type": "array", "items": {"type": "string"}, "description": 'aliases, or ["*"] for all'}),
    ]
    soql: str
    limit_per_org: Limit = 50
    merge: Annotated[
        bool, WithJsonSchema({"type": "boolean", "description": "add counts and GROUP BY results of all orgs up"})
    ] = False


async def run(services: Services, call: Call, arguments: QueryOrgs) -> dict[str, Any]:
    """Ask many orgs."""
    result = await services.fleet.query(
        call, arguments.orgs, arguments.soql, limit=arguments.limit_per_org, merge=arguments.merge
    )
    return _shaped(result)


def _shaped(result: FleetResult) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "orgs": result.orgs,
        "answered": result.answered,
        "failed": result.orgs - result.answered,
    }
    if result.merged is not None:
        answer |= {"merged": result.merged, "total_size": result.total_size}
    answer["results"] = result.results
    return answer | ({"warnings": list(result.warnings)} if result.warnings else {})


TOOLS = (
    ToolSpec(
        "salesforce_query_orgs",
        "Query many orgs",
        "Run one SOQL query in many orgs at once: results and errors side by side, each with its org. Use it to "
        "compare or count across orgs; use salesforce_query for one org, and to go on with a next_cursor from here "
        "(same soql, limit = limit_per_org).",
        QueryOrgs,
        results.FLEET_SCHEMA,
        run,
        Action.QUERY,
    ),
)
