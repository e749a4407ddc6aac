"""``open``: the pinned host and a checked id in a browser's address, and never a token."""

from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import Shell

RECORD = "003xx000004TmiQ"
BROWSER = '#!/bin/sh\nprintf "%s\\n" "$@" > "$OPENED"\nenv >> "$OPENED"\n'


@pytest.fixture
def browser(shell: Shell, tmp_path: Path) -> Path:
    """A browser that keeps its command line and environment in the file that is returned."""
    program, opened = tmp_path / "browser", tmp_path / "opened"
    program.write_text(BROWSER)
    program.chmod(0o700)
    shell.env |= {"BROWSER": str(program), "OPENED": str(opened)}
    return opened


async def test_an_org_and_a_record_are_opened_without_a_token(shell: Shell, acme: SandboxOrg, browser: Path) -> None:
    await shell.add(acme)
    acme.requests.clear()

    whole = await shell("open", "acme")
    seen = [browser.read_text()]
    record = await shell("open", "acme", RECORD)
    seen.append(browser.read_text())
    without = await shell("open", "acme", RECORD, BROWSER="", DISPLAY="", WAYLAND_DISPLAY="", SSH_TTY="/dev/pts/1")

    assert (whole.code, record.code, without.code) == (0, 0, 0)
    assert whole.out == f"{acme.url}/\n"
    assert record.out == without.out == f"{acme.url}/{RECORD}AAS\n"
    assert [text.splitlines()[0] for text in seen] == [f"{acme.url}/", f"{acme.url}/{RECORD}AAS"]
    assert "There is no screen here" in without.err
    secrets = {acme.client_secret, acme.refresh_token, *acme.access_tokens}
    assert not any(secret in text for secret in secrets for text in seen)
    assert acme.requests == []


@pytest.mark.parametrize("record", ["003", "003xx000004TmiQAAX", "003xx000004Tm/Q", "../../secur/logout", "x" * 18, ""])
async def test_what_is_no_record_id_opens_nothing(record: str, shell: Shell, browser: Path) -> None:
    refused = await shell("open", "acme", "--", record)

    assert refused.code == 2
    assert refused.out == ""
    assert not browser.exists()


async def test_an_org_that_does_not_exist_opens_nothing(shell: Shell, browser: Path) -> None:
    refused = await shell("open", "acme")

    assert refused.code == 1
    assert not browser.exists()
