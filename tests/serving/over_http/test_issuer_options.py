"""What is wrong with an issuer or its audience is said before a server listens."""

import pytest

from orgserver.model.errors import ConfigError
from orgserver.serving.http.bearer.issuers import refuse_bad_sign_in
from orgserver.serving.http.options import read_options

ISSUER, AUDIENCE = "https://idp.example.com/realms/company", "https://orgs.example.com/mcp"
PUBLIC = "https://orgs.example.com"


@pytest.mark.parametrize(
    ("issuer", "audience", "words"),
    [
        (None, AUDIENCE, "--oauth-audience needs --oauth-issuer"),
        (ISSUER, None, "--oauth-issuer needs --oauth-audience"),
        (ISSUER, "", "--oauth-audience must be"),
        (ISSUER, "a\nb", "--oauth-audience must be"),
        ("http://idp.example.com", AUDIENCE, "the URL must be https"),
        ("idp.example.com", AUDIENCE, "must begin with https://"),
        ("https://10.0.0.7/x", AUDIENCE, "an address, not a name"),
        ("https://idp.example.com\u202e", AUDIENCE, "characters that no issuer's URL has"),
    ],
)
def test_it_is_refused_in_one_line(issuer: str | None, audience: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        read_options("127.0.0.1:0", issuer=issuer, audience=audience)
    assert "\u202e" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("issuer", "audience"), [(None, None), (ISSUER, AUDIENCE), ("http://127.0.0.1:9000", "orgs")])
def test_a_right_one_is_taken(issuer: str | None, audience: str | None) -> None:
    options = read_options("127.0.0.1:0", issuer=issuer, audience=audience)

    assert (options.issuer, options.audience) == (issuer, audience)


def test_the_audience_that_it_may_be_is_told() -> None:
    with pytest.raises(ConfigError) as refused:
        read_options("127.0.0.1:0", issuer=ISSUER, public_url=PUBLIC, trusted_proxies=("127.0.0.1",))
    assert f"--oauth-audience {AUDIENCE}" in (refused.value.hint or "")


def test_people_sign_in_by_https_or_on_their_own_machine() -> None:
    with pytest.raises(ConfigError, match="no https"):
        refuse_bad_sign_in(ISSUER, "http://orgs.example.com")
    refuse_bad_sign_in(ISSUER, PUBLIC)
    refuse_bad_sign_in("http://127.0.0.1:9000", "http://127.0.0.1:8080")
