"""The words of SOQL: names, literals, operators, and where each stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["name", "string", "number", "date", "datetime", "symbol", "end"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<datetime>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2}))
  | (?P<date>\d{4}-\d{2}-\d{2})
  | (?P<number>[+-]?(?:\d+\.\d*|\.?\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
  | (?P<symbol><=|>=|!=|<>|[=<>(),:])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", '"': '"', "\\": "\\"}
_LIKE = {"%": "\\%", "_": "\\_"}


class SoqlError(ValueError):
    """A query that Salesforce would not take; ``position`` is an offset into it."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Token:
    """One word."""

    kind: Kind
    text: str
    position: int


def tokenize(text: str) -> list[Token]:
    """Split a query into its words, an ``end`` last; SoqlError where no word begins."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise SoqlError(f"unexpected token: '{text[position]}'", position)
        kind = match.lastgroup
        if kind != "space":
            found.append(Token(kind, match[0], position))  # type: ignore[arg-type]  # the groups are the kinds
        position = match.end()
    found.append(Token("end", "<EOF>", position))
    return found


def scan(text: str) -> list[tuple[str, str]]:
    """Split any text into (kind, text), white space and unknown characters included: for redaction, never fails."""
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is not None:
            found.append((match.lastgroup or "", match[0]))
            position = match.end()
        elif text[position] == "'":  # a text without its end hides everything behind it
            found.append(("string", text[position:]))
            position = len(text)
        else:
            found.append(("other", text[position]))
            position += 1
    return found


def unquote(token: Token) -> str:
    """The value of a string; wildcards that were escaped for LIKE stay escaped."""

    def character(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] == "u" and len(escape) > 1:
            return chr(int(escape[1:], 16))
        if escape in _LIKE:
            return _LIKE[escape]
        plain = _PLAIN.get(escape.lower())
        if plain is None:
            raise SoqlError(f"Illegal string literal '{token.text[:40]}'", token.position)
        return plain

    return _ESCAPE.sub(character, token.text[1:-1])
