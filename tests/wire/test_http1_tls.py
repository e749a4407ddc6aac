"""Over TLS and through proxies: whom we speak with is proven before a byte of a request is written."""

import asyncio
import base64
import gzip
import ssl
import sys
from pathlib import Path

import pytest

from orgserver.salesforce.connections import build_tls_context
from orgserver.salesforce.http1.failures import NeverSent, ReplyLost
from orgserver.salesforce.http1.proxy import parse_proxy
from orgserver.sandbox.tls import Certificates
from tests.wire.reply_cases import OK, PLAIN
from tests.wire.secure_hosts import ours, proxied, served, strange, trusting
from tests.wire.senders import listening, request_to, runner, sender
from tests.wire.upstream import head

__all__ = ["ours", "runner", "strange"]  # the fixtures

TOKEN = b"nobody_may_ever_read_this"


# -- TLS


def test_a_host_whose_certificate_is_trusted_is_asked_by_its_name_and_again_on_the_same_connection(
    runner: asyncio.Runner, ours: Certificates
) -> None:
    async def act() -> None:
        async with served(ours) as host, sender(tls_context=lambda: trusting(ours)) as made:
            for _ in range(3):
                request = request_to(f"localhost:{host.port}", "POST", b"", scheme="https")
                assert (await made.send(request, seconds=5)).content == OK
            assert host.names == ["localhost"]
            assert len(host.heads) == 3
            assert f"Host: localhost:{host.port}\r\n".encode() in host.heads[0]

    runner.run(act())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's trust is in no file")
def test_the_systems_certificates_are_read_once_and_not_for_each_connection(
    runner: asyncio.Runner, ours: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_system = tmp_path / "ca-certificates.crt"
    of_the_system.write_bytes(ours.ca_file.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(of_the_system))
    context = build_tls_context(None)
    of_the_system.unlink()

    async def act() -> None:
        async with served(ours) as host, sender(tls_context=lambda: context) as made:
            request = request_to(f"localhost:{host.port}", scheme="https")
            assert (await made.send(request, seconds=5)).content == OK

    runner.run(act())


def test_what_tls_says_by_itself_when_it_begins_is_no_word_of_the_host(
    runner: asyncio.Runner, ours: Certificates
) -> None:
    async def act() -> None:
        last = head(200, Content_Length=str(len(OK)), Connection="close") + OK
        async with served(ours, last) as host, sender(tls_context=lambda: trusting(ours)) as made:
            for _ in range(30):  # each with tickets on their way (RFC 8446, 4.6.1)
                request = request_to(f"localhost:{host.port}", scheme="https")
                assert (await made.send(request, seconds=5)).content == OK
            assert len(host.names) == 30

    runner.run(act())


def test_where_no_trust_can_be_had_the_connection_is_given_back(runner: asyncio.Runner) -> None:
    def without_trust() -> ssl.SSLContext:
        raise OSError("the bundle is gone")

    async def act() -> None:
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            assert await reader.read() == b""
            ended.set()

        async with listening(serve) as port, sender(tls_context=without_trust) as made:
            with pytest.raises(NeverSent) as raised:  # its traceback holds the socket: only closing it ends it
                await made.send(request_to(f"localhost:{port}", scheme="https"), seconds=5)
            async with asyncio.timeout(5):
                await ended.wait()
            del raised

    runner.run(act())


def test_an_address_must_be_named_by_the_certificate_too(runner: asyncio.Runner, ours: Certificates) -> None:
    async def act() -> None:
        async with served(ours) as host, sender(tls_context=lambda: trusting(ours)) as made:
            request = request_to(f"127.0.0.1:{host.port}", scheme="https")
            assert (await made.send(request, seconds=5)).content == OK

    runner.run(act())


@pytest.mark.parametrize("trust_ours", [False, True], ids=["only the system", "another authority"])
def test_a_host_whose_certificate_nobody_trusts_hears_no_byte_of_a_request(
    runner: asyncio.Runner, ours: Certificates, strange: Certificates, trust_ours: bool
) -> None:
    async def act() -> None:
        async with served(strange) as host, sender(tls_context=lambda: trusting(ours if trust_ours else None)) as made:
            request = request_to(f"localhost:{host.port}", "POST", b"{}", scheme="https")
            with pytest.raises(NeverSent, match="certificate is not trusted"):
                await made.send(request, seconds=5)
            await asyncio.sleep(0.02)
            assert (host.heads, request.written, made._open) == ([], False, set())

    runner.run(act())


def test_a_trusted_certificate_of_another_name_is_refused(runner: asyncio.Runner, ours: Certificates) -> None:
    async def act() -> None:
        # 127.0.0.2 is this machine too, and not in the certificate
        async with (
            served(ours, address="127.0.0.2") as host,
            sender(tls_context=lambda: trusting(ours)) as made,
        ):
            request = request_to(f"127.0.0.2:{host.port}", scheme="https")
            with pytest.raises(NeverSent, match="certificate is not trusted"):
                await made.send(request, seconds=5)
            assert (host.heads, request.written) == ([], False)

    runner.run(act())


def test_a_host_that_speaks_no_tls_hears_no_byte_of_a_request(runner: asyncio.Runner, ours: Certificates) -> None:
    async def act() -> None:
        async with served(None) as host, sender(tls_context=lambda: trusting(ours), connect_seconds=1) as made:
            request = request_to(f"localhost:{host.port}", scheme="https")
            with pytest.raises(NeverSent):
                await made.send(request, seconds=5)
            assert not any(TOKEN in head for head in host.heads)
            assert not request.written

    runner.run(act())


def test_a_handshake_that_does_not_end_is_given_up_and_nothing_was_sent(
    runner: asyncio.Runner, ours: Certificates
) -> None:
    async def act() -> None:
        async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with listening(silent) as port, sender(tls_context=lambda: trusting(ours), connect_seconds=0.2) as made:
            request = request_to(f"localhost:{port}", scheme="https")
            with pytest.raises(NeverSent, match="in time"):
                await made.send(request, seconds=5)
            assert not request.written

    runner.run(act())


@pytest.mark.parametrize("framing", ["length", "end"])
def test_an_answer_over_tls_that_is_cut_off_is_lost_whatever_would_have_ended_it(
    runner: asyncio.Runner, ours: Certificates, framing: str
) -> None:
    answer = PLAIN[:-1] if framing == "length" else head(200) + OK

    async def act() -> None:
        async with served(ours, answer, keep=False) as host, sender(tls_context=lambda: trusting(ours)) as made:
            with pytest.raises(ReplyLost):
                await made.send(request_to(f"localhost:{host.port}", scheme="https"), seconds=5)
            assert len(host.heads) == 1

    runner.run(act())


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut off"])
def test_an_answer_over_tls_that_ends_with_the_connection_is_read_where_its_packing_proves_its_end(
    runner: asyncio.Runner, ours: Certificates, cut: bool
) -> None:
    packed = gzip.compress(OK)
    answer = head(200, Content_Encoding="gzip") + (packed[:-1] if cut else packed)

    async def act() -> None:
        async with served(ours, answer, keep=False) as host, sender(tls_context=lambda: trusting(ours)) as made:
            request = request_to(f"localhost:{host.port}", scheme="https")
            if cut:
                with pytest.raises(ReplyLost, match="cut off"):
                    await made.send(request, seconds=5)
            else:
                assert (await made.send(request, seconds=5)).content == OK

    runner.run(act())


def test_a_large_answer_over_tls_waits_for_room_and_is_whole(runner: asyncio.Runner, ours: Certificates) -> None:
    content = b"0123456789abcdef" * (1 << 19)

    async def act() -> None:
        async def grow(_size: int) -> None:
            await asyncio.sleep(0)

        answer = head(200, Content_Length=str(len(content))) + content
        async with served(ours, answer) as host, sender(tls_context=lambda: trusting(ours)) as made:
            for _ in range(2):
                request = request_to(f"localhost:{host.port}", scheme="https")
                assert (await made.send(request, seconds=5, grow=grow)).content == content
            assert host.names == ["localhost"]

    runner.run(act())


# -- proxies


@pytest.mark.parametrize("secure_proxy", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_through_a_proxy_an_org_is_asked_and_the_proxy_reads_no_token_of_https(
    runner: asyncio.Runner, ours: Certificates, secure: bool, secure_proxy: bool
) -> None:
    async def act() -> None:
        scheme, proxy_scheme = ("https" if secure else "http"), ("https" if secure_proxy else "http")
        async with served(ours if secure else None) as host, proxied(ours if secure_proxy else None) as proxy:
            url = f"{proxy_scheme}://us%40er:p%3Ass@localhost:{proxy.port}"
            async with sender(tls_context=lambda: trusting(ours), proxy=url) as made:
                for _ in range(2):
                    request = request_to(f"localhost:{host.port}", "POST", b"", scheme=scheme)
                    assert (await made.send(request, seconds=5)).content == OK
        login = b"Proxy-Authorization: Basic " + base64.b64encode(b"us@er:p:ss") + b"\r\n"
        assert len(host.heads) == 2
        assert host.names == (["localhost"] if secure else [])
        assert proxy.names == (["localhost"] if secure_proxy else [])
        if secure:
            assert [each.split(b" ")[:2] for each in proxy.heads] == [[b"CONNECT", f"localhost:{host.port}".encode()]]
            assert login in proxy.heads[0] and TOKEN not in proxy.heads[0]
            assert not any(login in each for each in host.heads)
        else:
            assert proxy.heads[0].startswith(f"POST http://localhost:{host.port}/services/x?q=1 HTTP/1.1\r\n".encode())
            assert login in proxy.heads[0]

    runner.run(act())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "refused to connect: 407"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\n\r\n", "refused to connect: 302"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + PLAIN, "no answer that can be read"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no answer that can be read"),
        (b"HTTP/1.1 200 " + b"O" * 20_000, "no answer that can be read"),
        (b"HTTP/1.1 200 OK\r\n", "in time"),
        (b"", "in time"),
    ],
)
def test_a_proxy_that_makes_no_tunnel_hears_no_token_and_nothing_was_sent(
    runner: asyncio.Runner, ours: Certificates, answer: bytes, reason: str
) -> None:
    async def act() -> None:
        async with (
            served(ours) as host,
            proxied(None, answer) as proxy,
            sender(
                tls_context=lambda: trusting(ours), proxy=f"http://u:secret@127.0.0.1:{proxy.port}", connect_seconds=0.3
            ) as made,
        ):
            request = request_to(f"localhost:{host.port}", "POST", b"{}", scheme="https")
            with pytest.raises(NeverSent, match=reason) as failure:
                await made.send(request, seconds=5)
            assert "secret" not in f"{failure.value!r} {failure.value.__cause__!r}"
            assert not request.written
            assert (host.heads, len(proxy.heads), TOKEN in proxy.heads[0]) == ([], 1, False)

    runner.run(act())


def test_behind_a_tunnel_the_certificate_must_be_the_orgs_not_the_proxys(
    runner: asyncio.Runner, ours: Certificates, strange: Certificates
) -> None:
    async def act() -> None:
        async with (
            served(strange) as host,
            proxied(ours) as proxy,
            sender(tls_context=lambda: trusting(ours), proxy=f"https://localhost:{proxy.port}") as made,
        ):
            request = request_to(f"localhost:{host.port}", scheme="https")
            with pytest.raises(NeverSent, match="certificate is not trusted"):
                await made.send(request, seconds=5)
            assert (host.heads, request.written) == ([], False)

    runner.run(act())


@pytest.mark.parametrize(
    "url", ["socks5://localhost:1080", "localhost:3128", "http://", "http://localhost:99999", "http://h\u00f6st:1", ""]
)
def test_a_proxy_that_is_none_is_refused_before_anything_is_sent(runner: asyncio.Runner, url: str) -> None:
    async def act() -> None:
        async with served(None) as host, sender(proxy=url or "http:") as made:
            request = request_to(f"localhost:{host.port}")
            with pytest.raises(NeverSent, match=r"address \(ORGSERVER_PROXY"):
                await made.send(request, seconds=5)
            assert (host.heads, request.written) == ([], False)

    runner.run(act())


def test_a_proxy_that_is_away_is_named(runner: asyncio.Runner) -> None:
    async def act() -> None:
        async with sender(proxy="http://127.0.0.1:1") as made:
            with pytest.raises(NeverSent, match="ORGSERVER_PROXY\\) could not be reached"):
                await made.send(request_to("localhost:9"), seconds=5)

    runner.run(act())


def test_a_proxys_password_is_in_no_repr() -> None:
    proxy = parse_proxy("http://user:hunter2@proxy.example:3128")

    assert "hunter2" not in repr(proxy) and base64.b64encode(b"user:hunter2").decode() not in repr(proxy)


def test_the_certificates_of_an_operator_are_trusted_beside_the_systems(ours: Certificates, tmp_path: Path) -> None:
    context = trusting(ours)

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    with pytest.raises(OSError, match="No such file"):
        build_tls_context(tmp_path / "missing.pem")
