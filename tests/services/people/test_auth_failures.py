"""A failed authentication is an entry: one a second for each source, with how many there were, and no secret in it."""

import asyncio

import pytest

from orgserver.app import App
from orgserver.model.access.principals import Principal, Subject
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.errors import StoreError
from orgserver.model.orgs import Caller
from orgserver.services.people import auth_failures
from orgserver.services.people.auth_failures import NOBODY, AuthFailure
from orgserver.services.people.requests import PrincipalChanges
from orgserver.services.people.subjects import SubjectRefusal
from tests.conftest import OpenApp

ISSUER = "https://idp.example.com"


def failure(source: str = "192.0.2.1", code: str = "UNKNOWN_KEY") -> AuthFailure:
    return AuthFailure(source, code, 401)


async def end_second(app: App) -> None:
    """What happens once a second."""
    failures = app.people.auth_failures
    await failures._write(failures._take_counted())


async def entries(app: App) -> list[AuditEntry]:
    return await app.audit_log.newest(EntryFilter(action="auth_failed"), 100)


async def test_the_first_of_a_source_is_on_record_at_once_and_those_after_it_are_counted(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_failures, "SECONDS", 60)
    failures = app.people.auth_failures

    await failures.record(failure())
    await failures.record(failure("192.0.2.2"))
    assert [(entry.fields, entry.row_count) for entry in await entries(app)] == [
        (("source:192.0.2.2",), 1), (("source:192.0.2.1",), 1),
    ]  # fmt: skip
    for number in range(50):
        await failures.record(failure(code="REVOKED_KEY" if number == 49 else "UNKNOWN_KEY"))
    assert len(await entries(app)) == 2
    await end_second(app)
    newest, *others = await entries(app)
    assert (newest.row_count, newest.error_code, newest.decision) == (50, "REVOKED_KEY", "auth:revoked-key")
    assert len(others) == 2
    await end_second(app)  # nobody is remembered any more
    await failures.record(failure())
    assert [entry.row_count for entry in await entries(app)] == [1, 50, 1, 1]


async def test_an_entry_follows_another_of_its_source_after_a_second_at_the_soonest(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_failures, "SECONDS", 60)

    await app.people.auth_failures.record(failure())
    await end_second(app)  # which may have begun long before that failure
    await app.people.auth_failures.record(failure())
    assert [entry.row_count for entry in await entries(app)] == [1]
    await end_second(app)
    assert [entry.row_count for entry in await entries(app)] == [1, 1]


async def test_a_network_of_ipv6_is_one_source_however_many_addresses_it_uses(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_failures, "SECONDS", 60)

    for number in range(1, 31):
        await app.people.auth_failures.record(failure(f"2001:db8:0:7::{number:x}"))
    await app.people.auth_failures.record(failure("2001:db8:0:8::1"))
    await end_second(app)

    assert [(entry.fields, entry.row_count) for entry in await entries(app)] == [
        (("source:2001:db8:0:7::1e",), 29), (("source:2001:db8:0:8::1",), 1), (("source:2001:db8:0:7::1",), 1),
    ]  # fmt: skip


async def test_of_sources_without_number_there_is_one_entry(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_failures, "SECONDS", 60)
    monkeypatch.setattr(auth_failures, "MOST_SOURCES", 3)

    for number in range(40):
        await app.people.auth_failures.record(failure(f"2001:db8:0:{number:x}::1"))
    await end_second(app)

    assert [(entry.fields, entry.row_count) for entry in await entries(app)][:2] == [
        (("source:(others)",), 36), (("source:(others)",), 1),
    ]  # fmt: skip
    assert len(await entries(app)) == 5


async def test_what_was_counted_is_written_at_the_end(open_again: OpenApp) -> None:
    async with open_again() as app:
        for _ in range(3):
            await app.people.auth_failures.record(failure())
    async with open_again() as app:
        assert [entry.row_count for entry in await entries(app)] == [2, 1]


async def test_what_the_store_does_not_take_now_is_counted_and_written_later(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_failures, "SECONDS", 0.2)
    write = app.store.database.write

    async def refuse(*_arguments: object, **_options: object) -> None:
        raise StoreError("the store is away")

    monkeypatch.setattr(app.store.database, "write", refuse)
    for _ in range(4):
        await app.people.auth_failures.record(failure())
    monkeypatch.setattr(app.store.database, "write", write)
    async with asyncio.timeout(10):
        while not (on_record := await entries(app)):
            await asyncio.sleep(0.02)

    assert [entry.row_count for entry in on_record] == [4]


async def test_an_entry_says_who_it_was_as_far_as_that_is_known(app: App) -> None:
    subject = Subject(ISSUER, "ada\u202e\n" + "x" * 300)
    known = AuthFailure("192.0.2.1", "PRINCIPAL_DISABLED", 403, "ada", "key-id", subject)

    await app.people.auth_failures.record(known)
    await app.people.auth_failures.record(failure("192.0.2.9"))

    unknown, entry = await entries(app)
    assert (entry.principal, entry.transport, entry.tool, entry.http_status) == ("ada", "http", "authenticate", 403)
    assert entry.outcome == "denied"
    assert entry.fields[:3] == ("source:192.0.2.1", "key:key-id", f"issuer:{ISSUER}")
    assert "\u202e" not in entry.fields[3]
    assert "\n" not in entry.fields[3]
    assert unknown.principal == NOBODY


async def test_a_subject_is_a_principal_to_the_letter_and_no_longer_than_it_may_call(
    app: App, caller: Caller, open_again: OpenApp
) -> None:
    subject, other = Subject(ISSUER, "ada@idp"), Subject(f"{ISSUER}/", "ada@idp")
    find = app.people.subjects.find
    await app.people.principals.add(caller, "ada", PrincipalChanges(subjects=(subject,)))
    assert await find(subject) == Principal("ada")
    assert await find(Subject(ISSUER, "nobody"), subject) == Principal("ada")
    for stranger in (other, Subject(ISSUER, "Ada@idp"), Subject(ISSUER, "ada@idp ")):
        assert await find(stranger) is SubjectRefusal.UNKNOWN

    async with open_again() as elsewhere:
        await elsewhere.people.principals.update(caller, "ada", PrincipalChanges(enabled=False))
        assert await find(subject) is SubjectRefusal.DISABLED
        await elsewhere.people.principals.update(caller, "ada", PrincipalChanges(enabled=True, no_subjects=(subject,)))
        assert await find(subject) is SubjectRefusal.UNKNOWN
