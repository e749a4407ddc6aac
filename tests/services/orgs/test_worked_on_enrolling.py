"""Was the proof of an enrolment worked on? The same answers as for a refresh, met by ``add-org`` and ``update-org``.

Each hostile test (``…_after_it_rotated``, ``…_is_wrong``) has a friendly twin (``…_before_any_work``, ``…_goes_on``).
"""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from orgserver.app import App
from orgserver.model.errors import EnrolmentError
from orgserver.model.names import CONTACT, alias
from orgserver.model.orgs import Caller, OrgState
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.enrolment import Registration
from orgserver.services.orgs.pending_enrolment import EnrolmentProgress
from orgserver.services.orgs.registration import Login, read_redirect
from orgserver.services.queries.list_query import Listing
from tests import operations
from tests.services.tokens.test_worked_on import ANSWERS, TOKEN, WRONG

UNUSABLE = [name for name, (_, state) in WRONG.items() if state is OrgState.IN_DOUBT]
"""Answers of which only the refresh token is any good, whoever the org is."""


def registration(org: SandboxOrg, **options: Any) -> Registration:
    given = org.credentials()
    made = Registration(
        alias=alias("acme"),
        client_id=given["client_id"],
        client_secret=Secret(given["client_secret"]),
        login_url=given["login_url"],
        source="a test",
        refresh_token=Secret(given["refresh_token"]),
        trusted_hosts=tuple(given["trust_hosts"]),
    )
    return replace(made, **options)


@pytest.fixture
async def empty(open_again: Any) -> Any:
    async with open_again() as opened:
        yield opened


async def works(app: App, caller: Caller) -> bool:
    page = await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))
    return page.total_size == 4


async def kept_token(app: App) -> str | None:
    """The refresh token that a pending enrolment holds."""
    draft = (await EnrolmentProgress(app.store).find(alias("acme"))).get(alias("acme"))
    return draft.facts["refresh_token"] if draft else None


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_proof_is_tried_once_more_by_the_next_run_after_it_rotated(
    empty: App, caller: Caller, acme: SandboxOrg, answer: str
) -> None:
    given = registration(acme)
    acme.fault(path=TOKEN, work=True, **ANSWERS[answer])

    with pytest.raises(EnrolmentError, match="may have spent the refresh token") as refused:
        await empty.enrolment.add(caller, given)
    assert (refused.value.outcome, acme.counters.reuses) == ("unknown", 0)
    with pytest.raises(EnrolmentError, match="an earlier run sent it and never saw the answer"):
        await empty.enrolment.add(caller, given)

    assert acme.counters.reuses == 1
    assert await kept_token(empty) is None


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_proof_is_tried_once_more_by_the_next_run_before_any_work(
    empty: App, caller: Caller, acme: SandboxOrg, answer: str
) -> None:
    given = registration(acme)
    acme.fault(path=TOKEN, **ANSWERS[answer])

    with pytest.raises(EnrolmentError, match="may have spent the refresh token"):
        await empty.enrolment.add(caller, given)
    enrolled = await empty.enrolment.add(caller, given)

    assert (enrolled.resumed, acme.counters.reuses) == (True, 0)
    assert await works(empty, caller)


def spoil(acme: SandboxOrg, wrong: str) -> None:
    for name, value in WRONG[wrong][0].items():
        setattr(acme.answers, name, value)


def mend(acme: SandboxOrg) -> None:
    acme.answers.fields, acme.answers.without = {}, []


@pytest.mark.parametrize("wrong", UNUSABLE)
async def test_the_rotated_token_of_a_proof_that_is_wrong_is_kept_and_goes_on(
    empty: App, caller: Caller, acme: SandboxOrg, wrong: str
) -> None:
    given = registration(acme)
    spoil(acme, wrong)

    with pytest.raises(EnrolmentError, match="only the new refresh token can be used") as refused:
        await empty.enrolment.add(caller, given)
    assert await kept_token(empty) == acme.refresh_token
    assert acme.refresh_token not in str(refused.value)
    mend(acme)
    enrolled = await empty.enrolment.add(caller, given)

    assert (enrolled.resumed, enrolled.rotated, acme.counters.reuses) == (True, True, 0)
    assert await works(empty, caller)


async def browser(begun: Login) -> Secret:
    """What a person does who presses Allow."""
    async with httpx.AsyncClient() as web:
        reply = await web.get(begun.url)
    return read_redirect(reply.headers["location"], begun)


async def nobody(_begun: Login) -> Secret:
    raise AssertionError("the next run goes on without another login")


async def test_the_refresh_token_of_a_login_that_is_wrong_otherwise_is_kept_and_goes_on(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    given = registration(acme, auth="web", refresh_token=None)
    spoil(acme, "no_access_token")

    with pytest.raises(EnrolmentError, match="only the new refresh token can be used"):
        await empty.enrolment.add(caller, given, browser)
    mend(acme)
    await empty.enrolment.add(caller, given, nobody)

    assert acme.counters.reuses == 0
    assert await works(empty, caller)


async def test_new_credentials_of_an_org_keep_the_rotated_token_too(app: App, caller: Caller, acme: SandboxOrg) -> None:
    family = acme.logins.begin(acme.client_id, "refresh_token api")
    given = registration(acme, replace=True, refresh_token=Secret(family.refresh_token or ""))
    acme.counters.reuses = 0
    spoil(acme, "no_access_token")

    with pytest.raises(EnrolmentError, match="only the new refresh token can be used"):
        await app.enrolment.add(caller, given)
    assert await kept_token(app) == family.refresh_token
    assert await works(app, caller)  # with what it had before
    mend(acme)
    enrolled = await app.enrolment.add(caller, given)

    assert (enrolled.resumed, acme.counters.reuses) == (True, 0)
    assert await works(app, caller)


async def test_a_connection_that_was_never_made_forgets_no_earlier_try(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    given = registration(acme)
    acme.fault("close", path=TOKEN, work=True)
    with pytest.raises(EnrolmentError, match="may have spent"):
        await empty.enrolment.add(caller, given)
    with pytest.raises(EnrolmentError, match="could not be reached"):
        await empty.enrolment.add(
            caller, replace(given, login_url="http://127.0.0.1:1", trusted_hosts=("127.0.0.1:1",))
        )

    with pytest.raises(EnrolmentError, match="an earlier run sent it"):
        await empty.enrolment.add(caller, given)
