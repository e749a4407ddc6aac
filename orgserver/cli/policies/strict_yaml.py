"""YAML read strictly: one document of plain values, nothing built of it, and each fault with its line."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import Node

from orgserver.model.errors import ConfigError

_NO_ANCHORS = "anchors and aliases are not taken (a text that begins with * or & needs quotes)"
_CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)


class Fault(Exception):
    """What is wrong, and in which line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line

    def at(self, place: str) -> ConfigError:
        """The same, as one line for a person."""
        return ConfigError(f"{place}, line {self.line}: {self}")


def decode(data: bytes, most: int, noun: str) -> str:
    """The text of a file; Fault where it is too long or none."""
    if len(data) > most:
        size = f"{most // 1024} KiB" if most < 1024 * 1024 else f"{most // 1024**2} MiB"
        raise Fault(data[:most].count(b"\n") + 1, f"{noun} has at most {size}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fault(data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None


def compose(text: str, depth: int, too_deep: str, loader: Any = yaml.SafeLoader) -> Node | None:
    """The nodes of the one document; what YAML has beyond plain values is refused before anything is built of it."""
    level = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise Fault(line, _NO_ANCHORS)
            if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) is not None:
                raise Fault(line, "tags are not taken")
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if level > depth:
                raise Fault(line, too_deep)
        return yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        raise _of_yaml(error, text) from None


def line_of(node: Node) -> int:
    """Where a node stands."""
    return int(node.start_mark.line) + 1


def _of_yaml(error: yaml.YAMLError, text: str) -> Fault:
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        return Fault(text.count("\n", 0, conflict.start()) + 1, "not YAML: a conflict that git left here")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or "there is a character that YAML does not allow"
    line = mark.line + 1 if mark is not None else text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
    if str(getattr(error, "context", "")).endswith(("an alias", "an anchor")):
        return Fault(line, _NO_ANCHORS)
    return Fault(line, f"not YAML: {problem}")
