"""Every way in proves who is there, keeps what was spent, stores nothing by halves, and leaves other logins alone."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import select

from orgserver.app import App
from orgserver.model.errors import EnrolmentError, StoreError
from orgserver.model.names import CONTACT, alias
from orgserver.model.orgs import AuthKind, Caller, OrgState
from orgserver.model.secret import Secret
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.auth.token_refusals import GUIDE
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs import pending_enrolment
from orgserver.services.orgs.enrolment import Enrolment, Registration
from orgserver.services.orgs.registration import (
    CALLBACK,
    PLATFORM_CLI,
    ForeignAnswer,
    Login,
    begin_login,
    read_redirect,
)
from orgserver.services.queries.list_query import Listing
from orgserver.store import tables
from orgserver.store.session import Store
from tests import operations
from tests.refusing_stores import make_refusing

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def registration(org: SandboxOrg, auth: AuthKind, name: str = "acme", **options: Any) -> Registration:
    given = org.credentials()
    more: Any = {
        "web": {},
        "jwt": {"private_key": Secret(PEM), "username": org.username},
        "client-credentials": {},
        "refresh-token": {"refresh_token": Secret(given["refresh_token"] or "5AepNone")},
    }[auth]
    made = Registration(
        alias=alias(name),
        client_id=given["client_id"],
        client_secret=Secret(given["client_secret"]),
        login_url=given["login_url"],
        source="a test",
        auth=auth,
        trusted_hosts=tuple(given["trust_hosts"]),
        **more,
    )
    return replace(made, **options)


async def browser(begun: Login) -> Secret:
    """What a person does who presses Allow."""
    async with httpx.AsyncClient() as web:
        reply = await web.get(begun.url)
    return read_redirect(reply.headers["location"], begun)


@pytest.fixture
async def empty(open_again: Any, acme: SandboxOrg) -> Any:
    acme.answers.jwt_public_key = KEY.public_key()
    async with open_again() as opened:
        yield opened


async def works(app: App, caller: Caller, name: str = "acme") -> bool:
    page = await operations.list_(app, caller, "salesforce_list_contacts", name, Listing(CONTACT))
    return bool(page.total_size)


def enrolment_in(app: App, store: Store, pauses: Sequence[float]) -> Enrolment:
    """Registers orgs of an app, over another store."""
    progress = pending_enrolment.EnrolmentProgress(store, pauses)
    return Enrolment(store, app.access, app.registry, progress)


async def no_drafts(app: App) -> bool:
    async with app.store.database.reading() as connection:
        return (await connection.execute(select(tables.enrolments))).first() is None


@pytest.mark.parametrize("auth", ["web", "jwt", "client-credentials", "refresh-token"])
async def test_each_way_in_registers_works_and_renews_itself(
    empty: App, caller: Caller, acme: SandboxOrg, auth: AuthKind
) -> None:
    enrolled = await empty.enrolment.add(caller, registration(acme, auth), browser)
    assert await works(empty, caller)
    acme.expire_access_tokens()

    assert await works(empty, caller)
    org = enrolled.org
    assert (org.auth, org.org_id, org.user and org.user.username) == (auth, acme.org_id, acme.username)
    assert org.holds_refresh_token is (auth in ("web", "refresh-token"))
    assert enrolled.rotated is (auth == "refresh-token")
    assert acme.counters.reuses == 0
    assert await no_drafts(empty)


# -- the browser


async def test_the_address_to_log_in_at_asks_for_a_code_with_a_challenge(empty: App, caller: Caller, acme: Any) -> None:
    seen: list[Login] = []

    async def look(begun: Login) -> Secret:
        seen.append(begun)
        return await browser(begun)

    acme.answers.pkce_required = True
    await empty.enrolment.add(caller, registration(acme, "web", username="agent@acme.example"), look)

    asked = dict(parse_qsl(urlsplit(seen[0].url).query))
    assert seen[0].url.startswith(f"{acme.url}/services/oauth2/authorize?")
    assert asked["redirect_uri"] == CALLBACK == "http://localhost:1717/OauthRedirect"
    assert (asked["response_type"], asked["code_challenge_method"], asked["prompt"]) == ("code", "S256", "login")
    assert asked["login_hint"] == "agent@acme.example"
    assert len(asked["state"]) >= 22
    assert 43 <= len(seen[0].verifier.reveal()) <= 128
    assert seen[0].verifier.reveal() not in seen[0].url
    assert seen[0].state.reveal() not in repr(seen[0])


async def test_a_public_app_logs_in_without_a_secret(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    given = registration(acme, "web", client_id=PLATFORM_CLI, client_secret=None)

    await empty.enrolment.add(caller, given, browser)
    acme.expire_access_tokens()

    assert await works(empty, caller)


async def test_where_the_app_of_the_sf_command_is_not_installed_the_hint_says_what_the_org_needs(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.answers.platform_cli = False
    given = registration(acme, "web", client_id=PLATFORM_CLI, client_secret=None)

    with pytest.raises(EnrolmentError, match="OAUTH_APP_BLOCKED") as refused:
        await empty.enrolment.add(caller, given, browser)

    for words in ("Setup", "Approve Uninstalled Connected Apps", GUIDE):
        assert words in (refused.value.hint or "")
    assert await no_drafts(empty)


async def test_the_store_takes_a_write_before_anybody_logs_in(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    async def never(_begun: Login) -> Secret:
        raise AssertionError("the browser was opened")

    enrolment = Enrolment(make_refusing(empty.store), empty.access, empty.registry)

    with pytest.raises(StoreError):
        await enrolment.add(caller, registration(acme, "web"), never)


async def test_an_alias_in_use_is_said_before_anybody_logs_in(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    async def never(_begun: Login) -> Secret:
        raise AssertionError("the browser was opened")

    await empty.enrolment.add(caller, registration(acme, "client-credentials"))

    with pytest.raises(EnrolmentError, match="already registered"):
        await empty.enrolment.add(caller, registration(acme, "web"), never)


@pytest.mark.parametrize("failure", [EnrolmentError("nobody logged in"), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_a_login_that_nobody_finishes_leaves_nothing(
    empty: App, caller: Caller, acme: SandboxOrg, failure: BaseException
) -> None:
    async def give_up(_begun: Login) -> Secret:
        assert not await no_drafts(empty)
        raise failure

    with pytest.raises(type(failure)):
        await empty.enrolment.add(caller, registration(acme, "web"), give_up)

    assert await no_drafts(empty)
    assert await empty.registry.all() == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ({"client_secret": Secret("wrong")}, "client id or secret"),
        ({"client_secret": None}, "client id or secret"),
        ({"callback_url": "http://example.com/x"}, "--callback-url: a callback on another machine must be https"),
        ({"callback_url": "localhost"}, "--callback-url: a callback is a URL"),
        ({"callback_url": "http://localhost:99999/x"}, "--callback-url: a callback is a URL"),
        ({"verify": False}, "proven by itself"),
        ({"login_url": "https://evil.example"}, "--login-url"),
    ],
)
async def test_a_login_that_cannot_end_well_is_one_line_and_leaves_nothing(
    empty: App, caller: Caller, acme: SandboxOrg, spoil: dict[str, Any], told: str
) -> None:
    with pytest.raises(EnrolmentError, match=told) as refused:
        await empty.enrolment.add(caller, registration(acme, "web", **spoil), browser)

    assert "\n" not in str(refused.value)
    assert await no_drafts(empty)


async def test_a_wrong_code_is_refused(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    async def wrong(_begun: Login) -> Secret:
        return Secret("aPrxWRONG")

    with pytest.raises(EnrolmentError, match="does not take the code of this login"):
        await empty.enrolment.add(caller, registration(acme, "web"), wrong)
    assert await no_drafts(empty)


async def test_a_lost_answer_to_a_code_is_not_asked_for_again(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("close", path=".*/token", work=True)

    with pytest.raises(EnrolmentError, match="a code works only once"):
        await empty.enrolment.add(caller, registration(acme, "web"), browser)

    assert sum(seen.path.endswith("/token") for seen in acme.requests) == 1
    assert await no_drafts(empty)


async def test_an_app_without_the_scope_for_refresh_tokens_is_told_which(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    async def narrow(begun: Login) -> Secret:
        return await browser(replace(begun, url=f"{begun.url}&scope=api"))

    with pytest.raises(EnrolmentError, match="lacks the scope refresh_token"):
        await empty.enrolment.add(caller, registration(acme, "web"), narrow)
    assert await no_drafts(empty)


async def test_a_login_broken_off_after_the_code_goes_on_without_the_browser(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    async def never(_begun: Login) -> Secret:
        raise AssertionError("the browser was opened again")

    acme.fault("close", path=".*/userinfo", times=4)
    with pytest.raises(EnrolmentError) as broken:
        await empty.enrolment.add(caller, registration(acme, "web"), browser)
    assert "kept, sealed" in (broken.value.hint or "")
    acme.faults.clear()

    enrolled = await empty.enrolment.add(caller, registration(acme, "web"), never)

    assert enrolled.resumed
    assert await works(empty, caller)


async def test_a_sealed_login_whose_session_ended_is_refreshed(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("close", path=".*/userinfo", times=4)
    with pytest.raises(EnrolmentError):
        await empty.enrolment.add(caller, registration(acme, "web"), browser)
    acme.faults.clear()
    acme.expire_access_tokens()

    with pytest.raises(EnrolmentError):
        await empty.enrolment.add(caller, registration(acme, "web"), browser)
    await empty.enrolment.add(caller, registration(acme, "web"), browser)

    assert (acme.counters.logins, acme.counters.reuses) == (1, 0)
    assert await works(empty, caller)


async def test_cancelled_at_any_step_no_login_is_lost_once_its_code_was_redeemed(
    open_again: Any, caller: Caller, acme: SandboxOrg
) -> None:
    """Cancel after one turn of the event loop, then after two, and so on until the command gets through."""
    async with open_again() as app:
        for turns in itertools.count(1):
            task = asyncio.ensure_future(app.enrolment.add(caller, registration(acme, "web"), browser))
            for _ in range(turns * 5):
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

        assert (acme.counters.logins, acme.counters.reuses) == (1, 0)
        assert await works(app, caller)
        assert await no_drafts(app)


async def test_a_store_that_stumbles_does_not_lose_the_answer(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    failures = iter([True, True])
    store = make_refusing(empty.store, lambda: acme.counters.logins > 0 and next(failures, False))

    await enrolment_in(empty, store, pauses=(0, 0, 0)).add(caller, registration(acme, "web"), browser)

    assert next(failures, None) is None
    assert await works(empty, caller)


@pytest.mark.parametrize("auth", ["web", "refresh-token"])
async def test_an_answer_that_the_store_never_takes_waits_beside_it(
    open_again: Any, caller: Caller, acme: SandboxOrg, auth: AuthKind
) -> None:
    given = registration(acme, auth)
    async with open_again() as app:
        store = make_refusing(app.store, lambda: acme.counters.logins + acme.counters.refreshes > 0)
        with pytest.raises(EnrolmentError, match="kept, sealed, in orgserver.db.rescue-"):
            await enrolment_in(app, store, pauses=(0, 0)).add(caller, given, browser)

    async with open_again() as app:
        enrolled = await app.enrolment.add(caller, given)

        assert enrolled.resumed
        assert enrolled.rotated is (auth == "refresh-token")
        assert acme.counters.reuses == 0
        acme.expire_access_tokens()
        assert await works(app, caller)


# -- what comes back from the browser


@pytest.fixture
def begun() -> Login:
    return begin_anywhere()


def begin_anywhere() -> Login:
    return begin_login(Registration(alias("acme"), "3MVG9", None, "https://login.salesforce.com", "a test", "web"))


def back(begun: Login, where: str = CALLBACK, **told: str) -> str:
    return f"{where}?{urlencode({'state': begun.state.reveal()} | told)}"


def test_a_code_is_read_from_the_address_or_its_query(begun: Login) -> None:
    address = back(begun, code="aPrx==")

    for text in (address, f"  {address}\n", address.partition("?")[2], "?" + address.partition("?")[2]):
        assert read_redirect(text, begun).reveal() == "aPrx=="
    assert read_redirect(back(begun, "http://LOCALHOST:1717/OauthRedirect", code="x"), begun).reveal() == "x"


@pytest.mark.parametrize("state", ["", "x", "ä", None])
def test_an_answer_to_another_login_is_refused_first(begun: Login, state: str | None) -> None:
    told = {"code": "aPrx", "error": "access_denied"} | ({} if state is None else {"state": state})

    with pytest.raises(ForeignAnswer, match="not to this login"):
        read_redirect(f"{CALLBACK}?{urlencode(told)}", begun)


@pytest.mark.parametrize(
    ("where", "told", "reason"),
    [
        (
            CALLBACK,
            {"error": "access_denied", "error_description": "end-user denied"},
            "access_denied: end-user",
        ),
        (CALLBACK, {"error": "\x1b[2J\u202e" + "x" * 5_000}, "refused the login"),
        (CALLBACK, {"code": ""}, "holds no code"),
        (CALLBACK, {}, "holds no code"),
        ("http://localhost:1718/OauthRedirect", {"code": "x"}, "not the address of the callback"),
        ("https://localhost:1717/OauthRedirect", {"code": "x"}, "not the address of the callback"),
        ("http://localhost:1717/OauthRedirect/", {"code": "x"}, "not the address of the callback"),
        ("http://evil.example/OauthRedirect", {"code": "x"}, "not the address of the callback"),
        ("http://[::1/", {"code": "x"}, "no address"),
    ],
)
def test_an_answer_without_a_code_says_why_in_one_short_line(
    begun: Login, where: str, told: dict[str, str], reason: str
) -> None:
    with pytest.raises(EnrolmentError, match=reason) as refused:
        read_redirect(back(begun, where, **told), begun)

    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()
    assert begun.state.reveal() not in str(refused.value) + str(refused.value.hint)


def test_an_answer_that_says_two_things_is_refused(begun: Login) -> None:
    with pytest.raises(EnrolmentError, match="twice"):
        read_redirect(back(begun, code="one") + "&code=two", begun)


def test_no_two_logins_share_a_state_or_a_verifier() -> None:
    made = [begin_anywhere() for _ in range(50)]

    assert len({parse_qs(urlsplit(each.url).query)["code_challenge"][0] for each in made}) == 50
    assert len({each.state.reveal() for each in made}) == 50


def test_a_challenge_is_that_of_the_standards_own_example() -> None:
    url = oauth.authorize_url(
        "https://x", client_id="x", callback="y", state=Secret("z"),
        verifier=Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    )  # fmt: skip

    assert "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&" in url


# -- assertions and an app's own credentials


@pytest.mark.parametrize("auth", ["jwt", "client-credentials"])
async def test_a_refused_login_that_spends_nothing_stores_nothing(
    empty: App, caller: Caller, acme: SandboxOrg, auth: AuthKind
) -> None:
    acme.answers.jwt_approved = acme.answers.client_credentials = False

    with pytest.raises(EnrolmentError, match="acme was not registered: Salesforce does not take"):
        await empty.enrolment.add(caller, registration(acme, auth))

    assert await no_drafts(empty)
    assert await empty.registry.all() == []


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://acme.my.salesforce.com", "give --login-url https://acme.my.salesforce.com"),
        ("acme.my.salesforce.com", "give --login-url https://acme.my.salesforce.com"),
        ("https://ACME.my.salesforce.com:8443/x", "give --login-url https://acme.my.salesforce.com"),
        ("https://", "give --login-url https://MYDOMAIN.my.salesforce.com"),
        ("sf.example", "give --login-url https://MYDOMAIN.my.salesforce.com"),
        ("https://sf.example", "an org outside Salesforce's own domains needs --trust-host HOST[:PORT]"),
    ],
)
async def test_a_login_url_that_may_not_be_used_says_which_may(
    empty: App, caller: Caller, acme: SandboxOrg, url: str, hint: str
) -> None:
    with pytest.raises(EnrolmentError, match="^--login-url: ") as refused:
        await empty.enrolment.add(caller, registration(acme, "refresh-token", login_url=url))

    assert refused.value.hint == hint


@pytest.mark.parametrize(
    ("auth", "spoil", "told"),
    [
        ("jwt", {"private_key": None}, "needs a private key"),
        ("jwt", {"username": None}, "whom to act as"),
        ("jwt", {"audience": "https://login.salesforce.com"}, "--audience: .* gets assertions for itself alone"),
        ("client-credentials", {"client_secret": None}, "needs the app's client secret"),
        ("client-credentials", {"login_url": "https://login.salesforce.com"}, "does not take client credentials"),
        ("client-credentials", {"login_url": "https://test.salesforce.com/"}, "does not take client credentials"),
    ],
)
async def test_what_is_missing_is_said_in_one_line(
    empty: App, caller: Caller, acme: SandboxOrg, auth: AuthKind, spoil: dict[str, Any], told: str
) -> None:
    with pytest.raises(EnrolmentError, match=told):
        await empty.enrolment.add(caller, registration(acme, auth, **spoil))
    assert await empty.registry.all() == []


@pytest.mark.parametrize("auth", ["jwt", "client-credentials"])
async def test_without_verification_the_first_call_logs_in(
    empty: App, caller: Caller, acme: SandboxOrg, auth: AuthKind
) -> None:
    await empty.enrolment.add(caller, registration(acme, auth, verify=False))
    assert acme.requests == []

    assert await works(empty, caller)
    assert (await empty.registry.one("acme")).org_id == acme.org_id


async def test_a_check_tries_again_where_nothing_can_be_spent(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    await empty.enrolment.add(caller, registration(acme, "jwt"))
    acme.expire_access_tokens()
    acme.answers.jwt_approved = False
    refused = await empty.registry.check("acme")
    acme.answers.jwt_approved = True

    allowed = await empty.registry.check("acme")

    assert refused.org.state is OrgState.NEEDS_LOGIN
    assert (allowed.error, allowed.org.state) == (None, OrgState.READY)


# -- new credentials, and the end of the old ones


async def test_a_new_login_revokes_the_refresh_token_of_the_old_one(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    await empty.enrolment.add(caller, registration(acme, "refresh-token"))

    enrolled = await empty.enrolment.add(caller, registration(acme, "web", replace=True), browser)

    assert enrolled.old_token == "revoked"
    assert [family.alive for family in acme.logins.families] == [False, True]
    acme.expire_access_tokens()
    assert await works(empty, caller)


async def test_the_same_token_again_is_not_revoked(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.rotation = False
    await empty.enrolment.add(caller, registration(acme, "refresh-token"))

    enrolled = await empty.enrolment.add(caller, registration(acme, "refresh-token", replace=True))

    assert enrolled.old_token is None
    assert acme.refresh_token


async def test_a_token_that_may_be_of_the_same_login_is_left_alone(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    """Another program had it too, and has rotated it: the stored one is its ancestor."""
    await empty.enrolment.add(caller, registration(acme, "refresh-token"))
    acme.logins.rotate(acme.logins.seeded)

    enrolled = await empty.enrolment.add(caller, registration(acme, "refresh-token", replace=True))

    assert enrolled.old_token == "kept"
    assert not any(seen.path.endswith("/revoke") for seen in acme.requests)
    assert acme.counters.reuses == 0


async def test_a_login_host_that_is_away_does_not_undo_a_new_login(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    await empty.enrolment.add(caller, registration(acme, "refresh-token"))
    acme.fault("close", path=".*/revoke")

    enrolled = await empty.enrolment.add(caller, registration(acme, "web", replace=True), browser)

    assert enrolled.old_token == "kept"
    assert await works(empty, caller)


async def test_a_dead_org_is_ready_after_a_new_login(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    await empty.enrolment.add(caller, registration(acme, "refresh-token"))
    acme.refresh_token = ""
    acme.expire_access_tokens()
    assert (await empty.registry.check("acme")).org.state is OrgState.NEEDS_LOGIN

    enrolled = await empty.enrolment.add(caller, registration(acme, "web", replace=True), browser)

    assert enrolled.old_token == "unknown"
    assert (await empty.registry.one("acme")).state is OrgState.READY
    assert await works(empty, caller)


async def test_a_copys_new_login_leaves_the_originals_token_alone(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    enrolled = await empty.enrolment.add(caller, registration(acme, "refresh-token"))
    await empty.store.database.write(
        lambda tx: empty.store.orgs.change_in(
            tx, enrolled.org.row_id, lambda org: replace(org, refresh_suspended=True, state=OrgState.IN_DOUBT)
        )
    )

    again = await empty.enrolment.add(caller, registration(acme, "web", replace=True), browser)

    assert (again.old_token, again.org.refresh_suspended, again.org.state) == ("kept", False, OrgState.READY)
    assert [family.alive for family in acme.logins.families] == [True, True]
    assert await works(empty, caller)


async def test_a_login_to_another_org_is_refused_and_ended(
    empty: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await empty.enrolment.add(caller, registration(acme, "refresh-token"))

    with pytest.raises(EnrolmentError, match="of another org"):
        await empty.enrolment.add(caller, registration(globex, "web", replace=True), browser)

    assert await no_drafts(empty)
    assert [family.alive for family in globex.logins.families] == [True, False]
    assert await works(empty, caller)


async def test_one_org_may_have_two_aliases_with_logins_of_their_own(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    await empty.enrolment.add(caller, registration(acme, "web"), browser)

    enrolled = await empty.enrolment.add(caller, registration(acme, "web", "twin"), browser)

    assert enrolled.also_known_as == ("acme",)
    acme.expire_access_tokens()
    assert await works(empty, caller)
    assert await works(empty, caller, "twin")


@pytest.mark.parametrize("auth", ["jwt", "client-credentials"])
async def test_removing_ends_the_cached_session_where_there_is_no_refresh_token(
    empty: App, caller: Caller, acme: SandboxOrg, auth: AuthKind
) -> None:
    await empty.enrolment.add(caller, registration(acme, auth))

    assert await empty.registry.remove(caller, "acme", keep_token=False)
    assert acme.access_tokens == set()


async def test_removing_there_does_not_need_salesforce(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    await empty.enrolment.add(caller, registration(acme, "jwt"))
    acme.fault("close", path=".*/revoke")

    assert not await empty.registry.remove(caller, "acme", keep_token=False)
    assert await empty.registry.all() == []


async def test_a_copys_org_is_removed_without_cutting_off_the_original(
    empty: App, caller: Caller, acme: SandboxOrg
) -> None:
    enrolled = await empty.enrolment.add(caller, registration(acme, "web"), browser)
    await empty.store.database.write(
        lambda tx: empty.store.orgs.change_in(tx, enrolled.org.row_id, lambda org: replace(org, refresh_suspended=True))
    )

    with pytest.raises(EnrolmentError, match="cut off"):
        await empty.registry.remove(caller, "acme", keep_token=False)
    assert not any(seen.path.endswith("/revoke") for seen in acme.requests)
    assert not await empty.registry.remove(caller, "acme", keep_token=True)


async def test_a_held_token_is_tried_when_an_operator_says_so(empty: App, caller: Caller, acme: SandboxOrg) -> None:
    enrolled = await empty.enrolment.add(caller, registration(acme, "web"), browser)
    await empty.store.database.write(
        lambda tx: empty.store.orgs.change_in(
            tx, enrolled.org.row_id, lambda org: replace(org, refresh_suspended=True, state=OrgState.IN_DOUBT)
        )
    )

    checked = await empty.registry.check("acme", try_token=True)

    assert (checked.error, checked.org.state, checked.org.refresh_suspended) == (None, OrgState.READY, False)
    assert acme.counters.refreshes == 1
