"""What ``serve`` refuses of its options over HTTP: in one line, before a store is made."""

import asyncio
import logging
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from orgserver.cli.main import cli
from orgserver.cli.serving.serve import _begin_http
from orgserver.serving.http.options import HttpOptions
from tests.faults.http_process import serving_http


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--tls-cert c.pem --tls-key k.pem", "--tls-cert is for a server on HTTP"),
        ("--public-url https://orgs.example.com", "--public-url is for a server on HTTP"),
        ("--trust-proxy", "--trust-proxy is for a server on HTTP"),
        ("--allow-host orgs.example.com", "--allow-host is for a server on HTTP"),
        ("--allow-origin https://app.example.com", "--allow-origin is for a server on HTTP"),
        ("--metrics 127.0.0.1:9", "--metrics is for a server on HTTP"),
        ("--http 127.0.0.1:0 --principal ada", "--principal is for standard input and output"),
        ("--http 127.0.0.1:0 --sandbox", "--sandbox is for standard input and output"),
        ("--http 0.0.0.0:0", "keys would cross the network in the clear"),
        ("--http 0.0.0.0:0 --trust-proxy", "keys would cross the network in the clear"),
        ("--http 127.0.0.1:0 --tls-cert c.pem", "--tls-cert needs --tls-key"),
        ("--http 127.0.0.1:0 --public-url https://orgs.example.com", "nothing here speaks it"),
        ("--http 127.0.0.1:0 --trust-proxy proxy.example.com", "no address and no network"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: str, message: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    refusal = CliRunner().invoke(cli, ["serve", *words.split()], env={"ORGSERVER_HOME": str(home)})

    assert refusal.exit_code == 1
    assert refusal.stderr.startswith("orgserver: error: ")
    assert message in refusal.stderr
    assert not home.exists()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        refusal = CliRunner().invoke(cli, ["serve", "--http", address], env={"ORGSERVER_HOME": str(tmp_path / "home")})

    assert refusal.exit_code == 1
    assert f"--http {address}: Address already in use" in refusal.stderr
    assert "hint: give another port" in refusal.stderr
    assert "Traceback" not in refusal.stderr


def test_an_address_of_another_machine_is_named(tmp_path: Path) -> None:
    words = ["serve", "--http", "203.0.113.7:0", "--public-url", "https://orgs.example.com", "--trust-proxy"]
    refusal = CliRunner().invoke(cli, words, env={"ORGSERVER_HOME": str(tmp_path / "home")})

    assert refusal.exit_code == 1
    assert "hint: give an address of this machine" in refusal.stderr


def test_on_every_address_the_names_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "orgserver.serve"):
        _begin_http(HttpOptions("0.0.0.0", 0, tls_cert=Path("c.pem"), allowed_hosts=("orgs.example.com",)), 8443)

    assert "serving at https://0.0.0.0:8443/mcp" in caplog.text
    assert "clients call it orgs.example.com" in caplog.text


def test_behind_a_proxy_both_addresses_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "orgserver.serve"):
        _begin_http(HttpOptions("127.0.0.1", 0, public_url="https://orgs.example.com"), 8080)

    assert "serving at https://orgs.example.com/mcp, listening at 127.0.0.1:8080" in caplog.text


def test_a_server_that_nobody_can_call_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    without_key = asyncio.run(_log_of_start(home))
    added = CliRunner().invoke(cli, ["add-principal", "ada"], env={"ORGSERVER_HOME": str(home)})
    with_key = asyncio.run(_log_of_start(home))

    assert added.exit_code == 0
    assert "nobody has a key yet" in without_key
    assert "nobody has a key yet" not in with_key


async def _log_of_start(home: Path) -> str:
    async with serving_http(home) as served:
        return served.log
