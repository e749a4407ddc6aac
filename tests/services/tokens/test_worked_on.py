"""Was a refresh worked on? Eight answers that do not say so, after the token has rotated, and before anything was done.

Each hostile test (``…_after_it_rotated``) has a friendly twin (``…_before_any_work``).
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from orgserver.app import App
from orgserver.model.errors import CallError, NeedsLogin
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller, Credential, Org, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.queries.list_query import Listing
from orgserver.store import tables
from orgserver.store.transaction import Transaction, to_microseconds
from tests import operations
from tests.services.tokens.tokens import with_tokens

TOKEN = ".*/token"
ANSWERS: dict[str, dict[str, Any]] = {
    "502": {"kind": "status", "status": 502, "body": ""},
    "503": {"kind": "status", "status": 503, "body": '{"error": "invalid_grant", "error_description": "expired"}'},
    "504": {"kind": "html", "status": 504},
    "429": {"kind": "status", "status": 429, "body": '{"error": "invalid_grant"}'},
    "html": {"kind": "html", "status": 200},
    "no_token_reply": {"kind": "status", "status": 200, "body": '{"id": null, "success": true}'},
    "error_in_a_200": {"kind": "status", "status": 200, "body": '{"error": "invalid_grant"}'},
    "redirect": {"kind": "redirect", "location": "https://acme.my.salesforce.com/services/oauth2/token"},
    # and others of the kind
    "401_in_html": {"kind": "html", "status": 401},
    "400_in_unknown_words": {"kind": "status", "status": 400, "body": '{"error": "try_later"}'},
    "half_of_json": {"kind": "bad_json"},
    "an_impossible_refresh_token": {"kind": "status", "status": 200, "body": '{"refresh_token": "5Aep\\n"}'},
    "a_body_without_end": {"kind": "cut"},
    "another_success": {"kind": "status", "status": 202, "body": '{"access_token": "x", "refresh_token": "y"}'},
}
WAYS = ("keep_alive", "call", "check_org", "refresh_idle")

every_answer = pytest.mark.parametrize("answer", ANSWERS)


@pytest.fixture
async def app(app: App) -> AsyncIterator[App]:
    async with with_tokens(app) as quick:
        yield quick


async def org(app: App) -> Org:
    return await app.registry.one("acme")


async def credential(app: App) -> Credential:
    _, found = await app.registry.credential("acme")
    assert found is not None
    return found


async def make_idle(app: App) -> None:
    then = to_microseconds(datetime.now(UTC) - timedelta(days=8))

    def change(tx: Transaction) -> None:
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.alias == "acme").values(refreshed_at=then))

    await app.store.database.write(change)


async def read(app: App, caller: Caller) -> int:
    return (await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))).total_size or 0


async def take(way: str, app: App, other: App, caller: Caller) -> bool:
    """Use an org in one way; whether that worked."""
    await make_idle(app)
    if way == "call":
        return await read(app, caller) == 4
    if way == "check_org":
        return (await app.registry.check("acme")).error is None
    kept = await (app if way == "keep_alive" else other).keep_alive.refresh_idle()
    return all(each.error is None for each in kept)


async def lose(app: App, acme: SandboxOrg, answer: str, *, work: bool) -> None:
    """Have keep-alive meet an answer that does not say what became of its token."""
    await make_idle(app)
    acme.counters.refreshes = acme.counters.reuses = 0
    acme.fault(path=TOKEN, work=work, **ANSWERS[answer])
    (kept,) = await app.keep_alive.refresh_idle()
    assert kept.error is not None and kept.error.outcome == "not_sent"
    acme.requests.clear()


def asked(acme: SandboxOrg) -> int:
    return sum(seen.path.endswith("/token") for seen in acme.requests)


@pytest.mark.parametrize("work", [True, False], ids=["after_it_rotated", "before_any_work"])
@every_answer
async def test_no_way_sends_the_token_again_while_the_old_access_token_works(
    app: App, open_again: Any, caller: Caller, acme: SandboxOrg, answer: str, work: bool
) -> None:
    await lose(app, acme, answer, work=work)

    found = await org(app)
    assert found.state is OrgState.IN_DOUBT
    assert "its answer was lost" in (found.cause or "")
    async with open_again() as other:
        for way in WAYS * 2:
            assert await take(way, app, other, caller), way
            assert (asked(acme), acme.counters.reuses) == (0, 0), way
    assert (await org(app)).state is OrgState.IN_DOUBT
    assert (await org(app)).cause == found.cause


@every_answer
async def test_the_one_try_that_settles_it_after_it_rotated(
    app: App, caller: Caller, acme: SandboxOrg, answer: str
) -> None:
    await lose(app, acme, answer, work=True)
    acme.expire_access_tokens()

    for _ in range(3):
        with pytest.raises(NeedsLogin, match="was lost"):
            await read(app, caller)

    assert (asked(acme), acme.counters.reuses) == (1, 1)
    assert (await org(app)).state is OrgState.NEEDS_LOGIN


@every_answer
async def test_the_one_try_that_settles_it_before_any_work(
    app: App, caller: Caller, acme: SandboxOrg, answer: str
) -> None:
    await lose(app, acme, answer, work=False)
    acme.expire_access_tokens()

    assert await read(app, caller) == 4

    assert (asked(acme), acme.counters.refreshes, acme.counters.reuses) == (1, 1, 0)
    assert (await org(app)).state is OrgState.READY
    async with app.store.database.reading() as connection:
        assert (await connection.execute(select(tables.leases))).first() is None


@every_answer
async def test_a_call_whose_access_token_is_dead_tries_once_more_after_it_rotated(
    app: App, caller: Caller, acme: SandboxOrg, answer: str
) -> None:
    acme.counters.reuses = 0
    acme.fault(path=TOKEN, work=True, **ANSWERS[answer])
    acme.expire_access_tokens()

    with pytest.raises(NeedsLogin, match="was lost"):
        await read(app, caller)

    assert (asked(acme), acme.counters.reuses) == (2, 1)


@every_answer
async def test_a_call_whose_access_token_is_dead_tries_once_more_before_any_work(
    app: App, caller: Caller, acme: SandboxOrg, answer: str
) -> None:
    acme.counters.reuses = 0
    acme.fault(path=TOKEN, **ANSWERS[answer])
    acme.expire_access_tokens()

    assert await read(app, caller) == 4
    assert (asked(acme), acme.counters.reuses) == (2, 0)
    assert (await org(app)).state is OrgState.READY


async def test_an_outage_of_the_token_endpoint_is_over_when_it_is_over(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    outage = acme.fault("status", path=TOKEN, status=503, body="", times=100)
    acme.expire_access_tokens()
    for _ in range(3):
        with pytest.raises(CallError, match="did not answer a token refresh") as refused:
            await read(app, caller)
        assert (refused.value.outcome, refused.value.retryable) == ("not_sent", True)

    outage.times = 0

    assert await read(app, caller) == 4
    assert (await org(app)).state is OrgState.READY


@pytest.mark.parametrize("error", ["invalid_client", "invalid_request", "OAUTH_APP_BLOCKED", "inactive_org"])
async def test_a_refusal_in_oauths_words_leaves_nothing_in_doubt(
    app: App, caller: Caller, acme: SandboxOrg, error: str
) -> None:
    await make_idle(app)
    acme.fault("status", path=TOKEN, status=400, body=f'{{"error": "{error}"}}')

    (kept,) = await app.keep_alive.refresh_idle()
    found = await org(app)
    again = await app.keep_alive.refresh_idle()

    assert kept.error is not None
    assert (found.state, found.problem and found.problem.code) == (OrgState.READY, error)
    assert [each.error for each in again] == [None]
    assert acme.counters.reuses == 0


# -- the new refresh token came, and something else was wrong


WRONG: dict[str, tuple[dict[str, Any], OrgState]] = {
    "another_org": ({"org_id": "00DSb0009000001MAA"}, OrgState.QUARANTINED),
    "a_foreign_host": ({"instance_url": "https://evil.example.com"}, OrgState.QUARANTINED),
    "no_url": ({"instance_url": "acme"}, OrgState.QUARANTINED),
    "an_access_token_with_a_line_break": ({"fields": {"access_token": "00D!x\r\nHost: evil"}}, OrgState.IN_DOUBT),
    "an_access_token_in_no_ascii": ({"fields": {"access_token": "00D!\u202e"}}, OrgState.IN_DOUBT),
    "an_access_token_without_end": ({"fields": {"access_token": "x" * 100_000}}, OrgState.IN_DOUBT),
    "no_access_token": ({"without": ["access_token"]}, OrgState.IN_DOUBT),
    "no_id": ({"without": ["id"]}, OrgState.IN_DOUBT),
    "a_number_for_a_host": ({"fields": {"instance_url": 5}}, OrgState.IN_DOUBT),
    "a_list_for_a_scope": ({"fields": {"scope": ["api"]}}, OrgState.IN_DOUBT),
    "an_object_for_a_time": ({"fields": {"issued_at": {}}}, OrgState.IN_DOUBT),
    "another_kind_of_token": ({"fields": {"token_type": "mac"}}, OrgState.IN_DOUBT),
    "an_error_beside_it": ({"fields": {"error": "invalid_grant"}}, OrgState.IN_DOUBT),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_the_rotated_token_of_an_answer_that_is_wrong_otherwise_is_kept_and_nothing_else(
    app: App, caller: Caller, acme: SandboxOrg, wrong: str
) -> None:
    knobs, state = WRONG[wrong]
    before = await credential(app)
    for name, value in knobs.items():
        setattr(acme.answers, name, value)
    acme.counters.reuses = 0

    with pytest.raises(CallError):
        await app.access.tokens.renew(await org(app))

    found, after = await org(app), await credential(app)
    async with app.store.database.reading() as connection:
        access = await app.store.orgs.credentials.access_token(connection, found.login)
    assert found.state is state
    assert after.refresh_token is not None and after.refresh_token.reveal() == acme.refresh_token
    assert after.fencing == before.fencing + 1
    assert access is not None and access.fencing == before.fencing
    assert acme.counters.reuses == 0


@pytest.mark.parametrize("wrong", [name for name, (_, state) in WRONG.items() if state is OrgState.IN_DOUBT])
async def test_the_rotated_token_of_an_answer_that_was_wrong_once_goes_on(
    app: App, caller: Caller, acme: SandboxOrg, wrong: str
) -> None:
    knobs, _ = WRONG[wrong]
    for name, value in knobs.items():
        setattr(acme.answers, name, value)
    acme.counters.reuses = 0
    with pytest.raises(CallError):
        await app.access.tokens.renew(await org(app))
    acme.answers.fields, acme.answers.without = {}, []

    assert await read(app, caller) == 4  # with the access token that works
    acme.expire_access_tokens()
    assert await read(app, caller) == 4

    assert acme.counters.reuses == 0
    assert (await org(app)).state is OrgState.READY


WHOLE = '{"access_token": "00D!x", "refresh_token": "5AepKept", "issued_at": "1"}'
MANGLED: dict[str, bytes] = {
    "cut_off": WHOLE[:-10].encode(),
    "a_number_without_end": WHOLE.replace('"1"', "1" * 5_000).encode(),
    "too_deep": WHOLE.replace('"1"', "[" * 90_000 + "]" * 90_000).encode(),
    "too_large": WHOLE.replace("00D!x", "x" * 300_000).encode(),
    "utf_16": WHOLE.encode("utf-16"),
    "a_byte_order_mark": WHOLE.encode("utf-8-sig"),
    "latin_1": WHOLE.replace('"1"', '"ä"').encode("latin-1"),
    "control_characters": WHOLE.replace('"1"', '"\n"').encode(),
    "something_behind_it": (WHOLE + "<!-- edge -->").encode(),
    "quotes_without_end": (WHOLE[:-1] + ', "' + '\\"' * 90_000).encode(),
}
NOT_WHOLE: dict[str, bytes] = {
    "cut_off_in_the_token": WHOLE[: WHOLE.index("Kept")].encode(),
    "within_another_member": b'{"x": {"refresh_token": "5AepNo"}, "y": ' + b"1" * 5_000 + b"}",
    "within_a_text": b'{"x": "\\"refresh_token\\": \\"5AepNo\\"", "y": ' + b"1" * 5_000 + b"}",
    "in_a_page": b"<html>" + WHOLE.encode(),
    "in_a_list": b"[" + WHOLE.encode() + b"]",
    "a_number": b'{"refresh_token": 5}',
}


@pytest.mark.parametrize("mangled", MANGLED)
async def test_the_rotated_token_of_an_answer_that_is_mangled_is_kept(app: App, host: Any, mangled: str) -> None:
    host.on("POST", "/token$", httpx.Response(200, content=MANGLED[mangled]))
    before = await credential(app)

    with pytest.raises(CallError):
        await app.access.tokens.renew(await org(app))

    found, after = await org(app), await credential(app)
    assert (found.state, "only the refresh token was kept" in (found.cause or "")) == (OrgState.IN_DOUBT, True)
    assert after.refresh_token is not None and after.refresh_token.reveal() == "5AepKept"
    assert after.fencing == before.fencing + 1


@pytest.mark.parametrize("mangled", NOT_WHOLE)
async def test_what_is_no_whole_token_of_a_mangled_answer_is_not_kept(app: App, host: Any, mangled: str) -> None:
    host.on("POST", "/token$", httpx.Response(200, content=NOT_WHOLE[mangled]))
    before = await credential(app)

    with pytest.raises(CallError):
        await app.access.tokens.renew(await org(app))

    found, after = await org(app), await credential(app)
    assert (found.state, "its answer was lost" in (found.cause or "")) == (OrgState.IN_DOUBT, True)
    assert before.refresh_token is not None and after.refresh_token is not None
    assert after.refresh_token.reveal() == before.refresh_token.reveal()


async def test_after_a_quarantine_an_operator_goes_on_with_the_token_that_was_kept(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.answers.org_id = "00DSb0009000001MAA"
    with pytest.raises(NeedsLogin, match="quarantined"):
        await app.access.tokens.renew(await org(app))
    acme.answers.org_id, acme.counters.reuses = None, 0

    checked = await app.registry.check("acme", try_token=True)

    assert (checked.error, checked.org.state) == (None, OrgState.READY)
    assert acme.counters.reuses == 0
