"""What agents read of an object: all of it in few bytes, some of it in full, and a truthful "there is more"."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from orgserver.model.schema import Child, FieldInfo, PicklistValue, Schema
from orgserver.salesforce.protocol import describe
from orgserver.tools import schema_view

FOLDER = Path(str(resources.files("orgserver.sandbox") / "describe"))
CONTACT_BYTES = 6_144


def schema(name: str) -> Schema:
    return describe.schema(json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


def size(told: Any) -> int:
    return len(json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode())


def by_name(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in told["fields"]}


def test_a_contact_fits_its_budget_with_every_field() -> None:
    told = schema_view.compact(schema("Contact"))

    assert size(told) <= CONTACT_BYTES
    assert len(told["fields"]) == len(schema("Contact").fields)
    assert (told["object"], told["id_prefix"]) == ("Contact", "003")
    assert told["can"] == "create update delete query search"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_object_is_told_in_a_tenth_of_its_bytes(file: Path) -> None:
    told = schema_view.compact(schema(file.stem))

    assert size(told) <= max(CONTACT_BYTES, file.stat().st_size / 10)
    assert "more_fields" not in told


def test_only_what_is_not_as_usual_is_said() -> None:
    fields = by_name(schema_view.compact(schema("Contact")))

    assert fields["LastName"] == {"name": "LastName", "type": "string(80)", "is": "required"}
    assert fields["FirstName"] == {"name": "FirstName", "type": "string(40)"}
    assert fields["AccountId"] == {"name": "AccountId", "type": "reference", "to": ["Account"]}
    assert fields["Phone"]["label"] == "Business Phone"
    assert fields["CreatedDate"]["is"] == "read-only"
    assert fields["Email"]["is"] == "upsert key"
    assert fields["Description"]["is"] == "not filterable"
    assert fields["Salutation"]["values"] == ["Mr.", "Ms.", "Mrs.", "Dr.", "Prof."]
    assert fields["MailingLatitude"]["type"] == "double(18,15)"


def test_long_picklists_and_many_targets_say_how_many_more_there_are() -> None:
    event = schema("Event")
    fields = by_name(schema_view.compact(event))

    zones, what = event.field("RecurrenceTimeZoneSidKey"), event.field("WhatId")
    assert zones is not None and what is not None
    told = fields["RecurrenceTimeZoneSidKey"]
    assert len(told["values"]) + told["more_values"] == len(zones.picklist)
    assert len(fields["WhatId"]["to"]) + fields["WhatId"]["more_to"] == len(what.reference_to)
    assert fields["WhatId"]["relationship"] if what.relationship != "What" else "relationship" not in fields["WhatId"]


def test_fields_that_are_named_come_in_full_and_once() -> None:
    told = schema_view.chosen(schema("Event"), ["whatid", "WhatId", "RecurrenceTimeZoneSidKey"])
    fields = by_name(told)

    assert len(told["fields"]) == 2
    assert len(fields["WhatId"]["to"]) > 5
    assert fields["WhatId"]["relationship"] == "What"
    assert len(fields["RecurrenceTimeZoneSidKey"]["values"]) > 100
    assert {"value", "label"} == set(fields["RecurrenceTimeZoneSidKey"]["values"][0])
    city = by_name(schema_view.chosen(schema("Contact"), ["MailingCity"]))["MailingCity"]
    assert (city["label"], city["part_of"]) == ("Mailing City", "MailingAddress")


def test_detail_has_the_child_relationships_that_subqueries_name() -> None:
    told = schema_view.whole(schema("Account"))

    assert "Contacts: Contact.AccountId" in told["children"]
    assert len(told["fields"]) == len(schema("Account").fields)


@pytest.mark.parametrize("shape", [schema_view.compact, schema_view.whole])
def test_an_object_of_any_size_ends_at_a_bound_and_names_the_rest(shape: Any) -> None:
    fields = tuple(
        FieldInfo(
            f"Field_number_{n}__c",
            "L" * 200,
            "picklist",
            picklist=tuple(PicklistValue("v" * 150, "l") for _ in range(9)),
        )
        for n in range(800)
    )
    children = tuple(Child(f"Children_{n}__r", "Thing__c", "Parent__c") for n in range(2_000))
    told = shape(Schema("Huge__c", "Huge", None, True, True, True, True, True, fields, children))

    assert size(told) <= 60 * 1_024
    assert [field["name"] for field in told["fields"]] + told["more_fields"] == [each.name for each in fields]


@pytest.mark.parametrize("shape", [schema_view.compact, schema_view.whole])
def test_even_names_alone_are_bounded_and_the_others_counted(shape: Any) -> None:
    fields = tuple(FieldInfo(f"F{n}_{'x' * 70}__c", "L" * 200, "string") for n in range(2_000))
    told = shape(Schema("Huge__c", "Huge", None, True, True, True, True, True, fields))

    assert size(told) <= 60 * 1_024
    assert len(told["fields"]) + len(told["more_fields"]) + told["more_fields_unnamed"] == 2_000


def test_a_picklist_without_end_is_cut_with_its_count() -> None:
    values = tuple(PicklistValue(f"{n}{'v' * 240}", "l" * 250) for n in range(2_000))
    field = FieldInfo("Kind__c", "Kind", "picklist", picklist=values)
    told = schema_view.chosen(Schema("Huge__c", "Huge", None, True, True, True, True, True, (field,)), ["Kind__c"])

    assert size(told) <= 60 * 1_024
    (only,) = told["fields"]
    assert only["values"]
    assert len(only["values"]) + only["more_values"] == 2_000


def test_children_that_find_no_room_are_counted() -> None:
    children = tuple(Child(f"Children_{n}_{'x' * 60}__r", "Thing__c", "Parent__c") for n in range(2_000))
    told = schema_view.whole(Schema("Huge__c", "Huge", None, True, True, True, True, True, (), children))

    assert size(told) < 60 * 1_024
    assert len(told["children"]) + told["more_children"] == 2_000
