"""The operator's own program is told of each change of an org's state, once over all processes, and disturbs nothing."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from orgserver.app import App
from orgserver.config import read_settings
from orgserver.model.errors import CallError, ConfigError
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs import alerts

SECONDS = 30.0
"""More than any of this takes, and less than a program that hangs would."""
PROGRAM = """
import os, sys, uuid
text = sys.stdin.read()
with open(os.path.join(sys.argv[1], uuid.uuid4().hex), "w") as file:
    file.write(text + repr(sorted(name for name in os.environ if name.startswith("ORGSERVER_"))))
"""


def changes(folder: Path) -> list[dict[str, Any]]:
    """What the program was told, in the order of time."""
    texts = [path.read_text() for path in folder.iterdir()]
    assert all(text.endswith("\n[]") for text in texts), "a variable of ours was handed on"
    return sorted((json.loads(text[:-2]) for text in texts), key=lambda change: change["since"])


async def test_each_change_is_told_once_whichever_process_made_it(
    open_again: Any, app: App, caller: Caller, acme: SandboxOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORGSERVER_CLIENT_SECRET", "hunter2")
    folder = tmp_path / "told"
    folder.mkdir()
    command = (sys.executable, "-I", "-S", "-c", PROGRAM, str(folder))
    async with open_again(alert_command=command) as one, open_again(alert_command=command) as two:
        await one.registry.update(caller, "acme", enabled=False)
        await two.registry.update(caller, "acme", enabled=False)
        await two.registry.update(caller, "acme", tags=("eu",))
        await two.registry.update(caller, "acme", enabled=True)
        acme.refresh_token = "5Aep861another"
        acme.expire_access_tokens()
        org = await one.registry.one("acme")
        failures = await asyncio.gather(*(each.access.tokens.renew(org) for each in (one, two)), return_exceptions=True)
        assert all(isinstance(error, CallError) for error in failures)

    told = changes(folder)
    assert [(each["org"], each["before"], each["after"]) for each in told] == [
        ("acme", "ready", "disabled"),
        ("acme", "disabled", "ready"),
        ("acme", "ready", "needs_login"),
    ]
    assert told[-1]["org_id"] == acme.org_id
    assert "expired" in told[-1]["cause"]
    assert told[-1]["problem"] is None


@pytest.mark.parametrize(
    ("command", "seconds", "reason"),
    [
        (("/nowhere/to/be/found",), SECONDS, "it cannot be started (No such file or directory)"),
        (("sh", "-c", "exit 3"), SECONDS, "it ended with exit code 3"),
        (("sh", "-c", "sleep 600 & sleep 600"), 0.2, "it took longer than 0.2 s"),
    ],
)
async def test_a_program_that_fails_or_hangs_is_said_once_and_disturbs_nobody(
    open_again: Any,
    app: App,
    caller: Caller,
    command: tuple[str, ...],
    seconds: float,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "orgserver")  # a command of another test may have made it quiet
    monkeypatch.setattr(alerts, "SECONDS", seconds)

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if "alert_command" in record.getMessage()]

    async with asyncio.timeout(SECONDS), open_again(alert_command=command) as other:
        for enabled in (False, True, False):
            org = await other.registry.update(caller, "acme", enabled=enabled)
            assert org.enabled is enabled
        while not warnings():
            await asyncio.sleep(0.01)

    (warning,) = warnings()
    assert warning.endswith(reason)


def test_only_the_file_can_name_the_program(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('alert_command = ["tell-ops", "orgs"]\n')
    environment = {"ORGSERVER_ALERT_COMMAND": "tell-somebody-else"}

    assert read_settings({"home": tmp_path}, environment).alert_command == ("tell-ops", "orgs")
    (tmp_path / "config.toml").write_text('alert_command = "tell-ops orgs; rm"\n')
    with pytest.raises(ConfigError, match="alert_command in config.toml"):
        read_settings({"home": tmp_path}, {})
