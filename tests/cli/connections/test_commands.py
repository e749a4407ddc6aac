"""Logins of people's own, given, listed and ended at a machine: real processes, a browser's part, and a terminal."""

import re
import socket

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import AtTerminal, Ran, Shell


@pytest.fixture
def callback(acme: SandboxOrg) -> str:
    """A callback of the test's own, which the org's app has registered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/OauthRedirect"
    acme.callbacks.append(url)
    return url


async def log_in(terminal: AtTerminal, username: str) -> None:
    """What a person does in the browser, as a Salesforce user."""
    await terminal.until("Paste the address")
    url = next(line for line in terminal.shown.splitlines() if line.startswith("http"))
    async with httpx.AsyncClient() as browser:
        login = httpx.URL(url).copy_set_param("login_hint", username)
        answer = await browser.get(login, follow_redirects=True)
    assert answer.status_code == 200, answer.text


async def connect(shell: Shell, callback: str, username: str, *words: str, answer: str = "y") -> Ran:
    async with shell.at_terminal("connect-org", "acme", "--callback-url", callback, *words) as terminal:
        await log_in(terminal, username)
        await terminal.answer("Store it?", answer)
        return Ran(await terminal.end(), "", terminal.shown)


async def usernames(shell: Shell) -> dict[str, tuple[str, str]]:
    every = (await shell("connections", "--json")).json
    return {each["principal"]: (each["username"], each["state"]) for each in every}


async def test_a_login_of_ones_own_is_given_listed_and_ended(shell: Shell, acme: SandboxOrg, callback: str) -> None:
    ada = acme.add_user("ada@acme.example")
    await shell.add(acme, "--identity", "own")
    me = (await shell("audit", "list", "--json")).json[0]["principal"]

    denied = await connect(shell, callback, ada.username, answer="n")
    nobody = await shell("connections")
    counted = await shell("list-orgs", "--connections", "--wide")
    stored = await connect(shell, callback, ada.username)
    (listed,) = (await shell("connections", "--json")).json
    ended = await shell("disconnect-org", "acme", "--yes")

    assert denied.code == 1
    assert f"ada@acme.example in acme ({acme.name}, {acme.org_id}) becomes the login of {me}" in denied.err
    assert "Nobody has a login of their own." in nobody.err
    assert re.search(r"own logins .*\n.* own +none ", counted.out), counted.out
    assert stored.code == 0, stored.err
    assert f"acme: ada@acme.example is the login of {me} now" in stored.err
    assert (listed["org"], listed["principal"], listed["kind"], listed["state"]) == ("acme", me, "web", "ready")
    assert listed["user"]["id"] == ada.id
    assert (listed["approvals"], listed["waiting"]) == (1, False)
    assert ended.code == 0, ended.err
    assert await usernames(shell) == {me: ("ada@acme.example", "needs_login")}
    assert (await shell("connections", "--problems")).code == 0, "what was ended on purpose is no problem"
    entries = (await shell("audit", "list", "--json")).json
    given = [each for each in entries if each["tool"] in ("connect-org", "disconnect-org")]
    assert [(each["tool"], each["principal"], each["outcome"], each["identity"]) for each in given] == [
        ("disconnect-org", me, "succeeded", "own"),
        ("connect-org", me, "succeeded", "own"),
        ("connect-org", me, "denied", "own"),
    ]
    assert given[1]["salesforce_user"] == {"id": ada.id, "username": "ada@acme.example"}


async def test_somebody_elses_login_is_confirmed_by_a_person_and_pinned(
    shell: Shell, acme: SandboxOrg, callback: str
) -> None:
    for name in ("ada@acme.example", "eve@acme.example"):
        acme.add_user(name)
    await shell.add(acme, "--identity", "own")
    await shell("add-principal", "ada", "--grant", "acme:read")
    await shell("add-principal", "bob")

    unseen = await shell("connect-org", "acme", "--principal", "ada", "--yes")
    stored = await connect(shell, callback, "ada@acme.example", "--principal", "ada")
    async with shell.at_terminal("connect-org", "acme", "--callback-url", callback, "--principal", "ada") as terminal:
        await log_in(terminal, "eve@acme.example")
        other = Ran(await terminal.end(), "", terminal.shown)
    replaced = await connect(shell, callback, "eve@acme.example", "--principal", "ada", "--replace")
    stranger = await shell("connect-org", "acme", "--principal", "bob", "--yes", stdin="")
    forgotten = await shell("disconnect-org", "acme", "--principal", "ada", "--forget", "--yes")

    assert "nobody was connected to acme: nobody is here to confirm it" in unseen.err
    assert stored.code == 0, stored.err
    assert other.code == 1
    assert "ada is connected to acme as ada@acme.example, and eve@acme.example logged in" in other.err
    assert "--replace --principal ada" in other.err
    assert "in place of ada@acme.example" in replaced.err
    assert replaced.code == 0, replaced.err
    assert stranger.code == 1
    assert forgotten.code == 0, forgotten.err
    assert await usernames(shell) == {}
    entries = (await shell("audit", "list", "--json")).json
    given = [each for each in entries if each["tool"] == "connect-org" and each["outcome"] == "succeeded"]
    assert [each["fields"] for each in given] == [["connection", "principal:ada"]] * 2


async def test_what_cannot_be_connected_says_what_to_do(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)

    shared = await shell("connect-org", "acme", "--yes")
    nothing = await shell("disconnect-org", "acme", "--yes")
    wrong = await shell("connections", "ada")
    absent = await shell("connections", "--confirm", "acme", "ada", "--yes")

    assert "acme uses one login for all: there is nothing to connect" in shared.err
    assert "update-org acme --identity own" in shared.err
    assert "has no login to acme" in nothing.err
    assert wrong.code == 2
    assert "ada: no login to acme waits for anybody" in absent.err


async def test_an_org_with_one_login_for_all_says_so_before_anything_is_asked(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)

    refused = await shell("connect-org", "acme")

    assert refused.code == 1
    assert "acme uses one login for all: there is nothing to connect" in refused.err
    assert "orgserver update-org acme --identity own" in refused.err
