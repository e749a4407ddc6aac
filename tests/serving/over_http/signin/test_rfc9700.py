"""RFC 9700: what goes wrong with OAuth in practice, section by section, over HTTP; what others have is not here again.

Audiences are in ``test_rfc8707``, proof keys in ``test_rfc7636``, answers' issuers in ``test_rfc9207``, sign-ins that
others began in ``test_bad_ways``.
"""

import html
import re
from urllib.parse import urlsplit

import httpx2
import pytest

from orgserver.services.signin.tokens.issuance import CODE_REPLAYED, REFRESH_REUSED
from tests.serving.over_http.people.page import check_headers, read_page

from .walk import HERE, Walk, browsing, make_challenge, read_answer, register
from .world import AGENT, CALLBACK, DESKTOP, STRANGER, World, error_of, parse

pytestmark = pytest.mark.usefixtures("_as_many_requests_as_a_test_likes")

ELSEWHERE = "https://agent.example.com/callback"
_LINK = re.compile(r'<a class="button" href="([^"]+)" rel="noreferrer">Back to your client</a>')
WEB, PROGRAM = STRANGER.redirect_uris[0], DESKTOP.redirect_uris[0]


@pytest.fixture
async def elsewhere(walk: Walk) -> Walk:
    """A client that is at an address of the world."""
    walk.client_id = await register(walk.served, "Elsewhere", ELSEWHERE)
    walk.redirect_uri = ELSEWHERE
    return walk


def read_link(page: httpx2.Response) -> dict[str, str]:
    """What the only link of a page that leads away tells the client; nothing else on it leads anywhere by itself."""
    assert "location" not in page.headers and "refresh" not in page.headers
    check_headers(dict(page.headers))  # no script, no frame, no referrer
    read = read_page(page.content)
    assert [each for each in read.all("meta") if "http-equiv" in each.attributes] == []
    away = [each.attributes["href"] for each in read.all("a") if "://" in each.attributes["href"]]
    assert away == [html.unescape(each) for each in _LINK.findall(page.text)]
    (url,) = away
    assert url.startswith(f"{ELSEWHERE}?")
    return parse(url)


# §2.1, §4.1.3: redirect URIs are compared to the letter.


@pytest.mark.parametrize(
    ("client", "tricks"),
    [
        (
            STRANGER,
            [
                WEB.replace(".com", ".com.evil.example"),
                WEB.replace("https://", "https://evil.example@"),
                WEB.replace(".com/", ".com@evil.example/"),
                WEB.replace(".com/", ".com:443/"),
                WEB.replace(".com/", ".com:8443/"),
                WEB.replace(".com/", ".com./"),
                WEB.replace("stranger", "STRANGER"),
                WEB.replace("stranger", "str%61nger"),
                WEB.replace("https", "HTTPS"),
                WEB.replace("https", "http"),
                WEB.replace("/cb", "/CB"),
                WEB.replace("/cb", "//cb"),
                WEB.replace("/cb", "/./cb"),
                WEB.replace("/cb", "/x/../cb"),
                f"{WEB}/../evil",
                f"{WEB}%2f..%2fevil",
                f"{WEB}?",
                f"{WEB}?next=https://evil.example/",
                f"{WEB}#",
                f"{WEB}#https://evil.example/",
                f" {WEB}",
                f"{WEB} ",
                f"{WEB}\r\nSet-Cookie: x=1",
                f"{WEB}\0",
                f"https://evil.example/{WEB}",
                f"https://evil.example\\@{urlsplit(WEB).netloc}/cb",
                f"javascript:alert(1)//{WEB}",
                "data:text/html,x",
                "cursor://anysphere/cb",
                AGENT.redirect_uris[0],
            ],
        ),
        (
            DESKTOP,
            [
                "http://localhost.evil.example:1/cb",
                "http://localhost:1@evil.example/cb",
                "http://localhost:1\\@evil.example/cb",
                "http://127.0.0.1.evil.example/cb",
                "http://localhost:/cb",
                "http://localhost:0/cb",
                "http://localhost:00080/cb",
                "http://localhost:65536/cb",
                "http://localhost:1:2/cb",
                "http://localhost:1/cb/",
                "http://localhost:1/cb?x=1",
                "http://localhost:1/../cb",
                "http://user@localhost:1/cb",
                "http://LOCALHOST:1/cb",
                "http://localhost.:1/cb",
                "http://[::1]:1/cb",
                "http://127.1:1/cb",
                "http://2130706433:1/cb",
                "http://0.0.0.0:1/cb",
                "https://localhost:1/cb",
            ],
        ),
    ],
    ids=["an address of the world", "this computer"],
)
async def test_a_place_that_is_nearly_the_clients_own_is_not(world: World, client, tricks) -> None:
    for trick in tricks:
        page = await world.authorize(client_id=client.client_id, redirect_uri=trick)

        assert (page.status_code, "location" in page.headers) == (400, False), trick
        assert "evil" not in page.text and "Back to your client" not in page.text
        assert await world.last_failure() == "INVALID_REQUEST"
    good = PROGRAM.replace("localhost", "localhost:1") if client is DESKTOP else WEB
    assert (await world.authorize(client_id=client.client_id, redirect_uri=good)).status_code == 303


async def test_a_code_goes_nowhere_else_than_its_request_said(world: World) -> None:
    grant = await world.grant(client_id=DESKTOP.client_id, redirect_uri="http://localhost:1/cb")

    assert urlsplit(world.location).netloc == "localhost:1"
    form = grant.form(client_id=DESKTOP.client_id, redirect_uri="http://localhost:2/cb")
    assert error_of(await world.token(form)) == (400, "invalid_grant")


# §2.1.2, §2.4: no implicit grant, no password.


async def test_there_is_no_implicit_grant_and_nobody_gives_a_password(world: World) -> None:
    for response_type in ("token", "id_token", "code token", "none"):
        reply = await world.authorize(response_type=response_type)
        assert parse(reply.headers["location"])["error"] == "unsupported_response_type"
    for grant_type in ("password", "client_credentials", "implicit"):
        form = {"grant_type": grant_type, "client_id": AGENT.client_id, "username": "ada", "password": "x"}
        assert error_of(await world.token(form)) == (400, "unsupported_grant_type")


# §4.11.2: nobody is sent on to a stranger's address by an error, or by a no.

ERRORS = [
    ({"scope": "openid"}, "invalid_scope"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"resource": "https://evil.example/mcp"}, "invalid_target"),
]


async def test_an_error_before_anybody_has_signed_in_is_a_page_with_a_link(elsewhere: Walk) -> None:
    for change, error in ERRORS:
        page = await elsewhere.browser.get(elsewhere.authorize_url(**change))

        assert page.status_code == 400
        answer = read_link(page)
        assert (answer["error"], answer["state"], answer["iss"]) == (error, elsewhere.state, elsewhere.served.url)
        assert (await elsewhere.failures())[0] == error.upper()
    assert await elsewhere.provider.requests("/authorize") == []


async def test_a_client_on_this_computer_is_told_at_once(walk: Walk) -> None:
    for change, error in ERRORS:
        reply = await walk.browser.get(walk.authorize_url(**change))

        assert reply.status_code == 303
        answer = read_answer(reply)
        assert (answer["error"], answer["state"], answer["iss"]) == (error, walk.state, walk.served.url)
        assert (await walk.failures())[0] == error.upper()


async def test_a_no_is_a_page_with_a_link_and_a_yes_sends_on_at_once(elsewhere: Walk) -> None:
    page = await elsewhere.answer(await elsewhere.reach_consent(), "deny")

    assert page.status_code == 200
    answer = read_link(page)
    assert answer.keys() == {"error", "error_description", "state", "iss"}
    assert answer["error"] == "access_denied"
    assert [(each.tool, each.outcome) for each in await elsewhere.entries(principal="ada")][:1] == [
        ("consent", "denied")
    ]

    assert (await elsewhere.get_tokens("orgs:read"))["scope"] == "orgs:read"


async def test_a_no_is_told_at_once_to_a_client_on_this_computer(walk: Walk) -> None:
    reply = await walk.answer(await walk.reach_consent(), "deny")

    assert (reply.status_code, read_answer(reply)["error"]) == (303, "access_denied")


async def test_a_sign_in_that_the_provider_ends_is_a_page_with_a_link(elsewhere: Walk) -> None:
    await elsewhere.provider.set(authorization_error="access_denied")

    page = await elsewhere.browser.get(await elsewhere.provider.sign_in(await elsewhere.reach_provider()))

    assert page.status_code == 403
    assert read_link(page)["error"] == "access_denied"
    assert await elsewhere.failures() == ["SIGNIN_DENIED"]


async def test_nobody_is_sent_on_without_being_asked_because_the_client_wants_no_question(elsewhere: Walk) -> None:
    for prompt in ("none", "consent", "login"):
        reply = await elsewhere.browser.get(elsewhere.authorize_url(prompt=prompt))
        assert reply.headers["location"].startswith(elsewhere.provider.issuer)
    assert all("none" not in each.values() for each in await elsewhere.provider.requests("/authorize"))


# §4.12: 303, never 307 or 308, which send a form on.


async def test_every_redirect_is_303(walk: Walk) -> None:
    sent: list[httpx2.Response] = []

    async def note(response: httpx2.Response) -> None:
        sent.append(response)

    walk.browser.event_hooks["response"].append(note)
    url, _, query = walk.authorize_url().partition("?")
    begun = await walk.browser.post(url, data=dict(httpx2.QueryParams(query)))
    assert begun.status_code == 303, begun.text
    await walk.get_tokens("orgs:read")
    await walk.answer(await walk.reach_consent(), "deny")
    await walk.browser.get(walk.authorize_url(scope="openid"))
    await walk.browser.get("/me/signin?purpose=open")

    redirects = [response for response in sent if "location" in response.headers]
    assert len(redirects) >= 8
    assert {response.status_code for response in redirects} == {303}
    assert {response.headers["referrer-policy"] for response in redirects} == {"no-referrer"}  # §4.2.4
    assert {response.headers["cache-control"] for response in redirects} == {"no-store"}


# §4.4: mix-up.


@pytest.mark.parametrize("iss", ["https://evil.example", None])
async def test_an_answer_of_another_provider_takes_no_code_to_ours(walk: Walk, iss: str | None) -> None:
    await walk.provider.set(response={"iss": iss})

    page = await walk.browser.get(await walk.provider.sign_in(await walk.reach_provider()))

    assert page.status_code == 502 and "evil" not in page.text
    assert await walk.provider.requests("/token") == []
    assert await walk.failures() == ["SIGNIN_PROVIDER"]
    assert (await walk.count_rows("requests"), await walk.count_rows("sessions")) == (0, 0)


# §4.5: a code that was stolen, and put into another's sign-in.


async def test_a_code_of_another_sign_in_is_of_no_use_in_mine(walk: Walk) -> None:
    async with browsing(walk.served.url) as theirs:
        url = (await theirs.get(walk.authorize_url())).headers["location"]
        stolen = parse(await walk.provider.sign_in(url, "grace"))["code"]
    mine = parse(await walk.provider.sign_in(await walk.reach_provider()))

    page = await walk.browser.get("/signin/callback", params=mine | {"code": stolen})

    assert page.status_code == 502
    assert await walk.failures() == ["SIGNIN_PROVIDER"]
    assert (await walk.count_rows("requests"), await walk.count_rows("sessions")) == (1, 0), "theirs is under way"


async def test_a_code_that_was_stolen_is_nothing_without_what_began_it(walk: Walk) -> None:
    code = await walk.get_code("orgs:read")
    walk.verifier = "v" * 43  # the thief's

    assert error_of(await walk.exchange(code)) == (400, "invalid_grant")
    assert await walk.failures() == ["INVALID_GRANT"]
    assert await walk.count_live_sessions() == 0


# §2.1.1, §4.5, §4.14.2: replay ends everything, at the next request.


async def test_a_code_that_comes_twice_closes_what_it_opened(walk: Walk) -> None:
    code = await walk.get_code("orgs:read")
    tokens = (await walk.exchange(code)).json()
    assert (await walk.call(tokens["access_token"])).status_code == 200

    assert error_of(await walk.exchange(code)) == (400, "invalid_grant")

    assert (await walk.call(tokens["access_token"])).status_code == 401
    assert error_of(await walk.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert await walk.find_ends() == [CODE_REPLAYED]


async def test_a_refresh_token_that_comes_twice_closes_what_it_opened(walk: Walk) -> None:
    old = await walk.get_tokens("orgs:read")
    new = (await walk.refresh(old["refresh_token"])).json()
    assert (await walk.call(old["access_token"])).status_code == 401
    assert (await walk.call(new["access_token"])).status_code == 200

    assert error_of(await walk.refresh(old["refresh_token"])) == (400, "invalid_grant")

    assert (await walk.call(new["access_token"])).status_code == 401
    assert error_of(await walk.refresh(new["refresh_token"])) == (400, "invalid_grant")
    assert await walk.find_ends() == [REFRESH_REUSED]


async def test_a_token_that_was_given_back_opens_nothing(walk: Walk) -> None:
    tokens = await walk.get_tokens("orgs:read")
    form = {"client_id": walk.client_id, "token": tokens["refresh_token"]}
    assert (await walk.browser.post("/revoke", data=form)).status_code == 200

    assert (await walk.call(tokens["access_token"])).status_code == 401
    assert error_of(await walk.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


async def test_a_token_opens_by_its_header_alone_and_only_the_kind_that_does(walk: Walk) -> None:
    code = await walk.get_code("orgs:read")
    tokens = (await walk.exchange(code)).json()

    for text in (code, tokens["refresh_token"], tokens["access_token"][:-1], tokens["access_token"].upper()):
        assert (await walk.call(text)).status_code == 401
    async with walk.served.raw(None) as client:  # §4.3.2
        assert (await client.post(f"/mcp?access_token={tokens['access_token']}", json={})).status_code == 401


# Consent is asked every time (§2.1, §4.15; MCP: a client that is known is none that was allowed).


async def test_consent_is_asked_of_the_same_client_each_time(walk: Walk) -> None:
    tokens = await walk.get_tokens("orgs:read")
    page = await walk.reach_consent("orgs:read")

    assert page.status_code == 200
    assert "You have allowed this client already" in page.text
    assert 'type="checkbox"' not in page.text
    assert await walk.count_live_sessions() == 1
    again = read_answer(await walk.answer(page, "allow"))
    assert (await walk.exchange(again["code"])).json()["scope"] == "orgs:read"
    assert (await walk.call(tokens["access_token"])).status_code == 200, "a session of its own"


async def test_whoever_is_signed_in_at_me_is_asked_all_the_same(walk: Walk) -> None:
    url = (await walk.browser.get("/me/signin?purpose=open")).headers["location"]
    await walk.browser.get(await walk.provider.sign_in(url))
    assert "ada" in (await walk.browser.get("/me")).text

    assert (await walk.browser.get(walk.authorize_url())).headers["location"].startswith(walk.provider.issuer)
    page = await walk.reach_consent()
    assert (page.status_code, 'name="csrf"' in page.text) == (200, True)
    assert await walk.count_live_sessions() == 0


async def test_whoever_the_provider_does_not_ask_is_asked_here(walk: Walk) -> None:
    async with walk.provider.client() as person:
        for _ in range(2):  # the second time it knows its own browser
            response = await walk.browser.get(await person.sign_in(await walk.reach_provider()))
            page = await walk.browser.get(response.headers["location"])
            assert 'name="decision" value="allow"' in page.text


async def test_nothing_but_the_form_of_this_very_question_is_a_yes(walk: Walk) -> None:
    first, second = await walk.reach_consent(), await walk.reach_consent()
    (csrf,) = re.findall(r'name="csrf" value="([^"]+)"', first.text)
    yes = {"csrf": csrf, "decision": "allow", "orgs:read": "on"}
    own = {"origin": "null", "sec-fetch-site": "same-origin"}

    by_link = await walk.browser.get(str(first.url), params=yes)
    of_another = await walk.browser.post(str(second.url), data=yes, headers=own)
    assert await walk.failures() == ["SIGNIN_FORM"]
    async with browsing(walk.served.url) as other:
        elsewhere = await other.post(str(first.url), data=yes, headers=own)
        assert await walk.failures() == ["SIGNIN_BROWSER", "SIGNIN_FORM"]
        await other.get(walk.authorize_url())  # it has a cookie of its own now
        assert (await other.get(str(first.url))).status_code == 400
        assert await walk.failures() == ["SIGNIN_BROWSER", "SIGNIN_BROWSER", "SIGNIN_FORM"]
    from_outside = await walk.browser.post(str(first.url), data=yes, headers={"origin": "https://evil.example"})

    statuses = [each.status_code for each in (by_link, of_another, elsewhere, from_outside)]
    assert statuses == [200, 400, 400, 403]
    assert all("location" not in each.headers for each in (by_link, of_another, elsewhere, from_outside))
    assert await walk.count_rows("sessions") == 0
    assert read_answer(await walk.browser.post(str(first.url), data=yes, headers=own))["code"]


async def test_a_question_says_to_whom_the_answer_goes(elsewhere: Walk) -> None:
    page = await elsewhere.reach_consent()

    assert '<p class="large">agent.example.com</p>' in page.text
    assert "nobody has checked its name" in page.text
    check_headers(dict(page.headers))  # §4.16: no frame
    assert make_challenge(elsewhere.verifier) not in page.text and HERE not in page.text and CALLBACK not in page.text
