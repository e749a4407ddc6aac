"""Assertions go where their org's app is, remember what worked there, and never to a stranger for anybody else."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orgserver.app import App
from orgserver.model.errors import CallError, EnrolmentError
from orgserver.model.names import alias
from orgserver.model.orgs import Caller, OrgState
from orgserver.model.secret import Secret
from orgserver.salesforce.auth.audiences import LOGIN_URL, TEST_URL
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.enrolment import Registration
from tests.jwt_world import AUDIENCE, EVIL, EXPIRED, HOME, MISSING, World
from tests.senders import HttpxSenders

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PEM = Secret(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
AT_HOME = (HOME, HOME)
AT_HOME_FOR_LOGIN = (HOME, LOGIN_URL)
AT_LOGIN = (LOGIN_URL, LOGIN_URL)


def registration(login_url: str, **options: Any) -> Registration:
    made = Registration(
        alias=alias("acme"),
        client_id="3MVG9",
        client_secret=None,
        login_url=login_url,
        source="a test",
        auth="jwt",
        private_key=PEM,
        username="bot@acme.com",
    )
    return replace(made, **options)


@pytest.fixture
async def empty(open_again: Any) -> AsyncIterator[App]:
    async with open_again() as opened:
        yield opened


async def shown_after(app: App, world: World) -> list[tuple[str, str]]:
    """What is shown for the next token, once every session has ended."""
    world.expire()
    world.shown.clear()
    await app.registry.check("acme")
    return world.shown


# -- audiences


async def test_an_external_client_app_is_met_at_its_own_host_alone(
    empty: App, transports: HttpxSenders, caller: Caller
) -> None:
    world = World({AT_HOME}, MISSING)
    world.install(transports)

    enrolled = await empty.enrolment.add(caller, registration(HOME))

    assert world.shown == [AT_HOME]
    assert enrolled.org.instance_url == HOME
    assert await shown_after(empty, world) == [AT_HOME]


async def test_an_older_app_that_takes_login_alone_is_met_so_from_then_on(
    open_again: Any, empty: App, transports: HttpxSenders, caller: Caller
) -> None:
    world = World({AT_HOME_FOR_LOGIN})
    world.install(transports)

    await empty.enrolment.add(caller, registration(HOME))

    assert world.shown == [AT_HOME, AT_HOME_FOR_LOGIN]
    assert await shown_after(empty, world) == [AT_HOME_FOR_LOGIN]
    async with open_again() as another_process:
        assert await shown_after(another_process, world) == [AT_HOME_FOR_LOGIN]


async def test_the_own_host_that_login_names_is_used_from_then_on(
    empty: App, transports: HttpxSenders, caller: Caller
) -> None:
    world = World({AT_LOGIN, AT_HOME})
    world.install(transports)

    await empty.enrolment.add(caller, registration(LOGIN_URL))

    assert world.shown == [AT_LOGIN, AT_HOME]
    assert await shown_after(empty, world) == [AT_HOME]


async def test_an_app_that_knows_login_alone_stays_there(empty: App, transports: HttpxSenders, caller: Caller) -> None:
    world = World({AT_LOGIN})
    world.install(transports)

    await empty.enrolment.add(caller, registration(LOGIN_URL))

    assert world.shown == [AT_LOGIN, AT_HOME]
    assert await shown_after(empty, world) == [AT_LOGIN]


async def test_the_day_login_no_longer_knows_an_app_its_own_host_takes_over(
    empty: App, transports: HttpxSenders, caller: Caller
) -> None:
    world = World({AT_LOGIN})
    world.install(transports)
    await empty.enrolment.add(caller, registration(LOGIN_URL))

    world.takes, world.refusal = {AT_HOME}, MISSING

    assert await shown_after(empty, world) == [AT_LOGIN, AT_HOME]
    assert await shown_after(empty, world) == [AT_HOME]
    assert (await empty.registry.one("acme")).state is OrgState.READY


async def test_an_audience_that_stops_working_is_replaced_by_the_other(
    empty: App, transports: HttpxSenders, caller: Caller
) -> None:
    world = World({AT_HOME})
    world.install(transports)
    await empty.enrolment.add(caller, registration(HOME))

    world.takes = {AT_HOME_FOR_LOGIN}

    assert await shown_after(empty, world) == [AT_HOME, AT_HOME_FOR_LOGIN]
    assert await shown_after(empty, world) == [AT_HOME_FOR_LOGIN]


async def test_a_refused_audience_is_tried_once_with_the_other_and_kills_nothing(
    empty: App, transports: HttpxSenders, caller: Caller
) -> None:
    world = World({AT_HOME})
    world.install(transports)
    await empty.enrolment.add(caller, registration(HOME))
    world.takes = set()

    assert await shown_after(empty, world) == [AT_HOME, AT_HOME_FOR_LOGIN]

    org = await empty.registry.one("acme")
    assert org.state is OrgState.READY
    assert org.problem is not None and "--audience" in org.problem.hint
    world.takes = {AT_HOME}
    assert (await empty.registry.check("acme")).error is None


async def test_without_its_own_host_an_external_client_app_says_what_to_do(
    empty: App, transports: HttpxSenders, caller: Caller
) -> None:
    world = World({AT_HOME}, MISSING)
    world.install(transports)

    with pytest.raises(EnrolmentError, match="app_not_found") as refused:
        await empty.enrolment.add(caller, registration(LOGIN_URL))

    assert world.shown == [AT_LOGIN]
    assert "--login-url https://MYDOMAIN.my.salesforce.com" in (refused.value.hint or "")
    assert await empty.registry.all() == []


@pytest.mark.parametrize("refusal", [AUDIENCE, MISSING])
async def test_a_chosen_audience_is_the_only_one_shown(
    empty: App, transports: HttpxSenders, caller: Caller, refusal: dict[str, str]
) -> None:
    world = World({AT_HOME, AT_HOME_FOR_LOGIN}, refusal)
    world.install(transports)

    with pytest.raises(EnrolmentError):
        await empty.enrolment.add(caller, registration(HOME, audience=TEST_URL))
    assert world.shown == [(HOME, TEST_URL)]

    world.shown.clear()
    await empty.enrolment.add(caller, registration(HOME, audience=LOGIN_URL))
    assert world.shown == [AT_HOME_FOR_LOGIN]
    world.takes = {AT_HOME}
    assert await shown_after(empty, world) == [AT_HOME_FOR_LOGIN]


@pytest.mark.parametrize("refusal", [AUDIENCE, MISSING, EXPIRED])
async def test_a_trusted_stranger_gets_assertions_for_itself_alone_whatever_it_answers(
    empty: App, transports: HttpxSenders, caller: Caller, refusal: dict[str, str]
) -> None:
    """The hostile twin of the older app: an assertion for ``login`` could be replayed there by whoever got it."""
    world = World({(EVIL, EVIL)}, refusal)
    world.install(transports)
    given = registration(EVIL, trusted_hosts=(EVIL.partition("://")[2],), instance_url=HOME)
    await empty.enrolment.add(caller, given)
    assert await shown_after(empty, world) == [(EVIL, EVIL)]

    world.takes = set()
    for _ in range(3):
        assert set(await shown_after(empty, world)) == {(EVIL, EVIL)}
    with pytest.raises(EnrolmentError):
        await empty.enrolment.add(caller, replace(given, alias=alias("other")))
    for audience in (LOGIN_URL, TEST_URL, HOME):
        with pytest.raises(EnrolmentError, match="for itself alone"):
            await empty.enrolment.add(caller, replace(given, alias=alias("other"), audience=audience))
    assert set(world.shown) == {(EVIL, EVIL)}


# -- the clock


@pytest.mark.parametrize(
    ("ahead", "words"), [(3_720, "1 h 2 min behind Salesforce's"), (-3_720, "1 h 2 min ahead of Salesforce's")]
)
@pytest.mark.parametrize("text", ["expired authorization code", "invalid assertion", "authentication failure"])
async def test_a_clock_that_is_off_is_named_and_the_org_works_again_when_it_is_right(
    empty: App, transports: HttpxSenders, caller: Caller, ahead: int, words: str, text: str
) -> None:
    world = World({AT_HOME})
    world.install(transports)
    await empty.enrolment.add(caller, registration(HOME))
    world.ahead, world.refuses_all = ahead, {"error": "invalid_grant", "error_description": text}
    world.expire()

    checked = await empty.registry.check("acme")

    assert isinstance(checked.error, CallError)
    assert (checked.error.code, checked.error.outcome) == ("CLOCK_OFF", "not_sent")
    assert words in str(checked.error)
    org = checked.org
    assert org.state is OrgState.READY
    assert org.problem is not None and (org.problem.code, words in org.problem.hint) == ("clock_off", True)

    world.ahead, world.refuses_all = 0, None
    again = await empty.registry.check("acme")
    assert (again.error, again.org.state, again.org.problem) == (None, OrgState.READY, None)


@pytest.mark.parametrize(
    ("text", "state"),
    [("expired authorization code", OrgState.READY), ("user hasn't approved this consumer", OrgState.NEEDS_LOGIN)],
)
async def test_where_nobody_tells_the_time_a_new_assertion_that_has_expired_tells_it_all_the_same(
    empty: App, transports: HttpxSenders, caller: Caller, text: str, state: OrgState
) -> None:
    world = World({AT_HOME})
    world.install(transports)
    await empty.enrolment.add(caller, registration(HOME))
    world.dated, world.refuses_all = False, {"error": "invalid_grant", "error_description": text}
    world.expire()

    checked = await empty.registry.check("acme")

    assert checked.org.state is state
    assert ("this machine's clock is off" in str(checked.error)) is (state is OrgState.READY)


async def test_the_same_refusal_with_a_right_clock_needs_a_person(
    empty: App, transports: HttpxSenders, caller: Caller
) -> None:
    world = World({AT_HOME})
    world.install(transports)
    await empty.enrolment.add(caller, registration(HOME))
    world.refuses_all = {"error": "invalid_grant", "error_description": "user hasn't approved this consumer"}
    world.expire()

    checked = await empty.registry.check("acme")

    assert checked.org.state is OrgState.NEEDS_LOGIN
    assert "hasn't approved" in (checked.org.cause or "")
    assert "pre-authorizes the user" in (checked.error.hint or "" if checked.error else "")


@pytest.mark.parametrize("ahead", [100, -100])
async def test_a_clock_that_is_off_less_than_an_assertion_lives_is_no_excuse(
    empty: App, transports: HttpxSenders, caller: Caller, ahead: int
) -> None:
    world = World({AT_HOME}, ahead=ahead)
    world.install(transports)
    await empty.enrolment.add(caller, registration(HOME))
    world.refuses_all = {"error": "invalid_grant", "error_description": "inactive user"}
    world.expire()

    assert (await empty.registry.check("acme")).org.state is OrgState.NEEDS_LOGIN


async def test_registering_with_a_clock_that_is_off_says_so_and_stores_nothing(
    empty: App, transports: HttpxSenders, caller: Caller
) -> None:
    world = World({AT_HOME}, ahead=3_720)
    world.install(transports)

    with pytest.raises(EnrolmentError, match="this machine's clock is 1 h 2 min behind Salesforce's") as refused:
        await empty.enrolment.add(caller, registration(HOME))

    assert refused.value.code == "CLOCK_OFF"
    assert await empty.registry.all() == []


@pytest.mark.parametrize("ahead", [3_720, -3_720])
async def test_a_dead_refresh_token_is_dead_whatever_the_clock_says(app: App, acme: SandboxOrg, ahead: int) -> None:
    """The hostile twin: refresh tokens do not depend on our clock, so it is no excuse for one."""
    shifted = acme.clock
    acme.clock = lambda: shifted() + timedelta(seconds=ahead)
    acme.logins.end(acme.logins.seeded)

    checked = await app.registry.check("acme")

    assert checked.org.state is OrgState.NEEDS_LOGIN
    assert "clock" not in str(checked.error)
