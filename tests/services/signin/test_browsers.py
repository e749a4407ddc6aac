"""A browser at /me is who its cookie says, as long as the session lives and its principal may do anything."""

from collections.abc import AsyncIterator

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.digests import digest_text
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.services.people.identities import Identities
from orgserver.services.signin.browser.me_sessions import Browsers
from orgserver.store.signin.requests import MAX_OF_BROWSER
from tests.people import add_principal, change_principal
from tests.services.signin.browsers import UrlsAlone, add_browser

COOKIE = Secret("a-cookie-of-43-characters")


@pytest.fixture
async def app(open_again) -> AsyncIterator[App]:
    async with open_again() as opened:
        await add_principal(opened, "ada")
        yield opened


@pytest.fixture
def urls() -> UrlsAlone:
    return UrlsAlone()


@pytest.fixture
def browsers(app: App, urls: UrlsAlone) -> Browsers:
    return Browsers(app.store, Identities(app.store), urls)


async def test_a_cookie_is_its_session(app, browsers) -> None:
    session_id = await add_browser(app, "ada", COOKIE.reveal(), seconds_ago=7)

    session = await browsers.find(COOKIE)

    assert session is not None
    assert (session.id, session.principal.name, session.person) == (session_id, "ada", "Ada Lovelace")
    assert session.auth_time == app.store.database.clock() // 1_000_000 - 7
    assert await browsers.find(Secret("another")) is None
    assert await browsers.find(None) is None


async def test_a_principal_who_is_disabled_is_nobody_at_the_next_request(app, browsers) -> None:
    await add_browser(app, "ada", COOKIE.reveal())
    await change_principal(app, "ada", enabled=False)

    assert await browsers.find(COOKIE) is None


async def test_a_session_ends_after_its_hours(app, browsers, clock) -> None:
    await add_browser(app, "ada", COOKIE.reveal())
    clock.advance(12 * 3_600)

    assert await browsers.find(COOKIE) is None


async def test_signing_out_ends_it_on_record_once(app, browsers) -> None:
    session_id = await add_browser(app, "ada", COOKIE.reveal())
    session = await browsers.find(COOKIE)

    await browsers.end(session, Caller(session.principal, "http", label="me"))
    await browsers.end(session, Caller(session.principal, "http", label="me"))

    assert await browsers.find(COOKIE) is None
    (entry,) = await app.audit_log.newest(EntryFilter(tool="sign-out"), 10)
    assert (entry.principal, entry.action, entry.transport) == ("ada", "key", "http")
    assert entry.fields == (f"session:{session_id}", "why:signed out")


@pytest.mark.parametrize(("purpose", "fresh"), [("open", False), ("approve", True)])
async def test_a_sign_in_is_bound_to_its_browser_and_to_a_proof_key(app, browsers, urls, purpose, fresh) -> None:
    url = await browsers.begin(purpose, Secret("browser"))

    (asked,) = urls.asked
    assert url.endswith(asked["state"])
    assert (asked["fresh"], asked["offline"]) == (fresh, False)
    assert len({asked["state"], asked["nonce"], asked["verifier"]}) == 3
    assert all(len(asked[each]) == 43 for each in ("state", "nonce", "verifier"))
    requests = app.store.signin_requests
    state = digest_text(asked["state"])
    request = await app.store.database.write(lambda tx: requests.take_in(tx, state, digest_text("browser")))
    assert (request.kind, request.purpose, request.nonce) == ("me", purpose, asked["nonce"])
    assert request.verifier.reveal() == asked["verifier"]


async def test_a_browser_begins_only_so_many(browsers) -> None:
    for _ in range(MAX_OF_BROWSER):
        assert await browsers.begin("open", Secret("browser")) is not None

    assert await browsers.begin("open", Secret("browser")) is None


async def test_a_provider_that_is_away_leaves_nothing_half_done(app) -> None:
    class Away:
        async def make_authorization_url(self, **_values: object) -> str:
            raise ConnectionError

    browsers = Browsers(app.store, Identities(app.store), Away())
    with pytest.raises(ConnectionError):
        await browsers.begin("open", Secret("browser"))

    assert (
        await app.store.database.write(
            lambda tx: tx.connection.exec_driver_sql("select 1 from signin_requests").first()
        )
        is None
    )


@pytest.mark.parametrize(
    ("purpose", "id_", "cookie"), [("consent", "1", "c"), ("me", "2", "c"), ("me", "1", "d"), ("me\x001", "", "c")]
)
def test_what_a_form_brings_holds_for_one_purpose_one_session_and_one_browser(browsers, purpose, id_, cookie) -> None:
    text = browsers.make_csrf("me", "1", Secret("c"))

    assert browsers.check_csrf(text, "me", "1", Secret("c"))
    assert not browsers.check_csrf(text, purpose, id_, Secret(cookie))
    for wrong in (None, "", text[:-1], text + "=", text.swapcase(), "ü"):
        assert not browsers.check_csrf(wrong, "me", "1", Secret("c"))
