"""What an operator may ask of a server on HTTP: each bad combination is refused in one line."""

import logging
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orgserver.model.errors import ConfigError
from orgserver.sandbox import tls
from orgserver.serving.http.certificates import Certificate
from orgserver.serving.http.options import HttpOptions, read_options

PUBLIC = "https://orgs.example.com"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tls.Certificates:
    return tls.certificates(tmp_path_factory.mktemp("pair"))


def options_with(pair: tls.Certificates, address: str = "0.0.0.0:0", **more) -> HttpOptions:
    return read_options(address, tls_cert=str(pair.certificate_file), tls_key=str(pair.key_file), **more)


@pytest.mark.parametrize(
    ("address", "more", "message"),
    [
        ("0.0.0.0:8080", {}, "keys would cross the network in the clear"),
        ("[::]:8080", {}, "keys would cross the network in the clear"),
        ("192.0.2.7:8080", {"allowed_hosts": ("orgs.example.com",)}, "keys would cross the network in the clear"),
        ("0.0.0.0:8080", {"trusted_proxies": ("10.0.0.1",)}, "keys would cross the network in the clear"),
        ("0.0.0.0:8080", {"public_url": PUBLIC}, "nothing here speaks it"),
        ("127.0.0.1:8080", {"public_url": PUBLIC}, "nothing here speaks it"),
        ("127.0.0.1:8080", {"public_url": "http://orgs.example.com"}, "keys would cross the network in the clear"),
        ("127.0.0.1:8080", {"public_url": f"{PUBLIC}/mcp"}, "not scheme and host alone"),
        ("127.0.0.1:8080", {"public_url": f"{PUBLIC}?a=b"}, "not scheme and host alone"),
        ("127.0.0.1:8080", {"public_url": f"{PUBLIC}/#a"}, "not scheme and host alone"),
        ("127.0.0.1:8080", {"public_url": "https://ada:geheim@orgs.example.com"}, "not scheme and host alone"),
        ("127.0.0.1:8080", {"public_url": "orgs.example.com"}, "not scheme and host alone"),
        ("127.0.0.1:8080", {"public_url": "ftp://orgs.example.com"}, "not scheme and host alone"),
        ("127.0.0.1:8080", {"public_url": "https://orgs.example.com:0"}, "not scheme and host alone"),
        ("127.0.0.1:8080", {"public_url": "https://orgs.example.com:99999"}, "not scheme and host alone"),
        ("127.0.0.1:8080", {"public_url": "https://"}, "not scheme and host alone"),
        ("127.0.0.1:8080", {"tls_cert": "c.pem"}, "--tls-cert needs --tls-key"),
        ("127.0.0.1:8080", {"tls_key": "k.pem"}, "--tls-key needs --tls-cert"),
        ("127.0.0.1:8080", {"tls_cert": "/no/c.pem", "tls_key": "/no/k.pem"}, "cannot be read"),
        ("127.0.0.1:8080", {"trusted_proxies": ("0.0.0.0/0",)}, "is everybody"),
        ("127.0.0.1:8080", {"trusted_proxies": ("proxy.example.com",)}, "no address and no network"),
        ("127.0.0.1:8080", {"allowed_hosts": ("https://a.example.com",)}, "no HOST or HOST:PORT"),
        ("127.0.0.1:8080", {"allowed_hosts": ("a@b.example.com",)}, "no HOST or HOST:PORT"),
        ("127.0.0.1:8080", {"allowed_hosts": ("*",)}, "no HOST or HOST:PORT"),
        ("127.0.0.1:8080", {"allowed_hosts": ("a_b.example.com",)}, "no HOST or HOST:PORT"),
        ("127.0.0.1:8080", {"allowed_origins": ("null",)}, "no origin"),
        ("127.0.0.1:8080", {"allowed_origins": ("*",)}, "no origin"),
        ("127.0.0.1:8080", {"allowed_origins": ("https://a.example.com:443",)}, "no origin"),
        ("127.0.0.1:8080", {"allowed_origins": ("https://a.example.com/app",)}, "no origin"),
        ("orgs.example.com:8080", {}, "the address to listen at is an IP address"),
        ("127.0.0.1", {}, "is no HOST:PORT"),
        ("127.0.0.1:http", {}, "is no HOST:PORT"),
        ("127.0.0.1:70000", {}, "is no HOST:PORT"),
        ("::1:8080", {}, "in brackets"),
        ("http://127.0.0.1:8080", {}, "is a URL, no HOST:PORT"),
        ("https://ada:geheim@127.0.0.1:8080", {}, "is a URL, no HOST:PORT"),
    ],
)
def test_a_bad_combination_is_refused(address: str, more: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        read_options(address, **more)

    assert "\n" not in f"{refusal.value}{refusal.value.hint}"
    assert "geheim" not in f"{refusal.value}{refusal.value.hint}"


def test_localhost_must_be_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(*_arguments, **_options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("127.0.0.1", "192.0.2.7")]

    assert read_options("localhost:8080").host in ("127.0.0.1", "::1")
    monkeypatch.setattr("orgserver.serving.http.addresses.socket.getaddrinfo", elsewhere)
    with pytest.raises(ConfigError, match="is not the machine itself"):
        read_options("localhost:8080")


def test_a_proxy_or_a_certificate_opens_other_addresses(pair: tls.Certificates) -> None:
    behind_proxy = read_options("0.0.0.0:8080", public_url=f"{PUBLIC}:443/", trusted_proxies=("10.0.0.0/8",))

    assert behind_proxy.url == PUBLIC
    assert options_with(pair).allowed_hosts == ("localhost", "127.0.0.1")
    assert options_with(pair, "[::1]:8443").url == "https://[::1]:8443"


def test_pairs_that_cannot_serve_are_refused(pair: tls.Certificates, tmp_path: Path) -> None:
    other = tls.certificates(tmp_path)
    noise = tmp_path / "noise.pem"
    noise.write_text("this is no certificate")

    for certificate, key, message in (
        (pair.certificate_file, other.key_file, "is not the private key of"),
        (pair.certificate_file, noise, "cannot be used"),
        (pair.certificate_file, tmp_path / "absent", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            Certificate(certificate, key)
    with pytest.raises(ConfigError, match="holds no certificate"):
        read_options("127.0.0.1:0", tls_cert=str(noise), tls_key=str(pair.key_file))


def test_an_end_that_has_come_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls, "_LIFE", timedelta(seconds=-60))
    monkeypatch.setattr(tls, "datetime", _Yesterday)
    expired = tls.certificates(tmp_path)

    with caplog.at_level(logging.WARNING, "orgserver.http"):
        options_with(expired)

    assert "clients will refuse it" in caplog.text


class _Yesterday(datetime):
    @classmethod
    def now(cls, tz=UTC):
        return datetime.now(tz) - timedelta(days=1)


def test_a_pair_that_does_not_fit_leaves_the_one_of_before(
    pair: tls.Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "own").mkdir()
    own, other = tls.certificates(tmp_path / "own"), tls.certificates(tmp_path)
    certificate = Certificate(own.certificate_file, own.key_file)

    own.key_file.write_bytes(other.key_file.read_bytes())
    certificate.reload()

    assert "the certificate of before stays in use" in caplog.text
