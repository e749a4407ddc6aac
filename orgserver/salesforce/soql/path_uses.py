"""What a query touches, by what the agent learns of it: values that are shown, and fields by which records are chosen.

What stands in SELECT is shown; every other clause compares, and so do sums, and whatever comes under another name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from orgserver.model.access.acts import PathUse
from orgserver.salesforce.soql import tree

_SHOWING = frozenset({"tolabel", "format", "convertcurrency"})
"""Functions that show their field's value under the field's own name."""
_EVERYTHING = "everything"


def path_uses(query: tree.Query) -> tuple[PathUse, ...]:
    """Everything that a query touches, in every clause and every query within it; its own object first."""
    return tuple(_uses(query, query.sobject, (), is_compared=False))


@dataclass(slots=True)
class _Paths:
    shown: set[str] = field(default_factory=set)
    compared: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    within: list[PathUse] = field(default_factory=list)


def _uses(query: tree.Query, sobject: str, children: tuple[str, ...], *, is_compared: bool) -> Iterator[PathUse]:
    found = _Paths()
    for item in query.selected:
        _add_item(found, query, item, sobject, children)
    for comparison in tree.comparisons(query.where) + tree.comparisons(query.having):
        found.compared |= _names(comparison.left)
        if isinstance(comparison.right, tree.Query):
            found.within += _uses(comparison.right, comparison.right.sobject, (), is_compared=True)
    for expression in (*query.group, *(term.by for term in query.order)):
        found.compared |= _names(expression)
    if query.scope is not None and query.scope.lower() != _EVERYTHING:
        found.compared.add("OwnerId")
    if query.aggregated or is_compared:
        found.compared |= found.shown
    yield PathUse(
        sobject,
        "read",
        children,
        shown=frozenset(found.shown),
        compared=frozenset(found.compared),
        groups=frozenset(found.groups),
        alias=query.alias,
    )
    yield from found.within


def _add_item(found: _Paths, query: tree.Query, item: tree.Item, sobject: str, children: tuple[str, ...]) -> None:
    if isinstance(item, tree.Selected):
        names = _names(item.expression)
        found.shown |= names
        if item.alias is not None or not _shows(item.expression):
            found.compared |= names
    elif isinstance(item, tree.Fields):
        found.groups.add(item.group)
    elif isinstance(item, tree.Children):
        steps = (*children, tree.own(query, item.query.sobject))
        found.within += _uses(item.query, sobject, steps, is_compared=False)
    else:
        found.shown.add(f"{item.relationship}.Id")
        found.shown |= {f"{item.relationship}.{path.path}" for path in item.otherwise}
        found.within += [PathUse(name, "read", shown=_paths(paths)) for name, paths in item.cases]


def _shows(expression: tree.Path | tree.Call | tree.Value) -> bool:
    """Whether an expression is a field's value, in whatever form, under the field's own name."""
    if isinstance(expression, tree.Call):
        return expression.function in _SHOWING and all(map(_shows, expression.arguments))
    return True


def _names(expression: tree.Expression) -> set[str]:
    return {path.path for path in tree.paths(expression)}


def _paths(paths: Iterable[tree.Path]) -> frozenset[str]:
    return frozenset(path.path for path in paths)
