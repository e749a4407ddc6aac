"""A request as it is written: what may stand in it, and what would begin another one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orgserver.model.errors import NotSent
from orgserver.model.names import CONTACT
from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.http1.requests import HttpRequest, build_http_request, parse_origin
from orgserver.salesforce.outgoing import build_form, build_request
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.protocol.messages import Request

ORIGIN = parse_origin("https://acme.my.salesforce.com")
HOSTS = OrgHosts("row", "https://acme.my.salesforce.com", "https://login.salesforce.com")
TOKEN = "00Dx!secret"


def build(**changes: object) -> HttpRequest:
    parts = {"method": "POST", "origin": ORIGIN, "target": "/services/x", "headers": [("Accept", "a")], "body": b"{}"}
    return build_http_request(**(parts | changes))  # type: ignore[arg-type]


def test_a_request_has_one_host_one_length_and_what_it_was_given() -> None:
    request = build(target="/services/x?q=SELECT+Id", headers=[("Authorization", "Bearer t"), ("Accept", "a/b")])

    assert request.headers == (
        b"Host: acme.my.salesforce.com\r\nAuthorization: Bearer t\r\nAccept: a/b\r\nContent-Length: 2\r\n\r\n"
    )
    assert (request.target, request.body, request.written) == ("/services/x?q=SELECT+Id", b"{}", False)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_what_has_no_body_says_no_length(method: str) -> None:
    assert b"Content-Length" not in build(method=method, body=None).headers


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_what_may_have_a_body_says_that_it_has_none(method: str) -> None:
    assert b"Content-Length: 0\r\n" in build(method=method, body=None).headers


BREAKING = ["\r\n", "\r", "\n", "\0", "\x0b", "\x7f", "\x85", "\u2028", "\u010a", "\u560d", "é"]


@pytest.mark.parametrize("text", BREAKING)
@pytest.mark.parametrize("where", ["value", "name", "target", "query", "method"])
def test_no_text_can_begin_another_header_or_request(where: str, text: str) -> None:
    spoilt = f"a{text}X-Evil: 1"
    changes: dict[str, object] = {
        "value": {"headers": [("X-A", spoilt)]},
        "name": {"headers": [(spoilt, "1")]},
        "target": {"target": f"/services/{spoilt}"},
        "query": {"target": f"/services/x?q={spoilt}"},
        "method": {"method": f"GET{text}"},
    }[where]  # type: ignore[assignment]

    with pytest.raises(ValueError) as refused:
        build(**changes)

    assert "Evil" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["Host", "host", "Content-Length", "TRANSFER-ENCODING", "Connection", "X A", "X:A", "", "X-A "]
)
def test_a_header_that_would_be_the_connections_or_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        build(headers=[(name, "1")])


@pytest.mark.parametrize(
    "target",
    ["", "services/x", "//evil.example/x y", "http://evil.example/", "/a b", "/a#b", '/a"b', "/a\\b", "/a<b", "/{a}"],
)
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="path or query"):
        build(target=target)


@pytest.mark.parametrize("segment", [".", "..", "%2e", "%2E%2e", ".%2E"])
@pytest.mark.parametrize("path", ["/services/{}", "/services/{}/x", "/services/x/{}?q=1"])
def test_a_path_that_may_be_taken_for_another_is_refused(path: str, segment: str) -> None:
    with pytest.raises(ValueError, match="another path"):
        build(target=path.format(segment))


@pytest.mark.parametrize("target", ["/services/.5", "/services/...", "/services/a..b?q=/../", "/services/%2e5"])
def test_dots_within_a_segment_or_a_query_mean_nothing(target: str) -> None:
    assert build(target=target).target == target


@given(st.text(max_size=30))
@example("..")
@example("%2e%2e")
@example("a/../../b")
@example("a\r\nX-Evil: 1")
def test_an_external_id_stays_one_segment_or_is_refused(value: str) -> None:
    try:
        request = build_request(HOSTS, Secret(TOKEN), rest.read_by_key("v60.0", CONTACT, ("Ext__c", value), ("Id",)))
    except (NotSent, UnicodeEncodeError):
        return

    path = request.target.partition("?")[0]
    assert path.count("/") == 7
    assert path.startswith("/services/data/v60.0/sobjects/Contact/Ext__c/")


@pytest.mark.parametrize("token", ["00Dx!a\r\nX-Evil: 1", "00Dx!a\0b", "00Dx!\u00e9"])
def test_a_token_that_would_begin_another_header_is_not_sent_and_not_shown(token: str) -> None:
    with pytest.raises(NotSent) as refused:
        build_request(HOSTS, Secret(token), Request("GET", "/services/data"))

    assert "00Dx!" not in f"{refused.value} {refused.value!r} {refused.value.__cause__} {refused.value.__context__}"


def test_no_repr_shows_a_token_or_a_form() -> None:
    read = build_request(HOSTS, Secret(TOKEN), Request("GET", "/services/data"))
    form = build_form(HOSTS, "/services/oauth2/token", {"refresh_token": Secret("5Aep861secret")})

    assert b"refresh_token=5Aep861secret" in form.body
    assert "secret" not in f"{read!r} {form!r}"


@pytest.mark.parametrize(
    ("text", "host", "port", "authority"),
    [
        ("https://acme.my.salesforce.com", "acme.my.salesforce.com", 443, "acme.my.salesforce.com"),
        ("http://127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
        ("http://[::1]:8080", "::1", 8080, "[::1]:8080"),
        ("https://localhost:8443", "localhost", 8443, "localhost:8443"),
    ],
)
def test_an_origin_says_where_to_connect_and_what_the_host_is_called(
    text: str, host: str, port: int, authority: str
) -> None:
    origin = parse_origin(text)

    assert (origin.secure, origin.host, origin.port, origin.authority) == (
        text.startswith("https"),
        host,
        port,
        authority,
    )
    assert origin.url == text


@pytest.mark.parametrize(
    "text",
    [
        "ftp://acme.example",
        "https://",
        "acme.example",
        "https://acme.example/",
        "https://acme.example/path",
        "https://acme.example?q",
        "https://acme.example#f",
        "https://user@acme.example",
        "https://acme.example:99999",
        "https://acme.example\r\nX-Evil: 1",
        "https://acme .example",
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_origin(text)
