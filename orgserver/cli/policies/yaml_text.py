"""Policies as YAML: read strictly, each fault with its line, and written so that reading gives the same again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from orgserver.cli.policies.strict_yaml import Fault, compose, decode, line_of
from orgserver.model.access.policies import OBJECT_ACTIONS, SWITCHES, Policy, option
from orgserver.model.names import nearest

MAX_BYTES = 128 * 1024
_MAX_DEPTH = 8
_MAX_DIGITS = 9
_NUMBERS = ("row_limit", "confirm_above", "api_budget")
_RULES = ("allow_objects", "deny_objects")
_FIELDS = (*SWITCHES, *_RULES, "hide_fields", "mask_fields", *_NUMBERS, "hours")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy, and the line of each limit and of each item of its lists."""

    policy: Policy
    lines: Mapping[tuple[str, str], int]

    def line_of(self, name: str, item: str = "") -> int:
        """Where a limit stands, or an item of it."""
        return self.lines.get((name, item.casefold()), self.lines.get((name, ""), 1))


def write(policy: Policy) -> str:
    """A policy as the text of a file."""
    return str(yaml.safe_dump(facts_of(policy), sort_keys=False, allow_unicode=True, default_flow_style=False))


def facts_of(policy: Policy) -> dict[str, Any]:
    """A policy as plain values, by the names that a file has."""
    return {option_of(name): value for name, value in policy.facts().items()}


def read(data: bytes, place: str) -> PolicyText:
    """Read a policy's text; ConfigError is one line that names the place and the line."""
    try:
        text = decode(data, MAX_BYTES, "a policy")
        return read_node(compose(text, _MAX_DEPTH, "lists within lists are no policy"))
    except Fault as fault:
        raise fault.at(place) from None


def read_node(root: Node | None) -> PolicyText:
    """Read a policy from a node; Fault says what is wrong in which line."""
    if root is None:
        raise Fault(1, "it says nothing; a policy without limits is {}")
    if not isinstance(root, MappingNode):
        raise Fault(line_of(root), "a policy is limits with their values, such as row-limit: 500")
    facts: dict[str, Any] = {}
    lines: dict[tuple[str, str], int] = {}
    for key, value in root.value:
        name = _name(key)
        if name in facts:
            raise Fault(line_of(key), f"{option_of(name)} is there already, in line {lines[name, '']}")
        lines[name, ""] = line_of(key)
        facts[name] = _value(name, value, lines)
    return PolicyText(Policy.read(facts), lines)


def option_of(name: str) -> str:
    """A limit's name in a file."""
    return name.replace("_", "-")


def _name(key: Node) -> str:
    """The limit that a key names."""
    text = key.value if isinstance(key, ScalarNode) else ""
    name = text.replace("-", "_")
    if name not in _FIELDS:
        words = [option_of(each) for each in _FIELDS]
        singular = {option(each): option_of(each) for each in _FIELDS}
        near = singular.get(text) or nearest(text.lower(), words)
        hint = f"; did you mean {near}?" if near else f"; there are {', '.join(words)}"
        raise Fault(line_of(key), f"{text or 'this'} is no limit{hint}")
    return name


def _value(name: str, node: Node, lines: dict[tuple[str, str], int]) -> Any:
    word = option_of(name)
    if isinstance(node, ScalarNode) and node.tag.endswith(":null"):
        raise Fault(line_of(node), f"{word} has no value; leave the line out where nothing is limited")
    if name in SWITCHES:
        return _switch(word, node)
    if name in _NUMBERS:
        return _number(word, node)
    nodes = [node] if name == "hours" and isinstance(node, ScalarNode) else _items(word, node)
    return [_item(name, each, lines, in_brackets=bool(getattr(node, "flow_style", False))) for each in nodes]


def _switch(word: str, node: Node) -> bool:
    text = node.value.lower() if isinstance(node, ScalarNode) and node.tag.endswith(":bool") else ""
    if text not in (*_TRUE, *_FALSE):
        raise Fault(line_of(node), f"{word} is true or false")
    return text in _TRUE


def _number(word: str, node: Node) -> int:
    text = node.value if isinstance(node, ScalarNode) and node.tag.endswith(":int") else ""
    if not text.isascii() or not text.isdecimal() or len(text) > _MAX_DIGITS or str(int(text)) != text:
        raise Fault(line_of(node), f"{word} is a whole number from 0")
    return int(text)


def _items(word: str, node: Node) -> list[Node]:
    if not isinstance(node, SequenceNode):
        raise Fault(line_of(node), f"{word} is a list, each item on a line of its own behind a dash")
    return node.value  # type: ignore[no-any-return]  # a sequence's value is its nodes


def _item(name: str, node: Node, lines: dict[tuple[str, str], int], *, in_brackets: bool) -> str:
    word, line = option_of(name), line_of(node)
    if not isinstance(node, ScalarNode):
        like = "; write Contact:read,create without a space behind the colon" if name in _RULES else ""
        raise Fault(line, f"each item of {word} is a text{like}")
    text: str = node.value
    if name in _RULES and in_brackets and text in OBJECT_ACTIONS:
        raise Fault(line, f"{text} is an action; in brackets write 'Contact:read,create' in quotes")
    try:
        (item,) = Policy.read({name: [text]}).facts()[name]
    except ValueError as error:
        raise Fault(line, f"{word}: {error}") from None
    lines.setdefault((name, item.partition(":")[0].casefold() if name in _RULES else item.casefold()), line)
    return text
