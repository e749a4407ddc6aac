"""SOSL: what a search looks for, where, and what it returns (SOQL and SOSL Reference)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from orgserver.sandbox.errors import Refusal

_RESERVED = frozenset("&|!(){}[]^\"~*?:\\'+-")
_HEAD = re.compile(r"\s*FIND\s*(?=\{)", re.IGNORECASE)
_IN = re.compile(r"\s*IN\s+(ALL|NAME|EMAIL|PHONE|SIDEBAR)\s+FIELDS\b", re.IGNORECASE)
_RETURNING = re.compile(r"\s*RETURNING\b", re.IGNORECASE)
_OBJECT = re.compile(r"\s*([A-Za-z]\w*)\s*")
_LIMIT = re.compile(r"\s*LIMIT\s+(\d{1,9})\s*", re.IGNORECASE)
_CLAUSE = re.compile(r"\b(?:WHERE|ORDER\s+BY|LIMIT|OFFSET)\b", re.IGNORECASE)
_TAIL = re.compile(r"\s*(?:\bLIMIT\s+(\d{1,9})\s*)?(?:\bOFFSET\s+(\d{1,9})\s*)?$", re.IGNORECASE)
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Returned:
    """An object to search, and what is wanted of it."""

    sobject: str
    fields: str = "Id"
    clauses: str = ""
    """WHERE and ORDER BY, in SOQL."""
    limit: int | None = None
    offset: int = 0

    @property
    def query(self) -> str:
        """The query for its records, whatever they contain."""
        return f"SELECT {self.fields} FROM {self.sobject} {self.clauses}".strip()  # noqa: S608  # a client's own query


@dataclass(frozen=True, slots=True)
class Search:
    """One search."""

    text: str
    """What stood in the braces."""
    scope: str = "ALL"
    returning: list[Returned] = field(default_factory=list)
    """Empty: ids of everything that can be searched."""
    limit: int | None = None


def parse(text: str) -> Search:
    """Read a search; Refusal says what is wrong with it."""
    head = _HEAD.match(text)
    if head is None:
        raise malformed("No search term found. The search term must be enclosed in braces.")
    end = _closing(text, head.end())
    sought, position = text[head.end() + 1 : end], end + 1
    scope = "ALL"
    if match := _IN.match(text, position):
        scope, position = match[1].upper(), match.end()
    returning: list[Returned] = []
    if match := _RETURNING.match(text, position):
        returning, position = _returning(text, match.end())
    limit = None
    if match := _LIMIT.match(text, position):
        limit, position = int(match[1]), match.end()
    if text[position:].strip():
        raise malformed(f"unexpected token: {text[position:].split(maxsplit=1)[0][:40]}")
    return Search(sought, scope, returning, limit)


def malformed(message: str) -> Refusal:
    """The refusal of a search that cannot be read."""
    return Refusal(400, "MALFORMED_SEARCH", message)


def _closing(text: str, start: int) -> int:
    position = start + 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == "}":
            return position
        position += 1
    raise malformed("No search term found. The search term must be enclosed in braces.")


def _returning(text: str, position: int) -> tuple[list[Returned], int]:
    returning = []
    while True:
        match = _OBJECT.match(text, position)
        if match is None:
            raise malformed("an object is missing after RETURNING")
        position = match.end()
        inner = ""
        if text[position : position + 1] == "(":
            end = _balanced(text, position)
            inner, position = text[position + 1 : end], end + 1
        returning.append(_returned(match[1], inner))
        comma = re.compile(r"\s*,").match(text, position)
        if comma is None:
            return returning, position
        position = comma.end()


def _balanced(text: str, start: int) -> int:
    bare = _bare(text)
    depth = 0
    for position in range(start, len(bare)):
        depth += {"(": 1, ")": -1}.get(bare[position], 0)
        if depth == 0:
            return position
    raise malformed("a parenthesis is not closed")


def _returned(sobject: str, inner: str) -> Returned:
    if not inner.strip():
        return Returned(sobject)
    bare = _bare(inner)
    first = _CLAUSE.search(bare)
    clauses = inner[first.start() :] if first else ""
    tail = _TAIL.search(_bare(clauses))
    limit, offset = (tail[1], tail[2]) if tail else (None, None)
    fields = inner[: first.start()] if first else inner
    conditions = clauses[: tail.start()] if tail else clauses
    return Returned(sobject, fields.strip(), conditions.strip(), int(limit) if limit else None, int(offset or 0))


def _bare(text: str) -> str:
    """The text with its literals blanked out, as long as before."""
    return _LITERAL.sub(lambda match: "'" + " " * (len(match[0]) - 2) + "'", text)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a search text: an operator, or words that must follow one another."""

    operator: str = ""
    words: tuple[str, ...] = ()
    """With ``*`` and ``?`` for any letters and for one; no other marks."""


def pieces(text: str) -> list[Piece]:
    """The pieces of what stood in the braces."""
    parts: list[Piece] = []
    position = 0
    while position < len(text):
        letter = text[position]
        if letter in "()":
            parts.append(Piece(letter))
            position += 1
        elif letter == '"':
            words, position = _phrase(text, position + 1)
            parts.append(Piece(words=words))
        elif letter.isspace():
            position += 1
        else:
            piece, position = _word(text, position)
            parts += [piece] if piece.operator or piece.words else []
    return parts


def _phrase(text: str, position: int) -> tuple[tuple[str, ...], int]:
    plain = []
    while position < len(text) and text[position] != '"':
        position += text[position] == "\\"
        plain.append(text[position : position + 1])
        position += 1
    if position >= len(text):
        raise malformed("a quotation mark is not closed")
    return split("".join(plain)), position + 1


def _word(text: str, position: int) -> tuple[Piece, int]:
    """A word; marks within it part it as they part the words of a record, escaped or not."""
    start = position
    letters = []
    while position < len(text) and not text[position].isspace() and text[position] not in '()"':
        letter = text[position]
        if letter == "\\":
            position += 1
            letters.append(" ")  # whatever was escaped is a mark, and is no part of a word
        else:
            letters.append(" " if letter in _RESERVED - {"*", "?"} else letter)
        position += 1
    raw = text[start:position]
    if raw.upper() in ("AND", "OR", "NOT"):
        return Piece(raw.upper()), position
    return Piece(words=split("".join(letters), wild="*?")), position


def split(text: str, wild: str = "") -> tuple[str, ...]:
    """The words of a text, as the index has them."""
    return tuple(re.findall(rf"[\w{re.escape(wild)}]+", text.casefold())) if wild else tuple(_WORDS(text.casefold()))


_WORDS = re.compile(r"\w+").findall
