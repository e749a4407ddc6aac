"""What a query touches, and how it reads without its literals; for any text, understood or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from orgserver.salesforce.soql import grammar, token_stream, tree
from orgserver.salesforce.soql.tokens import SoqlError, is_date_word, scan

_LITERALS = frozenset({"string", "number", "date", "datetime"})
_OPERATORS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_LISTS = frozenset({"in", "includes", "excludes"})
_VALUES = frozenset({"true", "false", "null"})
_COMMENT = re.compile(r"/\*|//|--")


@dataclass(frozen=True, slots=True)
class Read:
    """What a query, or one within it, reads from one object."""

    sobject: str
    """As the query writes it."""
    children: tuple[str, ...] = ()
    """The child relationships that lead from that object to the one read: ``("Contacts",)`` for those of an Account."""
    fields: tuple[str, ...] = ()
    """Paths in any clause, each once and sorted; those of parents begin with their relationship."""
    groups: tuple[str, ...] = ()
    """What FIELDS() was asked for: all, standard, custom."""
    alias: str | None = None
    """What the query calls its object. ``fields`` come without it, so that whoever judges by them has to refuse an
    alias which is the name of a relationship, too."""

    @property
    def source(self) -> str:
        """What its fields are of: the object, or the last relationship."""
        return self.children[-1] if self.children else self.sobject


def reads(query: tree.Query) -> tuple[Read, ...]:
    """Everything that a query reads, in every clause and every query within it; its own object first.

    What TYPEOF shows of an object is a read of that object; its ELSE fields are paths of the query itself.
    """
    return tuple(_reads(query, query.sobject, ()))


def _reads(query: tree.Query, sobject: str, children: tuple[str, ...]) -> Iterator[Read]:
    within: list[Read] = []
    fields: set[str] = set()
    groups: set[str] = set()
    for item in query.selected:
        if isinstance(item, tree.Selected):
            fields |= _named(query, item.expression)
        elif isinstance(item, tree.Fields):
            groups.add(item.group)
        elif isinstance(item, tree.Children):
            within += _reads(item.query, sobject, (*children, tree.own(query, item.query.sobject)))
        else:
            relationship = tree.own(query, item.relationship)
            fields |= {f"{relationship}.{path.path}" for path in item.otherwise} | {f"{relationship}.Id"}
            within += [Read(name, (), _sorted({path.path for path in paths})) for name, paths in item.cases]
    for comparison in tree.comparisons(query.where) + tree.comparisons(query.having):
        fields |= _named(query, comparison.left)
        if isinstance(comparison.right, tree.Query):
            within += reads(comparison.right)
    for expression in (*query.group, *(term.by for term in query.order)):
        fields |= _named(query, expression)
    yield Read(sobject, children, _sorted(fields), _sorted(groups), query.alias)
    yield from within


def _named(query: tree.Query, expression: tree.Expression) -> set[str]:
    return {tree.own(query, path.path) for path in tree.paths(expression)}


def _sorted(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


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
        elif kind == "name" and word in token_stream.RESERVED and word not in _VALUES:
            parts.append(part)
            value = word == "like" or word in _LISTS
        elif kind in ("name", "other") and value and word not in _VALUES and not is_date_word(part):
            parts.append("?")
        else:
            parts.append(part)
            value = part in _OPERATORS or (value and part != ")")
    return "".join(parts).strip()


def understood(text: str) -> tree.Query | None:
    """The tree of a query; None where it is beyond our grammar."""
    try:
        return grammar.parse(text)
    except SoqlError:
        return None


def has_comment(text: str) -> bool:
    """Whether a text has what begins a comment in other languages, outside of its strings; SOQL has none."""
    return _COMMENT.search("".join("?" if kind == "string" else part for kind, part in scan(text))) is not None


def summary(text: str) -> tuple[str | None, tuple[str, ...]]:
    """The object a query reads from and the fields it names, as far as it is understood."""
    return summary_of(text, understood(text))


def summary_of(text: str, query: tree.Query | None) -> tuple[str | None, tuple[str, ...]]:
    """The same of a query that was parsed before."""
    return (_guessed(text), ()) if query is None else (query.sobject, names(query))


def names(query: tree.Query) -> tuple[str, ...]:
    """The fields a query names in any clause; those of queries within it begin with what these read from."""
    first, *within = reads(query)
    fields = set(_of(first)) | {f"{read.source}.{name}" for read in within for name in _of(read)}
    return _sorted(fields)


def _of(read: Read) -> tuple[str, ...]:
    return read.fields + tuple(f"FIELDS({group.upper()})" for group in read.groups)


def _guessed(text: str) -> str | None:
    """The object of a query that is beyond our grammar: the name behind the last FROM outside parentheses."""
    depth, guess, after_from = 0, None, False
    for kind, part in scan(text):
        if part == "(":
            depth += 1
        elif part == ")":
            depth -= 1
        elif kind == "name" and depth == 0:
            if after_from:
                guess = part
            after_from = part.lower() == "from"
    return guess
