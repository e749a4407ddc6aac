"""Changing TOML in place: tables and keys are added and taken out as lines; what lines cannot change, tomlkit does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from itertools import pairwise
from typing import Any

_HEADER = re.compile(r"\s*\[")
_BARE = re.compile(r"\s*(#.*)?")
_LONG = ('"""', "'''")
_TOKEN = re.compile(
    r'#[^\n]*|"""(?:[^\\]|\\.)*?"""|"(?:[^"\\\n]|\\.)*"' + r"|'''.*?'''|'[^'\n]*'", re.DOTALL
)  # fmt: skip


def read(text: str) -> dict[str, Any]:
    """Read a document; ValueError where it is none."""
    return tomllib.loads(text)


def put(text: str, path: Sequence[str], value: Any) -> str:
    """Set what stands at a path, with the tables on the way to it; ValueError where something else is in the way."""
    document = read(text)
    if _at(document, path) is None:
        expectation = _with(document, path, value)
        for longer in _with_lines(text, path, value):
            with suppress(ValueError):  # a table in one line takes no more by a line of its own
                if read(longer) == expectation:
                    return _as_before(text, longer)
    return _edit(text, lambda editable: _fill(editable, path, value))


def drop(text: str, path: Sequence[str]) -> str:
    """Take out what stands at a path, if it is there."""
    if _at(read(text), path) is None:
        return text
    expectation = _with(read(text), path, None)
    shorter = _without_lines(text, path)
    with suppress(ValueError):
        if _is_same(read(shorter), expectation, path):
            return shorter
    return _edit(text, lambda document: _remove(document, path))


def _is_same(left: dict[str, Any], right: dict[str, Any], path: Sequence[str]) -> bool:
    """Whether two documents say the same; an empty table on the way has no lines of its own."""
    return (left.get(path[0]) or None, {**left, path[0]: None}) == (
        right.get(path[0]) or None,
        {**right, path[0]: None},
    )


def _with_lines(text: str, path: Sequence[str], value: Any) -> Iterator[str]:
    """Texts with lines more: a table at the end of all, or a key behind the last one of its table."""
    if isinstance(value, dict):
        yield _with_table(text, path, value)
        return
    lines, plain = text.splitlines(keepends=True), _plain(text).splitlines(keepends=True)
    for depth in range(len(path) - 1, -1, -1):
        for begin, end in _sections(plain, path[:depth]):
            place = end - len(_tail(lines[begin:end]))
            if place == begin == 0:
                continue
            last = lines[place - 1]
            end_of_line = "" if last.endswith("\n") else "\n"
            line = f"{end_of_line}{_key_line(path[depth:], value)}" + ("\n" if not end_of_line else "")
            yield "".join((*lines[:place], line, *lines[place:]))


def _with_table(text: str, path: Sequence[str], value: dict[str, Any]) -> str:
    """The text and a table behind it; the end is as before, with a line end or without."""
    import tomlkit  # noqa: PLC0415  # slow to import

    body = tomlkit.table(is_super_table=True)
    _fill(body, path[1:], value)
    table = tomlkit.document().append(path[0], body).as_string()
    if not text:
        return table
    return f"{text}\n{table}" if text.endswith("\n") else f"{text}\n\n{table}".removesuffix("\n")


def _key_line(path: Sequence[str], value: Any) -> str:
    import tomlkit  # noqa: PLC0415

    line = tomlkit.document()
    line.append(tomlkit.key(list(path)), tomlkit.item(value))
    return line.as_string().removesuffix("\n")


def _sections(lines: list[str], path: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the table at a path has its lines: behind its header, or for no path before the first one."""
    header = _header(path)
    headers = [place for place, line in enumerate(lines) if _HEADER.match(line)]
    for begin, end in pairwise((-1, *headers, len(lines))):
        if header.match(lines[begin]) if path and begin >= 0 else not path and begin < 0:
            yield begin + 1, end


def _header(path: Sequence[str], below: str = "") -> re.Pattern[str]:
    name = r"\s*\.\s*".join(f"[\"']?{re.escape(part)}[\"']?" for part in path)
    return re.compile(rf"\s*\[\s*{name}\s*{below}\]")


def _without_lines(text: str, path: Sequence[str]) -> str:
    """The text without the lines of a table and those below it, and without the empty line before them."""
    ours = _header(path, below=r"(\.[^\]]*)?")
    around: list[str] = []
    within: list[str] = []
    inside = False
    for line, plain in zip(text.splitlines(keepends=True), _plain(text).splitlines(), strict=True):
        if _HEADER.match(plain):
            if inside and not ours.match(plain):
                around += _tail(within)
            if ours.match(plain) and not inside and around and not around[-1].strip():
                around.pop()
            inside, within = bool(ours.match(plain)), []
        (within if inside else around).append(line)
    if not inside:
        return "".join(around)
    end = _tail(within)
    shorter = "".join(around + end)
    return shorter if end or text.endswith("\n") else _without_last_break(shorter)


def _without_last_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def _plain(text: str) -> str:
    """The text line for line, with nothing in strings of several lines that looks like a header."""
    return _TOKEN.sub(lambda match: match[0].replace("[", "x") if match[0].startswith(_LONG) else match[0], text)


def _tail(lines: list[str]) -> list[str]:
    """The comments and empty lines at the end, which belong to what comes next."""
    place = len(lines)
    while place and _BARE.fullmatch(lines[place - 1].rstrip("\r\n")):
        place -= 1
    return lines[place:]


def _edit(text: str, edit: Any) -> str:
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
            in_one_line = isinstance(container, tomlkit.items.InlineTable)
            container[name] = tomlkit.inline_table() if in_one_line else tomlkit.table(is_super_table=True)
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
    copy = deepcopy(document)
    at = copy
    for name in path[:-1]:
        at = at.setdefault(name, {})
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return copy


def _as_before(text: str, edited: str) -> str:
    """The same line ends as before; where there are both kinds, each line keeps its own."""
    if "\r\n" not in text or text.count("\r\n") != text.count("\n"):
        return edited
    return edited.replace("\r\n", "\n").replace("\n", "\r\n")
