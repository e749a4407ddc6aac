"""The grammar of SOQL as far as we run it: fields, WHERE, ORDER BY, LIMIT, OFFSET and COUNT().

A hand-written recursive descent, so that a mistake is reported where Salesforce reports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orgserver.salesforce.soql.tokens import (
    SoqlError,
    Token,
    has_escaped_wildcard,
    illegal,
    is_date_word,
    pattern,
    tokenize,
    unquote,
)

RESERVED = frozenset(
    [
        "and",
        "asc",
        "by",
        "desc",
        "excludes",
        "first",
        "from",
        "group",
        "having",
        "in",
        "includes",
        "last",
        "like",
        "limit",
        "not",
        "null",
        "nulls",
        "offset",
        "or",
        "order",
        "select",
        "using",
        "where",
        "with",
        "for",
        "update",
        "true",
        "false",
    ]
)
_COMPARISONS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_MAX_NESTING = 100
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Value:
    """A literal. ``kind`` is string, pattern (behind LIKE), number, date, datetime, boolean, null or dateword."""

    kind: str
    value: Any
    position: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator value``; for ``in`` and ``not in`` the value is a tuple of values."""

    field: str
    operator: str
    value: Value | tuple[Value, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by ``and`` or ``or``."""

    operator: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """``NOT condition``."""

    condition: Condition


Condition = Comparison | Group | Negation


@dataclass(frozen=True, slots=True)
class Order:
    """One term of ORDER BY."""

    field: str
    descending: bool
    nulls_last: bool
    position: int


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was understood."""

    sobject: str
    fields: tuple[tuple[str, int], ...]
    """Names with their positions; empty for COUNT()."""
    count: bool = False
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    sobject_position: int = 0


def parse(text: str) -> Query:
    """Parse a query; SoqlError says what was not expected, and where."""
    return _Parser(tokenize(text)).query()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def query(self) -> Query:
        self._word("select")
        count, fields = self._selected()
        self._word("from")
        sobject = self._name()
        where = self._condition() if self._maybe("where") else None
        order = self._order() if self._maybe("order") else ()
        limit = self._integer() if self._maybe("limit") else None
        offset = self._integer() if self._maybe("offset") else 0
        if self._peek().kind != "end":
            raise self._unexpected()
        return Query(sobject.text, fields, count, where, order, limit, offset, sobject.position)

    def _selected(self) -> tuple[bool, tuple[tuple[str, int], ...]]:
        token = self._peek()
        if token.text.lower() == "count" and self._tokens[self._at + 1].text == "(":
            self._at += 2
            self._symbol(")")
            return True, ()
        fields = [self._name()]
        while self._maybe_symbol(","):
            fields.append(self._name())
        return False, tuple((field.text, field.position) for field in fields)

    def _order(self) -> tuple[Order, ...]:
        self._word("by")
        terms = [self._term()]
        while self._maybe_symbol(","):
            terms.append(self._term())
        return tuple(terms)

    def _term(self) -> Order:
        field = self._name()
        descending = False
        if self._maybe("desc"):
            descending = True
        else:
            self._maybe("asc")
        nulls_last = False
        if self._maybe("nulls"):
            nulls_last = not self._maybe("first")
            if nulls_last:
                self._word("last")
        return Order(field.text, descending, nulls_last, field.position)

    def _condition(self) -> Condition:
        """Terms joined by one operator; Salesforce takes no mixture of AND and OR without parentheses."""
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise self._unexpected()
        terms = [self._negated()]
        operator = ""
        while (word := self._peek().text.lower()) in ("and", "or"):
            if operator and word != operator:
                raise self._unexpected()
            operator = word
            self._at += 1
            terms.append(self._negated())
        self._depth -= 1
        return terms[0] if not operator else Group(operator, tuple(terms))

    def _negated(self) -> Condition:
        if self._maybe("not"):
            return Negation(self._simple())
        return self._simple()

    def _simple(self) -> Condition:
        if self._maybe_symbol("("):
            inner = self._condition()
            self._symbol(")")
            return inner
        field = self._name()
        token = self._peek()
        if token.text in _COMPARISONS:
            self._at += 1
            operator = "!=" if token.text == "<>" else token.text
            return Comparison(field.text, operator, self._value(), field.position)
        if self._maybe("like"):
            return Comparison(field.text, "like", self._pattern(), field.position)
        negated = self._maybe("not")
        self._word("in")
        return Comparison(field.text, "not in" if negated else "in", self._values(), field.position)

    def _values(self) -> tuple[Value, ...]:
        self._symbol("(")
        values = [self._value()]
        while self._maybe_symbol(","):
            values.append(self._value())
        self._symbol(")")
        return tuple(values)

    def _pattern(self) -> Value:
        token = self._peek()
        if token.kind != "string":
            raise self._unexpected()
        self._at += 1
        return Value("pattern", pattern(token), token.position)

    def _value(self) -> Value:
        token = self._peek()
        self._at += 1
        if token.kind == "string":
            if has_escaped_wildcard(token):
                raise illegal(token)
            return Value("string", unquote(token), token.position)
        if token.kind in ("date", "datetime"):
            return Value(token.kind, token.text, token.position)
        if token.kind == "number":
            whole = token.text.lstrip("+-").isdigit() and len(token.text) <= _MAX_DIGITS
            return Value("number", int(token.text) if whole else float(token.text), token.position)
        word = token.text.lower()
        if word in ("true", "false"):
            return Value("boolean", word == "true", token.position)
        if word == "null":
            return Value("null", None, token.position)
        if token.kind == "name" and is_date_word(token.text):
            return Value("dateword", self._dateword(token), token.position)
        self._at -= 1
        raise self._unexpected()

    def _dateword(self, token: Token) -> tuple[str, int | None]:
        amount = self._integer() if self._maybe_symbol(":") else None
        return token.text.upper(), amount

    def _name(self) -> Token:
        token = self._peek()
        if token.kind != "name" or token.text.lower() in RESERVED:
            raise self._unexpected()
        self._at += 1
        return token

    def _integer(self) -> int:
        token = self._peek()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > _MAX_DIGITS:
            raise self._unexpected()
        self._at += 1
        return int(token.text)

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _maybe(self, word: str) -> bool:
        token = self._peek()
        if token.kind == "name" and token.text.lower() == word:
            self._at += 1
            return True
        return False

    def _maybe_symbol(self, symbol: str) -> bool:
        if self._peek().text == symbol and self._peek().kind == "symbol":
            self._at += 1
            return True
        return False

    def _word(self, word: str) -> None:
        if not self._maybe(word):
            raise self._unexpected()

    def _symbol(self, symbol: str) -> None:
        if not self._maybe_symbol(symbol):
            raise self._unexpected()

    def _unexpected(self) -> SoqlError:
        token = self._peek()
        return SoqlError(f"unexpected token: '{token.text[:40]}'", token.position)
