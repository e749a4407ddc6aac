"""Arguments as clients send them: each form with one meaning is the same call, every other one is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orgserver.model.json_text import MAX_CHARACTERS
from orgserver.tools import toolsets
from orgserver.tools.argument_errors import explain
from orgserver.tools.arguments import ArgumentForms

EMPTY_IS_ABSENT = {"cursor", "start", "end"}
TOOLS = {name: spec.listed() for name, spec in toolsets.EVERY.items()}
FORMS = {name: ArgumentForms(tool.input_schema) for name, tool in TOOLS.items()}
KINDS = {"string", "integer", "boolean", "object", "array"}
CREATE, UPDATE, LIST = "salesforce_create_contact", "salesforce_update_contact", "salesforce_list_contacts"
QUERY, FLEET, BULK = "salesforce_query", "salesforce_query_orgs", "salesforce_change_records"
ID = "003Ws000003xYzAIAU"
PERSON = {"LastName": "Lovelace"}

tricky = st.sampled_from(["2.0", "3", "true", "null", "", " ", '{"a": 1}', "[1]", "1e3", "O'Hara", "ü\u202e"])
scalars = st.none() | st.booleans() | st.integers() | st.sampled_from([2.0, -0.5]) | st.text(max_size=5) | tricky
records = st.dictionaries(st.sampled_from(["Level__c", "Source__c", "Note__c"]), scalars, max_size=3)
values = {
    "object": st.just("Account"),
    "text": st.just("Lovelace"),
    "data": records.map(lambda more: {"Subject": "s", "StartDateTime": "x", "EndDateTime": "y"} | PERSON | more),
    "filter": st.dictionaries(st.sampled_from(["Email", "Id"]), scalars | st.just({"in": ["2.0", "null"]}), max_size=2),
}
"""Arguments that not every value of their declared kind would do for."""


def strict(name: str, declared: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values as the schema declares them."""
    assert declared["type"] in KINDS, "ArgumentForms reads no other kinds"
    if name in values:
        return values[name]
    if "enum" in declared:
        return st.sampled_from(declared["enum"])
    if declared["type"] == "array":
        inner = records if declared["items"]["type"] == "object" else st.sampled_from(["Email", "Name", "acme"])
        return st.lists(inner, min_size=1, max_size=3)
    return {"string": st.just("x1") | tricky.filter(len), "integer": st.integers(1, 2_000), "boolean": st.booleans()}[
        declared["type"]
    ]


def texts(value: Any) -> list[str]:
    """A value as JSON text."""
    return [json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1) + "\n"]


def forms(name: str, declared: dict[str, Any], value: Any) -> list[Any]:
    """Every form in which clients send a value."""
    match name, declared:
        case ("orgs", _) | (_, {"type": "object"}):
            return [value, *texts(value)]
        case _, {"type": "array", "items": {"type": "object"}}:
            return [value, *texts(value), [json.dumps(each) for each in value], [*value[:-1], json.dumps(value[-1])]]
        case _, {"type": "array"}:
            return [value, *texts(value), *(value if len(value) == 1 else ())]
        case _, {"type": "integer"}:
            return [value, float(value), str(value), f"{value}.0"]
        case _, {"type": "boolean"}:
            return [value, json.dumps(value)]
    return [value]


@st.composite
def twins(draw: st.DrawFn, tool: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same call as the schema declares it, and as a client may send it."""
    schema = TOOLS[tool].input_schema
    exact: dict[str, Any] = {}
    sent: dict[str, Any] = {}
    for name, declared in schema["properties"].items():
        if name in schema.get("required", ()) or draw(st.booleans()):
            exact[name] = draw(strict(name, declared))
            sent[name] = draw(st.sampled_from(forms(name, declared, exact[name])))
        elif draw(st.booleans()):
            sent[name] = draw(st.sampled_from([None, ""] if name in EMPTY_IS_ABSENT else [None]))
    return exact, sent


MEANT = {"string": "x1", "integer": 7, "boolean": True, "object": {"Level__c": "2.0"}}


@pytest.mark.parametrize("tool", TOOLS)
def test_every_form_of_every_argument_is_read(tool) -> None:
    for name, declared in TOOLS[tool].input_schema["properties"].items():
        kind = declared["type"]
        meant = [MEANT[declared["items"]["type"]]] if kind == "array" else MEANT[kind]
        for form in forms(name, declared, meant):
            assert repr(FORMS[tool].read({name: form})) == repr({name: meant})


@pytest.mark.parametrize("tool", TOOLS)
def test_each_lenient_form_is_the_same_call_as_the_strict_one(tool) -> None:
    model = toolsets.EVERY[tool].arguments

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(twins(tool))
    def same(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
        exact, sent = pair
        read = FORMS[tool].read(sent)
        assert repr(read) == repr(exact)  # by repr, for True == 1 == 1.0
        assert repr(FORMS[tool].read(exact)) == repr(exact)
        assert repr(model.model_validate(read)) == repr(model.model_validate(exact))

    same()


@pytest.mark.parametrize("tool", TOOLS)
def test_null_is_absent_for_every_optional_argument_and_for_no_other(tool) -> None:
    schema = TOOLS[tool].input_schema
    nulls = dict.fromkeys(schema["properties"])

    assert FORMS[tool].read(nulls) == dict.fromkeys(schema.get("required", ()))
    assert FORMS[tool].read({"surprise": None}) == {"surprise": None}


@pytest.mark.parametrize("tool", TOOLS)
def test_an_empty_text_is_absent_for_cursors_and_spans_only(tool) -> None:
    empty = dict.fromkeys(TOOLS[tool].input_schema["properties"], "")

    assert EMPTY_IS_ABSENT.isdisjoint(FORMS[tool].read(empty))
    for guard in {"if_unmodified_since", "idempotency_key", "org", "match", "order_by"} & empty.keys():
        assert FORMS[tool].read(empty)[guard] == ""


TEXT, NUMBER, BOOLEAN, NULL = "; a text arrived", "; a number arrived", "; a boolean arrived", "; null arrived"
NO_INTEGERS = [
    "1e3",
    " 3",
    "3 ",
    "3\n",
    "３",
    "0x1",
    "",
    "2.5",
    "+3",
    "1_000",
    "007",
    "٣",
    "--1",
    "1e400",
    "true",
    "[3]",
]
NO_BOOLEANS = ["TRUE", "True", "yes", "1", "", "true ", "null"]
NO_OBJECTS = [
    "",
    "x",
    "{",
    "[]",
    "null",
    "5",
    "LastName=x",
    json.dumps(json.dumps(PERSON)),
    '{"LastName": "a", "LastName": "b"}',
    '{"LastName": "a", "Score__c": NaN}',
    '{"LastName":"a","x":' + "[" * 200 + "]" * 200 + "}",
    '{"LastName":' * 100_000,
    json.dumps(PERSON) + " " * MAX_CHARACTERS,
]
NO_LISTS = ["[", '{"a": 1}', '"Email"', "null", "true", "5", '["Email", "Email"']
WHOLE, TRUE_OR_FALSE = "must be a whole number", "must be true or false"
HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    *((LIST, {"limit": text}, f"limit {WHOLE}{TEXT}") for text in NO_INTEGERS),
    *((LIST, {"limit": number}, f"limit {WHOLE}{NUMBER}") for number in (2.5, float("inf"), float("nan"))),
    (LIST, {"limit": True}, f"limit {WHOLE}{BOOLEAN}"),
    (LIST, {"limit": [3]}, f"limit {WHOLE}; a list arrived"),
    (LIST, {"limit": "-1"}, "limit must be greater than or equal to 1"),
    (LIST, {"limit": 1e300}, "limit must be less than or equal to 2000"),
    (LIST, {"limit": "9" * 18}, "limit must be less than or equal to 2000"),
    *((QUERY, {"include_deleted": text}, f"include_deleted {TRUE_OR_FALSE}{TEXT}") for text in NO_BOOLEANS),
    *((QUERY, {"include_deleted": number}, f"include_deleted {TRUE_OR_FALSE}{NUMBER}") for number in (0, 1, 1.0)),
    *((CREATE, {"data": text}, f"data must be an object{TEXT}") for text in NO_OBJECTS),
    (CREATE, {"data": [PERSON]}, "data must be an object; a list arrived"),
    (CREATE, {"data": None}, f"data must be an object{NULL}"),
    (CREATE, {"data": {"LastName": "x", "Email": 3}}, f"data.Email must be a text{NUMBER}"),
    (LIST, {"filter": "LastName = 'x'"}, f"filter must be an object{TEXT}"),
    *((LIST, {"fields": text}, f"fields must be a list{TEXT}") for text in NO_LISTS),
    (LIST, {"fields": "[1]"}, f"fields must hold texts only{NUMBER}"),
    (LIST, {"fields": 5}, f"fields must be a list{NUMBER}"),
    (BULK, {"records": "Email"}, f"records must be a list{TEXT}"),
    (BULK, {"records": json.dumps(PERSON)}, f"records must be a list{TEXT}"),
    (BULK, {"records": PERSON}, "records must be a list; an object arrived"),
    (BULK, {"records": ["x", None]}, f"records[0] must be an object{TEXT}; records[1] must be an object{NULL}"),
    *((FLEET, {"orgs": text}, f"orgs must be a list{TEXT}") for text in ("acme", "*", '"acme"', "", '{"org": 1}', "[")),
    (FLEET, {"orgs": None}, f"orgs must be a list{NULL}"),
    (FLEET, {"orgs": [""]}, "orgs must have at least 1 character"),
    (FLEET, {"orgs": "[]"}, "orgs must have at least 1 item"),
    (FLEET, {"orgs": '["acme", 5]'}, f"orgs must hold texts only{NUMBER}"),
    (LIST, {"org": None}, f"org must be a text{NULL}"),
    (LIST, {"org": ["acme"]}, "org must be a text; a list arrived"),
    (UPDATE, {"contact_id": None, "data": {}}, f"contact_id must be a text{NULL}"),
    (UPDATE, {"contact_id": 3, "data": {}}, f"contact_id must be a text{NUMBER}"),
    (CREATE, {"data": '{"LastName": "\\ud800"}'}, "data.LastName holds half a surrogate pair, which no text can"),
    (LIST, {"surprise": None}, "surprise is not an argument of this tool"),
]


@pytest.mark.parametrize(("tool", "sent", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_what_has_no_one_meaning_is_refused_with_what_arrived(tool, sent, message) -> None:
    good = {"org": "acme", "orgs": ["acme"], "soql": "s", "object": "Contact", "action": "create"}
    required = {name: good[name] for name in TOOLS[tool].input_schema["required"] if name in good}

    with pytest.raises(ValidationError) as refused:
        toolsets.EVERY[tool].arguments.model_validate(FORMS[tool].read(required | sent))

    assert str(explain(refused.value)) == message


async def test_a_text_that_is_no_object_is_refused_with_what_would_do(client, operations, error_of) -> None:
    error = error_of(await client.call_tool(CREATE, {"org": "acme", "data": '{"LastName": "CANARY", "LastName": 1}'}))

    assert error["message"] == "data must be an object; a text arrived"
    assert "each key once" in error["hint"]
    assert "CANARY" not in str(error)
    assert operations.calls == []


async def test_a_call_in_lenient_forms_asks_what_the_strict_one_asks(client, operations, data_of) -> None:
    exact = {"org": "acme", "limit": 7, "fields": ["Email"], "filter": {"Level__c": "2.0"}}
    sent = {
        "org": "acme",
        "limit": "7",
        "fields": "Email",
        "filter": '{"Level__c": "2.0"}',
        "cursor": "",
        "order_by": None,
    }

    assert data_of(await client.call_tool(LIST, sent)) == data_of(await client.call_tool(LIST, exact))

    (first, second) = operations.calls
    assert first[1][2:] == second[1][2:]


async def test_a_refused_preview_is_recorded_as_one_in_every_form(client, operations) -> None:
    for preview in (True, "true"):
        assert (await client.call_tool("salesforce_delete_contact", {"org": "acme", "preview": preview})).is_error

    assert [what.value for _, what, *_ in operations.refusals] == ["preview", "preview"]


async def test_more_fields_than_an_object_has_are_refused_at_once(client, operations, error_of) -> None:
    data = {f"F{n}__c": 1 for n in range(1_001)}
    error = error_of(await client.call_tool(CREATE, {"org": "acme", "data": data}))

    assert (error["message"], error["outcome"]) == ("data has more fields than any object", "denied")
    assert operations.calls == []


async def test_more_wrong_values_than_anybody_mends_are_not_told_one_by_one(client, operations, error_of) -> None:
    fields = {f"F{n}__c": {"a": []} for n in range(900)}
    for data in (fields, {"F__c": [{}] * 10_000}):
        error = error_of(await client.call_tool(CREATE, {"org": "acme", "data": {"LastName": "x"} | data}))
        assert (error["message"], error["outcome"]) == ("hundreds of values are of a wrong kind", "denied")
    assert operations.calls == []
