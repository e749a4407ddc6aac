"""Logging in as people do: in a browser, over SSH, with keys and apps; and everything that goes wrong on the way."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from orgserver.cli.login import browser
from orgserver.model.errors import EnrolmentError
from orgserver.model.names import alias
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.registration import Registration, begin_login
from tests.cli.shells import SECONDS, Ran, Shell, credential

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal is made the POSIX way")


@pytest.fixture
def callback(acme: SandboxOrg, globex: SandboxOrg) -> str:
    """A callback of the test's own, which the orgs' app has registered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://localhost:{free.getsockname()[1]}/OauthRedirect"
    acme.callbacks.append(url)
    globex.callbacks.append(url)
    return url


def pem(key: Any = KEY, passphrase: bytes = b"") -> bytes:
    how: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))


@pytest.fixture
def key_file(tmp_path: Path, acme: SandboxOrg, secrets: set[str]) -> Path:
    acme.answers.jwt_public_key = KEY.public_key()
    secrets |= {line for line in pem().decode().splitlines() if not line.startswith("-")}
    file = tmp_path / "key.pem"
    file.write_bytes(pem())
    file.chmod(0o600)
    return file


def at(org: SandboxOrg, *more: str) -> tuple[str, ...]:
    return ("--login-url", org.url, "--trust-host", org.url.partition("://")[2], "--client-id", org.client_id, *more)


class Login:
    """A command that waits for a login."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""
        self.url = ""

    async def until(self, words: str) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(SECONDS):
            while words not in self.said:
                line = (await self.process.stderr.readline()).decode()
                assert line, self.said
                self.said += line
                if line.startswith("http"):
                    self.url = line.strip()

    def paste(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())


@asynccontextmanager
async def waiting(shell: Shell, *words: str, **more: str) -> AsyncIterator[Login]:
    made = Login(await shell.start(*words, **more))
    try:
        await made.until("Paste the address")
        yield made
    finally:
        if made.process.returncode is None:
            made.process.kill()
            await made.process.wait()


async def end(shell: Shell, made: Login) -> Ran:
    ran = await shell.end(made.process)
    whole = Ran(ran.code, ran.out, made.said + ran.err)
    shell.printed.append(made.said)
    return whole


async def led_to(url: str) -> str:
    """Where a browser is sent once somebody has pressed Allow."""
    async with httpx.AsyncClient() as web:
        return str((await web.get(url)).headers["location"])


async def opened(url: str, **details: Any) -> httpx.Response:
    async with httpx.AsyncClient() as web:
        return await web.request(details.pop("method", "GET"), url, **details)


def one_error(ran: Ran) -> str:
    errors = [line for line in ran.lines if line.startswith("orgserver: error: ")]
    assert ran.code == 1, ran.err
    assert len(errors) == 1, ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    return ran.err


# -- in the browser


async def test_a_login_in_the_browser_registers_the_org(shell: Shell, acme: SandboxOrg, callback: str) -> None:
    words = ("add-org", "acme", "--auth", "web", *at(acme), "--callback-url", callback)
    async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=acme.client_secret) as made:
        page = await opened(await led_to(made.url))
        ran = await end(shell, made)

    assert ran.code == 0, ran.err
    assert acme.org_id in ran.out
    assert page.status_code == 200
    assert "close this window" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "http" not in page.text
    (org,) = (await shell("list-orgs", "--json")).json
    assert (org["auth"], org["source"], org["state"]) == ("web", "a login in the browser", "ready")
    assert org["refreshed_at"] and org["token_dies_at"]


async def test_the_listener_takes_nothing_but_the_answer_to_this_login(
    shell: Shell, acme: SandboxOrg, callback: str
) -> None:
    words = ("add-org", "acme", "--auth", "web", *at(acme), "--callback-url", callback)
    async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=acme.client_secret) as made:
        answer = await led_to(made.url)
        origin = callback.rpartition("/")[0]
        refused = [
            (await opened(f"{callback}?code=aPrxEVIL&state=wrong")).status_code,
            (await opened(f"{callback}?error=access_denied")).status_code,
            (await opened(callback)).status_code,
            (await opened(f"{origin}/favicon.ico")).status_code,
            (await opened(answer.replace("/OauthRedirect", "/OauthRedirect/"))).status_code,
            (await opened(answer, method="POST")).status_code,
            (await opened(answer, headers={"host": "evil.example"})).status_code,
            (await opened(answer.replace("localhost", "127.0.0.1"))).status_code,
        ]
        taken = await opened(answer)
        ran = await end(shell, made)

    assert refused == [400, 400, 400, 404, 404, 405, 400, 400]
    assert taken.status_code == 200
    assert ran.code == 0, ran.err
    assert ran.err.count("an answer to another login came to the callback") == 1


async def test_over_ssh_the_address_is_pasted(shell: Shell, acme: SandboxOrg, callback: str) -> None:
    words = ("add-org", "acme", "--auth", "web", *at(acme), "--callback-url", callback, "--json")
    async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=acme.client_secret) as made:
        made.paste("")
        made.paste(await led_to(made.url))
        ran = await end(shell, made)

    assert ran.code == 0, ran.err
    assert (ran.json["org_id"], ran.json["auth"]) == (acme.org_id, "web")


async def test_after_a_wrong_paste_it_is_asked_again(shell: Shell, acme: SandboxOrg, callback: str) -> None:
    words = ("add-org", "acme", "--auth", "web", *at(acme), "--callback-url", callback, "--json")
    async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=acme.client_secret) as made:
        right = await led_to(made.url)
        wrong = (
            "https://login.salesforce.com/home",
            right.replace("state=", "state=x"),
            right.replace("code=", "kode="),
        )
        made.paste("\n\n".join((*wrong, right)))  # all at once, as a terminal gives them
        ran = await end(shell, made)

    assert ran.code == 0, ran.err
    assert ran.json["org_id"] == acme.org_id
    assert [line for line in ran.lines if "warning" in line][:3] == [
        "orgserver: warning: this is not the address of the callback; the address that the browser ended at begins with "
        f"{callback}",
        "orgserver: warning: this answer is not to this login: its state is missing or another one; log in with the "
        "address that was printed last, and give the one the browser ended at",
        "orgserver: warning: Salesforce's answer holds no code; give the whole address that the browser ended at, or run "
        "the same command again",
    ]
    assert ran.err.count("Paste the address that the browser ends at here.") == 3


async def test_a_callback_on_another_machine_needs_no_port_here(shell: Shell, acme: SandboxOrg) -> None:
    acme.callbacks.append("https://login.acme.example/done")
    words = ("add-org", "acme", "--auth", "web", *at(acme), "--callback-url", "https://login.acme.example/done")
    async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=acme.client_secret) as made:
        made.paste((await led_to(made.url)).partition("?")[2])
        ran = await end(shell, made)

    assert ran.code == 0, ran.err


@POSIX
async def test_on_a_terminal_nothing_but_the_alias_is_needed(shell: Shell, acme: SandboxOrg, callback: str) -> None:
    """With Salesforce's own app, which is offered: it has no secret, and none is asked for."""
    here, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", "add-org", "acme", "--login-url", acme.url,
        "--trust-host", acme.url.partition("://")[2], "--callback-url", callback,
        stdin=theirs, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=shell.environment(), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    assert process.stderr is not None
    made = Login(process)
    async with asyncio.timeout(SECONDS):
        made.said += (await process.stderr.readuntil(b"client id [PlatformCLI]: ")).decode()
    os.write(here, b"\n")
    await made.until("Paste the address")
    os.write(here, (await led_to(made.url)).encode() + b"\n")
    ran = await ended(shell, process)
    os.close(here)

    assert ran.code == 0, ran.err
    assert "Salesforce's own command line app" in made.said
    assert "client secret" not in made.said + ran.err
    assert "client_id=PlatformCLI" in made.url


# -- what goes wrong there


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda answer: answer.replace("state=", "state=x"), "not to this login"),
        (lambda answer: answer.partition("&state=")[0], "not to this login"),
        (lambda answer: answer.replace("code=", "code=x"), "does not take the code of this login"),
        (lambda answer: answer.replace("code=", "kode="), "holds no code"),
        (lambda _answer: "https://login.salesforce.com/home", "not the address of the callback"),
    ],
    ids=["another state", "no state", "another code", "no code", "another address"],
)
async def test_a_pasted_address_that_cannot_be_used(
    shell: Shell, acme: SandboxOrg, callback: str, spoil: Any, reason: str
) -> None:
    words = ("add-org", "acme", "--auth", "web", *at(acme), "--callback-url", callback)
    async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=acme.client_secret) as made:
        made.paste(spoil(await led_to(made.url)))
        ran = await end(shell, made)

    assert reason in one_error(ran)
    assert (await shell("list-orgs", "--json")).json == []


async def test_a_login_that_was_denied(shell: Shell, acme: SandboxOrg, callback: str) -> None:
    acme.answers.deny = True
    words = ("add-org", "acme", "--auth", "web", *at(acme), "--callback-url", callback)
    async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=acme.client_secret) as made:
        page = await opened(await led_to(made.url))
        ran = await end(shell, made)

    assert page.status_code == 403
    assert "access_denied: end-user denied authorization" in one_error(ran)
    assert (await shell("list-orgs", "--json")).json == []


async def test_a_callback_port_in_use_is_said_with_two_ways_on(shell: Shell, acme: SandboxOrg, callback: str) -> None:
    words = ("add-org", "acme", "--auth", "web", *at(acme), "--callback-url", callback)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(callback.rpartition(":")[2].partition("/")[0])))
        taken.listen()
        alone = await shell(*words, ORGSERVER_CLIENT_SECRET=acme.client_secret)
        async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=acme.client_secret) as made:
            made.paste(await led_to(made.url))
            ran = await end(shell, made)

    assert "another program has it" in one_error(alone)
    assert "--callback-url" in alone.err
    assert ran.code == 0, ran.err


async def test_ctrl_c_while_waiting_for_the_browser(shell: Shell, acme: SandboxOrg, callback: str) -> None:
    words = ("add-org", "acme", "--auth", "web", *at(acme), "--callback-url", callback)
    async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=acme.client_secret) as made:
        made.process.send_signal(2)
        ran = await end(shell, made)

    assert ran.code == 130
    assert "Nothing was changed." in ran.err
    assert "Traceback" not in ran.err
    assert (await shell("list-orgs", "--json")).json == []


async def test_nobody_logs_in(callback: str) -> None:
    read, write = os.pipe()
    standard_input = os.dup(0)
    os.dup2(read, 0)  # an input that never ends
    try:
        begun = begin_login(
            Registration(
                alias("acme"), "3MVG9", None, "https://login.salesforce.com", "a test", "web", callback_url=callback
            )
        )

        assert browser.SECONDS == 300
        with pytest.raises(EnrolmentError, match=r"nobody logged in within 0\.05 seconds"):
            await browser.sign_in(begun, seconds=0.05)
    finally:
        os.close(write)
        os.dup2(standard_input, 0)
        os.close(standard_input)
        os.close(read)


async def test_without_a_client_id_and_a_terminal_it_is_one_line(shell: Shell) -> None:
    ran = await shell("add-org", "acme", "--auth", "web")

    assert "no client id was given" in one_error(ran)
    assert "PlatformCLI" in ran.err


@POSIX
@pytest.mark.parametrize("answers", [[], ["3MVG9x\n"]], ids=["at the first question", "at the second"])
async def test_ctrl_c_at_a_question(shell: Shell, answers: list[str]) -> None:
    here, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OWN_TERMINAL, "add-org", "acme",
        stdin=theirs, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=shell.environment(), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        await process.stderr.readuntil(b"client id [PlatformCLI]: ")
        for answer in answers:
            os.write(here, answer.encode())
            await asyncio.to_thread(shown, here, b"public client): ")  # a hidden one is asked on the terminal itself
    ending = asyncio.ensure_future(ended(shell, process))
    while not ending.done():  # again where the first came in the instant between the question and the reading
        os.write(here, b"\x03")
        await asyncio.wait([ending], timeout=1)
    ran = ending.result()
    os.close(here)

    assert ran.code == 130, ran.err
    assert ran.lines[-1] == "orgserver: error: interrupted"
    assert (await shell("list-orgs", "--json")).json == []


def shown(terminal: int, words: bytes) -> None:
    held = b""
    while words not in held:
        held += os.read(terminal, 1_024)


async def ended(shell: Shell, process: asyncio.subprocess.Process) -> Ran:
    """The end of a command on a terminal."""
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    shell.printed += [out.decode(), err.decode()]
    return Ran(process.returncode or 0, out.decode(), err.decode())


_OWN_TERMINAL = (
    "import fcntl, signal, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from orgserver.__main__ import main\n"
    "main()\n"
)


# -- again


async def test_logging_in_again_needs_no_more_than_the_browser_and_revokes_the_old_token(
    shell: Shell, acme: SandboxOrg, callback: str
) -> None:
    await shell.add(acme, "--read-only", "--tag", "eu")
    acme.expire_access_tokens()

    async with waiting(shell, "update-org", "acme", "--auth", "web", "--callback-url", callback) as made:
        await opened(await led_to(made.url))
        ran = await end(shell, made)

    assert ran.code == 0, ran.err
    assert "was revoked at Salesforce" in ran.err
    assert "login_hint=agent%40acme.example" in made.url
    assert [family.alive for family in acme.logins.families] == [False, True]
    (org,) = (await shell("list-orgs", "--json")).json
    assert (org["auth"], org["read_only"], org["tags"], org["state"]) == ("web", True, ["eu"], "ready")
    assert (await shell("check-org", "acme")).code == 0


async def test_logging_in_again_to_another_org_is_refused(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg, callback: str
) -> None:
    await shell.add(acme)
    words = ("update-org", "acme", "--auth", "web", *at(globex), "--callback-url", callback)
    async with waiting(shell, *words, ORGSERVER_CLIENT_SECRET=globex.client_secret) as made:
        await opened(await led_to(made.url))
        ran = await end(shell, made)

    assert "of another org" in one_error(ran)
    assert (await shell("check-org", "acme")).code == 0


async def test_an_org_that_is_not_there_cannot_be_logged_in_to_again(shell: Shell) -> None:
    assert "no org is registered as acme" in one_error(await shell("update-org", "acme", "--auth", "web"))


async def test_an_update_logs_in_again_and_changes_the_rest(shell: Shell, acme: SandboxOrg, key_file: Path) -> None:
    await shell.add(acme)

    changed = await shell(
        "update-org", "acme", "--auth", "jwt", "--username", acme.username, "--jwt-key-file", str(key_file),
        "--rename", "acme-eu", "--read-only", "--json",
    )  # fmt: skip

    assert changed.code == 0, changed.err
    told = changed.json
    assert (told["alias"], told["auth"], told["read_only"], told["old_token"]) == ("acme-eu", "jwt", True, "revoked")
    assert told["token_dies_at"] is None


# -- with a key


async def test_a_key_logs_in_and_lies_sealed_in_the_store(shell: Shell, acme: SandboxOrg, key_file: Path) -> None:
    added = await shell(
        "add-org", "acme", "--auth", "jwt", *at(acme), "--username", acme.username, "--jwt-key-file", str(key_file)
    )
    key_file.unlink()
    acme.expire_access_tokens()
    checked = await shell("check-org", "acme", "--json")
    acme.expire_access_tokens()
    again = await shell("update-org", "acme", "--auth", "jwt")
    removed = await shell("remove-org", "acme", "--yes")

    assert added.code == 0, added.err
    assert f"private key: from {key_file}" in added.lines
    assert checked.code == 0, checked.out
    assert again.code == 0, again.err
    assert removed.code == 0
    assert "warning" not in removed.err
    assert acme.access_tokens == set()


async def test_a_key_comes_on_standard_input(shell: Shell, acme: SandboxOrg, key_file: Path) -> None:
    given = credential(acme, private_key=key_file.read_text(), username=acme.username, refresh_token=None)

    added = await shell("add-org", "acme", "--credentials-stdin", "--json", stdin=given)

    assert added.code == 0, added.err
    assert added.json["auth"] == "jwt"
    assert added.json["source"] == "standard input"


@POSIX
async def test_a_passphrase_is_asked_for_and_not_shown(shell: Shell, acme: SandboxOrg, key_file: Path) -> None:
    key_file.write_bytes(pem(passphrase=b"correct horse"))
    here, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", "add-org", "acme", "--auth", "jwt", *at(acme),
        "--username", acme.username, "--jwt-key-file", str(key_file),
        stdin=theirs, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=shell.environment(), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        await process.stderr.readuntil(f"passphrase of {key_file}: ".encode())
    os.write(here, b"correct horse\n")
    ran = await ended(shell, process)
    os.close(here)

    assert ran.code == 0, ran.err
    assert "correct horse" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda file: file.unlink(), "cannot be read"),
        (lambda file: file.write_bytes(b"x" * 100_000), "too large"),
        (lambda file: file.write_text("not a key"), "no private key in PEM"),
        (lambda file: file.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()))), "of another kind"),
        (lambda file: file.write_bytes(pem(passphrase=b"correct horse")), "encrypted with a passphrase, and nobody"),
        (
            lambda file: file.write_bytes(pem(rsa.generate_private_key(public_exponent=65_537, key_size=2_048))),
            "assertion",
        ),
    ],
    ids=["missing", "large", "garbage", "another kind", "encrypted", "another key"],
)
async def test_a_key_that_cannot_be_used_is_one_line(
    shell: Shell, acme: SandboxOrg, key_file: Path, make: Any, reason: str
) -> None:
    make(key_file)

    ran = await shell(
        "add-org", "acme", "--auth", "jwt", *at(acme), "--username", acme.username, "--jwt-key-file", str(key_file)
    )

    assert reason in one_error(ran)
    assert ran.lines[-1].startswith("orgserver: hint: ")
    assert (await shell("list-orgs", "--json")).json == []


@POSIX
async def test_a_key_file_that_others_can_read_is_warned_of(shell: Shell, acme: SandboxOrg, key_file: Path) -> None:
    key_file.chmod(0o644)

    ran = await shell(
        "add-org", "acme", "--auth", "jwt", *at(acme), "--username", acme.username, "--jwt-key-file", str(key_file)
    )

    assert ran.code == 0
    assert "can be read or changed by others" in ran.err


async def test_a_key_without_a_user_is_one_line(shell: Shell, acme: SandboxOrg, key_file: Path) -> None:
    ran = await shell("add-org", "acme", *at(acme), "--jwt-key-file", str(key_file))

    assert "no username was given" in one_error(ran)


# -- as an app


async def test_an_app_logs_in_by_itself_at_the_orgs_own_host(shell: Shell, acme: SandboxOrg) -> None:
    added = await shell(
        "add-org",
        "acme",
        "--auth",
        "client-credentials",
        *at(acme),
        "--json",
        ORGSERVER_CLIENT_SECRET=acme.client_secret,
    )

    assert added.code == 0, added.err
    assert (added.json["auth"], added.json["source"]) == ("client-credentials", "ORGSERVER_CLIENT_SECRET")


async def test_an_app_cannot_log_in_where_everybody_does(shell: Shell, acme: SandboxOrg) -> None:
    ran = await shell(
        "add-org", "acme", "--auth", "client-credentials", "--client-id", acme.client_id,
        ORGSERVER_CLIENT_SECRET=acme.client_secret,
    )  # fmt: skip

    assert "does not take client credentials" in one_error(ran)
    assert "--login-url https://MYDOMAIN.my.salesforce.com" in ran.err


async def test_an_env_file_with_everybodys_login_host_still_finds_the_orgs_own(
    shell: Shell, acme: SandboxOrg, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text(
        f"SALESFORCE_CLIENT_ID={acme.client_id}\nSALESFORCE_CLIENT_SECRET={acme.client_secret}\n"
        f"SALESFORCE_INSTANCE_URL={acme.url}\nSALESFORCE_LOGIN_URL=https://login.salesforce.com\n"
    )

    ran = await shell(
        "add-org", "acme", "--auth", "client-credentials", "--env-file", str(file),
        "--trust-host", acme.url.partition("://")[2],
    )  # fmt: skip

    assert ran.code == 0, ran.err


# -- a token in doubt


async def test_a_token_in_doubt_is_tried_only_when_somebody_says_so(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    acme.expire_access_tokens()
    acme.rotation = False
    acme.fault("close", path=".*/token", times=3, work=True)
    doubted = await shell("check-org", "acme", "--json")
    acme.faults.clear()

    asked = await shell("check-org", "acme", "--try-token")
    tried = await shell("check-org", "acme", "--try-token", "--yes", "--json")

    assert doubted.json[0]["state"] == "in_doubt"
    assert "add --yes" in one_error(asked)
    assert tried.code == 0, tried.err
    assert json.loads(tried.out)[0]["state"] == "ready"
    assert "in every store that uses it" in tried.err
