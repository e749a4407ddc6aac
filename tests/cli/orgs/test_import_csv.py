"""CSV files: as spreadsheets write them, with rows that do not go together, and broken off in the middle."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from tests.cli.orgs.sheets import listed, planned, row, sheet
from tests.cli.shells import SECONDS, Shell


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox.start(3) as started:
        yield started


@pytest.fixture
def initech(sandbox: Sandbox) -> SandboxOrg:
    return sandbox.orgs[2]


async def test_a_csv_file_is_imported_as_spreadsheets_write_it(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg, tmp_path: Path
) -> None:
    file = tmp_path / "clients.csv"
    text = sheet(row(acme), {}, row(globex, tag="", read_only="NO"), delimiter=";")
    file.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n")
    file.chmod(0o644)

    done = await shell("import-orgs", "--csv", str(file), "--yes")
    file.chmod(0o600)
    again = await shell("import-orgs", "--csv", str(file), "--yes")

    assert done.code == 0, done.err
    assert f"orgserver: warning: {file} holds secrets and can be read by other users" in done.lines[0]
    assert "the copies in clients.csv are dead now" in done.err
    assert done.err.endswith("Delete it.\n")
    orgs = await listed(shell)
    assert [(org["source"], org["tags"], org["read_only"]) for org in orgs.values()] == [
        ("clients.csv, row 2", ["eu", "pilot"], True),
        ("clients.csv, row 4", [], False),
    ]
    assert again.code == 0
    assert again.lines == ["2 already registered"]
    assert (acme.counters.refreshes, acme.counters.reuses) == (1, 0)


async def test_rows_that_do_not_go_together_are_refused_in_the_plan_and_the_others_imported(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg, initech: SandboxOrg, secrets: set[str]
) -> None:
    secrets.add("CANARY")
    text = sheet(
        row(acme),
        row(globex),
        row(globex, alias="globex-eu"),
        row(initech, alias="twin"),
        row(initech, alias="twin", refresh_token="5AepCANARY1"),
        row(initech, alias="CANARY 1"),
        row(initech, alias="initech", login_url="https://canary-CANARY.example"),
    )
    await shell("import-orgs", "--csv", "-", "--yes", stdin=sheet(row(initech, alias="taken")))

    asked = await shell(
        "import-orgs",
        "--csv",
        "-",
        stdin=text + sheet(row(acme, alias="taken", refresh_token="5AepX")).split("\r\n")[1],
    )
    done = await shell("import-orgs", "--csv", "-", "--yes", stdin=text)

    assert [(line[0], line[-1]) for line in planned(asked)[1:]] == [
        ("acme", "new"),
        ("globex", "cannot be imported: its refresh token is also that of row 4"),
        ("globex-eu", "cannot be imported: its refresh token is also that of row 3"),
        ("taken", "already registered (row 5 calls it twin)"),
        ("twin", "cannot be imported: its alias is also that of row 5"),
        (
            "row 7",
            "cannot be imported: row 7, alias: an alias is 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit",
        ),
        (
            "initech",
            "cannot be imported: row 8, login_url: its host is not one of Salesforce's own hosts (column trust_host allows one)",
        ),
        ("taken", "cannot be imported: taken is registered with another credential; choose another alias"),
    ]
    assert asked.code == 1
    assert "nobody is here to confirm it; where refresh token rotation is on, the copies in standard input" in asked.err
    assert done.code == 1
    assert f"acme: imported: {acme.name}, {acme.org_id}" in done.out
    assert set(await listed(shell)) == {"acme", "taken"}
    assert (globex.counters.refreshes, initech.counters.refreshes, initech.counters.reuses) == (0, 1, 0)


async def test_ctrl_c_loses_no_token_and_the_same_import_goes_on(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg, tmp_path: Path
) -> None:
    file = tmp_path / "clients.csv"
    file.write_text(sheet(row(acme), row(globex)))
    file.chmod(0o600)
    delayed = globex.fault("delay", path="/services/oauth2/token", seconds=1.0)
    process = await shell.start("import-orgs", "--csv", str(file), "--yes")
    assert process.stdin is not None
    process.stdin.write_eof()
    async with asyncio.timeout(SECONDS):
        while delayed.times or not acme.counters.refreshes:
            await asyncio.sleep(0.01)

    process.send_signal(2)
    stopped = await shell.end(process)
    again = await shell("import-orgs", "--csv", str(file), "--yes")

    assert stopped.code == 130
    assert stopped.lines == [
        "Stopping, once no answer of Salesforce is under way that could be lost. Ctrl-C again gives up.",
        "What was imported stays. The same command again goes on with what is missing.",
        "",
        "orgserver: error: interrupted",
    ]
    assert again.code == 0, again.err
    assert "globex: imported: Globex (orgserver sandbox)" in again.out
    assert "gone on from an earlier run" in again.out
    assert set(await listed(shell)) == {"acme", "globex"}
    assert [(org.counters.refreshes, org.counters.reuses) for org in (acme, globex)] == [(1, 0), (1, 0)]


async def test_rows_may_hold_keys_and_apps_instead_of_refresh_tokens(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg, initech: SandboxOrg, tmp_path: Path
) -> None:
    key = rsa.generate_private_key(65_537, 2_048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "acme.pem").write_bytes(pem)
    acme.answers.jwt_public_key = key.public_key()
    none = {"refresh_token": ""}
    file = tmp_path / "clients.csv"
    signed = row(acme, **none, private_key_file="keys/acme.pem", username=acme.username)
    file.write_text(sheet(signed, row(globex, **none, auth="client-credentials"), row(initech)))
    file.chmod(0o600)

    done = await shell("import-orgs", "--csv", str(file), "--yes")
    again = await shell("import-orgs", "--csv", str(file), "--yes")
    other = await shell(
        "import-orgs",
        "--csv",
        "-",
        stdin=sheet(
            row(globex, **none, auth="jwt", private_key_file=str(tmp_path / "keys" / "acme.pem"), username="x@y.z")
        ),
    )

    assert done.code == 0, done.err + done.out
    assert {alias: org["auth"] for alias, org in (await listed(shell)).items()} == {
        "acme": "jwt", "globex": "client-credentials", "initech": "refresh-token",
    }  # fmt: skip
    assert (again.code, again.lines) == (0, ["3 already registered"])
    assert "globex is registered with another credential" in other.out


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal is made the POSIX way")
async def test_on_a_terminal_it_shows_the_plan_and_asks(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    file = tmp_path / "clients.csv"
    file.write_text(sheet(row(acme)))
    for answer, code in ((b"n\n", 1), (b"y\n", 0)):
        here, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orgserver", "import-orgs", "--csv", str(file), "--read-only",
            stdin=theirs, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=shell.environment(), start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        assert process.stderr is not None
        async with asyncio.timeout(SECONDS):
            asked = await process.stderr.readuntil(b"[y/N]: ")
            os.write(here, answer)
            out, err = await process.communicate()
        os.close(here)
        shell.printed += [out.decode(), (asked + err).decode()]

        assert process.returncode == code
        assert b"the copies in clients.csv die with it" in asked
        assert b"Import 1 org? [y/N]: " in asked
        assert (b"nothing was imported" in err) is (code == 1)
    assert (await listed(shell))["acme"]["read_only"] is True
