"""Changing JSON with comments in place: every byte that is not meant stays as it is.

Editors let people write comments and trailing commas in their settings. These are blanked out, length for length, so
that the standard library reads what is left and its positions are those of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)
_NO_BREAK = re.compile(r"[^\r\n]")
_INDENTED = re.compile(r"[\r\n]([ \t]+)[^\s/*]")
_SPACE = " \t\r\n"


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_constant)


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of an object: where its name begins, and where its value begins and ends."""

    name: str
    begin: int
    start: int
    stop: int


def read(text: str) -> dict[str, Any]:
    """Read the object that a text holds, an empty one where it holds none; ValueError for anything else."""
    plain = _plain(text)
    if not plain.strip(_SPACE):
        return {}
    try:
        value = _DECODER.decode(plain)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it holds no object")  # noqa: TRY004  # a fault of the text, as the others
    return value


def put(text: str, path: Sequence[str], value: Any) -> str:
    """Set what stands at a path, with the objects on the way to it; ValueError where a name there stands twice."""
    if not _plain(text).strip(_SPACE):
        break_ = _break(text)
        head = text.rstrip() + break_ if text.strip() else ""
        return head + _dump(_nested(path, value), "  ", "", break_) + break_
    at, rest = _root(text), list(path)
    while True:
        members, end = _members(text, at)
        member = _find(members, rest[0])
        if member is None:
            return _insert(text, at, members, end, rest[0], _nested(rest[1:], value))
        if len(rest) == 1:
            piece = _dump(value, _unit(text), _indent(text, member.begin), _break(text))
            return text[: member.start] + piece + text[member.stop :]
        at, rest = member.start, rest[1:]


def drop(text: str, path: Sequence[str]) -> str:
    """Take out what stands at a path, if it is there, with its comma and the space before it.

    An object of which nothing is left goes, too, unless ``put`` found it there.
    """
    if not _plain(text).strip(_SPACE):
        return text
    at = _root(text)
    for step, name in enumerate(path, 1):
        members, end = _members(text, at)
        member = _find(members, name)
        if member is None:
            return text
        if step == len(path):
            if step > 1 and _is_made_for(text, at, member, end):
                return drop(text, path[:-1])
            return _without(text, at, members, end, members.index(member))
        at = member.start
    return text


def _insert(text: str, at: int, members: list[_Member], end: int, name: str, value: Any) -> str:
    break_ = _break(text)
    anchor = len(text[:end].rstrip(_SPACE))  # after the last comment, too
    comma, tail = "", ""
    last = at + 1
    if members:
        last = members[-1].stop
        comma, tail = ("", ",") if _comma(text, last) is not None else (",", "")
    head = json.dumps(name, ensure_ascii=False) + ": "
    if members and not _breaks(text[at:end]):
        piece = " " + head + json.dumps(value, ensure_ascii=False) + tail
    elif not members and not _breaks(text[at:end]) and at != _root(text):
        piece = " " + head + _dump(value, _unit(text), _indent(text, at), break_)  # the space: see _is_made_for
        piece += "" if text[anchor:end] else " "
    else:
        outer = _indent(text, at)
        inner = _indent(text, members[0].begin) if members else outer
        if inner == outer:
            inner = outer + _unit(text)
        piece = break_ + inner + head + _dump(value, _unit(text), inner, break_) + tail
        if not _breaks(text[anchor:end]):
            piece += break_ + outer
    return text[:last] + comma + text[last:anchor] + piece + text[anchor:]


def _without(text: str, at: int, members: list[_Member], end: int, place: int) -> str:
    member = members[place]
    comma = _comma(text, member.stop)
    before, after = _around(text, member.begin, member.stop if comma is None else comma + 1)
    if comma is None and place:
        previous = _comma(text, members[place - 1].stop)
        assert previous is not None  # noqa: S101  # two members have one between them
        before = before[:previous] + before[previous + 1 :]
    shorter = before + after
    end -= len(text) - len(shorter)
    return shorter[: at + 1] + shorter[end:] if not shorter[at + 1 : end].strip(_SPACE) else shorter


def _is_made_for(text: str, at: int, member: _Member, end: int) -> bool:
    """Whether an object holds one member alone, and was not there before it: ``put`` writes a space then."""
    before, after = text[at + 1 : member.begin], text[member.stop : end]
    was_empty = before and not _breaks(before)
    return not was_empty and not before.strip(_SPACE) and not after.strip(_SPACE + ",")


def _around(text: str, begin: int, stop: int) -> tuple[str, str]:
    """What is left and right of a piece, without the space before it unless a line ends there and none after it."""
    gap = len(text[:begin].rstrip(_SPACE))
    after = text[stop:]
    ends = _breaks(after[: len(after) - len(after.lstrip(_SPACE))])
    if _breaks(text[gap:begin]) and not ends:
        return text[:begin], after.lstrip(" \t")
    return text[:gap], after


def _breaks(text: str) -> bool:
    return not {"\r", "\n"}.isdisjoint(text)


def _members(text: str, at: int) -> tuple[list[_Member], int]:
    """The members of the object that begins at a place, and where it ends."""
    plain = _plain(text)
    if plain[at] != "{":
        raise ValueError("an object is expected where something else stands")
    members = []
    place = _skip(plain, at + 1)
    while plain[place] != "}":
        name, stop = _DECODER.raw_decode(plain, place)
        start = _skip(plain, plain.index(":", stop) + 1)
        _, end = _DECODER.raw_decode(plain, start)
        members.append(_Member(name, place, start, end))
        place = _skip(plain, end)
        if plain[place] == ",":
            place = _skip(plain, place + 1)
    return members, place


def _find(members: list[_Member], name: str) -> _Member | None:
    namesakes = [member for member in members if member.name == name]
    if len(namesakes) > 1:
        raise ValueError(f"{name} stands there twice")
    return namesakes[0] if namesakes else None


def _root(text: str) -> int:
    return _skip(_plain(text), 0)


def _comma(text: str, place: int) -> int | None:
    """Where the comma after a value is, a trailing one too."""
    place = _skip(_COMMENT.sub(_blank, text), place)
    return place if text[place : place + 1] == "," else None


def _skip(plain: str, place: int) -> int:
    while plain[place : place + 1] in {" ", "\t", "\r", "\n"}:
        place += 1
    return place


def _plain(text: str) -> str:
    """The text without comments and trailing commas, of the same length."""
    return _TRAILING.sub(_blank, _COMMENT.sub(_blank, text))


def _blank(match: re.Match[str]) -> str:
    word = match.group()
    return word if word.startswith('"') else _NO_BREAK.sub(" ", word)


def _nested(path: Sequence[str], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _dump(value: Any, unit: str, indent: str, break_: str) -> str:
    return json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", break_ + indent)


def _unit(text: str) -> str:
    """One step of indentation, as the text has it."""
    match = _INDENTED.search(text)
    return match.group(1) if match else "  "


def _indent(text: str, place: int) -> str:
    """The indentation of the line of a place."""
    line = text[max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1 : place]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _break(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
