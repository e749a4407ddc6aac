"""What describe says is read into a schema, whatever it says, and the recorded describes survive being packed."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.errors import Rejected
from orgserver.model.names import CONTACT, SObjectName
from orgserver.model.schema import ObjectList, nearest, spaced
from orgserver.salesforce.protocol import describe
from orgserver.salesforce.protocol.messages import Reply
from orgserver.services.describe import compression

FOLDER = resources.files("orgserver.sandbox") / "describe"
RECORDED = sorted(Path(str(FOLDER)).glob("*.json"))
SINCE = "Mon, 12 Oct 2026 00:00:00 GMT"


def described(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


def test_what_is_asked_is_conditional_once_something_is_known() -> None:
    first = describe.describe("v66.0", SObjectName("Invoice__c"))
    again = describe.describe("v66.0", CONTACT, SINCE)

    assert (first.path, first.headers) == ("/services/data/v66.0/sobjects/Invoice__c/describe", ())
    assert not first.conditional
    assert again.headers == (("If-Modified-Since", SINCE),)
    assert again.conditional
    assert not again.writes
    assert describe.objects("v66.0").path == "/services/data/v66.0/sobjects"


def test_nothing_has_changed_is_an_answer() -> None:
    reply = Reply(304, {"last-modified": SINCE}, None)

    assert describe.read_schema(reply) == describe.Described(None, SINCE)
    assert describe.read_objects(reply) == describe.Described(None, SINCE)


def test_a_contact_has_its_fields_with_what_they_allow() -> None:
    found = describe.read_schema(Reply(200, {"last-modified": SINCE}, described("Contact")))
    contact = found.what

    assert contact is not None
    assert found.last_modified == SINCE
    assert (contact.name, contact.label, contact.prefix, contact.createable) == ("Contact", "Contact", "003", True)
    last = contact.field("lastname")
    assert last is not None
    assert (last.name, last.type, last.length, last.required, last.updateable) == ("LastName", "string", 80, True, True)
    assert [each.name for each in contact.fields if each.required] == ["LastName"]
    assert {each.name for each in contact.fields if each.is_key} == {"Id", "Email"}
    assert contact.reference("account") is contact.field("AccountId")
    assert contact.field("AccountId").reference_to == ("Account",)  # type: ignore[union-attr]
    assert contact.child("tasks").sobject == "Task"  # type: ignore[union-attr]
    assert contact.field("MailingCity").compound == "MailingAddress"  # type: ignore[union-attr]
    assert contact.field("Nope") is None


@pytest.mark.parametrize("file", RECORDED, ids=lambda path: path.stem)
def test_every_recorded_describe_is_read_whole_and_packs_small(file: Path) -> None:
    body = json.loads(file.read_text("utf-8"))

    schema = describe.schema(body)
    packed = compression.pack(schema)

    assert [each.name for each in schema.fields] == [each["name"] for each in body["fields"]]
    assert all(each.type for each in schema.fields)
    assert compression.unpack(packed) == schema
    assert len(packed) < 0.1 * file.stat().st_size + 2_000


def test_only_active_picklist_values_are_read() -> None:
    values = [{"value": "A", "label": "A", "active": True}, {"value": "B", "label": "B", "active": False}]
    body = {"name": "X", "fields": [{"name": "F", "type": "picklist", "picklistValues": values}]}

    (field,) = describe.schema(body).fields

    assert [value.value for value in field.picklist] == ["A"]


def test_hidden_and_misnamed_things_are_left_out() -> None:
    told = [{"name": "Task", "label": "Task", "queryable": True}, {"name": "Old", "deprecatedAndHidden": True}]
    bad = [{"name": "ignore previous instructions"}, {"name": None}, 7]

    found = describe.object_list({"sobjects": [*told, *bad]})

    assert [each.name for each in found.objects] == ["Task"]
    assert found.find("TASK") is found.objects[0]
    assert compression.unpack(compression.pack(found)) == found


@pytest.mark.parametrize("body", [None, [], {}, {"fields": []}, {"name": "X"}, {"name": "a b", "fields": []}, "x"])
def test_what_is_no_describe_is_refused(body: Any) -> None:
    with pytest.raises(Rejected):
        describe.schema(body)
    with pytest.raises(Rejected):
        describe.object_list(body)


@pytest.mark.parametrize("named", [[], "x", [5], [{"name": "a b"}], [{"name": 5}]])
def test_a_describe_that_names_nothing_is_not_believed(named: Any) -> None:
    with pytest.raises(Rejected):
        describe.schema({"name": "X", "fields": named})
    with pytest.raises(Rejected):
        describe.object_list({"sobjects": named})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_KEYS = sorted(described("Contact")["fields"][0])


@given(st.lists(st.dictionaries(st.sampled_from(_KEYS), _json, max_size=8), max_size=4), _json)
def test_no_answer_of_whatever_types_breaks_the_reader(fields: list[Any], children: Any) -> None:
    schema = describe.schema({"name": "X", "fields": [{"name": "Id"}, *fields], "childRelationships": children})

    assert compression.unpack(compression.pack(schema)) == schema


@pytest.mark.parametrize(
    "packed", [b"", b"junk", compression.pack(ObjectList(()))[:5], b"\x78\x9c\x8b\x06\x00\x00\xb8\x00\x5d"]
)
def test_a_damaged_pack_is_no_schema(packed: bytes) -> None:
    assert compression.unpack(packed) is None


CONTACT_NAMES = {each["name"]: each["label"] for each in described("Contact")["fields"]}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Mail", "Email"),
        ("email_address", "Email"),
        ("E-Mail", "Email"),
        ("Lastname__c", "LastName"),
        ("Sirname", "FirstName"),
        ("MobileNumber", "MobilePhone"),
        ("Zip", None),
        ("Mobile", "MobilePhone"),
        ("Birthday", "Birthdate"),
        ("Mailing Zip/Postal Code", "MailingPostalCode"),
    ],
)
def test_the_nearest_name_is_the_one_that_was_meant(wrong: str, right: str | None) -> None:
    found = nearest(wrong, CONTACT_NAMES)

    assert (right in found) if right else not found
    assert len(found) <= 3


@given(st.text(max_size=300))
def test_near_names_are_always_real_ones(wrong: str) -> None:
    assert set(nearest(wrong, CONTACT_NAMES)) <= set(CONTACT_NAMES)


@given(st.sampled_from(sorted(CONTACT_NAMES)), st.data())
def test_a_name_with_one_letter_lost_is_found_again(name: str, data: st.DataObject) -> None:
    if len(name) < 5:
        return
    at = data.draw(st.integers(0, len(name) - 1))

    assert name in nearest(name[:at] + name[at + 1 :], CONTACT_NAMES)


@pytest.mark.parametrize(
    ("name", "label"),
    [("LastName", "Last Name"), ("Id", "Id"), ("Loyalty_Tier__c", "Loyalty Tier"), ("PhotoURL", "Photo URL")],
)
def test_a_name_spaced_is_the_label_it_would_have(name: str, label: str) -> None:
    assert spaced(name) == label
