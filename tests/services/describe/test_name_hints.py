"""When Salesforce does not know a name, the hint has the nearest ones, taken from describe and from nothing else."""

import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.audit import Intent
from orgserver.model.errors import Rejected, Unanswered
from orgserver.model.schema import ObjectInfo, ObjectList, Schema
from orgserver.salesforce.protocol import describe, refusal_hints, refusals
from orgserver.salesforce.soql import redact
from orgserver.services.describe import name_hints

FOLDER = resources.files("orgserver.sandbox") / "describe"
SCHEMAS = {
    name.lower(): describe.schema(json.loads((FOLDER / f"{name}.json").read_text("utf-8")))
    for name in ("Account", "Contact", "Event", "User")
}
OBJECTS = ObjectList(tuple(ObjectInfo(each.name, each.label) for each in SCHEMAS.values()))
WSDL = " Please reference your WSDL or the describe call for the appropriate names."
CUSTOM = "If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name."
FIELD = f"If you are attempting to use a custom field, be sure to append the '__c' after the custom field name.{WSDL}"

USUAL = refusal_hints.by_words("INVALID_FIELD", "")


class Known:
    """What is known of an org, and what it was asked for."""

    def __init__(self, schemas: dict[str, Schema] = SCHEMAS, objects: ObjectList | None = OBJECTS) -> None:
        self.schemas = schemas
        self.objects = objects
        self.asked: list[str] = []

    async def recall(self, sobject: str = "") -> None:
        pass

    def cached(self, sobject: str) -> Schema | None:
        return self.schemas.get(sobject.lower())

    def names(self) -> ObjectList | None:
        return self.objects

    async def ask(self, sobject: str) -> None:
        self.asked.append(sobject)


def framed(message: str, near: str = "SELECT x FROM y") -> str:
    return f"\n{near}\n       ^\nERROR at Row:1:Column:8\n{message}"


async def hint(
    code: str, message: str, soql: str | None = None, sobject: str | None = None, known: Known | None = None
) -> str | None:
    refused = refusals.refusal(400, [{"errorCode": code, "message": message}], writes=False)
    act = Intent("1", "p", "stdio", "query", soql=redact(soql) if soql else None, object=sobject)
    await name_hints.add_hint(known or Known(), act, refused)
    return refused.hint


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (framed(f"No such column 'Mail' on entity 'Contact'. {FIELD}"), "did you mean Email?"),
        (framed(f"No such column 'Account.Nam' on entity 'Account'. {FIELD}"), "did you mean Name"),
        ("No such column 'Mail' on sobject of type Contact", "did you mean Email?"),
        ("No such column 'Lastname__c' on sobject of type contact", "did you mean LastName?"),
        (
            "No such column 'qqqqqqq' on sobject of type Contact",
            "salesforce_describe_object names the fields of Contact",
        ),
    ],
)
async def test_a_column_is_looked_for_on_the_object_that_salesforce_names(message: str, told: str) -> None:
    found = await hint("INVALID_FIELD", message)

    assert found is not None
    assert found.startswith(told)


async def test_a_subquerys_relationship_is_a_child_of_the_object_around_it() -> None:
    soql = "SELECT Id, (SELECT Id FROM Contact) FROM Account WHERE Name = 'FROM (SELECT'"
    message = framed(f"Didn't understand relationship 'Contact' in FROM part of query call. {CUSTOM}{WSDL}")

    assert (await hint("INVALID_TYPE", message, soql) or "").startswith("did you mean Contacts")


async def test_a_path_in_a_subquery_begins_at_the_subquerys_own_object() -> None:
    soql = "SELECT Owner.Name, (SELECT ReportTo.Name FROM Contacts) FROM Account"
    message = framed(f"Didn't understand relationship 'ReportTo' in field path. {CUSTOM}{WSDL}")

    assert await hint("INVALID_FIELD", message, soql) == "did you mean ReportsTo?"


async def test_a_path_is_followed_to_where_it_breaks() -> None:
    soql = "SELECT Account.Ownr.Name FROM Contact"
    message = framed(f"Didn't understand relationship 'Ownr' in field path. {CUSTOM}{WSDL}")

    assert await hint("INVALID_FIELD", message, soql) == "did you mean Owner?"


async def test_a_list_that_has_no_query_on_record_begins_at_its_object() -> None:
    message = framed(f"Didn't understand relationship 'Acount' in field path. {CUSTOM}{WSDL}")

    assert await hint("INVALID_FIELD", message, sobject="Contact") == "did you mean Account?"


async def test_a_semi_joins_object_is_its_own() -> None:
    soql = "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE Acount.Name = 'x')"
    message = framed(f"Didn't understand relationship 'Acount' in field path. {CUSTOM}{WSDL}")

    assert await hint("INVALID_FIELD", message, soql) == "did you mean Account?"


async def test_an_object_is_looked_for_among_all_of_them() -> None:
    message = framed(f"sObject type 'Contcat' is not supported. If you are attempting to use a custom object, …{WSDL}")

    assert await hint("INVALID_TYPE", message) == "did you mean Contact?"
    assert await hint("NOT_FOUND", "The requested resource does not exist", sobject="Acount") == "did you mean Account?"


async def test_what_is_not_known_is_asked_for_and_the_usual_hint_stays() -> None:
    nothing = Known({}, None)
    usual = USUAL

    assert await hint("INVALID_FIELD", "No such column 'Mail' on sobject of type Contact", known=nothing) == usual
    assert nothing.asked == ["Contact"]


async def test_a_field_that_we_believe_in_makes_us_look_again() -> None:
    known = Known()

    await hint("INVALID_FIELD", "No such column 'Email' on sobject of type Contact", known=known)

    assert known.asked == ["Contact"]


async def test_other_refusals_and_lost_answers_are_left_alone() -> None:
    known = Known()
    for error in (Rejected("No such column 'x' on entity 'Contact'", code="OTHER"), Unanswered("No such column")):
        await name_hints.add_hint(known, Intent("1", "p", "stdio", "query"), error)
        assert error.hint is None
    assert await hint("INVALID_FIELD", "field 'Description' can not be filtered in a query call") == USUAL


async def test_a_hint_that_fails_leaves_the_error_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Known):
        async def recall(self, sobject: str = "") -> None:
            raise RuntimeError("a defect")

    message = "No such column 'Mail' on sobject of type Contact"
    assert await hint("INVALID_FIELD", message, known=Broken()) == USUAL
    assert "a hint failed" in caplog.text


_NAMES = {field.name for each in SCHEMAS.values() for field in each.fields}
_NAMES |= {child.relationship for each in SCHEMAS.values() for child in each.children}
_NAMES |= {field.relationship or "" for each in SCHEMAS.values() for field in each.fields} | set(SCHEMAS)
_NAMES |= {each.name for each in OBJECTS.objects}


@given(
    st.sampled_from(
        [
            "No such column '{}' on entity 'Contact'",
            "Didn't understand relationship '{}' in field path",
            "Didn't understand relationship '{}' in FROM part of query call",
            "sObject type '{}' is not supported",
            "{}",
        ]
    ),
    st.text(max_size=40),
    st.text(max_size=60),
)
async def test_whatever_salesforce_says_a_hint_holds_names_from_describe_only(form: str, said: str, soql: str) -> None:
    found = await hint("INVALID_FIELD", form.format(said), f"SELECT {said} FROM Contact WHERE {soql}")

    usual = (USUAL, "salesforce_list_objects names the objects of this org")
    if found in usual or (found or "").startswith("salesforce_describe_object names the fields of Contact"):
        return
    assert found is not None
    assert set(found.removeprefix("did you mean ").removesuffix("?").split(" or ")) <= _NAMES
