"""What a fresh describe refuses is what Salesforce refuses, named by field; what it might take passes."""

import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.schema import FieldInfo, PicklistValue, Schema
from orgserver.salesforce.protocol import describe
from orgserver.salesforce.soql.places import is_plain, levels
from orgserver.services.calls.preflight import refusal
from orgserver.services.records.draft import WriteAction
from orgserver.services.records.field_values import value_problems

FOLDER = resources.files("orgserver.sandbox") / "describe"
CONTACT = describe.schema(json.loads((FOLDER / "Contact.json").read_text("utf-8")))
ACCOUNT = describe.schema(json.loads((FOLDER / "Account.json").read_text("utf-8")))


def field(name: str, kind: str, **told: Any) -> FieldInfo:
    return FieldInfo(name, name, kind, **({"createable": True, "updateable": True, "filterable": True} | told))


COLOURS = (PicklistValue("Red", "Red"), PicklistValue("BLUE", "Sky blue"))
THING = Schema(
    "Thing__c", "Thing", "a00", True, True, True, True, True,
    (
        field("Name", "string", length=5, nillable=False),
        field("Must__c", "string", length=5, nillable=False),
        field("Amount__c", "currency", precision=5, scale=2),
        field("Count__c", "int"),
        field("On__c", "boolean", nillable=False, defaulted=True),
        field("Day__c", "date"),
        field("At__c", "datetime"),
        field("Colour__c", "picklist", restricted=True, picklist=COLOURS),
        field("Colours__c", "multipicklist", restricted=True, picklist=COLOURS),
        field("Free__c", "picklist", picklist=COLOURS),
        field("Owner__c", "reference", reference_to=("User",), relationship="Owner__r"),
        field("Total__c", "double", createable=False, updateable=False, calculated=True),
        field("Once__c", "string", length=9, updateable=False),
        field("Key__c", "string", length=9, createable=False, updateable=False, external_id=True),
    ),
)  # fmt: skip


def problems(values: dict[str, Any], act: WriteAction = "update", schema: Schema = THING) -> list[tuple[str, str]]:
    return [(each.code, each.argument) for each in value_problems(schema, values, act)]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"Nme": "x"}, "INVALID_FIELD"),
        ({"name": "sixsix"}, "STRING_TOO_LONG"),
        ({"Name": 7}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Name": None}, "REQUIRED_FIELD_MISSING"),
        ({"Amount__c": 1000}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"Amount__c": "much"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Count__c": True}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"On__c": "perhaps"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Day__c": "tomorrow"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Day__c": "2026-02-20T18:00:00Z"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"At__c": 5}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"At__c": "2026-02-20"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Colour__c": "Green"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Colours__c": "Red;Green"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Owner__c": "Ada"}, "MALFORMED_ID"),
        ({"Total__c": 1}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Once__c": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Name": ["x"]}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
    ],
)
def test_what_salesforce_refuses_for_certain_is_refused_by_its_own_code(values: dict[str, Any], code: str) -> None:
    assert problems(values) == [(code, f"data.{next(iter(values))}")]


@pytest.mark.parametrize(
    "values",
    [
        {"name": "five!"},
        {"Name": "  five!  "},
        {"Amount__c": -999.99},
        {"Amount__c": "12.5"},
        {"Amount__c": None, "Must__c": None},
        {"On__c": "TRUE"},
        {"Day__c": "20 February 2026"},
        {"At__c": "2026-02-20T19:00 Europe/Berlin"},
        {"Colour__c": "red"},
        {"Colour__c": "Sky blue"},
        {"Colour__c": ""},
        {"Colours__c": "BLUE;Red"},
        {"Free__c": "Green"},
        {"Owner__c": "005000000000001"},
        {"Owner__r": {"Ext__c": "7"}},
        {"Count__c": 10**30},
    ],
)
def test_what_salesforce_may_take_passes(values: dict[str, Any]) -> None:
    assert problems(values) == []


def test_a_create_misses_what_only_the_caller_can_give() -> None:
    assert problems({"Once__c": "x"}, "create") == [("REQUIRED_FIELD_MISSING", "data.Name")]
    assert problems({"Name": None}, "create") == [("REQUIRED_FIELD_MISSING", "data.Name")]
    assert problems({"NAME": "x"}, "create") == []
    assert problems({"FirstName": "Ada"}, "create", CONTACT) == [("REQUIRED_FIELD_MISSING", "data.LastName")]


def test_a_person_account_is_created_by_its_last_name() -> None:
    person = field("LastName", "string", length=80)
    account = Schema("Account", "Account", "001", True, True, True, True, True, (*ACCOUNT.fields, person))

    assert problems({"Phone": "1"}, "create", account) == [("REQUIRED_FIELD_MISSING", "data.Name")]
    assert problems({"LastName": "Byron"}, "create", account) == []


def test_an_upsert_may_name_its_key_and_needs_nothing_else() -> None:
    assert problems({"Key__c": "k", "Once__c": "x"}, "upsert") == []
    assert problems({"Total__c": 1}, "upsert") == [("INVALID_FIELD_FOR_INSERT_UPDATE", "data.Total__c")]


def test_one_error_names_every_argument_and_a_bounded_text_says_why() -> None:
    error = refusal(value_problems(THING, {f"F{n}__c": 1 for n in range(40)}, "update"))

    assert len(error.fields) == 40
    assert "and 30 more" in str(error)
    assert len(str(error)) < 2_000


def test_no_value_that_was_given_is_in_a_message() -> None:
    secret = "s3cr3t-value"
    values = dict.fromkeys((each.name for each in THING.fields), secret * 40)

    error = refusal(value_problems(THING, values, "update"))

    assert secret not in str(error)


@given(
    st.dictionaries(
        st.sampled_from([each.name for each in (*CONTACT.fields, *THING.fields)]) | st.text(max_size=20),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.lists(st.integers()),
        max_size=6,
    ),
    st.sampled_from(["create", "update", "upsert"]),
)
def test_no_values_break_the_judge(values: dict[str, Any], act: WriteAction) -> None:
    for schema in (CONTACT, THING):
        for each in value_problems(schema, values, act):
            assert each.argument.startswith("data.")


# -- queries


@pytest.mark.parametrize(
    "query",
    [
        "SELECT Id FROM Contact",
        "select Id, Account.Name from Contact where (Email = 'a' or Email in ('b')) and CreatedDate > TODAY order by Id",
        "SELECT Id FROM Contact WHERE CreatedDate = LAST_N_DAYS:3 LIMIT 5",
        "SELECT Id FROM Contact WHERE LastName = 'SELECT x FROM y (count(z))'",
    ],
)
def test_plain_queries_can_be_judged(query: str) -> None:
    assert is_plain(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COUNT() FROM Contact",
        "SELECT COUNT(Id) n, LeadSource FROM Contact GROUP BY LeadSource",
        "SELECT Id, (SELECT Id FROM Contacts) FROM Account",
        "SELECT Id FROM Contact WHERE AccountId IN (SELECT Id FROM Account)",
        "SELECT TYPEOF What WHEN Account THEN Phone END FROM Event",
        "SELECT FIELDS(ALL) FROM Contact LIMIT 1",
        "SELECT c.Name FROM Contact c",
        "SELECT c.Name FROM Contact AS c",
        "SELECT toLabel(LeadSource) FROM Contact",
        "SELECT Name FROM Account, Account.Contacts c",
        "",
        "FROM",
    ],
)
def test_salesforce_alone_judges_whatever_is_more_than_plain(query: str) -> None:
    assert not is_plain(query)


def test_each_name_belongs_to_the_select_it_stands_in() -> None:
    query = (
        "SELECT Id, Owner.Name, (SELECT Emial, ReportsTo.Nam FROM Contacts WHERE Phone != null) FROM Account "
        "WHERE Id IN (SELECT AccountId FROM Opportunity WHERE Campain.Name = 'FROM Lead') ORDER BY Parent.Name"
    )

    outer, child, semi = levels(query)

    assert (outer.source, child.source, semi.source) == ("Account", "Contacts", "Opportunity")
    assert (child.outer, child.child, semi.outer, semi.child) == (outer, True, outer, False)
    assert outer.mentions("parent") and outer.mentions("Owner")
    assert child.mentions("ReportsTo") and not outer.mentions("ReportsTo")
    assert semi.mentions("campain")


_WORDS = ["SELECT", "FROM", "(", ")", ",", "Id", "a.b", "WHERE", "IN", "'", "x"]


@given(st.text(max_size=80) | st.lists(st.sampled_from(_WORDS)).map(" ".join))
def test_no_text_breaks_the_reading_of_places(text: str) -> None:
    levels(text)
    is_plain(text)
