"""The container file, read: its stages and what each step says. Enough of the syntax for the file that there is."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

from .published import PACKAGING

FILE = PACKAGING / "Containerfile"


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction, its lines joined and comments left out."""

    word: str
    text: str

    @property
    def arguments(self) -> list[str]:
        """What it lists, in either notation."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


def stages() -> list[list[Step]]:
    """Each stage's steps, FROM first."""
    lines = [line for line in FILE.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    found: list[list[Step]] = []
    for line in re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines():
        word, _, text = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append(Step(word, text.strip()))
    return found


def last(word: str) -> Step:
    """The one that counts in the image."""
    return [step for step in stages()[-1] if step.word == word][-1]


def pairs(word: str) -> dict[str, str]:
    """The names and values of LABEL or ENV."""
    texts = [each for step in stages()[-1] if step.word == word for each in step.arguments]
    return dict(text.split("=", 1) for text in texts)
