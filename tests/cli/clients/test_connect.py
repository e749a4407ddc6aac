"""``connect`` and ``disconnect``: a client's own file gets our entry and loses it, and nothing else ever."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from orgserver.cli.clients.files import read_file, replace_file
from orgserver.cli.clients.programs import PROGRAMS
from orgserver.cli.main import cli
from orgserver.cli.process import shell_line, this_command
from orgserver.model.errors import ConfigError
from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import SECONDS, Shell

FILES = {
    "claude-code": ".claude.json",
    "claude-desktop": ".config/Claude/claude_desktop_config.json",
    "codex": ".codex/config.toml",
    "gemini": ".gemini/settings.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".config/Code/User/mcp.json",
    "windsurf": ".codeium/windsurf/mcp_config.json",
}
OPTIONS = ["--org", "acme,globex", "--toolset", "query", "--tool", "salesforce_get_contact", "--read-only"]
ARGUMENTS = [
    "serve",
    "--org",
    "acme",
    "--org",
    "globex",
    "--toolset",
    "query",
    "--tool",
    "salesforce_get_contact",
    "--read-only",
]


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's home on Linux, with no client in it."""
    home = tmp_path / "person"
    home.mkdir()
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "XDG_CONFIG_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ORGSERVER_HOME")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return home


def run(*words: str, home: Path | None = None) -> Result:
    return CliRunner().invoke(cli, words, env={"ORGSERVER_HOME": str(home)} if home else {})


def read(path: Path) -> dict[str, Any]:
    text = path.read_text("utf-8")
    whole = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    (servers,) = (whole[key] for key in ("mcpServers", "servers", "mcp_servers") if key in whole)
    return servers


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("client", list(FILES))
def test_a_client_that_is_not_installed_is_connected_and_disconnected(client: str, person: Path) -> None:
    path = person / FILES[client]
    printed = run("connect", client, "--print", *OPTIONS, home=person / "store")
    assert everything(person) == {}

    done = run("connect", client, "--yes", *OPTIONS, home=person / "store")
    there = everything(person)
    again = run("connect", client, "--yes", *OPTIONS, home=person / "store")

    assert (printed.exit_code, done.exit_code, again.exit_code) == (0, 0, 0), done.output
    wanted = {"command": this_command()[0], "args": ARGUMENTS, "env": {"ORGSERVER_HOME": str(person / "store")}}
    if client in ("claude-code", "cursor", "vscode"):
        wanted["type"] = "stdio"
    assert read(path) == {"orgserver": wanted}
    assert path.read_text() == printed.stdout
    assert all(f"+{line}" in done.stdout for line in printed.stdout.splitlines())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(there) == [path]
    assert everything(person) == there
    assert "stays as it is" in again.stderr
    gone = run("disconnect", client, "--yes")
    assert gone.exit_code == 0
    assert "orgserver" not in path.read_text()
    assert run("disconnect", client, "--yes").exit_code == 0


@pytest.mark.parametrize("client", list(FILES))
def test_the_folder_has_a_file_of_its_own_or_the_client_has_none(client: str, person: Path) -> None:
    done = run("connect", client, "--project", "--yes")

    file = PROGRAMS[client].project_file
    if file is None:
        assert done.exit_code == 1
        assert "orgserver: error: " in done.stderr
        assert everything(person) == {}
    else:
        assert list(everything(person)) == [person / file]
        assert read(person / file)["orgserver"]["args"] == ["serve"]
        assert "env" not in read(person / file)["orgserver"]


def test_other_servers_comments_mode_and_links_stay_and_secrets_are_not_shown(person: Path) -> None:
    real, link = person / "dotfiles/settings.json", person / ".gemini/settings.json"
    real.parent.mkdir()
    link.parent.mkdir()
    text = '\ufeff{\r\n  // theme\r\n  "mcpServers": {"other": {"command": "x", "env": {"KEY": "s3cret"}}},\r\n}\r\n'
    real.write_bytes(text.encode())
    real.chmod(0o640)
    link.symlink_to("../dotfiles/settings.json")

    done = run("connect", "gemini", "--yes")

    changed = real.read_bytes()
    (kept,) = link.parent.glob("settings.json.orgserver-*.bak")
    assert kept.read_bytes() == text.encode()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert str(kept) in done.stderr
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert changed.startswith(b"\xef\xbb\xbf{\r\n  // theme\r\n")
    assert b'"KEY": "s3cret"' in changed
    assert b"\n" not in changed.replace(b"\r\n", b"")
    assert "s3cret" not in done.output
    run("disconnect", "gemini", "--yes")
    assert real.read_bytes() == text.encode()


def test_an_entry_of_a_folder_that_wins_over_ours_is_named(person: Path) -> None:
    file = {"projects": {"/a": {"mcpServers": {"orgserver": {}}}, "/b": {"mcpServers": {}}, "/c": None, "/d": {}}}
    (person / ".claude.json").write_text(json.dumps(file))

    done = run("connect", "claude-code", "--yes", "--read-only")

    assert "warning: in /a another entry orgserver wins" in done.stderr
    assert not any(f"in {folder} another" in done.stderr for folder in ("/b", "/c", "/d"))
    assert json.loads((person / ".claude.json").read_text())["projects"] == file["projects"]


def test_a_relative_home_of_a_client_is_used_and_told(person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_HOME", "chx")

    done = run("connect", "codex", "--yes")

    assert read(person / "chx/config.toml")["orgserver"]["args"] == ["serve"]
    assert f"CODEX_HOME=chx is a relative path: Codex reads this file only where it is started in {person}" in (
        done.stderr
    )


@pytest.mark.parametrize("content", [b"{not json", b"\xff\xfe{\x00}\x00", b'{"mcpServers": [1]}', b"[]"])
def test_a_file_that_is_not_understood_is_left_alone(content: bytes, person: Path) -> None:
    path = person / ".claude.json"
    path.write_bytes(content)

    for command in ("connect", "disconnect"):
        refused = run(command, "claude-code", "--yes")

        assert refused.exit_code == 1
        assert refused.stdout == ""
        assert str(path) in refused.stderr
        assert "nothing was written" in refused.stderr
        assert len(refused.stderr.splitlines()) <= 2
    assert everything(person) == {path: content}
    assert run("connect", "claude-code", "--print").exit_code == 0


def test_what_is_no_file_is_not_opened(person: Path) -> None:
    os.mkfifo(person / ".claude.json")

    refused = run("connect", "claude-code", "--yes")

    assert refused.exit_code == 1
    assert "is no file" in refused.stderr


def test_a_copy_never_takes_the_place_of_another(person: Path) -> None:
    path = person / "x.json"
    for number in range(3):
        path.write_text(str(number))
        replace_file(read_file(path), "new")

    assert sorted(copy.read_text() for copy in person.glob("x.json.orgserver-*")) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["claude-code"], 1, "add --yes"),
        (["nothing", "--yes"], 2, "nothing"),
        (["codex", "--yes", "--toolset", "contact"], 1, "did you mean contacts?"),
        (["codex", "--yes", "--tool", "create_contact"], 1, "did you mean salesforce_create_contact?"),
        (["codex", "--yes", "--exclude-tool", "x"], 1, "there is no tool 'x'"),
        (["codex", "--yes", "--tool", "salesforce_delete_contact", "--read-only"], 1, "no tool is left"),
        (["codex", "--yes", "--org", "Bad"], 2, "an alias is"),
        (["codex", "--yes", "--org", ""], 2, "names nothing"),
        (["codex", "--yes", "--tool", " , "], 2, "names nothing"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(words: list[str], code: int, told: str, person: Path) -> None:
    refused = run("connect", *words)

    assert (refused.exit_code, everything(person)) == (code, {})
    assert told in refused.stderr


def test_settings_that_a_client_will_not_have_are_named_without_their_values(
    person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORGSERVER_MASTER_KEY", "s3cret")
    monkeypatch.setenv("ORGSERVER_READ_ONLY", "1")

    printed = run("connect", "cursor", "--print", home=person / "store")
    done = run("connect", "cursor", "--yes", home=person / "store")

    for ran in (printed, done):
        assert "warning: ORGSERVER_MASTER_KEY, ORGSERVER_READ_ONLY is set here" in ran.stderr
        assert "s3cret" not in ran.output
    assert not any(b"s3cret" in content for content in everything(person).values())


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal is made the POSIX way")
async def test_what_the_client_wrote_while_the_question_stood_stays(person: Path) -> None:
    path = person / ".claude.json"
    path.write_text('{"numStartups": 1}')
    for answer, startups in (("n", 1), ("y", 2)):
        here, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orgserver", "connect", "claude-code",
            stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[3],
        )  # fmt: skip
        os.close(theirs)
        assert process.stderr is not None
        async with asyncio.timeout(SECONDS):
            asked = await process.stderr.readuntil(b"[y/N]")
            path.write_text(f'{{"numStartups": {startups}}}')
            os.write(here, f"{answer}\n".encode())
            await process.communicate()
        os.close(here)

        assert asked.endswith(b"Write this? [y/N]")
        assert process.returncode == (0 if answer == "y" else 1)
        assert json.loads(path.read_text())["numStartups"] == startups
    assert json.loads(path.read_text())["mcpServers"]["orgserver"]["args"] == ["serve"]


async def test_the_command_that_stands_in_the_file_serves(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    """As a client does it: from a folder that a stranger has filled, with next to no environment."""
    hostile = tmp_path / "project/orgserver"
    hostile.mkdir(parents=True)
    (hostile / "__init__.py").write_text("raise SystemExit('a stranger is imported')")
    await shell.add(acme)
    files = {"HOME": str(tmp_path), "CODEX_HOME": ""}
    done = await shell(
        "connect", "codex", "--yes", "--org", "acme", "--exclude-tool", "salesforce_delete_contact", **files
    )
    entry = read(tmp_path / ".codex/config.toml")["orgserver"]

    started = StdioServerParameters(
        command=entry["command"], args=entry["args"], env={"PATH": "/nowhere"} | entry["env"], cwd=hostile.parent
    )
    with (tmp_path / "server.log").open("w") as errors:
        async with Client(stdio_client(started, errlog=errors)) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            made = await client.call_tool(
                "salesforce_create_contact", {"org": "acme", "data": {"LastName": "Lovelace"}}
            )

    assert done.code == 0, done.err
    assert "no org is registered" not in done.err
    assert Path(entry["command"]).is_absolute()
    assert not made.is_error
    assert "salesforce_create_contact" in tools
    assert "salesforce_delete_contact" not in tools


def test_the_command_works_from_a_folder_that_a_stranger_has_filled(tmp_path: Path) -> None:
    (tmp_path / "orgserver.py").write_text("raise SystemExit('a stranger is imported')")
    line = shell_line("--version")

    typed = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, check=True)
    without_a_script = subprocess.run([*this_command(()), "--version"], cwd=tmp_path, capture_output=True, check=True)

    assert typed.stdout == without_a_script.stdout
    assert b"orgserver" in typed.stdout


def test_a_file_of_another_user_is_left_alone(person: Path) -> None:
    path = person / "x.json"
    path.write_text("{}")

    with pytest.raises(ConfigError, match="another user"):
        read_file(path, account=path.stat().st_uid + 1)

    assert read_file(path).text == "{}"
