"""SFDX auth URLs are read in every form that sf prints, and what is wrong with one is said without showing it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.salesforce.auth import sfdx

SF_ACCEPTS = re.compile(
    r"^force://([A-Za-z0-9._-]+={0,2}):([A-Za-z0-9._-]*={0,2}):([A-Za-z0-9._-]+={0,2})@([A-Za-z0-9:._-]+)"
)
"""The expression of sfdx-core 9."""
TOKEN = "5Aep861CANARY.refresh_token-XYZ=="
SECRET = "CANARY0SECRET="
URL = f"force://3MVG9CANARY.client:{SECRET}:{TOKEN}@acme.my.salesforce.com"
parts = st.from_regex(r"[A-Za-z0-9._-]{1,80}={0,2}", fullmatch=True)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


def test_a_url_is_read_in_its_parts() -> None:
    read = sfdx.read(URL)

    assert (read.client_id, read.host) == ("3MVG9CANARY.client", "acme.my.salesforce.com")
    assert read.client_secret is not None
    assert (read.client_secret.reveal(), read.refresh_token.reveal()) == (SECRET, TOKEN)
    assert read.login_url == "https://acme.my.salesforce.com"
    assert not any(secret in f"{read!r} {read}" for secret in (TOKEN, SECRET))


@pytest.mark.parametrize(
    "url", [f"force://PlatformCLI::{TOKEN}@acme.my.salesforce.com", f"force://{TOKEN}@acme.my.salesforce.com"]
)
def test_the_default_app_has_no_secret_and_the_old_form_means_it(url: str) -> None:
    read = sfdx.read(url)

    assert (read.client_id, read.client_secret) == ("PlatformCLI", None)
    assert read.refresh_token.reveal() == TOKEN


@pytest.mark.parametrize("around", ["%s\n", "%s\r\n", "\ufeff%s\r\n", "  %s  ", "\n\n%s\n\n", "%s/"])
def test_what_shells_and_editors_put_around_a_url_does_not_matter(around: str) -> None:
    assert sfdx.read(around % URL).refresh_token.reveal() == TOKEN


@pytest.mark.parametrize(
    "answer", [{"status": 0, "result": {"username": "a@b.c", "sfdxAuthUrl": URL}}, {"sfdxAuthUrl": URL}]
)
def test_the_json_of_sf_is_taken_as_well(answer: object) -> None:
    assert sfdx.read(json.dumps(answer, indent=2)).refresh_token.reveal() == TOKEN


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8443", "localhost", "acme--uat.sandbox.my.salesforce.com", "Acme.My.Salesforce.com"]
)
def test_a_host_may_have_a_port_and_is_kept_in_lower_case(host: str) -> None:
    assert sfdx.parse(f"force://a::b@{host}").host == host.lower()


WRONG = [
    ("", "it is empty"),
    (" \n ", "it is empty"),
    (f"{URL}\n{URL}", "it has more than one line"),
    (f"{URL}\rX", "it has more than one line"),
    (URL.replace("force", "https", 1), "it begins with http"),
    (URL.replace("force", "HTTP", 1), "it begins with http"),
    (f"x{URL}", "it does not begin with force://"),
    (TOKEN, "it does not begin with force://"),
    (URL.replace("@", " @"), "it has a space in it"),
    (URL.replace(TOKEN, TOKEN * 200), "it is too long"),
    (URL.replace("@", ""), "it has not the form"),
    (f"{URL}/services?{TOKEN}", "it has not the form"),
    (URL.replace(SECRET, "CANARY%20"), "it has not the form"),
    (URL.replace(TOKEN, ""), "it has not the form"),
    (f"force://a:b:{TOKEN}:{TOKEN}@acme.my.salesforce.com", "it has not the form"),
    (f"force://{TOKEN}\u00fc@acme.my.salesforce.com", "it has not the form"),
    ("force://acme.my.salesforce.com@CANARYTOKEN", "what follows its @ is no host"),
    ("force://acme.my.salesforce.com@5Aep861.CANARY_TOKEN", "what follows its @ is no host"),
    ("force://a::b@acme.my.salesforce.com:CANARY", "what follows its @ is no host"),
    ("force://a::b@.", "what follows its @ is no host"),
    ("{CANARY", "it is neither a force:// URL nor JSON"),
    ("{" * 200_000, "it is neither a force:// URL nor JSON"),
    ('{"result": {"accessToken": "CANARY"}}', "it is JSON without result.sfdxAuthUrl"),
    ('{"result": ["CANARY"], "sfdxAuthUrl": 5}', "it is JSON without result.sfdxAuthUrl"),
    ('{"result": {"sfdxAuthUrl": "[REDACTED] Use \'sf org auth\'"}}', "the sf command has hidden the URL"),
    (json.dumps({"result": {"sfdxAuthUrl": f"{URL}\n"}}), "it has more than one line"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_what_is_wrong_is_said_in_one_line_that_shows_nothing_of_the_text(text: str, told: str) -> None:
    with pytest.raises(ValueError) as refused:
        sfdx.read(text)

    assert str(refused.value).startswith(told)
    assert "CANARY" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@given(parts, st.one_of(st.just(""), parts), parts, st.lists(labels, min_size=1, max_size=4))
def test_every_url_that_sf_would_print_is_read_as_sf_reads_it(
    client: str, secret: str, token: str, names: list[str]
) -> None:
    url = f"force://{client}:{secret}:{token}@{'.'.join(names)}.my.salesforce.com"
    theirs = SF_ACCEPTS.match(url)

    read = sfdx.read(url)

    assert theirs is not None
    assert (read.client_id, read.refresh_token.reveal(), read.host) == theirs.group(1, 3, 4)
    assert (read.client_secret.reveal() if read.client_secret else "") == theirs[2]


@given(st.one_of(st.text(max_size=300), st.text(alphabet='force:/@=.aA0_- {}"\n', max_size=80).map("force://".__add__)))
def test_any_text_is_read_or_refused_with_one_line_that_does_not_show_it(text: str) -> None:
    try:
        read = sfdx.read(text)
    except ValueError as error:
        told = str(error)
        assert told.startswith(tuple(words for _, words in WRONG))
    else:
        assert text.strip("\ufeff \t\r\n").startswith("force://")
        assert read.host
