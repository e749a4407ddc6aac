"""Host, origin and the way a request came are compared exactly; who is not trusted is not believed."""

import itertools
import logging

import pytest

from orgserver.serving.http.door import Admitted, Door
from orgserver.serving.http.options import HttpOptions, read_options
from orgserver.serving.http.replies import Reply

LOCAL = read_options("127.0.0.1:8080")
PROXIED = read_options(
    "0.0.0.0:8080",
    public_url="https://orgs.example.com",
    trusted_proxies=("10.0.0.0/24",),
    allowed_hosts=("inner.example.com:8080",),
    allowed_origins=("https://app.example.com",),
)
PUBLIC_HOST = ("host", "orgs.example.com")
PAGE = ("origin", "https://app.example.com")


def admit(
    options: HttpOptions | Door, *headers: tuple[str, str], peer="127.0.0.1", method="POST", path="/mcp", raw_path=None
) -> Admitted | Reply:
    door = options if isinstance(options, Door) else Door(options)
    return door.admit(
        {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": (raw_path or path).encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "client": (peer, 50_000),
        }
    )


def status(answer: Admitted | Reply) -> int:
    return answer.status if isinstance(answer, Reply) else 200


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LocalHost:8080", "[::1]:8080"])
def test_the_own_address_is_a_host(host: str) -> None:
    assert isinstance(admit(LOCAL, ("host", host)), Admitted)


@pytest.mark.parametrize(
    "host",
    [
        "", " ", "127.0.0.1", "localhost", "127.0.0.1:80", "127.0.0.1:08080", "127.0.0.1:8080:8080", "127.0.0.1:",
        "127.0.0.1:evil.example", "127.0.0.1:8080@evil.example", "evil@127.0.0.1:8080", "user:pass@127.0.0.1:8080",
        "127.0.0.1:8080 ", " 127.0.0.1:8080", "127.0.0.1:8080,evil.example", "127.0.0.1.evil.example:8080", "127.1:8080",
        "2130706433:8080", "0x7f000001:8080", "localhost.:8080", "localhost.evil.example:8080", "evil.example", "*:8080",
        "evil.example:8080", "[::1]", "[::1]:80", "[0:0:0:0:0:0:0:1]:8080", "[::ffff:127.0.0.1]:8080", "::1:8080",
        "http://127.0.0.1:8080", "127.0.0.1:8080/", "127.0.0.1:8080#", "127.0.0.1:8080?", "localhos\xe9:8080",
        "127.0.0.1:8080\xa0", "0.0.0.0:8080",
    ],
)  # fmt: skip
def test_no_other_host_is(host: str) -> None:
    assert status(admit(LOCAL, ("host", host))) == 421


def test_a_host_comes_once() -> None:
    assert status(admit(LOCAL)) == 421
    assert status(admit(LOCAL, ("host", "127.0.0.1:8080"), ("host", "127.0.0.1:8080"))) == 421


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("orgs.example.com", 200), ("orgs.example.com:443", 200), ("ORGS.example.com", 200),
        ("inner.example.com:8080", 200), ("127.0.0.1:8080", 200),
        ("orgs.example.com:80", 421), ("orgs.example.com:8080", 421), ("inner.example.com", 421), ("0.0.0.0:8080", 421),
    ],
)  # fmt: skip
def test_the_public_host_is_one_with_or_without_its_own_port(host: str, expected: int) -> None:
    assert status(admit(PROXIED, ("host", host))) == expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:8080", 200), ("http://localhost:8080", 200),
        ("null", 403), ("", 403), ("http://127.0.0.1", 403), ("https://127.0.0.1:8080", 403),
        ("http://127.0.0.1:80@evil.example", 403), ("http://127.0.0.1:8080/", 403), ("http://127.0.0.1:8080.evil.example", 403),
        ("http://evil.example", 403), ("http://127.0.0.1:8080 http://evil.example", 403), ("HTTP://127.0.0.1:8080", 403),
    ],
)  # fmt: skip
def test_an_origin_is_one_of_ours_or_none(origin: str, expected: int) -> None:
    assert status(admit(LOCAL, ("host", "127.0.0.1:8080"), ("origin", origin))) == expected
    assert status(admit(LOCAL, ("host", "127.0.0.1:8080"), ("origin", origin), ("origin", origin))) == 403


@pytest.mark.parametrize(
    ("origin", "expected"),
    [("https://orgs.example.com", 200), ("http://orgs.example.com", 403), ("http://orgs.example.com:443", 403)],
)
def test_a_page_of_the_public_name_came_encrypted(origin: str, expected: int) -> None:
    assert status(admit(PROXIED, PUBLIC_HOST, ("origin", origin), peer="10.0.0.9")) == expected


@pytest.mark.parametrize(
    ("headers", "source", "scheme"),
    [
        ([], "10.0.0.9", "https"),
        ([("x-forwarded-for", "203.0.113.5")], "203.0.113.5", "https"),
        ([("x-forwarded-for", "198.51.100.1, 203.0.113.5")], "203.0.113.5", "https"),
        ([("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.5, 10.0.0.4")], "203.0.113.5", "https"),
        ([("x-forwarded-for", "203.0.113.5:1234"), ("x-forwarded-proto", "https")], "203.0.113.5", "https"),
        ([("x-forwarded-for", "[2001:db8::1]:1234")], "2001:db8::1", "https"),
        ([("x-forwarded-for", "203.0.113.5, unknown, 10.0.0.4")], "10.0.0.4", "https"),
        ([("forwarded", 'for="[2001:db8::1]:47";proto=https;host=orgs.example.com, for=10.0.0.3')], "2001:db8::1", "https"),
        ([("forwarded", "for=198.51.100.1;proto=https, For=203.0.113.5;Proto=HTTPS")], "203.0.113.5", "https"),
        ([("forwarded", "for=203.0.113.5"), ("x-forwarded-for", "203.0.113.5")], "203.0.113.5", "https"),
    ],
)  # fmt: skip
def test_a_proxy_that_is_trusted_tells_the_source(headers: list[tuple[str, str]], source: str, scheme: str) -> None:
    admitted = admit(PROXIED, PUBLIC_HOST, *headers, peer="10.0.0.9")

    assert isinstance(admitted, Admitted)
    assert (admitted.source, admitted.scheme) == (source, scheme)


@pytest.mark.parametrize(
    ("headers", "peer", "url"),
    [
        ([("host", "127.0.0.1:8080")], "10.0.0.9", "https://orgs.example.com"),
        ([("host", "inner.example.com:8080"), ("x-forwarded-host", "orgs.example.com")], "10.0.0.9", "https://orgs.example.com"),
        ([("host", "127.0.0.1:8080")], "127.0.0.1", "http://127.0.0.1:8080"),
    ],
)  # fmt: skip
def test_the_server_is_named_as_its_client_names_it(headers: list[tuple[str, str]], peer: str, url: str) -> None:
    admitted = admit(PROXIED, *headers, peer=peer)

    assert isinstance(admitted, Admitted)
    assert admitted.url == url


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("forwarded", "for=203.0.113.5"), ("x-forwarded-for", "198.51.100.1")], 400),
        ([("forwarded", "for=203.0.113.5;for=198.51.100.1")], 400),
        ([("forwarded", 'for="203.0.113.5')], 400),
        ([("forwarded", "for=203.0.113.5;;")], 400),
        ([("x-forwarded-proto", "gopher")], 400),
        ([("x-forwarded-for", "203.0.113.5"), ("x-forwarded-proto", "http")], 403),
        ([("x-forwarded-host", "evil.example")], 421),
        ([("x-forwarded-host", "orgs.example.com:443@evil.example")], 421),
        ([("forwarded", "for=203.0.113.5;host=evil.example")], 421),
    ],
)
def test_what_a_proxy_tells_must_be_one_story_of_a_host_of_ours(headers: list[tuple[str, str]], expected: int) -> None:
    assert status(admit(PROXIED, PUBLIC_HOST, *headers, peer="10.0.0.9")) == expected


def test_who_is_not_trusted_is_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "orgserver.http"):
        admitted = admit(
            LOCAL,
            ("host", "127.0.0.1:8080"),
            ("x-forwarded-for", "203.0.113.5"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
        )

    assert isinstance(admitted, Admitted)
    assert (admitted.source, admitted.scheme, admitted.host) == ("127.0.0.1", "http", "127.0.0.1:8080")
    assert "--trust-proxy" in caplog.text


def test_past_the_proxy_nothing_comes_in_the_clear() -> None:
    assert status(admit(PROXIED, PUBLIC_HOST, peer="203.0.113.5")) == 403
    assert status(admit(PROXIED, PUBLIC_HOST, ("x-forwarded-proto", "https"), peer="203.0.113.5")) == 403
    assert status(admit(PROXIED, PUBLIC_HOST, peer="::ffff:10.0.0.9")) == 200


@pytest.mark.parametrize("raw_path", ["/%6dcp", "/mcp%2f", "/mcp%00", "/%2e/mcp"])
def test_a_path_is_written_plainly(raw_path: str) -> None:
    assert status(admit(LOCAL, ("host", "127.0.0.1:8080"), raw_path=raw_path)) == 404


def test_a_page_that_is_named_may_ask_and_read_without_credentials_of_the_browser() -> None:
    preflight = admit(
        PROXIED, PUBLIC_HOST, PAGE, ("access-control-request-method", "POST"), peer="10.0.0.9", method="OPTIONS"
    )
    admitted = admit(PROXIED, PUBLIC_HOST, PAGE, peer="10.0.0.9")
    foreign = admit(
        PROXIED, PUBLIC_HOST, ("origin", "https://evil.example"), ("access-control-request-method", "POST"),
        peer="10.0.0.9", method="OPTIONS",
    )  # fmt: skip

    assert isinstance(preflight, Reply)
    assert preflight.status == 204
    assert dict(preflight.headers)[b"access-control-allow-origin"] == b"https://app.example.com"
    assert dict(preflight.headers)[b"access-control-allow-methods"] == b"GET, POST"  # it reads the metadata, too
    assert b"access-control-allow-credentials" not in dict(preflight.headers)
    assert isinstance(admitted, Admitted)
    assert dict(admitted.cors)[b"access-control-allow-origin"] == b"https://app.example.com"
    assert isinstance(admit(PROXIED, PUBLIC_HOST, peer="10.0.0.9"), Admitted)
    assert status(foreign) == 403


def test_what_became_of_one_request_says_nothing_of_another() -> None:
    door = Door(PROXIED)
    peers = ("10.0.0.1", "192.0.2.1", "127.0.0.1")
    hosts = ("orgs.example.com", "inner.example.com:8080", "evil.example")
    more: list[list[tuple[str, str]]] = [
        [], [("x-forwarded-for", "198.51.100.7")], [("origin", "https://evil.example")], [PAGE], [],
    ]  # fmt: skip
    for _ in range(2):
        for peer, host, headers in itertools.product(peers, hosts, more):
            requests = [("host", host), *headers]
            assert admit(door, *requests, peer=peer) == admit(PROXIED, *requests, peer=peer)
