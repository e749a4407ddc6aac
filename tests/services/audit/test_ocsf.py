"""OCSF exports hold to the published definitions of class 6003, whatever kind of entry they are made from."""

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.audit import ENTRY_FIELDS, EntryFilter
from orgserver.model.names import CONTACT
from orgserver.services.audit import export, ocsf
from tests import operations
from tests.services.audit import kinds
from tests.services.audit.ocsf_rules import violations

ACTIONS = (
    "create", "read", "update", "delete", "upsert", "list", "query", "search", "describe", "limits", "bulk", "preview",
    "undo", "grant", "policy", "key", "enrol", "refresh", "export", "prune", "verify", "auth_failed",
)  # fmt: skip
"""Those of the contract; some are not made by this version yet."""
OUTCOMES = ("pending", "succeeded", "rejected", "denied", "not_sent", "unknown")


EXAMPLE = dict.fromkeys(ENTRY_FIELDS) | {
    "id": "01a20d8b-0000-7000-8000-000000000000", "sequence": 1, "time": "2026-01-01T00:00:00.000000Z",
    "principal": "agent", "transport": "stdio", "org": "acme", "action": "read", "object": "Contact",
    "record_ids": ["003000000000001AAA"], "outcome": "succeeded",
}  # fmt: skip


async def entries(app: App) -> list[dict[str, Any]]:
    return [entry async for page in export.read_pages(app.store, EntryFilter(), list) for entry in page]


@pytest.fixture
async def every(tmp_path: Path) -> list[dict[str, Any]]:
    """The public fields of an entry of each kind."""
    async with open_app(read_settings({"home": tmp_path}, {})) as app:
        await kinds.fill(app)
        return await entries(app)


async def test_every_kind_of_entry_becomes_a_valid_event(every: list[dict[str, Any]]) -> None:
    wrong = {violation: entry for entry in every for violation in violations(json.loads(export.RENDER["ocsf"](entry)))}

    assert {entry["outcome"] for entry in every} == set(OUTCOMES)
    assert any(entry["object"] and not entry["record_ids"] for entry in every)
    assert wrong == {}


async def test_every_action_of_the_contract_becomes_a_valid_event(every: list[dict[str, Any]]) -> None:
    changed = [
        entry | {"action": action, "outcome": outcome}
        for entry, action, outcome in itertools.product(every[:3], ACTIONS, OUTCOMES)
    ]

    wrong = {violation: entry for entry in changed for violation in violations(ocsf.event(entry))}

    assert len(changed) == 3 * 22 * 6
    assert wrong == {}


async def test_what_a_server_does_is_exported_as_valid_events(app: App, caller: Any) -> None:
    """The entries of registering two orgs, and of calls as agents make them."""
    made = await operations.create(app, caller, "salesforce_create_contact", "acme", CONTACT, {"LastName": "L"})
    await operations.query(app, caller, "salesforce_query", "acme", "SELECT Id FROM Contact")
    await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, made.id)

    events = [ocsf.event(entry) for entry in await entries(app)]

    assert len(events) >= 5
    assert [violations(event) for event in events] == [[]] * len(events)


def test_a_resource_without_a_record_is_named_by_its_object() -> None:
    entry = EXAMPLE | {"action": "query", "record_ids": []}

    assert ocsf.event(entry)["resources"] == [{"name": "Contact", "type": "Contact"}]


def _set(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(event: dict[str, Any]) -> None:
        place: Any = event
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda event: event.pop("actor"), "event.actor is required"),
        (lambda event: event["metadata"]["product"].pop("vendor_name"), "event.metadata.product.vendor_name is req"),
        (_set("colour", to="red"), "event.colour is unknown"),
        (_set("api", "service", "colour", to="red"), "event.api.service.colour is unknown"),
        (_set("cloud", to={}), "event.cloud is unknown"),
        (_set("severity_id", to=7), "event.severity_id is none of"),
        (_set("severity", to="Bad"), "event.severity does not fit severity_id 1"),
        (_set("type_uid", to=600301), "event.type_uid is not"),
        (_set("time", to="now"), "event.time is no long_t"),
        (_set("time", to=1.5), "event.time is no long_t"),
        (_set("status_id", to=True), "event.status_id is no integer_t"),
        (_set("actor", to=[]), "event.actor is no object"),
        (_set("resources", to={}), "event.resources is no array"),
        (_set("resources", 0, to={"type": "Contact"}), "event.resources[0] needs at_least_one of"),
        (_set("actor", to={}), "event.actor needs at_least_one of"),
        (_set("actor", "invoked_by", to="x"), "event.actor.invoked_by is deprecated"),
        (_set("src_endpoint", "port", to=70_000), "event.src_endpoint.port is out of range"),
        (_set("src_endpoint", "ip", to="here"), "event.src_endpoint.ip is no ip_t"),
        (_set("message", to="x" * 65_536), "event.message is longer than"),
        (_set("http_request", to={}), "event.http_request: no copy of http_request"),
    ],
)
def test_the_rules_find_what_is_wrong(change: Callable[[dict[str, Any]], None], said: str) -> None:
    event = copy.deepcopy(ocsf.event(EXAMPLE))
    assert violations(event) == []
    change(event)

    (violation,) = violations(event)

    assert violation.startswith(said)
