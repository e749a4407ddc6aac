"""The grammar of SOQL, from SELECT to OFFSET, with the queries inside a query.

A hand-written recursive descent, so that a mistake is reported where Salesforce reports it. What parses may still be
wrong: whether the fields exist and whether they may be grouped is for whoever knows the objects.
"""

from __future__ import annotations

from orgserver.salesforce.soql import tree
from orgserver.salesforce.soql.token_stream import MAX_DIGITS, TokenStream
from orgserver.salesforce.soql.tokens import (
    Token,
    has_escaped_wildcard,
    illegal,
    is_date_word,
    pattern,
    tokenize,
    unquote,
)

_COMPARISONS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_FIELD_GROUPS = frozenset({"all", "standard", "custom"})
_MAX_NESTING = 100


def parse(text: str) -> tree.Query:
    """Parse a query; SoqlError says what was not expected, and where."""
    words = TokenStream(tokenize(text))
    query = _Parser(words).query()
    words.end()
    return query


class _Parser:
    def __init__(self, words: TokenStream) -> None:
        self._words = words
        self._depth = 0

    def query(self) -> tree.Query:
        words = self._words
        self._deeper()
        words.word("select")
        count, selected = self._selected()
        words.word("from")
        sobject = words.name()
        alias = words.take().text if words.is_name() else None
        scope = self._scope() if words.maybe("using") else None
        where = self._condition() if words.maybe("where") else None
        subtotals, group = self._group() if words.maybe("group") else (None, ())
        having = self._condition() if group and words.maybe("having") else None
        order_at = words.peek().position
        order = self._order() if words.maybe("order") else ()
        limit_at = words.peek().position
        limit = words.integer() if words.maybe("limit") else None
        clauses = tree.Clauses(order_at, limit_at, words.peek().position)
        offset = words.integer() if words.maybe("offset") else 0
        self._depth -= 1
        return tree.Query(
            sobject.text,
            selected,
            count,
            alias,
            scope,
            where,
            group,
            subtotals,
            having,
            order,
            limit,
            offset,
            sobject.position,
            clauses,
        )

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise self._words.unexpected()

    def _scope(self) -> str:
        self._words.word("scope")
        return self._words.name().text

    def _selected(self) -> tuple[bool, tuple[tree.Item, ...]]:
        words = self._words
        if words.peek().text.lower() == "count" and words.is_symbol("(", 1) and words.is_symbol(")", 2):
            for _ in range(3):
                words.take()
            return True, ()
        items = [self._item()]
        while words.maybe_symbol(","):
            items.append(self._item())
        return False, tuple(items)

    def _item(self) -> tree.Item:
        words = self._words
        token = words.peek()
        word = token.text.lower()
        if words.maybe_symbol("("):
            query = self.query()
            words.symbol(")")
            return tree.Children(query, token.position)
        if word == "typeof" and words.peek(1).kind == "name":
            return self._typeof()
        if word == "fields" and words.is_symbol("(", 1):
            return self._fields()
        expression = self._expression()
        alias = words.take().text if words.is_name() else None
        return tree.Selected(expression, alias)

    def _fields(self) -> tree.Fields:
        words = self._words
        token = words.take()
        words.symbol("(")
        if words.peek().text.lower() not in _FIELD_GROUPS:
            raise words.unexpected()
        group = words.take().text.lower()
        words.symbol(")")
        return tree.Fields(group, token.position)

    def _typeof(self) -> tree.TypeOf:
        words = self._words
        token = words.take()
        relationship = words.name()
        cases = []
        words.word("when")
        while True:
            sobject = words.name().text
            words.word("then")
            cases.append((sobject, self._paths()))
            if not words.maybe("when"):
                break
        otherwise = self._paths() if words.maybe("else") else ()
        words.word("end")
        return tree.TypeOf(relationship.text, tuple(cases), otherwise, token.position)

    def _paths(self) -> tuple[tree.Path, ...]:
        paths = [self._path()]
        while self._words.maybe_symbol(","):
            paths.append(self._path())
        return tuple(paths)

    def _path(self) -> tree.Path:
        token = self._words.name()
        return tree.Path(token.text, token.position)

    def _expression(self) -> tree.Expression:
        """A field, or a function of one."""
        words = self._words
        if not words.is_symbol("(", 1):
            return self._path()
        token = words.peek()
        if token.text.lower() not in tree.FUNCTIONS:
            raise words.unexpected(1)
        words.take()
        words.symbol("(")
        self._deeper()
        arguments = [self._argument()]
        while words.maybe_symbol(","):
            arguments.append(self._argument())
        self._depth -= 1
        words.symbol(")")
        return tree.Call(token.text.lower(), tuple(arguments), token.position)

    def _argument(self) -> tree.Path | tree.Call | tree.Value:
        return self._value() if self._words.peek().kind in ("number", "string") else self._expression()

    def _group(self) -> tuple[str | None, tuple[tree.Expression, ...]]:
        words = self._words
        words.word("by")
        subtotals = words.peek().text.lower()
        if subtotals in ("rollup", "cube") and words.is_symbol("(", 1):
            words.take()
            words.symbol("(")
            terms = self._expressions()
            words.symbol(")")
            return subtotals, terms
        return None, self._expressions()

    def _expressions(self) -> tuple[tree.Expression, ...]:
        expressions = [self._expression()]
        while self._words.maybe_symbol(","):
            expressions.append(self._expression())
        return tuple(expressions)

    def _order(self) -> tuple[tree.Order, ...]:
        self._words.word("by")
        terms = [self._term()]
        while self._words.maybe_symbol(","):
            terms.append(self._term())
        return tuple(terms)

    def _term(self) -> tree.Order:
        words = self._words
        by = self._expression()
        descending = words.maybe("desc")
        if not descending:
            words.maybe("asc")
        nulls_last = False
        if words.maybe("nulls"):
            nulls_last = not words.maybe("first")
            if nulls_last:
                words.word("last")
        return tree.Order(by, descending, nulls_last)

    def _condition(self) -> tree.Condition:
        """Terms joined by one operator; Salesforce takes no mixture of AND and OR without parentheses."""
        self._deeper()
        words = self._words
        terms = [self._negated()]
        operator = ""
        while (word := words.peek().text.lower()) in ("and", "or"):
            if operator and word != operator:
                raise words.unexpected()
            operator = word
            words.take()
            terms.append(self._negated())
        self._depth -= 1
        return terms[0] if not operator else tree.Group(operator, tuple(terms))

    def _negated(self) -> tree.Condition:
        if self._words.maybe("not"):
            return tree.Negation(self._simple())
        return self._simple()

    def _simple(self) -> tree.Condition:
        words = self._words
        if words.maybe_symbol("("):
            inner = self._condition()
            words.symbol(")")
            return inner
        left = self._expression()
        token = words.peek()
        position = left.position
        if token.text in _COMPARISONS:
            words.take()
            operator = "!=" if token.text == "<>" else token.text
            return tree.Comparison(left, operator, self._value(), position)
        if words.maybe("like"):
            return tree.Comparison(left, "like", self._pattern(), position)
        for operator in ("includes", "excludes"):
            if words.maybe(operator):
                words.symbol("(")
                return tree.Comparison(left, operator, self._values(), position)
        operator = "not in" if words.maybe("not") else "in"
        words.word("in")
        words.symbol("(")
        return tree.Comparison(left, operator, self._list(), position)

    def _list(self) -> tuple[tree.Value, ...] | tree.Query:
        if self._words.peek().text.lower() != "select":
            return self._values()
        query = self.query()
        self._words.symbol(")")
        return query

    def _values(self) -> tuple[tree.Value, ...]:
        values = [self._value()]
        while self._words.maybe_symbol(","):
            values.append(self._value())
        self._words.symbol(")")
        return tuple(values)

    def _pattern(self) -> tree.Value:
        if self._words.peek().kind != "string":
            raise self._words.unexpected()
        token = self._words.take()
        return tree.Value("pattern", pattern(token), token.position)

    def _value(self) -> tree.Value:
        token = self._words.peek()
        value = self._literal(token)
        if value is None:
            raise self._words.unexpected()
        self._words.take()
        if value.kind == "dateword":
            amount = self._words.integer() if self._words.maybe_symbol(":") else None
            return tree.Value("dateword", (value.value, amount), token.position)
        return value

    @staticmethod
    def _literal(token: Token) -> tree.Value | None:
        kind, text, position = token.kind, token.text, token.position
        if kind == "string":
            if has_escaped_wildcard(token):
                raise illegal(token)
            return tree.Value("string", unquote(token), position)
        if kind in ("date", "datetime"):
            return tree.Value(kind, text, position)
        if kind == "number":
            whole = text.lstrip("+-").isdigit() and len(text) <= MAX_DIGITS
            return tree.Value("number", int(text) if whole else float(text), position)
        word = text.lower()
        if word in ("true", "false"):
            return tree.Value("boolean", word == "true", position)
        if word == "null":
            return tree.Value("null", None, position)
        return tree.Value("dateword", text.upper(), position) if is_date_word(text) else None
