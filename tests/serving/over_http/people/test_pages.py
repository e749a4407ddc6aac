"""Templates are filled in so that nothing a stranger wrote is markup, and every page is one that all can use."""

from dataclasses import dataclass
from typing import Any

import pytest
from jinja2 import UndefinedError

from orgserver.serving.http.people.pages import Pages, find_forms, shorten
from tests.serving.over_http.people.page import read_reply

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m\"'&{{ 7 * 7 }}"


@dataclass
class GrantedOrg:
    alias: str
    permissions: tuple[str, ...]


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages("https://orgs.example.com:8443")


def consent_values(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "action": "/signin/consent/0192",
        "csrf": "c5rf",
        "problem": None,
        "client_name": "Claude",
        "client_id": "https://claude.ai/oauth/mcp",
        "client_host": "claude.ai",
        "redirect_host": "claude.ai",
        "is_on_this_computer": False,
        "resource": "https://orgs.example.com:8443/mcp",
        "person": "Ada Lovelace",
        "principal": "ada",
        "scopes": ["orgs:read", "orgs:write"],
        "allowed_scopes": [],
        "orgs": [GrantedOrg("acme", ("read", "write"))],
        "org_count": 1,
    }
    return values | changes


def test_consent_says_who_asks_where_it_goes_and_what_it_may(pages: Pages) -> None:
    page = read_reply(pages.render("consent.html", **consent_values()))

    assert page.texts("h1") == ["Allow Claude to work in your Salesforce orgs?"]
    assert page.fields == {"csrf": "c5rf", "orgs:read": "on", "orgs:write": "on"}
    assert page.one("form").attributes["action"] == "/signin/consent/0192"
    assert [each.attributes["value"] for each in page.all("button")] == ["allow", "deny"]
    assert "program on your own computer" not in page.one("main").text


def test_consent_warns_of_a_client_on_this_computer(pages: Pages) -> None:
    page = read_reply(pages.render("consent.html", **consent_values(is_on_this_computer=True, client_host=None)))

    assert "This is a program on your own computer." in page.one("main").text
    assert "nobody has checked its name" in page.one("main").text


def test_a_second_round_asks_only_for_what_is_new(pages: Pages) -> None:
    values = consent_values(scopes=["orgs:write"], allowed_scopes=["orgs:read"])

    page = read_reply(pages.render("consent.html", **values))

    assert page.fields == {"csrf": "c5rf", "orgs:write": "on"}
    assert "You have allowed this client already: read." in " ".join(page.one("main").text.split())


def test_what_strangers_wrote_is_text_of_which_nothing_is_unseen(pages: Pages) -> None:
    names = ("client_name", "client_id", "client_host", "redirect_host", "person", "principal", "resource")
    values = consent_values(orgs=[GrantedOrg(HOSTILE, ("read",))], **dict.fromkeys(names, HOSTILE))

    reply = pages.render("consent.html", **values)
    page = read_reply(reply)

    assert "\u202e" not in reply.body.decode()
    assert "\x1b" not in reply.body.decode()
    assert "49" not in page.one("main").text
    assert r"<script>alert(1)</script>\u202e\x1b[31m" in page.one("main").text


def test_a_long_name_is_cut(pages: Pages) -> None:
    page = read_reply(pages.render("consent.html", **consent_values(client_name="x" * 5_000)))

    assert len(page.one("h1").text) < 300
    assert shorten("x" * 200) == "x" * 200
    assert shorten("x" * 201) == "x" * 199 + "…"


def test_a_template_that_lacks_a_value_fails(pages: Pages) -> None:
    values = consent_values()
    del values["redirect_host"]

    with pytest.raises(UndefinedError):
        pages.render("consent.html", **values)


def test_an_error_says_what_happened_what_to_do_and_an_id(pages: Pages, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "orgserver.http")
    reply = pages.fail(
        403,
        "Nobody here knows you",
        "You are signed in, and no principal is yours.",
        "Send this to an administrator.",
        facts={"Subject": HOSTILE},
        command="orgserver update-principal NAME --subject https://login.example.com 123",
        headers=((b"retry-after", b"5"),),
    )
    page = read_reply(reply, 403)

    assert (b"retry-after", b"5") in reply.headers
    assert page.texts("h1") == ["Nobody here knows you"]
    assert page.texts("pre") == ["orgserver update-principal NAME --subject https://login.example.com 123"]
    assert page.all("a") == []
    (id_,) = page.texts("code")[1:]
    assert f"request {id_}" in caplog.text


def test_an_error_leads_back_to_a_client_only_where_its_address_is_known(pages: Pages) -> None:
    url = "https://claude.ai/api/mcp/auth_callback?error=temporarily_unavailable&state=a%22b"
    page = read_reply(pages.fail(503, "Away", "It is away.", "Try again.", return_url=url), 503)

    assert page.one("a").attributes["href"] == url


@pytest.mark.parametrize(
    ("redirect_uri", "forms"),
    [
        ("https://claude.ai/api/mcp/auth_callback", "'self' https:"),
        ("http://localhost:3118/callback", "'self' https: http://127.0.0.1:* http://localhost:*"),
        ("http://127.0.0.1/callback", "'self' https: http://127.0.0.1:* http://localhost:*"),
        ("http://[::1]:3118/callback", "'self' https: http:"),
    ],
)
def test_only_the_page_of_consent_has_a_form_that_may_lead_to_a_client(
    pages: Pages, redirect_uri: str, forms: str
) -> None:
    own = dict(pages.render("consent.html", **consent_values()).headers)
    led = dict(pages.render("consent.html", forms=find_forms(redirect_uri), **consent_values()).headers)

    assert b"form-action 'self';" in own[b"content-security-policy"]
    assert f"form-action {forms};".encode() in led[b"content-security-policy"]


def test_the_styles_bring_nothing_from_outside(pages: Pages) -> None:
    reply = pages.answer_style()

    assert reply.content_type == b"text/css; charset=utf-8"
    assert (b"cache-control", b"max-age=3600") in reply.headers
    assert b"url(" not in reply.body
    assert b"@import" not in reply.body
    assert b"prefers-color-scheme: dark" in reply.body
