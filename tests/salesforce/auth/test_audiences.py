"""Whom an assertion is sent to and meant for: the org's own host first, and strangers never for anybody but themselves."""

import pytest

from orgserver.salesforce.auth import audiences
from orgserver.salesforce.auth.audiences import LOGIN_URL, TEST_URL

HOME = "https://acme.my.salesforce.com"
SANDBOX = "https://acme--dev.sandbox.my.salesforce.com"
STRANGER = "https://proxy.acme.example"
TRUSTED = ("proxy.acme.example", "127.0.0.1:8080")


def to(
    login_url: str, instance_url: str = "", audience: str | None = None, *, explicit: bool = False
) -> list[tuple[str, str]]:
    found = audiences.recipients(login_url, instance_url or login_url, TRUSTED, audience=audience, explicit=explicit)
    return [(each.token_host, each.audience) for each in found]


@pytest.mark.parametrize(
    ("login_url", "shared"),
    [
        (HOME, LOGIN_URL),
        (f"{HOME}/", LOGIN_URL),
        ("https://acme-dev-ed.develop.my.salesforce.com", LOGIN_URL),
        ("https://acme.my.salesforce.mil", LOGIN_URL),
        (SANDBOX, TEST_URL),
        ("https://acme--dev.cs12.my.salesforce.com", TEST_URL),
        ("https://ruby-dev-ed.scratch.my.salesforce.com", TEST_URL),
    ],
)
def test_an_org_whose_own_host_is_known_is_met_there_and_its_shared_host_is_the_other(
    login_url: str, shared: str
) -> None:
    host = login_url.rstrip("/")

    assert to(login_url) == [(host, host), (host, shared)]


@pytest.mark.parametrize("login_url", [LOGIN_URL, TEST_URL])
def test_a_shared_login_host_is_all_there_is_until_the_orgs_own_is_known(login_url: str) -> None:
    assert to(login_url) == [(login_url, login_url)]
    assert to(login_url, HOME) == [(HOME, HOME), (login_url, login_url)]
    assert to(login_url, "https://na139.salesforce.com") == [(login_url, login_url)]


def test_what_worked_last_goes_first() -> None:
    assert to(HOME, audience=LOGIN_URL) == [(HOME, LOGIN_URL), (HOME, HOME)]
    assert to(LOGIN_URL, HOME, LOGIN_URL) == [(LOGIN_URL, LOGIN_URL), (HOME, HOME)]
    assert to(LOGIN_URL, HOME, HOME) == [(HOME, HOME), (LOGIN_URL, LOGIN_URL)]


def test_the_audience_of_a_host_that_an_org_has_left_is_forgotten() -> None:
    assert to(LOGIN_URL, "https://new.my.salesforce.com", HOME)[0] == ("https://new.my.salesforce.com",) * 2


def test_an_audience_of_an_older_store_is_tried_first() -> None:
    assert to(HOME, audience=TEST_URL) == [(HOME, TEST_URL), (HOME, HOME)]


def test_a_chosen_audience_is_the_only_one() -> None:
    assert to(HOME, audience=LOGIN_URL, explicit=True) == [(HOME, LOGIN_URL)]
    assert to(LOGIN_URL, audience=HOME, explicit=True) == [(HOME, HOME)]
    assert to(HOME, audience="https://acme.my.site.com/portal", explicit=True) == [
        (HOME, "https://acme.my.site.com/portal")
    ]


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("audience", [None, LOGIN_URL, TEST_URL, HOME, STRANGER])
@pytest.mark.parametrize("instance_url", [HOME, SANDBOX, STRANGER])
@pytest.mark.parametrize("login_url", [STRANGER, "http://127.0.0.1:8080"])
def test_a_trusted_stranger_gets_assertions_for_itself_alone(
    login_url: str, instance_url: str, audience: str | None, explicit: bool
) -> None:
    assert to(login_url, instance_url, audience, explicit=explicit) == [(login_url, login_url)]


@pytest.mark.parametrize(
    "instance_url", [STRANGER, "http://127.0.0.1:8080", "https://acme.my.salesforce.com.evil.example"]
)
@pytest.mark.parametrize("audience", [None, STRANGER, LOGIN_URL])
def test_no_assertion_goes_to_an_instance_that_is_not_salesforces_own(instance_url: str, audience: str | None) -> None:
    assert {host for host, _ in to(LOGIN_URL, instance_url, audience)} == {LOGIN_URL}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (HOME, HOME),
        (f" {HOME.upper().replace('HTTPS', 'https')}/ ", HOME),
        ("https://acme.my.site.com/Portal", "https://acme.my.site.com/Portal"),
    ],
)
def test_a_chosen_audience_is_read(text: str, read: str) -> None:
    assert audiences.check(text, LOGIN_URL, ()) == read


@pytest.mark.parametrize(
    "text", ["", "acme", "http://acme.my.salesforce.com", "https://a@b", "https://a?b", "https://ä"]
)
def test_what_can_be_no_audience_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an audience is a URL"):
        audiences.check(text, LOGIN_URL, ())


def test_a_stranger_may_be_told_its_own_audience_and_no_other() -> None:
    assert audiences.check(f"{STRANGER}/", STRANGER, TRUSTED) == STRANGER
    for other in (LOGIN_URL, HOME, "http://127.0.0.1:8080"):
        with pytest.raises(ValueError, match="for itself alone"):
            audiences.check(other, STRANGER, TRUSTED)


def test_a_login_host_that_nobody_trusts_gets_nothing() -> None:
    with pytest.raises(ValueError, match="not one of Salesforce's own hosts"):
        audiences.recipients("https://evil.example", HOME, (), audience=None, explicit=False)
