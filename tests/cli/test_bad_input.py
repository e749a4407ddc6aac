"""Each failure is one line that says what to do, an exit code, nothing half stored, and no secret."""

import asyncio
import base64
import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import Ran, Shell, credential

PEM = (
    rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


def one_line(ran: Ran, code: int = 1) -> str:
    """The error, after checking that there is one, perhaps with a hint, and nothing like a traceback."""
    errors = [line for line in ran.lines if line.startswith("orgserver: error: ")]
    others = [line for line in ran.lines if not line.startswith(("orgserver: error: ", "orgserver: hint: "))]
    said = ("client secret: from", "refresh token: from", "private key: from")
    assert ran.code == code, ran.err
    assert len(errors) == 1, ran.err
    assert not [line for line in others if not line.startswith(said)], ran.err
    assert ran.out == ""
    return ran.err


def other_key() -> str:
    return base64.b64encode(bytes(range(32))).decode()


async def test_another_master_key_is_named(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)

    refused = await shell("list-orgs", ORGSERVER_MASTER_KEY=other_key())

    assert "the master key is not the one this store was sealed with" in one_line(refused)
    assert len((await shell("list-orgs", "--json")).json) == 1


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "there is no master key"),
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: (path.write_text(other_key()), path.chmod(0o644)), "can be read or changed by others"),
        (lambda path: (path.write_text("short"), path.chmod(0o600)), "key"),
    ],
    ids=["missing", "a folder", "open to others", "no key inside"],
)
async def test_a_key_file_that_cannot_be_used(
    shell: Shell, tmp_path: Path, make: Callable[[Path], Any], reason: str
) -> None:
    file = tmp_path / "key"
    make(file)

    assert reason in one_line(await shell("list-orgs", ORGSERVER_MASTER_KEY_FILE=str(file)))


async def test_a_home_that_cannot_be_a_folder(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    shell.home = tmp_path / "file" / "home"

    refused = await shell.add(acme)

    assert "ORGSERVER_HOME" in one_line(refused)
    assert acme.requests == []


async def test_a_damaged_store(shell: Shell) -> None:
    shell.home.mkdir()
    (shell.home / "orgserver.db").write_bytes(b"this is no database at all, only some text\n" * 500)

    assert "damaged or no SQLite database" in one_line(await shell("list-orgs"))


async def test_the_database_of_another_program(shell: Shell, acme: SandboxOrg) -> None:
    shell.home.mkdir()
    file = shell.home / "orgserver.db"
    with sqlite3.connect(file) as theirs:
        theirs.execute("CREATE TABLE theirs (id INTEGER)")
    theirs.close()

    assert "another program" in one_line(await shell.add(acme))
    assert acme.requests == []


async def test_a_port_in_use(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        assert "cannot be used" in one_line(await shell("sandbox", "--port", str(taken.getsockname()[1])))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://login.salesforce.com",
        "http://login.salesforce.com",
        "https://salesforce.com.evil.example",
        "https://1.2.3.4",
    ],
)
async def test_a_url_that_no_token_may_go_to(shell: Shell, acme: SandboxOrg, url: str) -> None:
    assert "--login-url" in one_line(await shell.add(acme, "--login-url", url))
    assert acme.requests == []
    assert (await shell("list-orgs", "--json")).json == []


@pytest.mark.parametrize("auth", ["web", "jwt", "client-credentials"])
async def test_a_url_that_no_token_may_go_to_is_refused_before_anybody_logs_in(
    shell: Shell, acme: SandboxOrg, auth: str
) -> None:
    refused = await shell(
        "add-org", "acme", "--credentials-stdin", "--auth", auth, "--login-url", "https://login.salesforce.com.evil.example",
        stdin=credential(acme, private_key=PEM, username="u"),
    )  # fmt: skip

    assert "not one of Salesforce's own hosts" in one_line(refused)
    assert acme.requests == []
    assert (await shell("list-orgs", "--json")).json == []


async def test_a_host_that_does_not_answer(shell: Shell, acme: SandboxOrg) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    given = credential(acme, login_url=url, instance_url=url, trust_hosts=[url.partition("://")[2]])

    assert "could not be reached" in one_line(await shell("add-org", "acme", "--credentials-stdin", stdin=given))
    assert (await shell("list-orgs", "--json")).json == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_secret": "WRONG" * 12}, "client id or secret"),
        ({"client_id": "3MVGwrong"}, "client id or secret"),
        ({"refresh_token": "5Aepnotatoken"}, "does not take this refresh token"),
        ({"api_version": "v999.0"}, "does not offer API version"),
    ],
    ids=["secret", "client", "token", "version"],
)
async def test_a_credential_that_does_not_work(
    shell: Shell, acme: SandboxOrg, changes: dict[str, str], reason: str
) -> None:
    refused = await shell("add-org", "acme", "--credentials-stdin", stdin=credential(acme, **changes))

    assert reason in refused.err
    assert refused.code == 1
    assert "Traceback" not in refused.err
    assert not any(text in refused.err for text in changes.values() if len(text) > 10)
    assert (await shell("list-orgs", "--json")).json == []


async def test_an_alias_in_use(shell: Shell, acme: SandboxOrg, globex: SandboxOrg) -> None:
    await shell.add(acme)

    assert "already registered as acme" in one_line(await shell.add(globex, alias="acme"))
    assert globex.requests == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON object"),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"client_id": "x", "refresh_tokn": "5Aepsomething"}', "refresh_tokn"),
        ('{"client_id": 7}', "client_id on standard input is not a text"),
        ('{"client_id": "x"}', "no refresh token was given"),
        ('{"client_id": "x", "refresh_token": "y", "trust_hosts": "a"}', "trust_hosts"),
        ('{"client_id": "x", "refresh_token": "y", "trust_hosts": ["http://a/b"]}', "--trust-host"),
        ('{"client_id": "x", "refresh_token": "y", "api_version": "latest"}', "api_version"),
        ('{"client_id": "x", "username": "u", "private_key": "5Aepsomething"}', "holds no private key in PEM"),
        ('{"client_id": "x", "private_key": 5}', "private_key on standard input is not a text"),
    ],
)
async def test_standard_input_that_is_no_credential(shell: Shell, text: str, reason: str) -> None:
    refused = await shell("add-org", "acme", "--credentials-stdin", stdin=text)

    assert reason in one_line(refused)
    assert "5Aepsomething" not in refused.err


async def test_an_env_file_that_cannot_be_used(shell: Shell, tmp_path: Path) -> None:
    empty = tmp_path / "empty.env"
    empty.write_text("OTHER=1\n")

    assert "cannot be read" in one_line(await shell("add-org", "acme", "--env-file", str(tmp_path / "none.env")))
    assert "none of the names" in one_line(await shell("add-org", "acme", "--env-file", str(empty)))


async def test_a_setting_that_is_wrong_is_named_without_its_value(shell: Shell) -> None:
    refused = await shell("list-orgs", ORGSERVER_ORG_CONCURRENCY="lots")

    assert "ORGSERVER_ORG_CONCURRENCY" in one_line(refused)
    assert "lots" not in refused.err


async def test_a_secret_in_the_settings_file_is_refused(shell: Shell) -> None:
    shell.home.mkdir()
    (shell.home / "config.toml").write_text(f'client_secret = "{"X" * 30}"\n')

    refused = await shell("list-orgs")

    assert "client_secret" in one_line(refused)
    assert "X" * 30 not in refused.err


async def test_text_from_an_org_cannot_drive_the_terminal(shell: Shell, acme: SandboxOrg) -> None:
    acme.username = "agent\x1b[2J\u202eevil\n@acme.example"
    await shell.add(acme)

    table, told = await shell("list-orgs"), await shell("list-orgs", "--json")

    assert "\x1b" not in table.out
    assert "\u202e" not in table.out + told.out
    assert r"\x1b[2J" in table.out
    assert json.loads(told.out)[0]["user"]["username"] == acme.username


async def test_debug_shows_where_it_failed(shell: Shell) -> None:
    shown = await shell("--debug", "show-org", "nobody")

    assert shown.code == 1
    assert "Traceback" in shown.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
async def test_a_full_disk_under_the_output(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    command = f"'{sys.executable}' -m orgserver list-orgs --json > /dev/full"

    refused = await asyncio.to_thread(
        subprocess.run, command, shell=True, capture_output=True, text=True, env=shell.environment(), check=False
    )

    assert refused.returncode == 1
    assert refused.stderr == "orgserver: error: the output cannot be written: no space left on device\n"
