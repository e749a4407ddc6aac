"""TLS of the server's own: which versions, for how long a handshake may go on, and a certificate that is renewed."""

import asyncio
import os
import signal
import ssl
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orgserver.sandbox.tls import Certificates, certificates
from orgserver.serving.http.options import HttpOptions
from tests.serving.over_http.test_connections import ANSWER, GET, LIMITS, Echo, serving

CLOSING = GET.replace(b"Host", b"Connection: close\r\nHost")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("pair"))


def options_of(pair: Certificates) -> HttpOptions:
    return HttpOptions("127.0.0.1", 0, tls_cert=pair.certificate_file, tls_key=pair.key_file)


async def ask(port: int, context: ssl.SSLContext) -> tuple[bytes, bytes, ssl.SSLObject]:
    """The answer, the certificate that was shown, and the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    connection = writer.get_extra_info("ssl_object")
    shown = connection.getpeercert(binary_form=True)
    writer.write(CLOSING)
    answer = await reader.read()
    writer.close()
    return answer, shown, connection


def trusting(pair: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pair.ca_file))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def test_requests_come_by_tls_of_today_and_by_nothing_else(pair: Certificates) -> None:
    old = trusting(pair)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    weak = trusting(pair)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA:@SECLEVEL=0")
    async with serving(Echo(), options=options_of(pair)) as echo:
        answer, _, connection = await ask(echo.port, trusting(pair))
        for context in (old, weak):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await ask(echo.port, context)
        in_the_clear = await echo.exchange(CLOSING)

    assert answer.startswith(ANSWER)
    assert (connection.version(), connection.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    assert b"HTTP/" not in in_the_clear


async def test_a_handshake_that_does_not_end_takes_a_place_and_is_not_waited_for(pair: Certificates) -> None:
    limits = replace(LIMITS, handshake_seconds=0.5, per_source=4)
    async with serving(Echo(), limits, options_of(pair)) as echo:
        silent = [await asyncio.open_connection("127.0.0.1", echo.port) for _ in range(4)]
        with pytest.raises((ssl.SSLError, ConnectionError)):  # no place is left
            await ask(echo.port, trusting(pair))
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
        answer, _, _ = await ask(echo.port, trusting(pair))

    assert answer.startswith(ANSWER)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
async def test_a_renewed_certificate_is_read_while_the_server_runs(pair: Certificates, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    own, new = certificates(tmp_path), certificates(tmp_path / "new")
    async with serving(Echo(), options=options_of(own)) as echo:
        _, before, _ = await ask(echo.port, trusting(own))
        own.certificate_file.write_bytes(new.certificate_file.read_bytes())
        own.key_file.write_bytes(new.key_file.read_bytes())
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        answer, after, _ = await ask(echo.port, trusting(new))

    assert answer.startswith(ANSWER)
    assert before != after
