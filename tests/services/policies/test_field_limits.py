"""What a policy leaves of an org's records: hidden fields are gone and masked ones cut, wherever a record stands."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.access.policies import Policy, read_object_rule
from orgserver.services.policies.field_limits import FieldLimits, masking_warnings
from orgserver.services.policies.masks import mask

from . import pretend_schemas

CANARY = "Kanarienvogel-7391"
OBJECTS = ("Contact", "Account", "User", "Invoice__c")
FIELDS = ("Email", "Phone", "FirstName", "Name", "MailingCity", "MailingAddress", "AccountId", "Secret__c", "Ref__c")
RELATED = {
    "email": set(),
    "phone": set(),
    "firstname": {"name"},
    "name": {"firstname", "lastname"},
    "mailingcity": {"mailingaddress"},
    "mailingaddress": {"mailingcity", "mailingstreet"},
    "accountid": {"account"},
    "secret__c": {"secret__r"},
    "ref__c": {"ref__r"},
}
"""What tells of a field on a contact, beside itself."""


def policy(**facts: Any) -> Policy:
    return Policy.read(facts)


def record(sobject: str, **fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": sobject, "url": "/services/data/v66.0/sobjects/x"}} | fields


def test_where_nothing_is_limited_everything_stays_and_nothing_is_looked_at() -> None:
    limits = FieldLimits.of(policy(read_only=True, row_limit=5))
    row = record("Contact", Email=CANARY)

    assert limits.is_free
    assert limits is FieldLimits.of(Policy())
    assert limits.limit_records(row) == frozenset()
    assert row["Email"] == CANARY


def test_limits_are_made_once_for_each_policy() -> None:
    assert FieldLimits.of(policy(hide_fields=["Contact.Email"])) is FieldLimits.of(
        policy(hide_fields=["Contact.Email"])
    )


@pytest.mark.parametrize(
    ("hidden", "row", "rest"),
    [
        ("Contact.Email", {"EMAIL": CANARY, "Fax": 1}, {"Fax": 1}),
        ("contact.firstname", {"FirstName": CANARY, "Name": f"{CANARY} B", "LastName": "B"}, {"LastName": "B"}),
        ("Contact.Name", {"Name": CANARY, "FirstName": CANARY, "LastName": CANARY, "Id": "1"}, {"Id": "1"}),
        ("Contact.MailingCity", {"MailingAddress": {"city": CANARY}, "MailingState": "x"}, {"MailingState": "x"}),
        ("Contact.MailingAddress", {"MailingCity": CANARY, "OtherCity": "x"}, {"OtherCity": "x"}),
        ("Contact.AccountId", {"Account": {"attributes": {"type": "Account"}, "Name": CANARY}, "Id": "1"}, {"Id": "1"}),
        ("Contact.Ref__c", {"Ref__r": {"attributes": {"type": "Ref__c"}, "Name": CANARY}}, {}),
        ("Account.Email", {"Email": "stays"}, {"Email": "stays"}),
    ],
)
def test_a_hidden_field_is_gone_with_what_tells_of_it(hidden: str, row: dict[str, Any], rest: dict[str, Any]) -> None:
    for lookup in (lambda _name: None, pretend_schemas.schema):
        whole = record("Contact", **copy.deepcopy(row))
        FieldLimits.of(policy(hide_fields=[hidden])).limit_records(whole, lookup)

        assert whole == record("Contact", **rest)


def test_formulas_of_what_is_hidden_are_gone_and_of_what_is_masked_are_masked() -> None:
    fields = {
        "Score__c": CANARY,
        "Indirect__c": CANARY,
        "Total__c": 1,
        "Harmless__c": "1815",
        "AccountPhone__c": CANARY,
    }
    hidden, masked = record("Contact", **fields), record("Contact", **fields)

    FieldLimits.of(policy(hide_fields=["Contact.Email", "Account.Phone"])).limit_records(hidden, pretend_schemas.schema)
    noted = FieldLimits.of(policy(mask_fields=["Contact.Email"])).limit_records(masked, pretend_schemas.schema)

    assert hidden == record("Contact", Harmless__c="1815")
    assert masked["Score__c"] == masked["Indirect__c"] == "K…"
    assert masked["Total__c"] is None
    assert masked["AccountPhone__c"] == CANARY
    assert {"Contact.Score__c", "Contact.Indirect__c", "Contact.Total__c"} == noted


def test_parents_children_and_parents_of_any_object_are_looked_into() -> None:
    limits = FieldLimits.of(policy(hide_fields=["Contact.Email"], mask_fields=["User.Phone"]))
    body: dict[str, Any] = {
        "totalSize": 1,
        "records": [
            record(
                "Account",
                Owner=record("User", Phone="+49 30 1234567", Name="Ada"),
                Contacts={"totalSize": 1, "done": True, "records": [record("CONTACT", Email=CANARY, Id="1")]},
            ),
            record("Event", Who=record("Name", Email=CANARY, Name="Ada"), What=None),
        ],
    }

    assert limits.limit_records(body) == {"User.Phone"}
    first, second = body["records"]
    assert CANARY not in json.dumps(body)
    assert first["Owner"]["Phone"] == "…67"
    assert first["Contacts"]["records"] == [record("CONTACT", Id="1")]
    assert second["Who"]["Name"] == "Ada"


def test_of_a_record_that_may_not_be_read_it_is_left_which_it_is() -> None:
    limits = FieldLimits.of(Policy(deny_objects=(read_object_rule("Account"),)))
    row = record("Contact", Account=record("Account", Name=CANARY), What=record("Account", Id="1", Name=CANARY), Fax=1)
    limits.limit_records(row)

    assert row == record("Contact", What=record("Account", Id="1"), Fax=1)


def test_only_what_is_allowed_is_seen_beside_groups() -> None:
    limits = FieldLimits.of(Policy(allow_objects=(read_object_rule("Contact:read"),)))
    row = record("Contact", Email="a@b.de", Owner=record("User", Name=CANARY))
    group = record("AggregateResult", expr0=3)
    limits.limit_records([row, group])

    assert row == record("Contact", Email="a@b.de")
    assert group["expr0"] == 3


def test_a_warning_names_what_is_masked() -> None:
    (warning,) = masking_warnings({"Contact.Phone", "Contact.Email"})

    assert "Contact.Email, Contact.Phone" in warning
    assert not list(masking_warnings(()))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Policy, dict[str, Any], set[tuple[str, str]], set[tuple[str, str]]]:
    names = st.sampled_from([f"{sobject}.{name}" for sobject in OBJECTS for name in FIELDS])
    hide, cover = draw(st.sets(names, max_size=4)), draw(st.sets(names, max_size=3))

    def tree(depth: int) -> dict[str, Any]:
        sobject = draw(st.sampled_from(OBJECTS))
        spelling = draw(st.sampled_from([sobject, sobject.upper(), sobject.lower()]))
        row = record(spelling, Id="003")
        for name in draw(st.sets(st.sampled_from(FIELDS))):
            row[draw(st.sampled_from([name, name.upper()]))] = f"{CANARY} {sobject}.{name}".lower()
        if depth and draw(st.booleans()):
            row["Parent__r"] = tree(depth - 1)
        if depth and draw(st.booleans()):
            row["Children"] = {"done": True, "records": [tree(depth - 1) for _ in range(draw(st.integers(0, 2)))]}
        return row

    both = [{(o.lower(), n.lower()) for o, _, n in (name.partition(".") for name in some)} for some in (hide, cover)]
    return policy(hide_fields=sorted(hide), mask_fields=sorted(cover)), tree(2), both[0], both[1]


@given(worlds())
def test_nothing_hidden_is_left_and_nothing_else_is_taken(
    world: tuple[Policy, dict[str, Any], set[tuple[str, str]], set[tuple[str, str]]],
) -> None:
    rules, row, hidden, masked = world
    before = copy.deepcopy(row)

    FieldLimits.of(rules).limit_records(row)

    _compare(before, row, hidden, masked)


def _tells(fields: set[tuple[str, str]], sobject: str, name: str) -> bool:
    """Whether a field is one of these or tells of one: persons' names are made of parts on three objects alone."""
    for owner, field in fields:
        is_name = field in ("name", "firstname")
        related = RELATED[field] if not is_name or owner in ("contact", "lead", "user") else set()
        if owner == sobject and (name == field or name in related):
            return True
    return False


def _compare(
    before: dict[str, Any], after: dict[str, Any], hidden: set[tuple[str, str]], masked: set[tuple[str, str]]
) -> None:
    sobject = before["attributes"]["type"].lower()
    for name, value in before.items():
        if name in ("attributes", "Id"):
            assert after[name] == value
        elif name == "Parent__r":
            _compare(value, after[name], hidden, masked)
        elif name == "Children":
            for one, other in zip(value["records"], after[name]["records"], strict=True):
                _compare(one, other, hidden, masked)
        elif _tells(hidden, sobject, name.lower()):
            assert name not in after
        elif _tells(masked, sobject, name.lower()):
            assert after[name] == mask(value) != value
        else:
            assert after[name] == value
    assert after.keys() <= before.keys()


def test_whoever_goes_through_many_records_rests_at_each() -> None:
    rests = list[None]()
    body = {"records": [record("Contact", Email=CANARY, Account=record("Account")) for _ in range(100)]}

    FieldLimits.of(policy(hide_fields=["Contact.Email"])).limit_records(body, rest=lambda: rests.append(None))

    assert len(rests) > 200


def test_rows_that_do_not_say_of_which_object_they_are_lose_what_is_hidden_of_any() -> None:
    body = {"records": [{"Id": "1", "Email": CANARY, "Fax": 1}]}
    FieldLimits.of(policy(hide_fields=["Contact.Email"])).limit_records(body)

    assert body == {"records": [{"Id": "1", "Fax": 1}]}


def test_a_formula_through_an_object_that_is_not_described_is_not_shown_until_that_is_known() -> None:
    limits = FieldLimits.of(policy(hide_fields=["User.Alias"]))
    fields = {"AccountPhone__c": CANARY, "Harmless__c": "1815", "Made_Since__c": CANARY, "alias": "1"}
    lacking, whole = record("Contact", **fields), record("Contact", **fields)

    limits.limit_records(lacking, lambda name: pretend_schemas.schema(name) if name == "Contact" else None)
    limits.limit_records(whole, pretend_schemas.schema)

    assert lacking == record("Contact", Harmless__c="1815", alias="1")
    assert whole == record("Contact", AccountPhone__c=CANARY, Harmless__c="1815", alias="1")
