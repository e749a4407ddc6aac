"""How a script that runs in an environment of its own tells what it did: one JSON object a line. Standard library alone."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from cases import Case, cases, judged
from written import inner, open_objects, openness, written

SERVER: dict[str, Any] = json.loads(os.environ["CONVERTER_SERVER"])
"""``command``, ``args`` and ``env`` of the server."""
CONTACT = os.environ["CONVERTER_CONTACT"]
Call = Callable[[str, dict[str, Any]], Awaitable[str]]


def tell(**told: Any) -> None:
    """Write a line for the command that started this."""
    print("@" + json.dumps(told), flush=True)


async def play(
    converter: str, listed: dict[str, dict[str, Any]], shown: dict[str, dict[str, Any]], call: Call, **dialect: str
) -> None:
    """Make every call through one converter: ``listed`` are our schemas by tool, ``shown`` those a model would see."""
    broken = []
    places = 0
    for tool, schema in listed.items():
        for path in open_objects(schema):
            places += 1
            became = openness(inner(shown[tool], path), **dialect)
            if became != "open":
                broken.append(f"{tool}.{'.'.join(path)}: {became}")
    verdicts = {}
    for case in cases(CONTACT, converter):
        verdicts[case.name] = await _verdict(case, shown[case.tool], call, dialect)
    tell(converter=converter, tools=len(shown), places=places, broken=broken, verdicts=verdicts)


async def _verdict(case: Case, schema: dict[str, Any], call: Call, dialect: dict[str, str]) -> str:
    arguments = written(schema, case.arguments, **dialect)
    try:
        return judged(case, await call(case.tool, arguments))
    except Exception as error:  # noqa: BLE001  # whatever the library raises is what its user would see
        return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
