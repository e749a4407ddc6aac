"""What a person is shown whose sign-in does not get on: what happened, what to do; it is on record, and nothing is done."""

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from tests.people import change_principal
from tests.serving.over_http.signin.walk import Walk, browsing, read_answer

pytestmark = pytest.mark.usefixtures("_as_many_requests_as_a_test_likes")


async def test_cookies_are_off(walk: Walk) -> None:
    back = await walk.provider.sign_in(await walk.reach_provider())
    async with browsing(walk.served.url) as other:
        page = await other.get(back)

    assert (page.status_code, "Allow cookies" in page.text) == (400, True)
    assert await walk.failures() == ["SIGNIN_BROWSER"]
    assert (await walk.browser.get(back)).status_code == 303, "the browser that began it still gets on"


async def test_an_answer_in_a_browser_that_began_something_else_is_not_taken(walk: Walk) -> None:
    """Login CSRF: somebody sends me the end of a sign-in of theirs."""
    theirs = await walk.provider.sign_in(await walk.reach_provider(), "ada")
    async with browsing(walk.served.url) as mine:
        await mine.get(walk.authorize_url())
        page = await mine.get(theirs)

    assert (page.status_code, "another browser" in page.text) == (400, True)
    assert await walk.failures() == ["SIGNIN_BROWSER"]
    assert await walk.count_rows("sessions") == 0


async def test_an_answer_is_taken_once_and_an_old_bookmark_says_what_to_do(walk: Walk) -> None:
    back = await walk.provider.sign_in(await walk.reach_provider())
    consent = (await walk.browser.get(back)).headers["location"]
    for path in (back, "/signin/callback?state=nonsense&code=x", "/signin/callback?state=a&state=b"):
        assert (await walk.browser.get(path)).status_code == 410
        await walk.failures()
    page = await walk.browser.get(consent)
    await walk.answer(page, "allow", "orgs:read")
    assert await walk.failures() == ["SIGNIN_STATE"] * 3

    old = await walk.browser.get(consent)
    await walk.failures()
    second = await walk.answer(page, "allow", "orgs:read")

    assert (old.status_code, second.status_code) == (410, 410)
    assert "Begin again" in old.text
    assert await walk.failures() == ["SIGNIN_STATE"] * 5


async def test_two_tabs_are_two_sign_ins(walk: Walk) -> None:
    first, second = await walk.reach_consent("orgs:read"), await walk.reach_consent("orgs:write")

    answers = [await walk.answer(second, "allow", "orgs:write"), await walk.answer(first, "allow", "orgs:read")]

    assert len({read_answer(each)["code"] for each in answers}) == 2


async def test_a_form_that_is_not_of_this_page_is_asked_again(walk: Walk) -> None:
    page = await walk.reach_consent()
    forged = await walk.browser.post(
        str(page.url),
        data={"csrf": "x", "decision": "allow", "orgs:read": "on"},
        headers={"origin": "null", "sec-fetch-site": "same-origin"},
    )
    (entry,) = await walk.entries(action="auth_failed")
    assert (entry.error_code, entry.principal, entry.outcome) == ("SIGNIN_FORM", "ada", "denied")
    foreign = await walk.browser.post(str(page.url), data={"decision": "allow"}, headers={"origin": "null"})
    nothing = await walk.answer(page, "allow")

    assert (forged.status_code, foreign.status_code, nothing.status_code) == (400, 403, 400)
    assert "at least one tick" in nothing.text
    assert read_answer(await walk.answer(page, "allow", "orgs:read"))["code"].startswith("osc_")


async def test_a_no_is_told_to_the_client_and_on_record(walk: Walk, app: App) -> None:
    answer = read_answer(await walk.answer(await walk.reach_consent(), "deny"))

    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", walk.state, walk.served.url)
    (newest,) = await app.audit_log.newest(EntryFilter(principal="ada"), 1)
    assert (newest.tool, newest.outcome) == ("consent", "denied")


async def test_a_stranger_reads_what_to_tell_the_administrator(walk: Walk) -> None:
    walk.login = "grace"
    page = await walk.browser.get(await walk.provider.sign_in(await walk.reach_provider(), "grace"))

    assert page.status_code == 403
    assert "sub-grace" in page.text
    for command in ("add-principal NAME --no-key", "update-principal NAME"):
        assert f"orgserver {command} --subject {walk.provider.issuer} sub-grace\n" in page.text.replace("</code>", "\n")
    assert await walk.failures() == ["SIGNIN_STRANGER"]
    assert await walk.count_rows("requests") == 0


async def test_whoever_opens_the_server_itself_reads_where_people_sign_in(walk: Walk) -> None:
    answer = await walk.browser.get("/")

    assert (answer.status_code, answer.text) == (404, "nothing is here; MCP is at /mcp, and people sign in at /me\n")


async def test_whoever_is_disabled_is_told_so_at_whatever_step(walk: Walk, app: App) -> None:
    page = await walk.reach_consent()
    await change_principal(app, "ada", enabled=False)
    late = await walk.answer(page, "allow", "orgs:read")
    early = await walk.browser.get(await walk.provider.sign_in(await walk.reach_provider()))

    assert (late.status_code, early.status_code) == (410, 403)
    assert "suspended" in early.text
    assert await walk.count_rows("tokens") == 0


@pytest.mark.parametrize(
    ("conduct", "status", "code"),
    [
        ({"claims": {"nonce": "another"}}, 502, "SIGNIN_PROVIDER"),
        ({"claims": {"aud": "another"}}, 502, "SIGNIN_PROVIDER"),
        ({"claims": {"iss": "https://other.example"}}, 502, "SIGNIN_PROVIDER"),
        ({"claims": {"exp": {"from_now": -120}}}, 502, "SIGNIN_PROVIDER"),
        ({"claims": {"iat": {"from_now": 120}}}, 502, "SIGNIN_PROVIDER"),
        ({"signature": "other key"}, 502, "SIGNIN_PROVIDER"),
        ({"signature": "none"}, 502, "SIGNIN_PROVIDER"),
        ({"signature": "missing"}, 502, "SIGNIN_PROVIDER"),
        ({"response": {"iss": "https://other.example"}}, 502, "SIGNIN_PROVIDER"),
        ({"authorization_error": "server_error"}, 502, "SIGNIN_PROVIDER"),
        ({"authorization_error": "access_denied"}, 403, "SIGNIN_DENIED"),
        ({"authorization_error": "<b>"}, 502, "SIGNIN_PROVIDER"),
    ],
)
async def test_a_provider_that_lies_signs_nobody_in(
    walk: Walk, caplog: pytest.LogCaptureFixture, conduct: dict[str, object], status: int, code: str
) -> None:
    caplog.set_level("INFO", "orgserver.http")
    await walk.provider.set(**conduct)
    page = await walk.browser.get(await walk.provider.sign_in(await walk.reach_provider()))

    assert page.status_code == status, page.text
    assert f"{walk.state}".replace(" ", "+").replace("'", "%27") in page.text, "a link takes the person back"
    assert await walk.failures() == [code]
    entry = (await walk.entries(action="auth_failed"))[0]
    (reason,) = (each.removeprefix("reason:") for each in entry.fields if each.startswith("reason:"))
    (line,) = (each.getMessage() for each in caplog.records if "a page of error" in each.getMessage())
    assert line.endswith(f"): {reason}"), "the log says of the number on the page what was wrong"
    assert "<b>" not in reason
    assert (await walk.count_rows("requests"), await walk.count_rows("sessions")) == (0, 0)


async def test_a_provider_that_rotates_its_key_is_read_anew(walk: Walk) -> None:
    await walk.get_tokens("orgs:read")
    await walk.provider.set(rotate_key=True)

    assert (await walk.get_tokens("orgs:read"))["scope"] == "orgs:read"


async def test_a_clock_that_is_off_by_less_than_a_minute_is_no_matter(walk: Walk) -> None:
    await walk.provider.set(claims={"iat": {"from_now": 50}, "exp": {"from_now": -30}})

    assert (await walk.get_tokens("orgs:read"))["scope"] == "orgs:read"


async def test_a_provider_that_is_away_is_told_and_nothing_is_done(walk: Walk) -> None:
    url = await walk.provider.sign_in(await walk.reach_provider())
    await walk.provider.set(answers={"/token": {"kind": "status", "status": 503}})
    page = await walk.browser.get(url)

    assert (page.status_code, "cannot be reached" in page.text) == (503, True), page.text
    assert "temporarily_unavailable" in page.text
    assert await walk.failures() == ["SIGNIN_PROVIDER_AWAY"]
