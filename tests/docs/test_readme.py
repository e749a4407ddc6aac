"""The README is short and leads to every page; with these it names every command, tool and setting, and no other."""

import re

import click
import pytest

from orgserver.cli.audit.commands import audit
from orgserver.cli.main import cli
from orgserver.config import FILE_ONLY, Settings
from orgserver.tools import toolsets
from tests.docs.pages import DOCS, MANUAL, README, find_code, find_links

SETTINGS = {f"ORGSERVER_{name.upper()}" for name in Settings.model_fields if name not in FILE_ONLY}
INPUTS = {"ORGSERVER_CLIENT_ID", "ORGSERVER_CLIENT_SECRET", "ORGSERVER_REFRESH_TOKEN"}


def commands() -> list[str]:
    return list(cli.list_commands(click.Context(cli)))


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 180
    assert len(README.encode()) <= 16 * 1024


def test_it_leads_to_every_page() -> None:
    assert {f"docs/{name}.md" for name in DOCS} <= set(find_links(README))


def test_it_begins_with_the_demo_and_the_tests() -> None:
    start = README.partition("\n## Start\n")[2].partition("\n## ")[0]

    assert re.findall(r"```console\n(.+)\n```", start) == [
        "python3 -m venv .venv && .venv/bin/pip install --quiet . && .venv/bin/orgserver demo",
        "python3 -m venv .venv && .venv/bin/pip install --quiet -e '.[test]' && .venv/bin/pytest",
    ]


@pytest.mark.parametrize("name", commands())
def test_every_command_is_named(name: str) -> None:
    assert f"orgserver {name}" in MANUAL or f"`{name}`" in MANUAL


@pytest.mark.parametrize("name", list(audit.commands))
def test_every_audit_command_is_named(name: str) -> None:
    assert f"orgserver audit {name}" in MANUAL


def test_every_command_that_is_shown_is_one() -> None:
    used = re.compile(r"(?:^|/bin/|[|;] |-- |\$\()orgserver ([a-z][a-z-]+)", re.MULTILINE)
    named = {name for code in find_code(MANUAL) for name in used.findall(code)}

    assert len(named) > 20
    assert named <= {*commands(), "audit", "help"}


@pytest.mark.parametrize("page", [README, DOCS["tools"]], ids=["README", "tools"])
def test_every_tool_is_named_and_none_that_does_not_exist(page: str) -> None:
    assert set(re.findall(r"`(salesforce_[a-z_]+)`", page)) == set(toolsets.chosen(["all"]))


def test_every_setting_has_its_row_and_no_other_has_one() -> None:
    rows = "\n".join(re.findall(r"^\|([^|]+)\|", DOCS["settings"], re.MULTILINE))

    assert set(_settings_in(rows)) == SETTINGS | INPUTS
    assert all(f"`{name}`" in rows for name in FILE_ONLY)


def test_every_setting_that_is_named_is_one() -> None:
    assert set(_settings_in(MANUAL)) == SETTINGS | INPUTS


def _settings_in(text: str) -> list[str]:
    return re.findall(r"(?<![A-Z_])ORGSERVER_[A-Z_]+[A-Z]", text)
