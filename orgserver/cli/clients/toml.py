"""Changing TOML in place: an entry is added and taken out as lines; what is written in another way, by tomlkit."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any

_HEADER = re.compile(r"\s*\[")
_BARE = re.compile(r"\s*(#.*)?")


def read(text: str) -> dict[str, Any]:
    """Read a document; ValueError where it is none."""
    return tomllib.loads(text)


def put(text: str, path: Sequence[str], value: Any) -> str:
    """Set what stands at a path, with the tables on the way to it; ValueError where something else is in the way."""
    if isinstance(value, dict) and _at(read(text), path) is None:
        import tomlkit  # noqa: PLC0415  # slow to import

        body = tomlkit.table(is_super_table=True)
        _fill(body, path[1:], value)
        added = tomlkit.document().append(path[0], body).as_string()
        end = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        longer = text + end + added
        with suppress(ValueError):  # a table in one line takes no more by a header
            if read(longer) == _with(read(text), path, value):
                return _as_before(text, longer)
    return _edited(text, lambda document: _fill(document, path, value))


def drop(text: str, path: Sequence[str]) -> str:
    """Take out what stands at a path, if it is there."""
    if _at(read(text), path) is None:
        return text
    wanted = _with(read(text), path, None)
    shorter = _without_lines(text, path)
    with suppress(ValueError):
        if _same(read(shorter), wanted, path):
            return shorter
    return _edited(text, lambda document: _remove(document, path))


def _same(left: dict[str, Any], right: dict[str, Any], path: Sequence[str]) -> bool:
    """Whether two documents say the same; an empty table on the way has no lines of its own."""
    return (left.get(path[0]) or None, {**left, path[0]: None}) == (
        right.get(path[0]) or None,
        {**right, path[0]: None},
    )


def _without_lines(text: str, path: Sequence[str]) -> str:
    """The text without the lines of a table and those below it, and without the empty line before them."""
    name = r"\s*\.\s*".join(f"[\"']?{re.escape(part)}[\"']?" for part in path)
    ours = re.compile(rf"\s*\[\s*{name}\s*(\.[^\]]*)?\]")
    kept: list[str] = []
    within: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if _HEADER.match(line):
            if inside and not ours.match(line):
                kept += _tail(within)
            if ours.match(line) and not inside and kept and not kept[-1].strip():
                kept.pop()
            inside, within = bool(ours.match(line)), []
        (within if inside else kept).append(line)
    return "".join(kept + (_tail(within) if inside else []))


def _tail(lines: list[str]) -> list[str]:
    """The comments and empty lines at the end, which belong to what comes next."""
    place = len(lines)
    while place and _BARE.fullmatch(lines[place - 1].rstrip("\r\n")):
        place -= 1
    return lines[place:]


def _edited(text: str, edit: Any) -> str:
    import tomlkit  # noqa: PLC0415
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    document = tomlkit.parse(text)
    try:
        edit(document)
    except (TOMLKitError, TypeError, AttributeError) as error:
        raise ValueError(f"it is written in a way that cannot be changed here ({type(error).__name__})") from error
    return _as_before(text, document.as_string())


def _fill(container: Any, path: Sequence[str], value: Any) -> None:
    import tomlkit  # noqa: PLC0415

    for name in path[:-1]:
        if name not in container:
            container[name] = tomlkit.table(is_super_table=True)
        container = container[name]
    container[path[-1]] = value


def _remove(container: Any, path: Sequence[str]) -> None:
    for name in path[:-1]:
        container = container[name]
    del container[path[-1]]


def _at(document: Any, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return None
        document = document[name]
    return document


def _with(document: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """The document with a value at a path, or without one."""
    changed = deepcopy(document)
    at = changed
    for name in path[:-1]:
        at = at.setdefault(name, {})
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return changed


def _as_before(text: str, changed: str) -> str:
    """The same line ends as before; where there are both kinds, each line keeps its own."""
    if "\r\n" not in text or text.count("\r\n") != text.count("\n"):
        return changed
    return changed.replace("\r\n", "\n").replace("\n", "\r\n")
