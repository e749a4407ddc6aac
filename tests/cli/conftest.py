"""A home of the test's own, and no secret in anything that a command leaves."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.errors import CallError
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from tests import operations
from tests.cli.forked import Template
from tests.cli.shells import TOOL, Command, Shell, ShellAt


@pytest.fixture
def command(app: App, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in a thread of its own, over the app's home; the environment by keyword."""
    monkeypatch.setenv("ORGSERVER_HOME", str(app.settings.database_file.parent))

    async def run(command: click.Command, *args: str, **environment: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, command, args, env=environment)

    return run


@pytest.fixture
def secrets(sandbox: Sandbox) -> Iterator[set[str]]:
    """Every secret that the test's orgs have had."""
    known = {text for org in sandbox.orgs for text in (org.client_secret, org.refresh_token)}
    yield known
    known.clear()


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    made = Template()
    yield made
    made.close()


@pytest.fixture(scope="session")
def started() -> set[str]:
    return set()


@pytest.fixture
def shell_at(template: Template, started: set[str]) -> ShellAt:
    """Gives the shell of a home; what is in that is the test's affair."""
    return partial(Shell, started=started, template=template)


@pytest.fixture
async def shell(tmp_path: Path, sandbox: Sandbox, secrets: set[str], shell_at: ShellAt) -> AsyncIterator[Shell]:
    made = shell_at(tmp_path / "home")
    yield made
    for org in sandbox.orgs:
        secrets |= {org.client_secret, org.refresh_token, *org.spent, *org.access_tokens} - {""}
        secrets |= {family.refresh_token for family in org.logins.families if family.refresh_token}
    stored = b"".join(file.read_bytes() for file in made.home.rglob("*") if file.is_file())
    for secret in secrets:
        assert not any(secret in text for text in made.printed), "a secret was printed"
        assert secret.encode() not in stored, "a secret lies open in the home folder"


@pytest.fixture
async def used(shell: Shell, acme: SandboxOrg, caller: Caller) -> str:
    """A home in which an org was added, a contact made, and two calls refused; the contact's id."""
    await shell.add(acme)
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        made = await operations.create(app, caller, TOOL, "acme", CONTACT, {"LastName": "Lovelace"})
        for alias, values in (("acne", {"LastName": "X"}), ("acme", {"Nope__c": 1, "LastName": "=X"})):
            with pytest.raises(CallError):
                await operations.create(app, caller, TOOL, alias, CONTACT, values)
    return made.id
