"""What shells are offered: names from the store, without opening it, changing it or needing its key."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import FishComplete, ShellComplete, ZshComplete, get_completion_class

from orgserver.app import App
from orgserver.cli import completion
from orgserver.cli.main import cli
from orgserver.model.audit import EntryFilter
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.services.people.requests import GroupChanges, PrincipalChanges
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.tools.toolsets import TOOLSETS
from tests import operations
from tests.cli.shells import Command
from tests.people import add_principal
from tests.store.signin.world import World

Offered = Callable[..., list[str]]


@pytest.fixture
async def home(app: App, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with two orgs and two contacts, whose master key is gone: nothing can be opened."""
    folder = app.settings.database_file.parent
    monkeypatch.setenv("ORGSERVER_HOME", str(folder))
    for name in ("Byron", "King"):
        await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": name})
    await app.audit_log.newest(EntryFilter(), 1)  # which brings the names of principals up to date
    (folder / "master.key").unlink()
    return folder


@pytest.fixture
def offered() -> Offered:
    """What is offered behind some words, of which the last is not whole."""

    def of(*words: str, shell: type[ShellComplete] = ZshComplete) -> list[str]:
        asked = shell(cli, {}, "orgserver", "_ORGSERVER_COMPLETE")
        return [item.value for item in asked.get_completions(list(words[:-1]), words[-1])]

    return of


@pytest.mark.parametrize(
    "words",
    [
        "show-org", "check-org", "check-org globex", "update-org", "remove-org", "serve --org", "audit list --org",
        "audit export --org", "audit undo --org", "audit erase --org", "audit hold x --org",
        "connect codex --org", "open", "policy show", "policy diff", "policy test",
    ],
)  # fmt: skip
async def test_aliases_are_offered_wherever_one_is_taken(home: Path, offered: Offered, words: str) -> None:
    every = offered(*words.split(), "")

    assert set(every) >= {"acme", "globex"}
    assert offered(*words.split(), "gl") == ["globex"]


async def test_objects_and_actions_of_rules_are_offered(home: Path, offered: Offered) -> None:
    with sqlite3.connect(home / "orgserver.db") as store:
        store.execute("INSERT INTO describes SELECT row_id, '', 'invoice__c', 'v66.0', x'', NULL, 0, 0 FROM orgs")
    store.close()

    assert offered("update-org", "acme", "--allow-object", "Con") == ["Contact"]
    assert offered("update-org", "acme", "--deny-object", "") == [
        "Account", "Case", "Contact", "Event", "Lead", "Opportunity", "Task", "invoice__c",
    ]  # fmt: skip
    assert offered("update-org", "acme", "--deny-object", "Contact:") == [
        f"Contact:{action}" for action in ("read", "create", "update", "delete")
    ]
    assert offered("add-org", "acme", "--allow-object", "Lead:read,cr") == ["Lead:read,create"]


async def test_ids_principals_toolsets_and_commands_are_offered(home: Path, app: App, offered: Offered) -> None:
    (made, *_) = await app.audit_log.newest(EntryFilter(action="create"), 2)

    assert offered("audit", "show", "")[0] == made.id
    assert offered("audit", "show", made.id[:-1].upper()) == [made.id]
    assert made.id in offered("audit", "undo", "")
    assert len(offered("audit", "undo", "")) == 2  # and no registration
    assert len(offered("audit", "show", "")) == 4
    assert offered("audit", "list", "--principal", "local:te") == ["local:tester"]
    assert offered("audit", "list", "--principal", "LOCAL:TE") == ["local:tester"]
    assert offered("serve", "--principal", "lo") == []
    await add_principal(app, "ada", "acme:read")
    assert offered("serve", "--principal", "a") == ["ada"]
    assert offered("serve", "--toolset", "") == [*TOOLSETS, "all"]
    assert offered("serve", "--toolset", "query,re") == ["query,records"]
    assert offered("connect", "codex", "--tool", "salesforce_q") == ["salesforce_query", "salesforce_query_orgs"]
    assert offered("connect", "c") == ["claude-code", "claude-desktop", "codex", "cursor"]
    assert offered("help", "audit", "un") == ["undo"]
    assert offered("audit", "un") == ["undo"]
    assert "help" in offered("he")


async def test_nothing_is_opened_changed_or_made(home: Path, offered: Offered, app: App) -> None:
    def content() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in home.iterdir() if not file.name.endswith("-shm")}

    before = content()
    with_log = offered("show-org", "")
    await app.store.close()
    closed = content()
    without = offered("show-org", "")

    assert with_log == without == ["acme", "globex"]
    assert content() == closed
    assert "master.key" not in before | closed


@pytest.mark.parametrize("damage", ["none", "another schema", "no database", "a wrong setting"])
async def test_where_there_is_nothing_to_offer_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offered: Offered, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "elsewhere"
    monkeypatch.setenv("ORGSERVER_HOME", str(folder))
    if damage != "none":
        folder.mkdir(mode=0o700)
    if damage == "another schema":
        sqlite3.connect(folder / "orgserver.db").execute("CREATE TABLE other (x)").connection.close()
    if damage == "no database":
        (folder / "orgserver.db").write_text("nonsense")
    if damage == "a wrong setting":
        (folder / "config.toml").write_text("log_level = 7")

    assert offered("show-org", "") == []
    assert offered("audit", "show", "01") == offered("audit", "list", "--principal", "") == []
    assert capfd.readouterr() == ("", "")
    assert folder.exists() is (damage != "none")


@pytest.mark.parametrize(
    ("pieces", "at", "answers"),
    [
        ("orgserver audit list --principal local : te", 6, ["plain,tester"]),
        ("orgserver audit list --principal local :", 5, ["plain,tester"]),
        ("orgserver audit list --principal loc", 4, ["plain,local:tester"]),
        ("orgserver serve --org = ac", 4, ["plain,acme"]),
        ("orgserver audit list --principal = local : te", 7, ["plain,tester"]),
        ("orgserver show-org", 2, ["plain,acme", "plain,globex"]),
    ],
)
async def test_bash_is_answered_for_the_piece_that_it_replaces(
    home: Path, monkeypatch: pytest.MonkeyPatch, pieces: str, at: int, answers: list[str]
) -> None:
    monkeypatch.setenv("_ORGSERVER_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", pieces.replace(" ", "\n"))
    monkeypatch.setenv("COMP_CWORD", str(at))
    completion.prepare()
    bash = get_completion_class("bash")
    assert bash is not None

    assert set(answers) <= set(bash(cli, {}, "orgserver", "_ORGSERVER_COMPLETE").complete().splitlines())


async def test_a_real_bash_and_the_words_of_zsh_and_fish(home: Path) -> None:
    script = (
        'eval "$(_ORGSERVER_COMPLETE=bash_source orgserver)"; COMP_WORDS=(orgserver show-org gl); COMP_CWORD=2; '
        '_orgserver_completion orgserver; echo "${COMPREPLY[@]}"'
    )
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def answered(*command: str, **more: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=environment | more, check=True)
        assert done.stderr == ""
        return done.stdout

    asked = {"COMP_WORDS": "orgserver show-org gl", "COMP_CWORD": "2"}
    bash, zsh, fish = await asyncio.gather(
        asyncio.to_thread(answered, "bash", "--norc", "-c", script),
        asyncio.to_thread(answered, "orgserver", _ORGSERVER_COMPLETE="zsh_complete", **asked),
        asyncio.to_thread(answered, "orgserver", _ORGSERVER_COMPLETE="fish_complete", **asked | {"COMP_CWORD": "gl"}),
    )

    assert bash == "globex\n"
    assert zsh.splitlines()[:2] == ["plain", "globex"]
    assert fish.startswith("plain,globex")


@pytest.mark.parametrize("words", ["orgserver show-org ", "orgserver audit show ", "orgserver update-org "])
def test_offering_names_imports_no_engine_and_no_client(words: str) -> None:
    asked = {"_ORGSERVER_COMPLETE": "zsh_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()))}
    script = (
        f"import os, sys; os.environ |= {asked}\n"
        "from orgserver.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'sqlalchemy', 'httptools', 'mcp', 'cryptography', "
        "'rich', 'alembic'}))"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


async def test_zsh_and_fish_get_what_each_name_is_of(command: Command, app: App, home: Path) -> None:
    for shell in (ZshComplete, FishComplete):
        (item,) = shell(cli, {}, "orgserver", "_ORGSERVER_COMPLETE").get_completions(["show-org"], "ac")

        assert item.help == (await app.registry.one("acme")).name


async def test_sessions_that_are_live_are_offered(
    app: App, caller: Caller, offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORGSERVER_HOME", str(app.settings.home))
    world = World(app.store)
    await world.add_people("ada")
    first, second = await world.sign_in("1"), await world.sign_in("2")

    assert offered("revoke-session", "") == [second, first]
    assert offered("revoke-session", second.upper()) == [second]
    await SignInSessions(app.store).end(caller, first)
    assert offered("revoke-session", second, "") == [second]
    assert offered("revoke-session", "--principal", "") == offered("list-sessions", "--principal", "a") == ["ada"]


async def test_principals_groups_and_selectors_are_offered(
    app: App, caller: Caller, offered: Offered, home: Path
) -> None:
    await app.people.principals.add(caller, "ada", PrincipalChanges())
    await app.people.principals.add(caller, "bob", PrincipalChanges())
    await app.people.groups.add(caller, "emea", GroupChanges())

    for words in ("show-principal", "update-principal", "remove-principal", "update-group emea --no-member"):
        assert offered(*words.split(), "") == ["ada", "bob"]
    assert offered("add-group", "x", "--member", "ada,b") == ["ada,bob"]
    for words in ("update-group", "remove-group", "add-principal x --group", "update-principal ada --no-group"):
        assert offered(*words.split(), "e") == ["emea"]
    assert offered("update-principal", "ada", "--grant", "a") == ["acme"]
    assert offered("update-principal", "ada", "--revoke", "t") == ["tag:"]
