"""What the sf command prints is taken in all its forms, and nothing of it is ever shown."""

import asyncio
import io
import json
import os
import signal
import sys
from pathlib import Path

import click
import pytest

from orgserver.cli.login import sf_cli
from orgserver.cli.login.credentials import complete
from orgserver.cli.output import Failure
from orgserver.model.errors import ConfigError
from tests.cli.login.fake_sf import NOT_A_COMMAND, REDACTED, FakeSf

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the pretend sf is a script with a shebang")

TOKEN = "5Aep861CANARYtoken"
URL = f"force://3MVG9client:CANARYsecret:{TOKEN}@acme.my.salesforce.com"
SHOW = "org auth show-sfdx-auth-url --target-org=acme"
DISPLAY = "org display --verbose --target-org=acme"


@pytest.fixture
def sf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSf:
    made = FakeSf(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setenv("ORGSERVER_MASTER_KEY", "CANARY")
    return made


@pytest.fixture(autouse=True)
def nothing_shown(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> object:
    yield
    shown = capfd.readouterr()
    assert "CANARY" not in shown.out + shown.err + caplog.text


def typed(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), "utf-8"))


def refused_line(error: pytest.ExceptionInfo[ConfigError]) -> str:
    told = f"{error.value} {error.value.hint}"
    assert "CANARY" not in told
    assert "\n" not in told
    return told


@pytest.mark.parametrize(
    "text",
    [
        URL.encode() + b"\n",
        b"\xef\xbb\xbf" + URL.encode() + b"\r\n",
        json.dumps({"result": {"sfdxAuthUrl": URL}}).encode(),
    ],
)
def test_a_url_comes_from_standard_input(
    text: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, text)

    parts = sf_cli.parts_from_stdin()

    assert parts.values == {
        "client_id": "3MVG9client",
        "client_secret": "CANARYsecret",
        "refresh_token": TOKEN,
        "login_url": "https://acme.my.salesforce.com",
    }
    complete(parts, "refresh-token")
    assert parts.sources["refresh_token"] == "standard input"
    assert capfd.readouterr().err == "client secret: from standard input\nrefresh token: from standard input\n"


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfeCANARY\x00", URL.encode() * 2_000_000, b"CANARY\nCANARY", b'{"result": {}}']
)
def test_junk_on_standard_input_is_refused_in_one_line(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, text[: 2 * 1024 * 1024])

    with pytest.raises(ConfigError) as error:
        sf_cli.parts_from_stdin()

    assert "standard input holds no SFDX auth URL: it" in refused_line(error)


def test_a_url_is_taken_from_a_new_sf_without_calling_the_org(sf: FakeSf) -> None:
    sf.shows("acme", URL)

    parts = sf_cli.parts_of_org("acme", yes=True)

    assert parts.values["refresh_token"] == TOKEN
    assert parts.sources["refresh_token"] == "sf CLI (acme)"
    (call,) = sf.calls
    assert call["argv"] == [*SHOW.split(), "--json"]
    assert "ORGSERVER_MASTER_KEY" not in call["environment"]
    assert "SF_TEMP_SHOW_SECRETS" not in call["environment"]


@pytest.mark.parametrize("variable", ["", "shown: "])
def test_an_older_sf_shows_it_in_org_display(sf: FakeSf, variable: str) -> None:
    sf.says(DISPLAY, {"username": "a@b.c", "sfdxAuthUrl": REDACTED})
    sf.says(f"{variable}{DISPLAY}", {"username": "a@b.c", "sfdxAuthUrl": URL})

    parts = sf_cli.parts_of_org("acme", yes=True)

    assert parts.values["refresh_token"] == TOKEN
    assert [call["environment"].get("SF_TEMP_SHOW_SECRETS") for call in sf.calls] == [None, "true"]


def test_warnings_before_the_json_do_not_matter(sf: FakeSf) -> None:
    told = "(node:7) Warning: CANARY\n" + json.dumps({"status": 0, "result": {"sfdxAuthUrl": URL}})
    sf.answer(f"{SHOW} --json", {"code": 0, "out": told, "err": "CANARY"})

    assert sf_cli.parts_of_org("acme", yes=True).values["refresh_token"] == TOKEN


WRONG = {
    "hidden": ({"code": 0, "out": json.dumps({"result": {"sfdxAuthUrl": REDACTED}})}, "hides the secrets of acme"),
    "no URL": ({"code": 0, "out": json.dumps({"result": {"accessToken": "CANARY"}})}, "has no refresh token for acme"),
    "no JSON": ({"code": 0, "out": "CANARY"}, "printed no JSON"),
    "a list": ({"code": 0, "out": '["CANARY"]'}, "printed no JSON"),
    "too deep": ({"code": 0, "out": "{" * 100_000}, "printed no JSON"),
    "too much": ({"code": 0, "out": "CANARY" * 3_000_000}, "printed too much"),
    "a bad URL": ({"code": 0, "out": json.dumps({"result": {"sfdxAuthUrl": "CANARY"}})}, "cannot be read: it does not"),
    "too old": (NOT_A_COMMAND, "printed no JSON"),
    "fails": ({"code": 1, "out": '{"name": "TimeoutError", "message": "CANARY"}'}, "failed (TimeoutError, exit 1)"),
    "odd": ({"code": 1, "out": '{"name": "CANARY: 5", "message": "CANARY"}'}, "failed (exit 1)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_sf_cannot_give_is_said_in_one_line(sf: FakeSf, case: str) -> None:
    answer, told = WRONG[case]
    sf.answer(f"{SHOW} --json", answer)

    with pytest.raises(ConfigError) as error:
        sf_cli.parts_of_org("acme", yes=True)

    assert f"the sf command {told}" in refused_line(error) or told in refused_line(error)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("NoRefreshTokenError", "has no refresh token for acme: it was logged in to with an access token or a JWT"),
        ("NamedOrgNotFoundError", "the sf command knows no org acme"),
    ],
)
def test_errors_of_sf_are_known_by_their_names(sf: FakeSf, name: str, told: str) -> None:
    sf.fails(SHOW, name)

    with pytest.raises(ConfigError) as error:
        sf_cli.parts_of_org("acme", yes=True)

    assert told in refused_line(error)


@pytest.mark.parametrize(
    "name", ["", "-x", "--json", "a b", "a\nb", "a&calc", "a%PATH%", '"', "@x", "x" * 200, URL, "ä"]
)
def test_a_name_that_could_be_anything_else_never_reaches_sf(sf: FakeSf, name: str) -> None:
    with pytest.raises(click.UsageError) as error:
        sf_cli.parts_of_org(name, yes=True)

    assert "takes the username or an alias" in str(error.value)
    assert sf.calls == []


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_an_sf_that_is_not_installed_or_lies_in_the_current_folder_is_not_run(
    sf: FakeSf, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sf.folder)
    monkeypatch.setenv("PATH", folder)

    with pytest.raises(ConfigError) as error:
        sf_cli.parts_of_org("acme", yes=True)

    assert "is not installed, or not on the PATH" in refused_line(error)
    assert sf.calls == []


def test_an_sf_that_is_no_program_is_said_to_be_so(sf: FakeSf) -> None:
    sf.program.write_bytes(b"\x00CANARY")

    with pytest.raises(ConfigError) as error:
        sf_cli.parts_of_org("acme", yes=True)

    assert "the sf command cannot be run: " in refused_line(error)


def test_off_a_terminal_nothing_is_taken_without_yes(sf: FakeSf, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, b"y\n")

    with pytest.raises(ConfigError) as error:
        sf_cli.parts_of_org("acme", yes=False)

    assert "acme was not taken: nobody is here to confirm it" in refused_line(error)
    assert "the copies in the sf command die with it" in refused_line(error)
    assert sf.calls == []


@pytest.mark.parametrize(("answer", "calls"), [("y", 1), ("n", 0), ("", 0)])
def test_on_a_terminal_it_asks_and_says_that_the_copy_dies(
    sf: FakeSf, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], answer: str, calls: int
) -> None:
    sf.shows("acme", URL)
    typed(monkeypatch, f"{answer}\n".encode())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    if calls:
        assert sf_cli.parts_of_org("acme", yes=False).values["refresh_token"] == TOKEN
    else:
        with pytest.raises(Failure):
            sf_cli.parts_of_org("acme", yes=False)

    shown = capfd.readouterr()
    assert "Take over the log-in of acme from the sf command?" in shown.err
    assert "die with it" in shown.err
    assert shown.out == ""
    assert len(sf.calls) == calls


@pytest.mark.parametrize("hang", ["itself", "child"])
async def test_an_sf_that_does_not_answer_is_ended_with_its_children(sf: FakeSf, hang: str) -> None:
    sf.answer(f"{SHOW} --json", {"hang": hang})
    child = sf.folder / "child"

    with pytest.raises(ConfigError) as error:
        await sf_cli.auth_url("acme", seconds=2)

    assert "gave no answer in 2 seconds" in refused_line(error)
    async with asyncio.timeout(10):
        while child.exists() and alive(int(child.read_text())):
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" not in status.read_text()


async def test_the_orgs_that_sf_knows_are_listed_without_secrets(sf: FakeSf) -> None:
    sf.knows(
        "ada@acme.example",
        URL,
        alias="acme,main",
        orgId="00DSb0000000001MAA",
        instanceUrl="https://acme.my.salesforce.com",
    )
    sf.knows("bot@acme.example", None, method="token")
    sf.knows("old@acme.example", URL, isExpired=True)
    sf.knows("bad@acme.example", URL, error="CANARY")
    sf.known.append({"accessToken": "CANARY"})
    sf.says("org list auth", [*sf.known, "CANARY", 5])

    orgs = await sf_cli.list_orgs()

    assert [(org.username, org.alias, org.method, org.fault) for org in orgs] == [
        ("ada@acme.example", "acme", "web", None),
        ("bot@acme.example", "", "token", None),
        ("old@acme.example", "", "web", "this scratch org has expired"),
        ("bad@acme.example", "", "web", "the sf command cannot read its own copy"),
    ]
    assert (orgs[0].org_id, orgs[0].instance_url) == ("00DSb0000000001MAA", "https://acme.my.salesforce.com")
    assert [call["argv"] for call in sf.calls] == [["org", "list", "auth", "--json"]]


async def test_a_list_that_sf_does_not_give_is_one_line(sf: FakeSf) -> None:
    with pytest.raises(ConfigError) as error:
        await sf_cli.list_orgs()

    assert "the sf command printed no JSON" in refused_line(error)
