"""A question is shown on the desktop, by a program that cannot be talked into anything, and never holds a call up."""

import json
import stat
import sys
import time
from pathlib import Path

import pytest

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.errors import PolicyDenied
from orgserver.model.names import CONTACT
from orgserver.services.calls.approvals import Approving
from orgserver.services.calls.notifications import Notifications
from tests import operations

RECORDER = f"""#!{sys.executable} -I
import json, os, sys
with open(os.path.join(os.path.dirname(sys.argv[0]), "shown"), "a") as file:
    file.write(json.dumps([sys.argv[1:], sorted(os.environ)]) + chr(10))
"""
SECRETS = {"ORGSERVER_CLIENT_SECRET": "canary", "SALESFORCE_REFRESH_TOKEN": "canary", "DBUS_SESSION_BUS_ADDRESS": "x:"}


def program(folder: Path, name: str, text: str = RECORDER) -> Path:
    file = folder / name
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def environ(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin"} | SECRETS


def shown(folder: Path, count: int = 1) -> list[list[list[str]]]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = (folder / "shown").read_text().splitlines() if (folder / "shown").exists() else []
        if len(lines) >= count:
            return [json.loads(line) for line in lines]
        time.sleep(0.02)
    raise AssertionError("nothing was shown")


@pytest.mark.parametrize(("platform", "name"), [("linux", "notify-send"), ("darwin", "osascript")])
def test_a_text_is_an_argument_cleaned_and_the_environment_holds_no_secret(
    tmp_path: Path, platform: str, name: str
) -> None:
    program(tmp_path, name)
    desktop = Notifications.of_system(environ(tmp_path), platform)
    assert desktop is not None

    desktop.show('Delete 1 <b>Contact</b>" & do shell script "x"\x1b[31m\u202ein acme?')

    ((arguments, variables),) = shown(tmp_path)
    assert not {"ORGSERVER_CLIENT_SECRET", "SALESFORCE_REFRESH_TOKEN"} & set(variables)
    assert {"PATH", "DBUS_SESSION_BUS_ADDRESS"} <= set(variables)
    if platform == "linux":
        assert arguments[:2] == ["--app-name=orgserver", "--"]
        assert arguments[3] == 'Delete 1 &lt;b&gt;Contact&lt;/b&gt;" &amp; do shell script "x" in acme?'
    else:
        assert arguments[-2] == 'Delete 1 <b>Contact</b>" & do shell script "x" in acme?'
        assert not any("Contact" in each for each in arguments[:-2])


def test_where_there_is_no_desktop_or_only_a_relative_path_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "notify-send")
    monkeypatch.chdir(tmp_path)

    for found in ({}, {"PATH": str(tmp_path / "nowhere")}, {"PATH": "."}, {"PATH": ""}):
        assert Notifications.of_system(SECRETS | found, "linux") is None
    assert Notifications.of_system(environ(tmp_path), "win32") is None


def test_what_hangs_or_cannot_start_holds_up_nobody(tmp_path: Path) -> None:
    script = "#!/bin/sh\ncd {0}\n[ -e begun ] || {{ touch begun; exec sleep 600; }}\necho '[[], []]' >> shown\n"
    hanging = Notifications((str(program(tmp_path, "hangs", script.format(tmp_path))), "--"), {}, seconds=2)
    broken = Notifications((str(tmp_path / "not-there"), "--"), {})
    started = time.monotonic()

    for number in range(100):
        hanging.show(str(number))
        broken.show(str(number))

    assert time.monotonic() - started < 1
    assert shown(tmp_path)  # what waited behind the one that hung


async def test_each_question_is_shown_once_without_its_code_or_names(app, acme, caller, tmp_path) -> None:
    texts: list[str] = []
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    settings = read_settings({"home": tmp_path / "home"}, {})
    async with open_app(settings, notify=texts.append) as asking:
        made = await operations.create(asking, caller, "t", "acme", CONTACT, {"LastName": "Lovelace"})
        for _ in range(2):
            with pytest.raises(PolicyDenied):
                await operations.delete(asking, caller, "t", "acme", CONTACT, made.id)
        (request,) = await Approving(asking.store, asking.access).waiting()

    assert texts == ["Delete 1 Contact record in the Salesforce org acme (developer)? See: orgserver approvals"]
    assert request.code not in texts[0]


def test_notifications_can_be_switched_off(tmp_path: Path) -> None:
    assert read_settings({"home": tmp_path}, {}).notifications
    assert not read_settings({"home": tmp_path}, {"ORGSERVER_NOTIFICATIONS": "off"}).notifications
