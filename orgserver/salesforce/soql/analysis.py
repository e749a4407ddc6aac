"""What a query touches, and how it reads without its literals; for any text, understood or not."""

from __future__ import annotations

from orgserver.salesforce.soql import grammar
from orgserver.salesforce.soql.tokens import SoqlError, is_date_word, scan

_LITERALS = frozenset({"string", "number", "date", "datetime"})
_OPERATORS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_LISTS = frozenset({"in", "includes", "excludes"})
_VALUES = frozenset({"true", "false", "null"})


def redact(text: str) -> str:
    """The query with every literal replaced by ``?``: what the audit log may keep.

    A word that stands where a value must stand is a value that lacks its quotes, so it goes too.
    """
    parts: list[str] = []
    value = False
    for kind, part in scan(text):
        word = part.lower()
        if kind == "space":
            parts.append(" ")
        elif kind in _LITERALS:
            parts.append("?")
            value = True  # a word right behind it belongs to it: the quotes are not where they were meant to be
        elif kind == "name" and word in grammar.RESERVED and word not in _VALUES:
            parts.append(part)
            value = word == "like" or word in _LISTS
        elif kind in ("name", "other") and value and word not in _VALUES and not is_date_word(part):
            parts.append("?")
        else:
            parts.append(part)
            value = part in _OPERATORS or (value and part != ")")
    return "".join(parts).strip()


def summary(text: str) -> tuple[str | None, tuple[str, ...]]:
    """The object a query reads from and the fields it names, as far as it is understood."""
    try:
        query = grammar.parse(text)
    except SoqlError:
        return _guessed(text), ()
    return query.sobject, names(query)


def names(query: grammar.Query) -> tuple[str, ...]:
    """The fields a query names in any clause: what it shows, what it asks about and what it sorts by."""
    found = {name for name, _ in query.fields} | {term.field for term in query.order}
    if query.where is not None:
        found |= _named(query.where)
    return tuple(sorted(found))


def _named(condition: grammar.Condition) -> set[str]:
    if isinstance(condition, grammar.Comparison):
        return {condition.field}
    if isinstance(condition, grammar.Negation):
        return _named(condition.condition)
    return {name for each in condition.conditions for name in _named(each)}


def _guessed(text: str) -> str | None:
    """The object of a query that is beyond our grammar: the name behind the last FROM outside parentheses."""
    depth, found, after_from = 0, None, False
    for kind, part in scan(text):
        if part == "(":
            depth += 1
        elif part == ")":
            depth -= 1
        elif kind == "name" and depth == 0:
            if after_from:
                found = part
            after_from = part.lower() == "from"
    return found
