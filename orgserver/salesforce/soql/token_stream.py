"""A parser's place among the tokens of a query: what comes next, and what must."""

from __future__ import annotations

from orgserver.salesforce.soql.tokens import SoqlError, Token

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
MAX_DIGITS = 18


class TokenStream:
    """Where in a query one is; what is not as expected is a SoqlError at its place."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self, ahead: int = 0) -> Token:
        """The next word, or one further on."""
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The next word, gone past."""
        token = self.peek()
        self._at += 1
        return token

    def maybe(self, word: str) -> bool:
        """Go past a keyword, if it comes next."""
        token = self.peek()
        if token.kind == "name" and token.text.lower() == word:
            self._at += 1
            return True
        return False

    def maybe_symbol(self, symbol: str) -> bool:
        """Go past a symbol, if it comes next."""
        if self.is_symbol(symbol):
            self._at += 1
            return True
        return False

    def is_symbol(self, symbol: str, ahead: int = 0) -> bool:
        """Tell whether a symbol comes next, or further on."""
        token = self.peek(ahead)
        return token.kind == "symbol" and token.text == symbol

    def is_name(self) -> bool:
        """Tell whether a name comes next, which is no reserved word."""
        token = self.peek()
        return token.kind == "name" and token.text.lower() not in RESERVED

    def word(self, word: str) -> None:
        """Go past a keyword that must come."""
        if not self.maybe(word):
            raise self.unexpected()

    def symbol(self, symbol: str) -> None:
        """Go past a symbol that must come."""
        if not self.maybe_symbol(symbol):
            raise self.unexpected()

    def name(self) -> Token:
        """The name that must come."""
        if not self.is_name():
            raise self.unexpected()
        return self.take()

    def integer(self) -> int:
        """The whole number that must come."""
        token = self.peek()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > MAX_DIGITS:
            raise self.unexpected()
        return int(self.take().text)

    def end(self) -> None:
        """Refuse whatever is left."""
        if self.peek().kind != "end":
            raise self.unexpected()

    def unexpected(self, ahead: int = 0) -> SoqlError:
        """What Salesforce says of a word that may not stand here."""
        token = self.peek(ahead)
        return SoqlError(f"unexpected token: '{token.text[:40]}'", token.position)
