"""What ``serve`` refuses of its options over HTTP: in one line, before a store is made."""

import asyncio
import logging
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from orgserver.cli.main import cli
from orgserver.cli.serving.serve import _begin_http, _warn_of_provider, _warn_without_callers
from orgserver.config import read_settings
from orgserver.model.access.principals import Subject
from orgserver.serving.http.options import HttpOptions
from tests.conftest import OpenApp
from tests.faults.http_process import serving_http
from tests.people import add_principal

IDP = {"ISSUER": "https://idp.example.com", "CLIENT_ID": "orgs"}


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
        ("--allow-registration", "--allow-registration is for a server on HTTP"),
        ("--match-claim email", "--match-claim is for a server on HTTP"),
        ("--session-hours 8", "--session-hours is for a server on HTTP"),
        ("--http 127.0.0.1:0 --allow-registration", "--allow-registration is for people's sign-in"),
        ("--http 127.0.0.1:0 --match-claim email", "--match-claim is for people's sign-in"),
        ("--http 127.0.0.1:0 --session-hours 8", "--session-hours is for people's sign-in"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: str, message: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    refusal = CliRunner().invoke(cli, ["serve", *words.split()], env={"ORGSERVER_HOME": str(home)})

    assert refusal.exit_code == 1
    assert refusal.stderr.startswith("orgserver: error: ")
    assert message in refusal.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    ("settings", "words", "message"),
    [
        ({"ISSUER": "https://idp.example.com"}, "", "ORGSERVER_SIGNIN_ISSUER and ORGSERVER_SIGNIN_CLIENT_ID"),
        ({"CLIENT_ID": "orgs"}, "", "ORGSERVER_SIGNIN_ISSUER and ORGSERVER_SIGNIN_CLIENT_ID"),
        (IDP | {"ISSUER": "http://idp.example.com"}, "", "the URL must be https"),
        (IDP | {"ISSUER": "https://10.0.0.7/x"}, "", "an address, not a name"),
        (IDP | {"ISSUER": "https://idp.example.com\u202e"}, "", "characters that no issuer's URL has"),
        (IDP | {"ISSUER": "https://idp.example.com/?a=b"}, "", "an issuer has no query"),
        (IDP | {"ISSUER": "https://o.example.com"}, "--public-url https://o.example.com --trust-proxy", "this server"),
        (IDP | {"NEW": "perhaps"}, "", "ORGSERVER_SIGNIN_NEW"),
        (
            IDP,
            "--public-url http://orgs.example.com",
            "keys would cross the network in the clear",
        ),
    ],
)
def test_a_sign_in_that_nobody_could_trust_is_refused(
    settings: dict[str, str], words: str, message: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    environment = {"ORGSERVER_HOME": str(home)} | {f"ORGSERVER_SIGNIN_{name}": each for name, each in settings.items()}
    refusal = CliRunner().invoke(cli, ["serve", "--http", "127.0.0.1:0", *words.split()], env=environment)

    assert refusal.exit_code == 1
    assert refusal.stderr.startswith("orgserver: error: ")
    assert message in refusal.stderr
    assert "\u202e" not in refusal.stderr
    assert not home.exists()


@pytest.mark.parametrize("hours", ["0", "0.05", "721", "long"])
def test_a_session_lasts_some_hours(hours: str, tmp_path: Path) -> None:
    words = ["serve", "--http", "127.0.0.1:0", "--session-hours", hours]
    refusal = CliRunner().invoke(cli, words, env={"ORGSERVER_HOME": str(tmp_path / "home")})

    assert refusal.exit_code != 0
    assert "--session-hours" in refusal.stderr


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


def test_on_every_address_the_names_are_told(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    options = HttpOptions("0.0.0.0", 0, tls_cert=Path("c.pem"), allowed_hosts=("orgs.example.com",))
    with caplog.at_level(logging.INFO, "orgserver.serve"):
        _begin_http(options, read_settings({"home": tmp_path}, {}), 8443)

    assert "serving at https://0.0.0.0:8443/mcp" in caplog.text
    assert "clients call it orgs.example.com" in caplog.text


def test_behind_a_proxy_both_addresses_are_told(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    options = HttpOptions("127.0.0.1", 0, public_url="https://orgs.example.com")
    with caplog.at_level(logging.INFO, "orgserver.serve"):
        _begin_http(options, read_settings({"home": tmp_path}, {}), 8080)

    assert "serving at https://orgs.example.com/mcp, listening at 127.0.0.1:8080" in caplog.text
    assert "sign in" not in caplog.text


def test_where_people_sign_in_is_told(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    settings = read_settings({"home": tmp_path, "signin_issuer": IDP["ISSUER"], "signin_client_id": "orgs"}, {})
    with caplog.at_level(logging.INFO, "orgserver.serve"):
        _begin_http(HttpOptions("127.0.0.1", 0, public_url="https://orgs.example.com"), settings, 8080)

    assert "people sign in with https://idp.example.com" in caplog.text
    assert "see what is theirs at https://orgs.example.com/me" in caplog.text


def test_a_server_that_nobody_can_call_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    without_key = asyncio.run(_log_of_start(home))
    added = CliRunner().invoke(cli, ["add-principal", "ada"], env={"ORGSERVER_HOME": str(home)})
    with_key = asyncio.run(_log_of_start(home))

    assert added.exit_code == 0
    assert "nobody has a key yet" in without_key
    assert "nobody has a key yet" not in with_key


async def test_a_server_at_which_nobody_may_sign_in_says_so(
    open_again: OpenApp, caplog: pytest.LogCaptureFixture
) -> None:
    async def warn(*subjects: Subject, match_email: bool = False, **settings: str) -> bool:
        caplog.clear()
        async with open_again(signin_issuer=IDP["ISSUER"], signin_client_id="orgs", **settings) as app:
            for subject in subjects:
                await add_principal(app, f"of-{subject.issuer[8:11]}", subjects=(subject,))
            with caplog.at_level(logging.WARNING, "orgserver.serve"):
                await _warn_without_callers(app, HttpOptions("127.0.0.1", 0, match_email=match_email))
        assert "nobody has a key yet" not in caplog.text
        return "nobody may sign in yet" in caplog.text

    assert await warn(Subject("https://elsewhere.example.com", "ada"))
    assert not await warn(match_email=True)
    assert not await warn(signin_new="create")
    assert not await warn(Subject(IDP["ISSUER"], "ada"))


async def test_a_provider_that_cannot_be_used_is_told_at_the_start(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    issuer = "http://127.0.0.1:9"
    with caplog.at_level(logging.WARNING, "orgserver.serve"):
        await _warn_of_provider(read_settings({"home": tmp_path}, {}))
        assert caplog.text == ""
        await _warn_of_provider(read_settings({"home": tmp_path, "signin_issuer": issuer, "signin_client_id": "o"}, {}))

    assert f"nobody can sign in while it is so: {issuer} cannot be used: " in caplog.text
    assert "check ORGSERVER_SIGNIN_ISSUER" in caplog.text


async def _log_of_start(home: Path) -> str:
    async with serving_http(home) as served:
        return served.log
