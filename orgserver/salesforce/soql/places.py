"""Which object a name in a query belongs to: the query's own, a child subquery's, or a semi-join's."""

from __future__ import annotations

from dataclasses import dataclass, field

from orgserver.salesforce.soql.tokens import is_date_word, scan

_BEHIND_OBJECT = frozenset(
    {"where", "order", "limit", "offset", "for", "group", "having", "with", "using", "update", "all"}
)
_BEYOND = frozenset({"typeof", "group", "having", "fields"})
_BEFORE_PAREN = frozenset(
    {"in", "where", "and", "or", "not", "includes", "excludes", "select", "having", "by", "like", "from"}
)


@dataclass(slots=True)
class Level:
    """One SELECT of a query: what it reads from, and every name in it."""

    outer: Level | None = None
    child: bool = False
    """Whether it stands among the outer's fields, so that its FROM names a relationship."""
    source: str | None = None
    names: list[str] = field(default_factory=list)

    def mentions(self, step: str) -> bool:
        """Whether one of its paths goes through a relationship."""
        relationship = step.lower()
        return any(relationship in path.lower().split(".")[:-1] for path in self.names)


def levels(text: str) -> list[Level]:
    """Every SELECT of a text, outer ones first; never fails, whatever the text is."""
    levels: list[Level] = []
    open_: list[Level | None] = []
    here: Level | None = None
    after_from = False
    for kind, part in scan(text):
        word = part.lower()
        if kind == "symbol" and part == "(":
            open_.append(here)
        elif kind == "symbol" and part == ")":
            here = open_.pop() if open_ else here
        elif kind == "name" and word == "select":
            here = Level(here, child=here is not None and here.source is None)
            levels.append(here)
        elif kind == "name" and here is not None:
            if after_from and here.source is None:
                here.source = part
            elif word != "from":
                here.names.append(part)
        after_from = kind in ("space", "name") and (word == "from" or (after_from and kind == "space"))
    return levels


def is_plain(text: str) -> bool:
    """Tell whether every name in a query is a field of the object it reads from, or leads to one.

    Not so with functions, aliases, groups, TYPEOF or subqueries: of those Salesforce alone judges.
    """
    words = [(kind, part.lower()) for kind, part in scan(text) if kind != "space"]
    if [word for kind, word in words if kind == "name"].count("select") != 1:
        return False
    for (kind, word), (_, following) in zip(words, [*words[1:], ("end", "")], strict=True):
        if kind == "other" or (kind == "name" and word in _BEYOND):
            return False
        if kind == "name" and following == "(" and word not in _BEFORE_PAREN and not is_date_word(word):
            return False
    at = next((index for index, pair in enumerate(words) if pair == ("name", "from")), len(words))
    behind = words[at + 2 :]
    return not behind or behind[0][1] in _BEHIND_OBJECT
