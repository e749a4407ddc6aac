"""Exports rendered from canonical bytes: they say what the entries say, in every format."""

import csv
import io
import json
from pathlib import Path

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.audit import ENTRY_FIELDS, Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.services.audit import export

CASES = (
    (Action.CREATE, Outcome.SUCCEEDED, 1, 1),
    (Action.QUERY, Outcome.REJECTED, 2, 2),
    (Action.UPDATE, Outcome.DENIED, 3, 2),
    (Action.DELETE, Outcome.UNKNOWN, 4, 0),
    (Action.UPSERT, Outcome.SUCCEEDED, 99, 1),
)


async def fill(app: App) -> None:
    for action, outcome, _activity, _status in CASES:
        act = Intent(
            id=new_id(),
            principal="=agent,7",
            transport="stdio",
            action=action,
            org="acme",
            object="Contact",
            record_ids=("003000000000001AAA",),
            fields=("LastName", "Größe__c"),
            tool="salesforce_x",
        )
        await app.store.audit.record(act, Completion(outcome, record_ids=("003000000000002AAA",), duration_us=1_500))


async def lines(app: App, format_: str, wanted: EntryFilter | None = None) -> list[str]:
    return [line async for page in export.render_pages(app.store, wanted or EntryFilter(), format_) for line in page]


async def test_lines_of_json_are_the_entries_that_are_listed(tmp_path: Path) -> None:
    async with open_app(read_settings({"home": tmp_path}, {})) as app:
        await fill(app)

        exported = [json.loads(line) for line in await lines(app, "jsonl")]
        listed = [entry.as_json() async for entry in app.audit_log.entries(EntryFilter())]

    assert exported == listed
    assert {tuple(entry) for entry in exported} == {ENTRY_FIELDS}


async def test_a_csv_cell_is_never_a_formula(tmp_path: Path) -> None:
    async with open_app(read_settings({"home": tmp_path}, {})) as app:
        await fill(app)
        written = await lines(app, "csv", EntryFilter(action="create"))

    (row,) = csv.DictReader(io.StringIO("\n".join([export.csv_header(), *written])))
    assert row["principal"] == "'=agent,7"
    assert row["record_ids"] == "003000000000001AAA 003000000000002AAA"


async def test_ocsf_events_say_what_was_done_and_how_it_ended(tmp_path: Path) -> None:
    async with open_app(read_settings({"home": tmp_path}, {})) as app:
        await fill(app)
        events = [json.loads(line) for line in await lines(app, "ocsf", EntryFilter(org="acme"))]

    assert [(event["activity_id"], event["status_id"]) for event in events] == [case[2:] for case in CASES]
    for event in events:
        assert event["class_uid"] == 6003
        assert event["type_uid"] == 600300 + event["activity_id"]
        assert {"actor", "api", "src_endpoint", "time", "severity_id", "metadata", "category_uid"} <= set(event)
        assert [resource["uid"] for resource in event["resources"]] == ["003000000000001AAA", "003000000000002AAA"]
