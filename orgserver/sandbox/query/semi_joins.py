"""Which queries may stand behind IN: the rules of semi-joins and anti-joins (SOQL, "Comparison Operators")."""

from __future__ import annotations

from orgserver.salesforce.soql import tree
from orgserver.sandbox.errors import Refusal, framed

_MAX = 2
_ONLY_WHERE = (
    "Semi join sub-selects are only allowed at the top level WHERE expressions and not in nested WHERE expressions."
)


def allowed(condition: tree.Condition | None, text: str) -> None:
    """Refuse semi-joins that are too many, or stand where Salesforce takes none."""
    joins = [each for each in tree.comparisons(condition) if isinstance(each.right, tree.Query)]
    if not joins:
        return
    if len(joins) > _MAX:
        message = f"Maximum {_MAX} semi join sub-selects are allowed"
        raise framed("EXCEEDED_MAX_SEMIJOIN_SUBSELECTS", message, text, joins[_MAX].position)
    if isinstance(condition, tree.Group) and condition.operator == "or":
        raise _malformed("Semi join sub-selects are not allowed with the 'OR' operator", text, joins[0].position)
    top = condition.conditions if isinstance(condition, tree.Group) else (condition,)
    deeper = [each for each in joins if each not in top]
    if deeper:
        raise _malformed(_ONLY_WHERE, text, deeper[0].position)


def none(condition: tree.Condition | None, text: str) -> None:
    """Refuse any semi-join, as HAVING does."""
    for each in tree.comparisons(condition):
        if isinstance(each.right, tree.Query):
            raise _malformed(_ONLY_WHERE, text, each.position)


def selected(inner: tree.Query, text: str) -> tree.Path:
    """The one field that a semi-join asks for; Refusal if it asks for more, or in a way that it may not."""
    if any(isinstance(each.right, tree.Query) for each in tree.comparisons(inner.where)):
        raise _malformed("Nesting of semi join sub-selects is not supported", text, inner.position)
    clauses = {
        "GROUP": bool(inner.group),
        "ORDER": bool(inner.order),
        "LIMIT": inner.limit is not None,
        "OFFSET": inner.offset > 0,
    }
    for clause, present in clauses.items():
        if present:
            raise _malformed(f"missing value at '{clause}'", text, inner.position)
    only = inner.selected[0] if len(inner.selected) == 1 else None
    if not isinstance(only, tree.Selected) or not isinstance(only.expression, tree.Path) or only.alias:
        raise _malformed("Semi join sub-selects must query exactly one id field", text, inner.position)
    return only.expression


def not_an_id(path: tree.Expression, text: str, *, outer: bool) -> Refusal:
    """The refusal of a join by a field that is no id."""
    message = f"Semi join sub-selects can only query id fields, cannot use: '{tree.label(path)}'"
    if outer:
        message = "The left operand field in the where expression for outer query should be an id field, cannot use: "
        message += f"'{tree.label(path)}'"
    return _malformed(message, text, path.position)


def _malformed(message: str, text: str, position: int) -> Refusal:
    return framed("MALFORMED_QUERY", message, text, position)
