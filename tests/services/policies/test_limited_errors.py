"""No refusal of an org tells of a field that may not be seen."""

import pytest

from orgserver.model.access.policies import Policy, read_object_rule
from orgserver.model.bulk import BulkResult, Counts, RecordResult, ResultBatch
from orgserver.model.errors import Rejected, Unanswered
from orgserver.model.results import Created
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.limited_errors import REFUSED, limit_answer, limit_batch, limit_error

LIMITS = FieldLimits.of(Policy.read({"hide_fields": ["Contact.Secret_Code__c", "Contact.Email", "Contact.AccountId"]}))


@pytest.mark.parametrize(
    "text",
    [
        "Required fields are missing: [Secret_Code__c]",
        "duplicate value found: secret_code__c duplicates value on record with id: 003000000000001",
        "Secret Code must be set",
        "Email: invalid email address: x",
        "Contact.AccountId is read-only",
        "the Account of a contact is closed",
    ],
)
def test_a_text_that_names_a_hidden_field_gives_way_to_a_general_one(text: str) -> None:
    error = Rejected(text, code="SOME", fields=("Secret_Code__c", "LastName", "data.Email"), hint=f"look: {text}")

    limit_error(LIMITS, error)

    assert str(error) == REFUSED
    assert error.fields == ("LastName",)
    assert error.hint is None
    assert error.code == "SOME"


@pytest.mark.parametrize(
    "text",
    [
        "No such column 'Secret_Code__c' on entity 'Contact'",
        "Last Name: value too long",
        "emailed already",
        "an email must be sent first",
    ],
)
def test_other_texts_and_the_words_for_an_unknown_field_stay(text: str) -> None:
    error = Rejected(text, fields=("LastName",), hint="check it")

    limit_error(LIMITS, error)

    assert str(error) == text
    assert error.hint == "check it"


def test_without_hidden_fields_errors_are_as_they_came() -> None:
    error = Rejected("Email is bad", fields=("Email",))

    limit_error(FieldLimits.of(Policy(read_only=True)), error)
    limit_error(FieldLimits.of(Policy.read({"mask_fields": ["Contact.Email"]})), error)

    assert (str(error), error.fields) == ("Email is bad", ("Email",))


def test_an_answer_of_which_nothing_is_known_says_that_it_failed() -> None:
    error = Unanswered("Salesforce failed while it worked on this: Email trigger")

    limit_error(LIMITS, error)

    assert str(error) == "Salesforce failed while it worked on this"


def test_results_of_many_records_and_remembered_answers_are_limited_too() -> None:
    result = RecordResult("failed", "003", "BAD", "Email is bad", ("Email", "Fax"))
    batch = limit_batch(LIMITS, ResultBatch(0, [result]))
    bulk = BulkResult("1", Counts(failed=1), [result.as_json(0)], warnings=("job 1: Email", "slow"))

    assert batch.results[0] == RecordResult("failed", "003", "BAD", REFUSED, ("Fax",))
    limited = limit_answer(LIMITS, bulk)
    assert limited.results == [batch.results[0].as_json(0)]
    assert limited.warnings == ("slow",)
    assert limit_answer(LIMITS, Created("003", "https://x", ("overlaps with …",))).warnings == ()
    assert limit_answer(FieldLimits.of(Policy()), bulk) is bulk


def test_records_that_look_the_same_are_not_named_where_they_may_be_of_objects_that_may_not_be_read() -> None:
    limits = FieldLimits.of(Policy(deny_objects=(read_object_rule("Lead"),)))
    error = Rejected("a rule", code="DUPLICATES_DETECTED", hint="these: 00Q1", details={"duplicates": ["00Q1"]})
    result = RecordResult("failed", None, "DUPLICATES_DETECTED", "a rule; these: 00Q1")

    limit_error(limits, error)
    (row,) = limit_batch(limits, ResultBatch(0, [result])).results

    assert "00Q1" not in f"{error.hint} {error.details} {row}"
