"""The calls that every converter has to carry, and what their answers show. Standard library alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

NAME = "Somerville"
UNLISTED = "Department"
"""A field that no schema lists."""


@dataclass(frozen=True, slots=True)
class Case:
    """A call as it is meant."""

    name: str
    tool: str
    arguments: dict[str, Any]


def cases(contact_id: str, who: str) -> list[Case]:
    """The calls; ``who`` tells one converter's records from another's."""
    named = {"LastName": f"{NAME} {who}", "Email": "mary@example.com"}
    bulk = {"object": "Contact", "action": "update", "records": [{"Id": contact_id, UNLISTED: f"Bulk {who}"}]}
    return [
        Case("create", "salesforce_create_contact", {"org": "acme", "data": named}),
        Case("create+", "salesforce_create_contact", {"org": "acme", "data": named | {UNLISTED: "Optics"}}),
        Case("record", "salesforce_create_record", {"org": "acme", "object": "Account", "data": {"Name": who}}),
        Case(
            "update",
            "salesforce_update_contact",
            {"org": "acme", "contact_id": contact_id, "data": {UNLISTED: f"One {who}"}},
        ),
        Case(
            "filter",
            "salesforce_list_contacts",
            {"org": "acme", "limit": 5, "fields": ["LastName"], "filter": {"LastName": named["LastName"]}},
        ),
        Case("bulk", "salesforce_change_records", {"org": "acme"} | bulk),
    ]


def judged(case: Case, answer: str) -> str:
    """``yes``, or what went wrong."""
    try:
        result = json.loads(answer)
    except ValueError:
        return f"no result: {' '.join(answer.split())[:160]}"
    if "error" in result:
        return f"{result['error']['code']}: {result['error']['message']}"
    meant = case.arguments.get("data") or {}
    match case.name:
        case "update":
            done = result["updated_fields"]
        case "filter":
            names = {record["LastName"] for record in result["records"]}
            return "yes" if names == {case.arguments["filter"]["LastName"]} else f"found others: {sorted(names)}"
        case "bulk":
            return "yes" if (result["total"], result["succeeded"]) == (1, 1) else f"not changed: {answer[:160]}"
        case _:
            done = result["created_fields"]
    lost = sorted(meant.keys() - set(done))
    return f"lost {', '.join(lost)}" if lost else "yes"
