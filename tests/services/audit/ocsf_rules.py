"""What the published definitions say against an event: required and known attributes, types, enumerations, constraints."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[2] / "samples" / "ocsf" / "api_activity-1.3.0.json"
_PYTHON = {"boolean_t": (bool,), "integer_t": (int,), "long_t": (int,), "float_t": (int, float), "string_t": (str,)}
_OTHER = 99


@cache
def published() -> dict[str, Any]:
    definitions: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return definitions


def violations(event: dict[str, Any]) -> list[str]:
    """Each rule that the event breaks, with the place."""
    rules = published()["classes"]["api_activity"]
    profiles = frozenset(event.get("metadata", {}).get("profiles", ()))
    found = list(_object(event, rules, "event", profiles))
    if event.get("type_uid") != event.get("class_uid", 0) * 100 + event.get("activity_id", 0):
        found.append("event.type_uid is not class_uid * 100 + activity_id")
    return found


def _object(value: dict[str, Any], rules: dict[str, Any], at: str, profiles: frozenset[str]) -> Iterator[str]:
    attributes = {name: rule for name, rule in rules["attributes"].items() if rule.get("profile") in (None, *profiles)}
    yield from (f"{at}.{name} is unknown" for name in value if name not in attributes)
    yield from (
        f"{at}.{name} is required"
        for name, rule in attributes.items()
        if rule["requirement"] == "required" and name not in value
    )
    yield from _constraints(value, rules.get("constraints", {}), at)
    for name, rule in attributes.items():
        if name in value:
            yield from _attribute(value[name], rule, f"{at}.{name}", profiles)
            yield from _sibling(value, name, rule, at)


def _constraints(value: dict[str, Any], constraints: dict[str, list[str]], at: str) -> Iterator[str]:
    for kind, names in constraints.items():
        there = sum(name in value for name in names)
        if (kind == "at_least_one" and not there) or (kind == "just_one" and there != 1):
            yield f"{at} needs {kind} of {names}"


def _attribute(value: Any, rule: dict[str, Any], at: str, profiles: frozenset[str]) -> Iterator[str]:
    if "@deprecated" in rule:
        yield f"{at} is deprecated"
    if not rule.get("is_array"):
        yield from _one(value, rule, at, profiles)
    elif not isinstance(value, list):
        yield f"{at} is no array"
    else:
        for place, each in enumerate(value):
            yield from _one(each, rule, f"{at}[{place}]", profiles)


def _one(value: Any, rule: dict[str, Any], at: str, profiles: frozenset[str]) -> Iterator[str]:
    if rule["type"] == "object_t":
        if not isinstance(value, dict):
            yield f"{at} is no object"
        elif rule["object_type"] != "object":  # which is the type of what may hold anything
            known = published()["objects"].get(rule["object_type"])
            yield from _object(value, known, at, profiles) if known else [f"{at}: no copy of {rule['object_type']}"]
        return
    wrong = list(_typed(value, rule["type"], at))
    yield from wrong
    if not wrong and "enum" in rule and str(value) not in rule["enum"]:
        yield f"{at} is none of {sorted(rule['enum'])}"


def _typed(value: Any, name: str, at: str) -> Iterator[str]:
    if name == "json_t":
        return
    type_ = published()["types"][name]
    if "type" in type_:
        yield from _typed(value, type_["type"], at)
    elif not isinstance(value, _PYTHON[name]) or (isinstance(value, bool) and name != "boolean_t"):
        yield f"{at} is no {name}"
        return
    if len(value) > type_["max_len"] if "max_len" in type_ else False:
        yield f"{at} is longer than {type_['max_len']}"
    if "regex" in type_ and not re.search(type_["regex"], str(value)):
        yield f"{at} is no {name}"
    if "range" in type_ and not type_["range"][0] <= value <= type_["range"][1]:
        yield f"{at} is out of range"


def _sibling(value: dict[str, Any], name: str, rule: dict[str, Any], at: str) -> Iterator[str]:
    """The words beside a number of an enumeration are its caption; beside 99 they are the source's own."""
    words = value.get(rule.get("sibling", ""))
    if "enum" not in rule or words is None or str(value[name]) not in rule["enum"]:
        return
    caption = rule["enum"][str(value[name])]["caption"]
    if (words == caption) is (value[name] == _OTHER):
        yield f"{at}.{rule['sibling']} does not fit {name} {value[name]}"
