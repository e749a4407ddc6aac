"""The entry ``orgserver`` in a client's file: what it says, how it is put in or taken out, and how people see it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from copy import deepcopy
from types import ModuleType
from typing import Any

from orgserver.cli.clients import jsonc, toml
from orgserver.cli.clients.programs import Program
from orgserver.model.errors import ConfigError

NAME = "orgserver"
HOME = "ORGSERVER_HOME"
_REMOTE = ("url", "httpUrl", "serverUrl")
_FORMS: Mapping[str, ModuleType] = {"json": jsonc, "toml": toml}
_ELSEWHERE = "…"

Edit = Callable[[str], str]


def build_entry(program: Program, command: tuple[str, ...], arguments: list[str], home: str | None) -> dict[str, Any]:
    """What the client is to start; ConfigError where it would read a text of ours as a variable."""
    first, *more = command
    entry: dict[str, Any] = {"type": "stdio"} if program.names_transport else {}
    entry |= {"command": first, "args": [*more, "serve", *arguments]}
    if home is not None:
        entry["env"] = {HOME: home}
    for text in (first, *more, *arguments, home or ""):
        if program.expands and "$" in text:
            raise ConfigError(
                f"{program.title} would read the $ in {text} as a variable", hint="use a path without a dollar sign"
            )
    return entry


def render_entry(program: Program, entry: Mapping[str, Any]) -> str:
    """A file with nothing but the entry."""
    whole: str = _FORMS[program.form].put("", (program.servers, NAME), entry)
    return whole


def read_entry(program: Program, text: str) -> dict[str, Any] | None:
    """The entry that a file has; ConfigError in one line for a file that is not understood."""
    try:
        servers = _FORMS[program.form].read(text).get(program.servers, {})
    except (ValueError, RecursionError) as error:
        raise _strange(f"it cannot be read as {program.form.upper()}: {error}") from None
    if not isinstance(servers, dict):
        raise _strange(f"{program.servers} is not a list of servers by name")
    entry = servers.get(NAME)
    if entry is not None and not isinstance(entry, dict):
        raise _strange(f"{program.servers}.{NAME} is no entry of a server")
    return entry


def overriding_folders(program: Program, text: str) -> list[str]:
    """The folders for which the file has an entry of the same name that is not ours to change."""
    of_folders = _FORMS[program.form].read(text).get(program.folders or "", None)
    if not isinstance(of_folders, dict):
        return []
    return [folder for folder, settings in of_folders.items() if _names_us(settings, program.servers)]


def _names_us(settings: Any, servers: str) -> bool:
    return isinstance(settings, dict) and isinstance(settings.get(servers), dict) and NAME in settings[servers]


def put_entry(program: Program, text: str, entry: Mapping[str, Any]) -> str:
    """The file with the entry in it. What people added to an entry of ours stays: other keys, other variables."""
    path = (program.servers, NAME)
    before = read_entry(program, text)
    if before is None:
        return _edit(program, text, [(path, dict(entry))])
    if any(key in before for key in _REMOTE) or not isinstance(before.get("env", {}), dict):
        raise _strange(
            f"its entry {NAME} starts no command", hint=f"take it out first: orgserver disconnect {program.name}"
        )
    changes: list[tuple[tuple[str, ...], Any]] = [
        ((*path, key), entry[key])
        for key in ("type", "command", "args")
        if key in entry and before.get(key) != entry[key]
    ]
    if before.get(program.switch, program.switched_on) is not program.switched_on:
        changes.append(((*path, program.switch), program.switched_on))
    home = entry.get("env", {}).get(HOME)
    if home != before.get("env", {}).get(HOME):
        changes.append(((*path, "env", HOME), home))
    return _edit(program, text, changes)


def drop_entry(program: Program, text: str) -> str:
    """The file without the entry."""
    if read_entry(program, text) is None:
        return text
    return _edit(program, text, [((program.servers, NAME), None)])


def difference(program: Program, before: str, after: str, path: object) -> list[str]:
    """What changes, line by line, and of the entry alone: what stands beside it may hold other people's secrets."""
    old, new = (_visible_lines(program, read_entry(program, text)) for text in (before, after))
    return list(difflib.unified_diff(old, new, str(path), str(path), n=len(old) + len(new), lineterm=""))


def _visible_lines(program: Program, entry: Mapping[str, Any] | None) -> list[str]:
    """The lines of an entry. Values that are not ours are left out: they may be secrets."""
    if entry is None:
        return []
    ours = _is_ours(entry)
    visible = {
        key: value if key == program.switch and isinstance(value, bool) else _value(key, value, ours=ours)
        for key, value in entry.items()
    }
    return render_entry(program, visible).splitlines()


def _value(key: str, value: Any, *, ours: bool) -> Any:
    if key == "env" and isinstance(value, dict):
        return {name: text if name == HOME else _ELSEWHERE for name, text in value.items()}
    return value if key == "type" or (ours and key in ("command", "args")) else _ELSEWHERE


def _is_ours(entry: Mapping[str, Any]) -> bool:
    arguments = entry.get("args")
    return isinstance(arguments, list) and "serve" in arguments


def _edit(program: Program, text: str, changes: list[tuple[tuple[str, ...], Any]]) -> str:
    """Make the changes (None takes something out), and see that the file then says that and nothing else anew."""
    form = _FORMS[program.form]
    try:
        expectation, edited = deepcopy(form.read(text)), text
        for path, value in changes:
            edited = form.drop(edited, path) if value is None else form.put(edited, path, value)
            _set(expectation, path, value)
        if _without_empty(form.read(edited), program) == _without_empty(expectation, program):
            return edited
    except (ValueError, RecursionError) as error:
        raise _strange(str(error)) from None
    raise _strange("it is written in a way that cannot be changed without loss")


def _set(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    if value is None:
        document.pop(path[-1], None)
    else:
        document[path[-1]] = value


def _without_empty(document: dict[str, Any], program: Program) -> dict[str, Any]:
    """The document without an empty table of servers or of our variables: these say as much as none."""
    servers = document.get(program.servers)
    entry = servers.get(NAME) if isinstance(servers, dict) else None
    if isinstance(entry, dict) and entry.get("env") == {}:
        del entry["env"]
    return {key: value for key, value in document.items() if key != program.servers or value}


def _strange(reason: str, hint: str | None = None) -> ConfigError:
    return ConfigError(reason, hint=hint or "change it by hand: connect --print shows what belongs there")
