"""How a check went, as a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was tried, or was not."""

    kind: Literal["ok", "not tried", "failed"]
    text: str


def ok(text: str) -> Result:
    return Result("ok", text)


def not_tried(text: str) -> Result:
    return Result("not tried", text)


def failed(text: str) -> Result:
    return Result("failed", text)


def said(result: Result) -> Result:
    """Print it and hand it on."""
    print(f"{result.kind:<10} {result.text}", flush=True)
    return result
