"""How a person's text becomes a SOSL search that means only that text (SOQL and SOSL Reference, "FIND")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

MIN_TEXT, MAX_TEXT = 2, 1_000
"""Salesforce wants two characters, and drops words of very long searches."""
MAX_FOUND = 2_000
_RESERVED = re.compile(r"""[&|!(){}\[\]^"~*?:\\'+\-]""")
_OPERATOR = re.compile(r"\b(?:and|or|not)\b", re.IGNORECASE)


def term(text: str) -> str:
    """Escape a text: every reserved character with a backslash, and words that would be operators in quotes."""
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    return _OPERATOR.sub(r'"\g<0>"', _RESERVED.sub(r"\\\g<0>", " ".join(words)))


def find(text: str, returning: Mapping[str, Sequence[str]], limit: int) -> str:
    """Build a search. ``returning`` holds checked names only: objects, and the fields to tell of each."""
    objects = [f"{name}({', '.join(fields)})" if fields else name for name, fields in returning.items()]
    return f"FIND {{{term(text)}}} IN ALL FIELDS RETURNING {', '.join(objects)} LIMIT {limit}"
