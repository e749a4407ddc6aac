"""A create that Salesforce refused for certain is never answered or recorded as unknown, whatever follows."""

import asyncio
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.errors import CallError
from orgserver.model.names import CONTACT, RecordId
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from tests import operations

ROWS, TOKEN = ".*/sobjects/Contact", ".*/token"
BUSY = '[{"message":"Server too busy","errorCode":"SERVER_UNAVAILABLE"}]'
LIMIT = '[{"message":"ConcurrentRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'
FAILED = """{"id": "003000000000001AAA", "success": false, "errors": [{"statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
"message": "Only on weekdays", "fields": ["LastName"]}]}"""
SECONDS = 2.0


async def refusal(open_again: Any, caller: Caller) -> tuple[CallError, AuditEntry, float]:
    """Create a contact; the error, its audit entry and how long it took."""
    async with open_again(call_timeout=SECONDS) as app:
        started = asyncio.get_running_loop().time()
        with pytest.raises(CallError) as caught:
            await operations.create(app, caller, "salesforce_create_contact", "acme", CONTACT, {"LastName": "Once"})
        taken = asyncio.get_running_loop().time() - started
        entries = [entry async for entry in app.audit_log.entries(EntryFilter()) if entry.action == "create"]
    return caught.value, entries[-1], taken


@pytest.mark.parametrize("kind", ["hang", "close", "status"])
async def test_a_stale_token_and_then_none_in_time_is_not_unknown(
    app: Any, open_again: Any, acme: SandboxOrg, caller: Caller, kind: Any
) -> None:
    acme.expire_access_tokens()
    acme.fault(kind, path=TOKEN, seconds=3 * SECONDS, times=9, status=500)

    error, entry, _ = await refusal(open_again, caller)

    assert (error.outcome, entry.outcome, error.category != "internal") == ("not_sent", "not_sent", True)
    assert entry.error_code == error.code
    assert entry.http_status == 401


@pytest.mark.parametrize(
    ("status", "body", "code", "category"),
    [(503, BUSY, "SERVER_UNAVAILABLE", "upstream"), (503, LIMIT, "REQUEST_LIMIT_EXCEEDED", "rate_limited"),
     (429, LIMIT, "REQUEST_LIMIT_EXCEEDED", "rate_limited")],
)  # fmt: skip
async def test_a_refusal_with_a_time_beyond_the_deadline_is_told_at_once(
    app: Any, open_again: Any, acme: SandboxOrg, caller: Caller, status: int, body: str, code: str, category: str
) -> None:
    acme.fault("status", path=ROWS, status=status, body=body, headers={"retry-after": "3600"}, times=9)

    error, entry, taken = await refusal(open_again, caller)

    assert (error.code, error.category, error.outcome, entry.outcome) == (code, category, "rejected", "rejected")
    assert sum(seen.method == "POST" and "sobjects" in seen.path for seen in acme.requests) == 1
    assert taken < SECONDS


@pytest.mark.parametrize(
    ("body", "code", "outcome"),
    [(FAILED, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "rejected"), ('{"success": null}', "BAD_REPLY", "unknown")],
)
async def test_a_create_that_failed_under_a_status_of_success_is_not_called_created(
    app: Any, open_again: Any, acme: SandboxOrg, caller: Caller, body: str, code: str, outcome: str
) -> None:
    acme.fault("status", path=ROWS, status=201, body=body)

    error, entry, _ = await refusal(open_again, caller)

    assert (error.code, error.outcome, entry.outcome) == (code, outcome, outcome)
    assert entry.http_status == 201


@pytest.mark.parametrize(("body", "outcome"), [(FAILED, "rejected"), ("[]", "unknown"), ("null", "unknown")])
async def test_a_change_that_failed_under_a_status_of_success_is_not_called_done(
    app: App, acme: SandboxOrg, caller: Caller, body: str, outcome: str
) -> None:
    contact = RecordId(next(iter(acme.records.tables["Contact"])))
    acme.fault("status", path=f"{ROWS}/.*", method="PATCH|DELETE", status=200, body=body, times=2)

    with pytest.raises(CallError) as updated:
        await operations.update(app, caller, "salesforce_update_record", "acme", CONTACT, contact, {"LastName": "Once"})
    with pytest.raises(CallError) as deleted:
        await operations.delete(app, caller, "salesforce_delete_record", "acme", CONTACT, contact)

    assert (updated.value.outcome, deleted.value.outcome) == (outcome, outcome)


async def test_refused_again_and_again_until_the_time_is_up_is_rejected(
    app: Any, open_again: Any, acme: SandboxOrg, caller: Caller
) -> None:
    acme.fault("status", path=ROWS, status=503, body=BUSY, headers={"retry-after": "1"}, times=9)

    error, entry, _ = await refusal(open_again, caller)

    assert (error.code, error.outcome, entry.outcome) == ("SERVER_UNAVAILABLE", "rejected", "rejected")


async def test_an_answer_that_does_not_come_in_time_stays_unknown(
    app: Any, open_again: Any, acme: SandboxOrg, caller: Caller
) -> None:
    acme.fault("hang", path=ROWS, seconds=30, work=True)

    error, entry, _ = await refusal(open_again, caller)

    assert (error.code, error.outcome, entry.outcome) == ("TIMEOUT", "unknown", "unknown")


async def test_a_stale_token_and_then_a_new_one_creates_the_contact(
    app: Any, open_again: Any, acme: SandboxOrg, caller: Caller
) -> None:
    acme.expire_access_tokens()

    async with open_again(call_timeout=30) as again:
        made = await operations.create(
            again, caller, "salesforce_create_contact", "acme", CONTACT, {"LastName": "Once"}
        )

    assert made.id.startswith("003")
