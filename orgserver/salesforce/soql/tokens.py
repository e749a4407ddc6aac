"""The tokens of SOQL: names, literals, operators, and where each stands in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["name", "string", "number", "date", "datetime", "symbol", "end"]

# Digits are spelt out: \d would take those of every script, which int() reads and Salesforce does not.
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>'[^'\\]*(?:\\.[^'\\]*)*')
  | (?P<datetime>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2}))
  | (?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})
  | (?P<number>[+-]?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
  | (?P<symbol><=|>=|!=|<>|[=<>(),:])
    """,
    re.VERBOSE | re.DOTALL,
)
_DATE_WORD = re.compile(
    r"YESTERDAY|TODAY|TOMORROW|(?:LAST|NEXT)_90_DAYS"
    r"|(?:LAST|THIS|NEXT)_(?:WEEK|MONTH|(?:FISCAL_)?(?:QUARTER|YEAR))"
    r"|(?:LAST|NEXT)_N_(?:DAYS|WEEKS|MONTHS|(?:FISCAL_)?(?:QUARTERS|YEARS))"
    r"|N_(?:DAYS|WEEKS|MONTHS|(?:FISCAL_)?(?:QUARTERS|YEARS))_AGO",
    re.IGNORECASE,
)
_ESCAPE = re.compile(r"\\([uU][0-9A-Fa-f]{4}|.)", re.DOTALL)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", '"': '"', "\\": "\\"}
_WILDCARDS = {"%": "\\%", "_": "\\_"}


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
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise SoqlError(f"unexpected token: '{text[position]}'", position)
        kind = match.lastgroup
        if kind != "space":
            tokens.append(Token(kind, match[0], position))  # type: ignore[arg-type]  # the groups are the kinds
        position = match.end()
    tokens.append(Token("end", "<EOF>", position))
    return tokens


def scan(text: str) -> list[tuple[str, str]]:
    """Split any text into (kind, text), white space and unknown characters included: for redaction, never fails."""
    parts: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is not None:
            parts.append((match.lastgroup or "", match[0]))
            position = match.end()
        elif (end := _quoted(text, position)) is not None:
            parts.append(("string", text[position:end]))
            position = end
        else:
            parts.append(("other", text[position]))
            position += 1
    return parts


def is_date_word(name: str) -> bool:
    """Tell whether this is one of SOQL's relative dates, such as ``LAST_N_DAYS``."""
    return _DATE_WORD.fullmatch(name) is not None


def unquote(token: Token) -> str:
    """The value of a string; wildcards that were escaped for LIKE stay escaped."""
    return _unescaped(token, _PLAIN | _WILDCARDS)


def pattern(token: Token) -> str:
    r"""The value of a string behind LIKE; ``\\``, ``\%`` and ``\_`` stay as they are, so no letter is a wildcard."""
    return _unescaped(token, _PLAIN | _WILDCARDS | {"\\": "\\\\"})


def has_escaped_wildcard(token: Token) -> bool:
    """Tell whether a string has an escape that only LIKE takes."""
    return any(escape[1] in _WILDCARDS for escape in _ESCAPE.finditer(token.text))


def _unescaped(token: Token, meanings: dict[str, str]) -> str:
    def character(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) > 1:
            return chr(int(escape[1:], 16))
        meaning = meanings.get(escape.lower())
        if meaning is None:
            raise illegal(token)
        return meaning

    return _ESCAPE.sub(character, token.text[1:-1])


def illegal(token: Token) -> SoqlError:
    """What Salesforce says of a string with an escape that does not exist."""
    return SoqlError(f"Illegal string literal '{token.text[:40]}'", token.position)


def _quoted(text: str, start: int) -> int | None:
    """Where a text in quotes of any kind ends; one without its end hides everything behind it."""
    # Only ' is SOQL's, but people and models write the others, and what is in them is a value all the same.
    closing = {"'": "'", '"': '"', "`": "`", "‘": "’", "’": "’", "“": "”", "”": "”"}.get(text[start])  # noqa: RUF001
    if closing is None:
        return None
    end = text.find(closing, start + 1)
    return len(text) if end < 0 or closing == "'" else end + 1
