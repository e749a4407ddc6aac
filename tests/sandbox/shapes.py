"""Recorded real replies, and the keys and types of a value."""

import json
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[1] / "samples"


def recorded(name: str) -> Any:
    """A recorded reply's body."""
    return json.loads((SAMPLES / "replies" / f"{name}.json").read_text("utf-8"))


def exchanged(name: str, path: str) -> list[tuple[Any, Any]]:
    """The bodies of the recorded requests to a path that ends so, and of their replies."""
    exchanges = json.loads((SAMPLES / "exchanges" / f"{name}.json").read_text("utf-8"))
    return [
        (json.loads(each["request"]["body"] or "null"), json.loads(each["response"]["body"]["string"]))
        for each in exchanges
        if "request" in each and each["request"]["uri"].endswith(path)
    ]


def shape(value: Any) -> Any:
    """A value's keys and types."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__
