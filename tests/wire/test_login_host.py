"""What httpx sends to login hosts is under the guards of calls: once, to one host, in bounds, and told apart by proof."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from orgserver.salesforce.connections import Senders
from orgserver.salesforce.http1.failures import NeverSent, ReplyLost
from orgserver.salesforce.http1.reply_body import MAX_BODY
from orgserver.salesforce.http1.requests import Sender
from orgserver.salesforce.httpx_sender import HttpxSender
from orgserver.sandbox.tls import Certificates
from tests.wire import upstream as acts
from tests.wire.reply_cases import OK, PLAIN
from tests.wire.secure_hosts import ours, proxied, served, strange
from tests.wire.senders import request_to
from tests.wire.upstream import Act, Upstream

__all__ = ["ours", "strange"]  # the fixtures

FORM = b"grant_type=refresh_token&refresh_token=5Aep861nobody_may_ever_read_this"


@asynccontextmanager
async def sending(**options: object) -> AsyncIterator[Sender]:
    sender = Senders(**options).open_login_host()  # type: ignore[arg-type]
    assert isinstance(sender, HttpxSender)
    try:
        yield sender
    finally:
        await sender.aclose()


@pytest.fixture
def refused_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def test_a_port_that_refuses_was_never_sent_anything(refused_port: int) -> None:
    async with sending() as sender:
        request = request_to(f"127.0.0.1:{refused_port}", "POST", FORM)
        with pytest.raises(NeverSent, match="no connection could be made"):
            await sender.send(request, seconds=5)
        assert not request.written


async def test_a_name_that_is_none_was_never_sent_anything() -> None:
    async with sending() as sender:
        request = request_to("nobody.has.this.name.invalid", "POST", FORM)
        with pytest.raises(NeverSent, match=r"looked up|in time"):
            await sender.send(request, seconds=5)
        assert not request.written


@pytest.mark.parametrize("warm", [False, True], ids=["first", "second"])
@pytest.mark.parametrize("kind", [acts.close, acts.reset, acts.cut, acts.hang], ids=lambda act: act.__name__)
async def test_a_form_whose_answer_is_lost_was_sent_once(kind: Act, warm: bool) -> None:
    async with Upstream.start() as host, sending() as sender:
        host.then(*[acts.raw(PLAIN)] * warm, kind)
        if warm:
            await sender.send(request_to(host.address), seconds=5)
        request = request_to(host.address, "POST", FORM)

        with pytest.raises(ReplyLost):
            await sender.send(request, seconds=0.3 if kind is acts.hang else 5)

        assert request.written
        assert len(host.requests) == 1 + warm


async def test_each_form_has_a_connection_that_no_host_can_have_given_up_meanwhile() -> None:
    async with Upstream.start() as host, sending() as sender:
        for _ in range(3):
            await sender.send(request_to(host.address, "POST", FORM), seconds=5)

        assert (len(host.requests), host.connections) == (3, 3)


async def test_a_redirect_is_handed_on_and_the_other_host_hears_nothing() -> None:
    async with Upstream.start() as host, Upstream.start() as other, sending() as sender:
        host.usual = acts.redirect(f"http://{other.address}/services/oauth2/token", 307)

        reply = await sender.send(request_to(host.address, "POST", FORM), seconds=5)

        assert (reply.status, other.connections) == (307, 0)


async def test_a_cookie_is_not_sent_back_and_the_environment_names_no_proxy(
    monkeypatch: pytest.MonkeyPatch, refused_port: int
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{refused_port}")
    async with Upstream.start() as host, sending() as sender:
        host.usual = acts.answer({}, Set_Cookie="sid=x; path=/")
        for _ in range(2):
            assert (await sender.send(request_to(host.address), seconds=5)).status == 200
        assert ["cookie" in headers for headers in host.headers] == [False, False]


@pytest.mark.parametrize("act", [acts.bomb, acts.huge], ids=["gzip bomb", "huge body"])
async def test_an_answer_without_bounds_is_lost(act: Act) -> None:
    async with Upstream.start() as host, sending() as sender:
        host.usual = act
        sizes = []

        async def grow(size: int) -> None:
            sizes.append(size)

        with pytest.raises(ReplyLost, match="larger than 32 MiB"):
            await sender.send(request_to(host.address), seconds=30, grow=grow)

        assert max(sizes) <= MAX_BODY


async def test_a_host_whose_certificate_nobody_trusts_hears_no_byte_of_a_form(
    ours: Certificates, strange: Certificates
) -> None:
    async with served(strange) as host, sending(ca_file=ours.ca_file) as sender:
        request = request_to(f"localhost:{host.port}", "POST", FORM, scheme="https")
        with pytest.raises(NeverSent, match="certificate is not trusted"):
            await sender.send(request, seconds=5)
        assert (host.heads, request.written) == ([], False)


async def test_a_host_whose_certificate_names_another_is_refused(ours: Certificates) -> None:
    # 127.0.0.2 is this machine too, and not in the certificate
    async with served(ours, address="127.0.0.2") as host, sending(ca_file=ours.ca_file) as sender:
        request = request_to(f"127.0.0.2:{host.port}", "POST", FORM, scheme="https")
        with pytest.raises(NeverSent, match="certificate is not trusted"):
            await sender.send(request, seconds=5)
        assert (host.heads, request.written) == ([], False)


@pytest.mark.parametrize("secure_proxy", [False, True], ids=["http proxy", "https proxy"])
async def test_through_a_proxy_a_form_is_read_by_the_login_host_alone(ours: Certificates, secure_proxy: bool) -> None:
    async with served(ours) as host, proxied(ours if secure_proxy else None) as proxy:
        url = f"{'https' if secure_proxy else 'http'}://user:pass@localhost:{proxy.port}"
        async with sending(proxy=url, ca_file=ours.ca_file) as sender:
            request = request_to(f"localhost:{host.port}", scheme="https")
            assert (await sender.send(request, seconds=5)).content == OK
    assert [each.split(b" ")[:2] for each in proxy.heads] == [[b"CONNECT", f"localhost:{host.port}".encode()]]
    assert b"nobody_may" not in proxy.heads[0]
    assert b"proxy-authorization: basic" in proxy.heads[0].lower()
    assert b"proxy-authorization" not in host.heads[0].lower()


async def test_a_proxy_that_makes_no_tunnel_was_sent_no_form(ours: Certificates) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with (
        served(ours) as host,
        proxied(None, refusal) as proxy,
        sending(proxy=f"http://localhost:{proxy.port}", ca_file=ours.ca_file) as sender,
    ):
        request = request_to(f"localhost:{host.port}", "POST", FORM, scheme="https")
        with pytest.raises(NeverSent):
            await sender.send(request, seconds=5)
    assert (host.heads, request.written, b"5Aep" in proxy.heads[0]) == ([], False, False)


@pytest.mark.parametrize("url", ["socks5://localhost:1080", "localhost:3128", "http://"])
async def test_a_proxy_that_is_none_is_refused_before_anything_is_sent(url: str) -> None:
    async with Upstream.start() as host, sending(proxy=url) as sender:
        request = request_to(host.address)
        with pytest.raises(NeverSent, match="ORGSERVER_PROXY"):
            await sender.send(request, seconds=5)
        assert (host.connections, request.written) == (0, False)
