"""How a person's text becomes a SOSL search that means only that text (SOQL and SOSL Reference, "FIND")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

MIN_TEXT, MAX_TEXT = 2, 1_000
"""Salesforce wants two characters, and drops words of very long searches."""
MAX_FOUND = 2_000
_RESERVED = re.compile(r"""[&|!(){}\[\]^"~*?:\\'+\-]""")
_OPERATOR = re.compile(r"\b(?:and|or|not)\b", re.IGNORECASE)


def term(text: str) -> str:
    """Escape a text: every reserved character with a backslash, and words that would be operators in quotes."""
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    return _OPERATOR.sub(r'"\g<0>"', _RESERVED.sub(r"\\\g<0>", " ".join(words)))


def find(
    text: str, returning: Mapping[str, Sequence[str]], limit: int, *, scope: Literal["ALL", "NAME"] = "ALL"
) -> str:
    """Build a search. ``returning`` holds checked names only: objects, and the fields to tell of each.

    ``scope`` says where the text is looked for: in every field that is indexed, or in those that hold names.
    """
    objects = [f"{name}({', '.join(fields)})" if fields else name for name, fields in returning.items()]
    return f"FIND {{{term(text)}}} IN {scope} FIELDS RETURNING {', '.join(objects)} LIMIT {limit}"
