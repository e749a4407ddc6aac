"""Where a login goes is judged before a secret is asked for, and named by what gave it."""

import sys
from pathlib import Path

import pytest

from tests.cli.shells import Shell

BAD = "https://acme.example"


async def test_a_host_is_named_by_the_source_that_gave_it(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"SALESFORCE_CLIENT_ID=3MVG9\nSALESFORCE_INSTANCE_URL={BAD}\n")

    refusals = [
        await shell("add-org", "acme", "--env-file", str(file)),
        await shell("add-org", "acme", "--credentials-stdin", stdin=f'{{"client_id": "x", "login_url": "{BAD}"}}'),
        await shell("add-org", "acme", "--instance-url", BAD),
    ]

    assert [refused.lines[0].removeprefix("orgserver: error: ") for refused in refusals] == [
        f"SALESFORCE_INSTANCE_URL from {file}: acme.example is not one of Salesforce's own hosts",
        "login_url from standard input: acme.example is not one of Salesforce's own hosts",
        "--instance-url: acme.example is not one of Salesforce's own hosts",
    ]
    assert all("needs --trust-host HOST" in refused.lines[1] for refused in refusals)


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal is made the POSIX way")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--auth", "refresh-token", "--login-url", BAD), "--login-url: acme.example is not one of Salesforce's"),
        (("--auth", "client-credentials", "--client-id", "x"), "https://login.salesforce.com does not take client"),
    ],
)
async def test_a_host_is_judged_before_a_secret_is_asked_for(
    options: tuple[str, ...], message: str, shell: Shell
) -> None:
    async with shell.at_terminal("add-org", "acme", *options, NO_COLOR="1") as terminal:
        code = await terminal.end()

    assert code == 1
    assert terminal.shown.startswith(f"orgserver: error: {message}")


async def test_two_login_hosts_are_one_too_many(shell: Shell) -> None:
    refused = await shell("add-org", "acme", "--test-org", "--login-url", "https://acme.my.salesforce.com")

    assert refused.code == 2
    assert refused.lines[0] == "orgserver: error: --login-url and --test-org exclude each other"
