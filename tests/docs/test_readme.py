"""The README names every command, tool and setting there is, and no other."""

import re
from pathlib import Path

import click
import pytest

from orgserver.cli.audit.commands import audit
from orgserver.cli.main import cli
from orgserver.config import FILE_ONLY, Settings
from orgserver.tools import toolsets

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[str]:
    return list(cli.list_commands(click.Context(cli)))


@pytest.mark.parametrize("name", commands())
def test_every_command_is_named(name: str) -> None:
    assert f"orgserver {name}" in README or f"`{name}`" in README


@pytest.mark.parametrize("name", list(audit.commands))
def test_every_audit_command_is_named(name: str) -> None:
    assert f"orgserver audit {name}" in README


def test_every_tool_is_named_and_none_that_does_not_exist() -> None:
    assert set(re.findall(r"`(salesforce_[a-z_]+)`", README)) == set(toolsets.chosen(["all"]))


def test_every_setting_is_named_and_none_that_does_not_exist() -> None:
    known = {f"ORGSERVER_{name.upper()}" for name in Settings.model_fields if name not in FILE_ONLY}
    inputs = {"ORGSERVER_CLIENT_ID", "ORGSERVER_CLIENT_SECRET", "ORGSERVER_REFRESH_TOKEN"}

    assert set(re.findall(r"(?<![A-Z_])ORGSERVER_[A-Z_]+[A-Z]", README)) == known | inputs


def test_every_command_in_the_readme_is_one() -> None:
    named = set(re.findall(r"(?:^|`|/bin/|[|] |-- )orgserver ([a-z][a-z-]+)", README, re.MULTILINE))

    assert named <= {*commands(), "audit", "help"}
