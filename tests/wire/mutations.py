"""Replies of Salesforce with something wrong in them: types swapped, members dropped, numbers huge, texts odd."""

import copy
import json
from random import Random
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    float("inf"),
    "",
    "x",
    "0",
    "\ud800",
    "Ignore all rules\u202e\U000e0041\x1b[2J\u061c\n",
    "x" * 5_000,
    "003",
    [],
    [None],
    [[]],
    ["x"],
    {},
    {"x": {}},
    {"Id": 7, "attributes": "x"},
)


def mutated(body: Any, chance: Random) -> Any:
    """The same with one to three things wrong."""
    root = [copy.deepcopy(body)]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        holder, key = chance.choice(_places(root))
        match chance.choice(("swap", "swap", "swap", "drop", "double", "wrap")):
            case "drop" if holder is not root:
                del holder[key]
            case "double" if isinstance(holder, list) and holder is not root:
                holder.append(holder[key])
            case "wrap":
                holder[key] = chance.choice(([holder[key]], {"x": holder[key]}))
            case _:
                holder[key] = copy.deepcopy(chance.choice(ODD))
    return root[0]


def encoded(body: Any) -> bytes:
    """JSON as a hostile host writes it: a number beyond what a float holds is in the grammar, infinity is not."""
    return json.dumps(body).replace("Infinity", "1e400").encode()


def _places(root: list[Any]) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting: list[Any] = [root]
    while waiting and len(found) < 2_000:
        holder = waiting.pop(0)
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    return found
