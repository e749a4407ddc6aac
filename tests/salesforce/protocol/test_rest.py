"""A change is told as what its reply says of it: its status alone is no success."""

from typing import Any

import pytest

from orgserver.model.errors import CallError, Rejected, Unanswered
from orgserver.salesforce.protocol import bodies, bulk, rest
from orgserver.salesforce.protocol.messages import Reply

ID = "003000000000001AAA"
ERRORS = [
    {
        "statusCode": "REQUIRED_FIELD_MISSING",
        "message": "Required fields are missing: [LastName]",
        "fields": ["LastName"],
    }
]
FAILED = {"id": ID, "success": False, "errors": ERRORS}
UNKNOWN: list[Any] = [[], [ERRORS[0]], {}, {"id": ID}, {"success": None}, {"success": "true"}, {"success": 1}, 1, "ok"]


def failure(read: Any, status: int, body: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        read(Reply(status, {}, body, size=100))
    return caught.value


@pytest.mark.parametrize(
    ("read", "status"),
    [(rest.read_created, 201), (rest.read_upserted, 200), (rest.read_upserted, 201), (rest.read_changed, 200)],
)
def test_a_change_that_says_it_failed_is_rejected_with_its_errors(read: Any, status: int) -> None:
    error = failure(read, status, FAILED)

    assert isinstance(error, Rejected)
    assert (error.code, error.category, error.outcome) == ("REQUIRED_FIELD_MISSING", "invalid_argument", "rejected")
    assert (str(error), error.fields) == (ERRORS[0]["message"], ("LastName",))


@pytest.mark.parametrize("errors", [None, [], {}, "x", [{}], [None]])
@pytest.mark.parametrize("read", [rest.read_created, rest.read_changed])
def test_a_change_that_failed_without_a_reason_is_rejected_too(read: Any, errors: Any) -> None:
    error = failure(read, 200, {"id": None, "success": False, "errors": errors})

    assert (error.code, error.outcome) == ("REJECTED", "rejected")


def test_a_failure_keeps_what_its_code_means() -> None:
    locked = [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain exclusive access", "fields": []}]

    error = failure(rest.read_changed, 200, {"id": ID, "success": False, "errors": locked})

    assert isinstance(error, Rejected)
    assert (error.category, error.retryable) == ("conflict", True)


@pytest.mark.parametrize("success", [None, "true", "false", 0, 1, []])
def test_a_create_that_says_neither_is_unknown(success: Any) -> None:
    assert isinstance(failure(rest.read_created, 201, {"id": ID, "success": success}), Unanswered)


@pytest.mark.parametrize("body", UNKNOWN)
def test_an_update_or_delete_with_another_body_is_unknown(body: Any) -> None:
    assert isinstance(failure(rest.read_changed, 200, body), Unanswered)


def test_an_update_that_is_answered_by_null_is_unknown() -> None:
    body = bodies.read(200, {"content-type": "application/json"}, b"null")

    assert isinstance(failure(rest.read_changed, 200, body), Unanswered)


def test_a_change_that_succeeded_is_told_as_that() -> None:
    saved = {"id": ID, "success": True, "errors": []}

    assert rest.read_created(Reply(201, {}, saved)) == ID
    assert rest.read_upserted(Reply(200, {}, saved | {"created": False})) == (ID, False)
    assert rest.read_upserted(Reply(201, {}, saved | {"created": True})) == (ID, True)
    for reply in (Reply(204, {}, None), Reply(200, {}, None), Reply(200, {}, saved, size=60)):
        rest.read_changed(reply)


def test_a_record_of_a_collection_that_says_neither_is_unknown() -> None:
    odd = [{"id": ID}, {"id": ID, "success": "true"}, {"success": True}, {"id": "<b>", "success": True}, None]

    verdicts = bulk.read_collection(Reply(200, {}, [FAILED, {"id": ID, "success": True, "errors": []}, *odd]), 7)

    assert [each.state for each in verdicts] == ["failed", "succeeded", *["unknown"] * 5]
    assert (verdicts[0].code, verdicts[0].fields) == ("REQUIRED_FIELD_MISSING", ("LastName",))
