"""An entry of TOML is connected and disconnected in whatever form people wrote it, and every comment stays."""

import tomllib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgserver.cli.clients.entry import HOME, NAME, build_entry, drop_entry, put_entry
from orgserver.cli.clients.programs import PROGRAMS

CODEX = PROGRAMS["codex"]
ENTRY = build_entry(CODEX, ("/opt/org server/bin/orgserver",), ["--org", "acme"], "/home/x y")
FORMS = {
    "none": "",
    "header": "[mcp_servers.orgserver]\ncommand = '/old' # mine\n",
    "quoted header": "[ mcp_servers . 'orgserver' ]\ncommand = '/old'\nargs = [\n  'serve',\n] # as it was\n",
    "header and env": "[mcp_servers.orgserver]\ncommand = '/old'\n[mcp_servers.orgserver.env]\nA = '1' # one\n",
    "inline env": "[mcp_servers.orgserver]\ncommand = '/old'\nenv = { A = '1' }\n",
    "dotted env": "[mcp_servers.orgserver]\nenv.A = '1'\ncommand = '/old'\nstartup_timeout_sec = 20\n",
    "off": "[mcp_servers.orgserver]\nenabled = false # for now\ncommand = '/old'\n",
    "inline": "[mcp_servers]\norgserver = { command = 'x', args = ['serve'] } # in one line\n",
    "inline with env": "[mcp_servers]\norgserver = { command = 'x', env = { A = '1' }, enabled = false }\n",
    "dotted": "mcp_servers.orgserver.command = 'x'\n",
    "dotted with env": "mcp_servers.orgserver.env.A = '1'\nmcp_servers.orgserver.command = 'x'\n",
    "dotted below a header": "[mcp_servers]\norgserver.command = 'x'\norgserver.args = ['serve']\n",
    "all in one line": "mcp_servers = { orgserver = { command = 'x' }, b = { command = 'b' } }\n",
    "nothing else in one line": "mcp_servers.orgserver = { command = 'x' }\n",
}
FIRST = {"", "model = 'o3' # mine\n", "# nothing but this\n", "# a\n\nnotes = '''\n[mcp_servers.orgserver]\n'''\n"}
REST = {
    "", "\n# the model I like\n[profiles.a]\nmodel = 'y'\n", "[z]\nq = 1\n# the end\n", "\n\n[[list]]\na = 1\n",
    "[tui]\n# bells\nnotifications = [\n  'a', # first\n]\n\n",
}  # fmt: skip


@st.composite
def documents(draw: Any) -> str:
    """A configuration with the entry in some form, or without it."""
    form = draw(st.sampled_from(sorted(FORMS)))
    text = draw(st.sampled_from(sorted(FIRST))) + FORMS[form] + draw(st.sampled_from(sorted(REST)))
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@settings(deadline=None, max_examples=300)
@given(documents())
def test_an_entry_in_any_form_is_connected_and_disconnected_and_comments_stay_where_they_are(text: str) -> None:
    before = tomllib.loads(text)
    mine = before.get("mcp_servers", {}).get(NAME, {})

    there = put_entry(CODEX, text, ENTRY)
    gone = drop_entry(CODEX, there)

    changed = tomllib.loads(there)
    switch = {"enabled": True} if "enabled" in mine else {}
    assert changed["mcp_servers"][NAME] == {**mine, **ENTRY, **switch, "env": {**mine.get("env", {}), **ENTRY["env"]}}
    assert _without_entry(changed) == _without_entry(before) == _without_entry(tomllib.loads(gone))
    assert put_entry(CODEX, there, ENTRY) == there
    assert {each for each in _comments(text) if each[1] != "end"} <= _comments(there)
    assert {comment for comment, _ in _comments(text.replace(_entry_of(text), ""))} <= {c for c, _ in _comments(gone)}
    assert ("\r\n" in there) == ("\r\n" in text)
    if not mine:
        assert gone == text


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_home_that_was_carried_along_goes_when_it_is_no_more(form: str) -> None:
    there = put_entry(CODEX, FORMS[form], ENTRY)

    without = put_entry(CODEX, there, build_entry(CODEX, ("/new",), [], None))

    entry = tomllib.loads(without)["mcp_servers"][NAME]
    assert (entry["command"], HOME in entry.get("env", {})) == ("/new", False)
    assert {comment for comment, _ in _comments(FORMS[form])} <= {comment for comment, _ in _comments(without)}


def test_a_comment_on_what_comes_next_survives_an_entry_that_came_and_went() -> None:
    rest = "\n# the model I like\n[profiles.a]\nmodel = 'y'\n"

    there = put_entry(CODEX, f'[mcp_servers.orgserver]\ncommand = "/old"\n{rest}', ENTRY)

    assert there.endswith(rest)
    assert drop_entry(CODEX, there) == rest


def _without_entry(document: dict[str, Any]) -> dict[str, Any]:
    servers = {name: server for name, server in document.get("mcp_servers", {}).items() if name != NAME}
    return {**document, "mcp_servers": servers}


def _comments(text: str) -> set[tuple[str, str]]:
    """Each comment, with the key or header below it where it has a line of its own."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return {
        ("#" + line.partition("#")[2], below.partition("=")[0].strip() if line.startswith("#") else "")
        for line, below in pairwise([*lines, "end"])
        if "#" in line
    }


def _entry_of(text: str) -> str:
    forms = (form.replace("\n", "\r\n" if "\r\n" in text else "\n").rstrip() for form in FORMS.values())
    return max((form for form in forms if form in text), key=len)
