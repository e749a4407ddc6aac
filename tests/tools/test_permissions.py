"""What a tool is said to need early, over HTTP, is what each of its calls is asked for where it is decided."""

from dataclasses import replace
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.errors import CallError
from orgserver.model.orgs import Caller
from orgserver.tools import toolsets
from tests.system.test_indistinguishable import CALLS, CONTACT, RECORD

MORE: list[tuple[str, dict[str, Any]]] = [
    ("salesforce_delete_record", {**RECORD, "preview": True}),
    *(
        ("salesforce_change_records", {"object": "Contact", "action": action, "records": [record], "preview": preview})
        for action, record in {
            "create": {"LastName": "x"}, "update": {"Id": CONTACT, "LastName": "x"}, "delete": {"Id": CONTACT},
        }.items()
        for preview in (True, False)
    ),
]  # fmt: skip
READABLE = [
    (tool, arguments) for tool, calls in CALLS.items() for arguments in calls if "nonsense" not in str(arguments)
]


@pytest.mark.parametrize(("tool", "arguments"), [*READABLE, *MORE])
async def test_the_scope_that_is_asked_for_early_is_the_one_that_the_decision_misses(
    app: App, caller: Caller, tool: str, arguments: dict[str, Any]
) -> None:
    spec, arguments = toolsets.EVERY[tool], {"org": "acme", **arguments}
    permission = spec.find_permission(arguments)

    with pytest.raises(CallError) as refused:
        await spec.answer(app.services, replace(caller, scopes=frozenset()), arguments)
    assert refused.value.rule == f"scope:{permission}"
