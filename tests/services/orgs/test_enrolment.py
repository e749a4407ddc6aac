"""Registering proves and pins; it survives being broken off at every step, and never sends a spent token again."""

import asyncio
import itertools
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.errors import EnrolmentError, StoreError
from orgserver.model.names import CONTACT, alias
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.enrolment import Enrolment, Registration
from orgserver.services.queries.list_query import Listing
from orgserver.store.transaction import Transaction
from tests import operations
from tests.refusing_stores import make_refusing


def registration(org: SandboxOrg, name: str = "acme", token: str = "", **options: Any) -> Registration:
    given = org.credentials()
    return Registration(
        alias=alias(name),
        client_id=given["client_id"],
        client_secret=Secret(given["client_secret"]),
        refresh_token=Secret(token or given["refresh_token"]),
        login_url=given["login_url"],
        source="a test",
        trusted_hosts=tuple(given["trust_hosts"]),
        **options,
    )


@pytest.fixture
async def empty(open_again: Any) -> Any:
    async with open_again() as opened:
        yield opened


async def works(app: App, caller: Caller, name: str = "acme") -> bool:
    page = await operations.list_(app, caller, "salesforce_list_contacts", name, Listing(CONTACT))
    return bool(page.total_size)


async def test_registering_pins_what_the_org_says_of_itself(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    enrolled = await empty.enrolment.add(caller, registration(acme))

    org = enrolled.org
    assert (org.org_id, org.kind, org.edition, org.api_version) == (
        acme.org_id,
        "developer",
        "Developer Edition",
        "v68.0",
    )
    assert org.user is not None and org.user.username == acme.username
    assert enrolled.rotated
    assert await works(empty, caller)


@pytest.mark.parametrize("path", [".*/userinfo", ".*/query", "/services/data"])
async def test_broken_off_after_the_token_was_spent_the_same_command_goes_on(
    empty: App, caller: Caller, acme: SandboxOrg, path: str
) -> None:
    given = registration(acme)
    acme.fault("close", path=path, times=4)
    with pytest.raises(EnrolmentError) as broken:
        await empty.enrolment.add(caller, given)
    assert "kept" in (broken.value.hint or "")
    assert await empty.registry.all() == []
    acme.faults.clear()

    enrolled = await empty.enrolment.add(caller, given)

    assert enrolled.resumed
    assert acme.counters.reuses == 0
    assert await works(empty, caller)


async def test_cancelled_at_any_step_nothing_is_lost(open_again: Any, caller: Caller, acme: SandboxOrg) -> None:
    """Cancel after one turn of the event loop, then after two, and so on until the command gets through."""
    given = registration(acme)
    async with open_again() as app:
        for turns in itertools.count(1):
            task = asyncio.ensure_future(app.enrolment.add(caller, given))
            for _ in range(turns * 3):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
                break
            except asyncio.CancelledError:
                assert turns < 5_000
            except EnrolmentError as error:
                if "already registered" not in str(error):  # else the last step had gone in
                    raise
                break

        assert acme.counters.reuses == 0
        assert await works(app, caller)


async def test_a_store_that_takes_no_writes_spends_no_token(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    enrolment = Enrolment(make_refusing(empty.store), empty.access, empty.registry)

    with pytest.raises(StoreError):
        await enrolment.add(caller, registration(acme))
    assert acme.requests == []


async def test_an_answer_that_is_lost_is_asked_for_once_more(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.rotation = False
    acme.fault("close", path=".*/token", work=True)
    with pytest.raises(EnrolmentError, match="may have spent"):
        await empty.enrolment.add(caller, registration(acme))

    assert (await empty.enrolment.add(caller, registration(acme))).org.org_id == acme.org_id


async def test_a_rotated_token_whose_answer_was_lost_is_reported_as_lost(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    given = registration(acme)
    acme.fault("close", path=".*/token", work=True)
    with pytest.raises(EnrolmentError):
        await empty.enrolment.add(caller, given)

    with pytest.raises(EnrolmentError, match="an earlier run sent it and never saw the answer"):
        await empty.enrolment.add(caller, given)


@pytest.mark.parametrize("name", ["acme", "acme2"])
async def test_the_spent_copy_is_never_sent_again(empty: App, caller: Caller, acme: SandboxOrg, name: str) -> None:
    spent = acme.refresh_token
    await empty.enrolment.add(caller, registration(acme))
    acme.requests.clear()

    with pytest.raises(EnrolmentError, match="was spent when acme was registered"):
        await empty.enrolment.add(caller, registration(acme, name, spent, replace=True))

    assert acme.requests == []
    assert acme.counters.reuses == 0
    assert await works(empty, caller)


async def test_two_aliases_never_share_a_token(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.rotation = False
    await empty.enrolment.add(caller, registration(acme))

    with pytest.raises(EnrolmentError, match="already in use for acme"):
        await empty.enrolment.add(caller, registration(acme, "twin"))
    assert [org.alias for org in await empty.registry.all()] == ["acme"]


async def test_new_credentials_must_be_of_the_same_org(
    empty: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await empty.enrolment.add(caller, registration(acme))

    with pytest.raises(EnrolmentError, match="of another org"):
        await empty.enrolment.add(caller, registration(globex, "acme", replace=True))
    assert await works(empty, caller)


async def test_replaced_credentials_take_over(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    await empty.enrolment.add(caller, registration(acme))
    acme.refresh_token = "5AepANewLoginOfTheSameUser"
    acme.expire_access_tokens()

    await empty.enrolment.add(caller, registration(acme, replace=True))

    assert await works(empty, caller)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ({"client_id": "wrong"}, "client id or secret"),
        ({"client_secret": Secret("wrong")}, "client id or secret"),
        ({"refresh_token": Secret("5Aepwrong")}, "does not take this refresh token"),
        ({"login_url": "http://127.0.0.1:1", "trusted_hosts": ("127.0.0.1:1",)}, "could not be reached"),
        ({"login_url": "https://evil.example"}, "not one of Salesforce's own hosts"),
        ({"login_url": "ftp://x"}, "must begin with https"),
        ({"api_version": "v20.0"}, "does not offer API version"),
    ],
)
async def test_what_cannot_be_proven_is_not_registered(
    empty: App, caller: Caller, acme: SandboxOrg, spoil: dict[str, Any], told: str
) -> None:
    from dataclasses import replace

    with pytest.raises(EnrolmentError, match=told) as refused:
        await empty.enrolment.add(caller, replace(registration(acme), **spoil))

    assert "\n" not in str(refused.value)
    assert await empty.registry.all() == []


async def test_without_verification_the_first_call_pins_the_org(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    enrolled = await empty.enrolment.add(caller, registration(acme, verify=False))
    assert acme.requests == []
    assert enrolled.org.org_id is None

    assert await works(empty, caller)
    assert (await empty.registry.one("acme")).org_id == acme.org_id


async def test_removing_revokes_the_token_and_destroys_the_secrets(
    empty: App, caller: Caller, acme: SandboxOrg, tmp_path: Any
) -> None:
    await empty.enrolment.add(caller, registration(acme))

    assert await empty.registry.remove(caller, "acme", keep_token=False)
    assert acme.refresh_token == ""

    def counts(tx: Transaction) -> list[int]:
        from sqlalchemy import text

        names = ("orgs", "credentials", "access_tokens", "data_keys", "enrolments")
        return [tx.connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names]

    assert await empty.store.database.write(counts) == [0] * 5


async def test_a_check_refreshes_and_tells(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    await empty.enrolment.add(caller, registration(acme))
    acme.expire_access_tokens()
    good = await empty.registry.check("acme")
    acme.refresh_token = ""
    acme.expire_access_tokens()
    bad = await empty.registry.check("acme")

    assert (good.error, good.username) == (None, acme.username)
    assert bad.error is not None and bad.org.state.value == "needs_login"
