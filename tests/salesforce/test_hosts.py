"""A token may go to Salesforce's own hosts and to those named by the operator, however an address is dressed up."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.salesforce import hosts

GOOD_HOSTS = [
    f"{name}{suffix}"
    for name in ("login", "test", "acme.my", "acme--uat.sandbox.my", "a1", "na1", "x-y.z")
    for suffix in hosts.SUFFIXES
]
LOOK_ALIKES = [
    *(suffix[1:] for suffix in hosts.SUFFIXES),  # the bare domain is nobody's org
    *(f"evil{suffix[1:]}" for suffix in hosts.SUFFIXES),
    *(f"acme.my{suffix}.evil.example" for suffix in hosts.SUFFIXES),
    *(f"acme.my{suffix}." for suffix in hosts.SUFFIXES),
    *(f"acme..my{suffix}" for suffix in hosts.SUFFIXES),
    *(f"-acme{suffix}" for suffix in hosts.SUFFIXES),
    *(f"acme_my{suffix}" for suffix in hosts.SUFFIXES),
    *(f"{'a' * 64}{suffix}" for suffix in hosts.SUFFIXES),
    *(suffix for suffix in hosts.SUFFIXES),
    "localhost",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[fe80::1%25eth0]",
    "169.254.169.254",
    "10.0.0.1",
    "metadata.google.internal",
    "salesforce.com.evil.example",
    "evilcrmforce.mil",
    "login.salesforce.com%2eevil.example",
    "login.salesforce.com%00.evil.example",
    "login.salesforce.com\\.evil.example",
    "login.salesforce.com\t",
    "login.sal\u00e9sforce.com",
    "login.s\u0430lesforce.com",
    "xn--salesforce-.com",
    "login\u3002salesforce.com",
    "",
]
DRESSES = ["https://{}", "https://{}/", "https://{}/services/data", "HTTPS://{}"]
ALWAYS_BAD = [
    template.format(host=host)
    for host in ("acme.my.salesforce.com", "login.salesforce.com")
    for template in (
        "http://{host}",
        "ftp://{host}",
        "javascript:alert('{host}')",
        "{host}",
        "//{host}",
        "https:{host}",
        "https:///{host}",
        "https://user@{host}",
        "https://user:pass@{host}",
        "https://{host}@evil.example",
        "https://evil.example#@{host}",
        "https://evil.example?@{host}",
        "https://evil.example\\@{host}",
        "https://{host}:80",
        "https://{host}:8443",
        "https://{host}:0",
        "https://{host}:99999",
        "https://{host}:https",
        "https://{host} .evil.example",
        "https://{host}\n.evil.example",
        " https://{host}",
        "https://evil.example/{host}",
        "https://evil.example/https://{host}",
    )
]
BAD = [dress.format(host) for host, dress in itertools.product(LOOK_ALIKES, DRESSES)] + ALWAYS_BAD


def test_the_corpus_is_large_enough() -> None:
    assert len(set(BAD)) >= 250


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_salesforces_own_hosts_are_taken(host: str) -> None:
    for url in (f"https://{host}", f"https://{host.upper()}/x", f"https://{host}:443/services/data?q=1"):
        assert hosts.check_url(url) == f"https://{host}"


@pytest.mark.parametrize("url", BAD)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        hosts.check_url(url)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", BAD)
def test_trusting_one_host_trusts_no_other(url: str) -> None:
    with pytest.raises(ValueError):
        hosts.check_url(url, ("proxy.example", "192.0.2.7:8443"))


@pytest.mark.parametrize(
    ("url", "trusted", "origin"),
    [
        ("https://proxy.example", "proxy.example", "https://proxy.example"),
        ("https://Proxy.Example:443/x", "PROXY.example", "https://proxy.example"),
        ("https://proxy.example:8443", "proxy.example:8443", "https://proxy.example:8443"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080", "localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "[::1]:8080", "http://[::1]:8080"),
        ("https://192.0.2.7", "192.0.2.7", "https://192.0.2.7"),
    ],
)
def test_a_trusted_host_is_taken_exactly(url: str, trusted: str, origin: str) -> None:
    assert hosts.check_url(url, (trusted,)) == origin


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("https://proxy.example:8443", "proxy.example"),
        ("https://proxy.example", "proxy.example:8443"),
        ("https://sub.proxy.example", "proxy.example"),
        ("http://proxy.example", "proxy.example"),
        ("http://proxy.example:8080", "proxy.example:8080"),
        ("http://192.0.2.7:8080", "192.0.2.7:8080"),
        ("http://127.0.0.1:8081", "127.0.0.1:8080"),
        ("http://127.0.0.1", ""),
    ],
)
def test_nearly_trusted_is_not_trusted(url: str, trusted: str) -> None:
    with pytest.raises(ValueError):
        hosts.check_url(url, (trusted,))


@given(st.text(max_size=60))
def test_no_text_gets_another_answer_than_an_origin_or_a_refusal(text: str) -> None:
    try:
        origin = hosts.check_url(f"https://{text}")
    except ValueError:
        return
    assert origin.removeprefix("https://").endswith(hosts.SUFFIXES)


@pytest.mark.parametrize("text", ["proxy.example", "proxy.example:8443", "127.0.0.1:80", "[::1]:9", "LOCALHOST:1"])
def test_a_trusted_host_is_read(text: str) -> None:
    assert hosts.check_host(text) == text.lower()


@pytest.mark.parametrize(
    "text", ["", "https://x.example", "x/y", "u@x", "x:0", "x:y", "x y", "*.example", "-x", "x:99999"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        hosts.check_host(text)
