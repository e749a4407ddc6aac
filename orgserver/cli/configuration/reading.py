"""One file of YAML, read into its sections; each fault is one line with its place, and no value is repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from orgserver.cli.configuration.documents import KEYS, Document
from orgserver.cli.policies import yaml_text
from orgserver.cli.policies.strict_yaml import Fault, compose, decode, line_of
from orgserver.model.access.policies import Policy
from orgserver.model.names import nearest

MAX_BYTES = 32 * 1024 * 1024
_MAX_DEPTH = 8
_SECTIONS = ("policies", "orgs", "groups", "principals")
_LIMITS = ("policy", "limits")
_NAME, _KEY = 2, 3
"""How deep names and their keys stand: ``orgs``, ``acme``, ``tags``."""
_SHOWN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,39}")
_ELSEWHERE = {
    "groups": "it is in the groups that have it under members",
    "tag": "did you mean tags?",
    "trust_host": "did you mean trust_hosts?",
    "private_key_file": "write private_key: file:PATH",
    "password": "no secret is in a file",
}
_NOT_TEXT = object()
"""What YAML makes of a number or a date: no key has such a value."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Sections:
    """A file's contents, and where each of them stands."""

    place: str
    document: Document
    lines: Mapping[Path, int]

    def line(self, *path: str | int) -> int:
        """Where something stands; what has no line of its own stands where that does in which it is."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(data: bytes, place: str) -> Sections:
    """Read a file; ConfigError is one line that names the place and the line."""
    reader = _Reader()
    try:
        text = decode(data, MAX_BYTES, "a file")
        contents = reader.root(compose(text, _MAX_DEPTH, "lists within lists are not taken", _LOADER))
    except Fault as fault:
        raise fault.at(place) from None
    try:
        return Sections(place, Document.model_validate(contents), reader.lines)
    except ValidationError as error:
        raise _first_fault(error, reader.lines).at(place) from None


class _Reader:
    """Makes plain values of nodes: texts, true and false, lists, mappings, and policies by their own reader."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}

    def root(self, node: Node | None) -> dict[str, Any]:
        if node is None:
            raise Fault(1, f"it says nothing; there are {', '.join(_SECTIONS)}")
        if not isinstance(node, MappingNode):
            raise Fault(line_of(node), f"it has sections: {', '.join(_SECTIONS)}")
        return self.mapping((), node)

    def mapping(self, path: Path, node: MappingNode) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            name = _key(key, path)
            inner = (*path, name)
            if name in values:
                raise Fault(line_of(key), f"{_shown(name)} is there already, in line {self.lines[inner]}")
            self.lines[inner] = line_of(key)
            values[name] = self._value(inner, value)
        return values

    def _value(self, path: Path, node: Node) -> Any:
        if isinstance(node, MappingNode):
            is_policy = path[0] == "policies" if len(path) == _NAME else len(path) == _KEY and path[-1] in _LIMITS
            return yaml_text.read_node(node).policy if is_policy else self.mapping(path, node)
        if isinstance(node, SequenceNode):
            for place, each in enumerate(node.value):
                self.lines[*path, place] = line_of(each)
            return [self._value((*path, place), each) for place, each in enumerate(node.value)]
        assert isinstance(node, ScalarNode)  # noqa: S101  # YAML has no other
        return _scalar(path, node)


def _key(node: Node, path: Path) -> str:
    if not isinstance(node, ScalarNode):
        raise Fault(line_of(node), "a key is one text")
    text = str(node.value)
    return text.replace("-", "_") if len(path) == _NAME and path[0] != "policies" else text


def _scalar(path: Path, node: ScalarNode) -> Any:
    kind, text = node.tag.rpartition(":")[2], node.value
    word = _shown(str(path[-1])) if isinstance(path[-1], str) else "each item"
    if kind == "null":
        if len(path) == _NAME and path[0] in KEYS:
            return {}  # a name alone: all of it stays as it is
        section = f"; write {word}: {{}} if there is none" if len(path) == 1 else "; leave the line out"
        raise Fault(line_of(node), f"{word} has no value{section}")
    if kind == "bool":
        return text.lower() in ("true", "yes", "on")
    return text if kind == "str" else _NOT_TEXT


# -- faults of what was read


def _first_fault(error: ValidationError, lines: Mapping[Path, int]) -> Fault:
    """The fault that stands first."""
    errors = error.errors(include_url=False, include_context=True, include_input=False)
    return min((_fault(each, lines) for each in errors), key=lambda fault: fault.line)


def _fault(error: ErrorDetails, lines: Mapping[Path, int]) -> Fault:
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    line = 1
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            line = lines[path[:end]]
            break
    return Fault(line, _words(error, path))


def _words(error: ErrorDetails, path: Path) -> str:
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    if error["type"] == "extra_forbidden":
        return _unknown(name, path)
    reason = str(error.get("ctx", {}).get("error", "")) if error["type"] == "value_error" else _reason(error)
    holder = f"{_shown(str(path[1]))}: " if len(path) > _NAME else ""
    joint = " " if reason.startswith(("is ", "has ")) else ": "
    return f"{holder}{_shown(name)}{joint}{reason}"


def _reason(error: ErrorDetails) -> str:
    if error["type"] == "literal_error":
        return f"is {error['ctx']['expected']}"
    words = {
        "string_type": "is a text; a number or a date needs quotes",
        "bool_type": "is true or false",
        "list_type": "is a list, each item on a line of its own behind a dash",
        "dict_type": "is names, each with its keys",
        "model_type": "is keys with their values",
        "missing": "is missing",
        "string_pattern_mismatch": "is no name; it has letters, digits and . _ -",
    }
    return words.get(error["type"], "is not what belongs there")


def _unknown(name: str, path: Path) -> str:
    """The words for a key that does not exist, with the one that was probably meant."""
    section = str(path[0])
    if len(path) == 1:
        return f"{_shown(name)} is no section{_meant(name, _SECTIONS)}"
    if len(path) > _KEY:
        return f"{_shown(name)} is no key here"
    keys = tuple(KEYS[section].model_fields)
    noun = section.removesuffix("s")
    if name in Policy.__dataclass_fields__:
        where = "policy" if section == "orgs" else "limits"
        return f"{_shown(name)} is a limit: it belongs under {where}"
    if name in _ELSEWHERE and name not in keys:
        return f"{_shown(name)} is no key of a{'n' * (noun == 'org')} {noun}; {_ELSEWHERE[name]}"
    return f"{_shown(name)} is no key of a{'n' * (noun == 'org')} {noun}{_meant(name, keys)}"


def _meant(name: str, known: Iterable[str]) -> str:
    near = nearest(name.lower(), known)
    return f"; did you mean {near}?" if near else f"; there are {', '.join(known)}"


def _shown(name: str) -> str:
    """A key, unless it may be anything: a secret that was put in the wrong place, too."""
    return name if _SHOWN.fullmatch(name) else "this"
