"""Clients' files are changed by exactly our entry: comments, order, other servers and every other byte stay."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgserver.cli.clients import jsonc, toml
from orgserver.cli.clients.entry import HOME, NAME, build_entry, difference, drop_entry, put_entry
from orgserver.cli.clients.programs import PROGRAMS, Machine
from orgserver.model.errors import ConfigError

COMMAND = ("/opt/org server/bin/orgserver",)
NAMES = st.sampled_from(["a", "mcpServers", "orgserver", 'q"uote', "ü // no", "/* no */", ",]"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
COMMENTS = ["", "", " ", "// it, } said\n", "/* [a, */", "\n\n", "\t"]


@st.composite
def texts(draw: Any, value: Any) -> str:
    """A value as people write it: comments, trailing commas and space anywhere they may be."""

    def gap() -> str:
        return draw(st.sampled_from(COMMENTS))

    def written(each: Any) -> str:
        if isinstance(each, dict) and each:
            inner = ",".join(f"{gap()}{json.dumps(k)}{gap()}:{gap()}{written(v)}{gap()}" for k, v in each.items())
            return "{" + inner + draw(st.sampled_from(["", ",", ", // last\n"])) + gap() + "}"
        if isinstance(each, list) and each:
            return "[" + ",".join(gap() + written(v) for v in each) + draw(st.sampled_from(["", ","])) + gap() + "]"
        return json.dumps(each, ensure_ascii=draw(st.booleans()))

    return gap() + written(value) + gap()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    data=st.data(), others=st.dictionaries(NAMES, VALUES, max_size=3), rest=st.dictionaries(NAMES, VALUES, max_size=3)
)
def test_an_entry_goes_into_json_with_comments_and_out_again(
    data: st.DataObject, others: dict[str, Any], rest: dict[str, Any]
) -> None:
    servers = {name: value for name, value in others.items() if name != NAME}
    before = {name: value for name, value in rest.items() if name != "mcpServers"} | {"mcpServers": servers}
    text = data.draw(texts(before))
    program = PROGRAMS["gemini"]
    entry = build_entry(program, COMMAND, ["--read-only"], "/home/x")

    there = put_entry(program, text, entry)
    back = drop_entry(program, there)

    assert jsonc.read(there) == before | {"mcpServers": servers | {NAME: entry}}
    assert put_entry(program, there, entry) == there
    assert jsonc.read(back) == before
    assert _comments(there) == _comments(back) == _comments(text)
    changed = put_entry(program, there, build_entry(program, ("/else",), [], None))
    assert jsonc.read(changed)["mcpServers"][NAME] == {"command": "/else", "args": ["serve"]}


def _comments(text: str) -> list[str]:
    tokens = re.findall(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', text, re.DOTALL)
    return [token for token in tokens if not token.startswith('"')]


VSCODE = """{
\t// my servers
\t"inputs": [],
\t"servers": {
\t\t"other": { "command": "x", /* old */ "args": ["a"], }, // keep
\t\t// "off": {},
\t},
}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vscode", VSCODE),
        ("vscode", VSCODE.replace("\n", "\r\n")),
        ("vscode", '{"servers":{"a":{"command":"x"}}}'),
        ("vscode", '{"servers": {}}\n'),
        ("gemini", '{"theme":"x"}'),
        ("gemini", '{"theme":"x"}\n'),
        ("gemini", '{\n  "theme": "x" // mine\n}'),
        ("gemini", '{"mcpServers": {}}'),
        ("gemini", '{"mcpServers": {}, "theme": "x"}'),
        ("gemini", '{\n  "mcpServers": {\n    // none yet\n  }\n}'),
        ("gemini", "{}"),
        ("gemini", '{\n  "theme": "x",\n  "mcpServers": {\n    "a": {"command": "x"} // one\n  }\n}'),
        (
            "codex",
            'model = "o3" # mine\n\n[mcp_servers.a]\ncommand = \'x\'\n\n# a profile\n[profiles.x]\nmodel = "y"\n',
        ),
        ("codex", 'model = "o3"\r\n[mcp_servers.a]\r\ncommand = "x"\r\n'),
        ("codex", "mcp_servers = { a = { command = 'x' } } # in one line\n[z]\nq = 1\n"),
        ("codex", "# nothing but this\n"),
        ("codex", "# nothing but this"),
        ("codex", 'model = "o3"\r\n[mcp_servers.a]\r\ncommand = "x"'),
        ("codex", "# both kinds of line ends\r\na = 1\n\n\nb = 2\r\n\n\n"),
    ],
)
def test_what_was_there_is_there_again_to_the_byte(name: str, text: str) -> None:
    program = PROGRAMS[name]

    there = put_entry(program, text, build_entry(program, COMMAND, ["--org", "acme"], "/home/x y"))

    assert there != text
    assert drop_entry(program, there) == text
    assert set(re.findall(r"(?://|#|/\*).*", text)) <= set(re.findall(r"(?://|#|/\*).*", there))


@pytest.mark.parametrize(
    "text",
    [
        "mcp_servers.orgserver.command = 'old'\nmcp_servers.orgserver.args = ['serve']\n",
        "[mcp_servers]\norgserver = { command = 'old', args = ['serve'] }\n[z]\nq = 1\n",
        "[mcp_servers.b]\ncommand = 'b'\n[z]\n[mcp_servers.'orgserver']\ncommand = 'old' # mine\nargs = []\n",
    ],
)
def test_an_entry_of_toml_in_any_form_is_changed_and_taken_out(text: str) -> None:
    program = PROGRAMS["codex"]
    entry = build_entry(program, COMMAND, [], None)

    there = tomllib.loads(put_entry(program, text, entry))
    back = tomllib.loads(drop_entry(program, text))

    assert there["mcp_servers"][NAME] == entry
    before = tomllib.loads(text)
    del before["mcp_servers"][NAME], there["mcp_servers"][NAME]
    assert there == before
    assert {**back, "mcp_servers": back.get("mcp_servers", {})} == before


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        (
            "gemini",
            '{"mcpServers": {"a": 1, // c\n "orgserver": {}, "b": 2}}',
            '{"mcpServers": {"a": 1, // c\n "b": 2}}',
        ),
        ("gemini", '{"mcpServers": {"a": 1, // c\n "orgserver": {} }}', '{"mcpServers": {"a": 1 // c\n }}'),
        ("gemini", '{"mcpServers": {"orgserver": {} /* x */, "b": 2}}', '{"mcpServers": { "b": 2}}'),
        ("gemini", '{"mcpServers": {"orgserver": {},}}', "{}"),
        ("gemini", '{"mcpServers": {"orgserver": {}, /* c */}}', '{"mcpServers": { /* c */}}'),
        (
            "codex",
            "[mcp_servers.orgserver]\ncommand = 'x'\n[mcp_servers.orgserver.env]\nA = '1'\n\n# a profile\n[profiles.x]\n",
            "\n# a profile\n[profiles.x]\n",
        ),
    ],
)
def test_what_stands_around_an_entry_stays_when_it_goes(name: str, text: str, left: str) -> None:
    assert drop_entry(PROGRAMS[name], text) == left


def test_what_people_added_to_the_entry_stays_and_old_options_go() -> None:
    program = PROGRAMS["windsurf"]
    mine = {"command": "/old", "args": ["serve", "--org", "x"], "disabledTools": ["a"], "env": {"A": "1", HOME: "/old"}}
    text = json.dumps({"mcpServers": {NAME: mine}})

    there = json.loads(put_entry(program, text, build_entry(program, COMMAND, [], None)))["mcpServers"][NAME]

    assert there == {"command": COMMAND[0], "args": ["serve"], "disabledTools": ["a"], "env": {"A": "1"}}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_an_entry_that_is_switched_off_is_switched_on_and_the_change_is_shown(name: str) -> None:
    program = PROGRAMS[name]
    entry = build_entry(program, COMMAND, [], None)
    key, off, on = ("enabled", False, True) if program.form == "toml" else ("disabled", True, False)
    form = toml if program.form == "toml" else jsonc
    text = form.put(put_entry(program, "", entry), (program.servers, NAME, key), off)

    there = put_entry(program, text, entry)

    assert text != there
    assert form.read(there)[program.servers][NAME] == entry | {key: on}
    changes = [line for line in difference(program, text, there, "f") if key in line]
    assert [(line[0], str(value).lower() in line) for line, value in zip(changes, (off, on), strict=True)] == [
        ("-", True),
        ("+", True),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gemini", "{"), ("gemini", "[]"), ("gemini", '"x"'), ("gemini", '{"mcpServers": []}'), ("gemini", "{} {}"),
        ("gemini", '{"mcpServers": null}'), ("gemini", '{"mcpServers": {"orgserver": "x"}}'), ("gemini", "{'a': 1}"),
        ("gemini", '{"mcpServers": {"orgserver": {"url": "https://x"}}}'), ("gemini", "[" * 100_000),
        ("gemini", '{"mcpServers": {}, "mcpServers": {}}'), ("gemini", '{"a": NaN}'), ("gemini", "{/* }"),
        ("vscode", '{"servers": {"orgserver": {"command": "x", "env": []}}}'),
        ("codex", "mcp_servers = 1"), ("codex", "x = "), ("codex", "mcp_servers = []"),
        ("codex", "[[mcp_servers]]\na = 1"), ("codex", "[mcp_servers.orgserver]\nurl = 'https://x'"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_in_one_line(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        put_entry(PROGRAMS[name], text, build_entry(PROGRAMS[name], COMMAND, [], None))

    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_name_that_stands_twice_is_told() -> None:
    with pytest.raises(ConfigError, match="mcpServers stands there twice"):
        put_entry(PROGRAMS["gemini"], '{"mcpServers": {}, "mcpServers": {}}', {"command": "x", "args": []})


def test_a_dollar_is_no_variable_of_a_client() -> None:
    with pytest.raises(ConfigError, match="variable"):
        build_entry(PROGRAMS["gemini"], ("/opt/$HOME/orgserver",), [], None)

    assert build_entry(PROGRAMS["codex"], ("/opt/$HOME/orgserver",), [], None)["command"] == "/opt/$HOME/orgserver"


@pytest.mark.parametrize("name", ["gemini", "codex"])
def test_a_change_that_is_shown_holds_no_secret_of_others(name: str) -> None:
    program = PROGRAMS[name]
    other = {"command": "x", "args": ["s3cret"], "env": {"KEY": "s3cret"}}
    mine = {"command": "npx", "args": ["mcp-remote", "s3cret"], "headers": {"a": "s3cret"}, "env": {"B": "s3cret"}}
    text = {
        "gemini": json.dumps({"mcpServers": {"x": other, NAME: mine}}),
        "codex": "[mcp_servers.x]\nargs = ['s3cret']\n[mcp_servers.orgserver]\ncommand = 'npx'\nargs = ['s3cret']\n"
        "headers = { a = 's3cret' }\nenv = { B = 's3cret' }\n",
    }[name]

    shown = difference(program, text, put_entry(program, text, build_entry(program, COMMAND, [], "/home/x")), "f")
    gone = difference(program, text, drop_entry(program, text), "f")

    assert not any("s3cret" in line for line in (*shown, *gone))
    assert any(COMMAND[0] in line for line in shown if line.startswith("+"))


@pytest.mark.parametrize(
    ("name", "platform", "path"),
    [
        ("claude-code", "linux", ".claude.json"),
        ("claude-desktop", "linux", ".config/Claude/claude_desktop_config.json"),
        ("claude-desktop", "darwin", "Library/Application Support/Claude/claude_desktop_config.json"),
        ("claude-desktop", "win32", "AppData/Roaming/Claude/claude_desktop_config.json"),
        ("codex", "win32", ".codex/config.toml"),
        ("gemini", "darwin", ".gemini/settings.json"),
        ("cursor", "win32", ".cursor/mcp.json"),
        ("vscode", "linux", ".config/Code/User/mcp.json"),
        ("vscode", "darwin", "Library/Application Support/Code/User/mcp.json"),
        ("vscode", "win32", "AppData/Roaming/Code/User/mcp.json"),
        ("windsurf", "linux", ".codeium/windsurf/mcp_config.json"),
    ],
)
def test_each_client_has_its_file_on_each_system(name: str, platform: str, path: str, tmp_path: Path) -> None:
    assert PROGRAMS[name].user_file(Machine(platform, tmp_path, {})) == tmp_path / path


def test_the_environment_moves_the_files_of_clients_and_packaged_builds_have_their_own(tmp_path: Path) -> None:
    moved = {
        "CLAUDE_CONFIG_DIR": str(tmp_path / "a"), "CODEX_HOME": str(tmp_path / "b"), "XDG_CONFIG_HOME": "not absolute",
        "GEMINI_CLI_HOME": str(tmp_path / "c"),
    }  # fmt: skip
    machine = Machine("linux", tmp_path, moved)
    packaged = tmp_path / "AppData/Local/Packages/Claude_pzs8/LocalCache/Roaming/Claude"
    packaged.mkdir(parents=True)

    assert PROGRAMS["claude-code"].user_file(machine) == tmp_path / "a/.claude.json"
    assert PROGRAMS["codex"].user_file(machine) == tmp_path / "b/config.toml"
    assert PROGRAMS["gemini"].user_file(machine) == tmp_path / "c/.gemini/settings.json"
    assert PROGRAMS["vscode"].user_file(machine) == tmp_path / ".config/Code/User/mcp.json"
    found = PROGRAMS["claude-desktop"].user_file(Machine("win32", tmp_path, {}))
    assert found == packaged / "claude_desktop_config.json"


def test_a_relative_home_is_the_one_that_the_client_takes_from_where_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    machine = Machine("linux", tmp_path / "home", {"CLAUDE_CONFIG_DIR": "cc", "CODEX_HOME": "chx"})

    assert PROGRAMS["claude-code"].user_file(machine) == tmp_path / "cc/.claude.json"
    assert PROGRAMS["codex"].user_file(machine) == tmp_path / "chx/config.toml"


@pytest.mark.parametrize(("environ", "folder"), [({}, ".claude"), ({"CLAUDE_CONFIG_DIR": "cc"}, "cc")])
def test_the_older_file_of_claude_code_is_the_one_that_it_reads(
    environ: dict[str, str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / folder).mkdir()
    older = tmp_path / folder / ".config.json"
    older.write_text("{}")

    assert PROGRAMS["claude-code"].user_file(Machine("linux", tmp_path, environ)) == older
