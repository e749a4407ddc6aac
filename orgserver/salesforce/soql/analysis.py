"""What a query touches, and how it reads without its literals; for any text, understood or not."""

from __future__ import annotations

import re

from orgserver.salesforce.soql import grammar
from orgserver.salesforce.soql.tokens import SoqlError, scan

_LITERALS = frozenset({"string", "number", "date", "datetime"})
_SPACE = re.compile(r"\s+")


def redact(text: str) -> str:
    """The query with every literal replaced by ``?``: what the audit log may keep (trust §6)."""
    return "".join("?" if kind in _LITERALS else " " if kind == "space" else part for kind, part in scan(text)).strip()


def summary(text: str) -> tuple[str | None, tuple[str, ...]]:
    """The object a query reads from and the fields it names, as far as it is understood."""
    try:
        query = grammar.parse(text)
    except SoqlError:
        return _guessed(text), ()
    names = {name for name, _ in query.fields} | {term.field for term in query.order}
    if query.where is not None:
        names |= _named(query.where)
    return query.sobject, tuple(sorted(names))


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
