"""Queries by Hypothesis as trees, and the text of each tree."""

from hypothesis import strategies as st

from orgserver.salesforce import soql
from orgserver.salesforce.soql import tree

NAMES = ("Id", "Name", "Amount", "Account.Name", "Owner.Manager.Email", "Vip__c", "CreatedDate")
SENTINEL = "Zq7"
"""Every literal that the strategies make holds it, or is the number 987654."""


def text(query: tree.Query) -> str:
    parts = ["SELECT", ", ".join(map(_item, query.selected)) or "COUNT()", "FROM", query.sobject]
    parts += [query.alias] if query.alias else []
    parts += ["USING SCOPE", query.scope] if query.scope else []
    parts += ["WHERE", _condition(query.where)] if query.where else []
    group = ", ".join(map(_expression, query.group))
    parts += ["GROUP BY", f"{query.subtotals}({group})" if query.subtotals else group] if group else []
    parts += ["HAVING", _condition(query.having)] if query.having else []
    parts += ["ORDER BY", ", ".join(map(_order, query.order))] if query.order else []
    parts += ["LIMIT", str(query.limit)] if query.limit is not None else []
    parts += ["OFFSET", str(query.offset)] if query.offset else []
    return " ".join(parts)


def _item(item: tree.Item) -> str:
    if isinstance(item, tree.Selected):
        return _expression(item.expression) + (f" {item.alias}" if item.alias else "")
    if isinstance(item, tree.Fields):
        return f"FIELDS({item.group})"
    if isinstance(item, tree.Children):
        return f"({text(item.query)})"
    cases = " ".join(f"WHEN {name} THEN {', '.join(path.path for path in paths)}" for name, paths in item.cases)
    otherwise = f" ELSE {', '.join(path.path for path in item.otherwise)}" if item.otherwise else ""
    return f"TYPEOF {item.relationship} {cases}{otherwise} END"


def _expression(expression: tree.Path | tree.Call | tree.Value) -> str:
    if isinstance(expression, tree.Path):
        return expression.path
    if isinstance(expression, tree.Value):
        return _value(expression)
    return f"{expression.function}({', '.join(map(_expression, expression.arguments))})"


def _condition(condition: tree.Condition, *, inside: bool = False) -> str:
    if isinstance(condition, tree.Comparison):
        right = condition.right
        if isinstance(right, tree.Query):
            shown = f"({text(right)})"
        else:
            shown = f"({', '.join(map(_value, right))})" if isinstance(right, tuple) else _value(right)
        return f"{_expression(condition.left)} {condition.operator} {shown}"
    if isinstance(condition, tree.Negation):
        return f"NOT ({_condition(condition.condition)})"
    joined = f" {condition.operator} ".join(_condition(each, inside=True) for each in condition.conditions)
    return f"({joined})" if inside else joined


def _value(value: tree.Value) -> str:
    if value.kind == "dateword":
        word, amount = value.value
        return word if amount is None else f"{word}:{amount}"
    if value.kind in ("date", "datetime"):
        return str(value.value)
    if value.kind == "pattern":
        return soql.like(value.value.removesuffix("%"), prefix=False, suffix=True)
    return soql.literal(value.value)


def _order(term: tree.Order) -> str:
    return (
        f"{_expression(term.by)} {'DESC' if term.descending else 'ASC'} NULLS {'LAST' if term.nulls_last else 'FIRST'}"
    )


paths = st.sampled_from(NAMES).map(tree.Path)
dates = st.builds(lambda name, path: tree.Call(name, (path,)), st.sampled_from(sorted(tree.DATE_FUNCTIONS)), paths)
sums = st.builds(lambda name, path: tree.Call(name, (path,)), st.sampled_from(sorted(tree.AGGREGATES)), paths | dates)
distances = paths.map(
    lambda path: tree.Call(
        "distance",
        (
            path,
            tree.Call("geolocation", (tree.Value("number", 987654), tree.Value("number", 987654.5))),
            tree.Value("string", SENTINEL),
        ),
    )
)
expressions = paths | dates | sums | distances
aliases = st.none() | st.sampled_from(["n", "total", "Zz"])

_texts = st.text(st.sampled_from("ab'\\\"\n% _()FROM,"), max_size=8).map(lambda t: SENTINEL + t + SENTINEL)
values = st.one_of(
    _texts.map(lambda t: tree.Value("string", t)),
    st.sampled_from([987654, -987654, 987654.25]).map(lambda n: tree.Value("number", n)),
    st.sampled_from([True, False]).map(lambda b: tree.Value("boolean", b)),
    st.just(tree.Value("null", None)),
    st.sampled_from([("TODAY", None), ("LAST_N_DAYS", 987654)]).map(lambda w: tree.Value("dateword", w)),
    st.just(tree.Value("date", "2026-02-20")),
    st.just(tree.Value("datetime", "2026-02-20T10:00:00Z")),
)
_lists = st.lists(values, min_size=1, max_size=3).map(tuple)
_patterns = st.just(tree.Value("pattern", SENTINEL + "%"))


def _comparisons(queries: st.SearchStrategy[tree.Query]) -> st.SearchStrategy[tree.Condition]:
    return st.one_of(
        st.builds(tree.Comparison, expressions, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values),
        st.builds(tree.Comparison, expressions, st.just("like"), _patterns),
        st.builds(tree.Comparison, expressions, st.sampled_from(["in", "not in", "includes", "excludes"]), _lists),
        st.builds(tree.Comparison, expressions, st.sampled_from(["in", "not in"]), queries),
    )


def _conditions(queries: st.SearchStrategy[tree.Query]) -> st.SearchStrategy[tree.Condition]:
    return st.recursive(
        _comparisons(queries),
        lambda inner: st.one_of(
            inner.map(tree.Negation),
            st.builds(tree.Group, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=4,
    )


_some_paths = st.lists(paths, min_size=1, max_size=2).map(tuple)
_cases = st.lists(st.tuples(st.sampled_from(["Account", "Lead"]), _some_paths), min_size=1, max_size=2).map(tuple)
_orders = st.lists(st.builds(tree.Order, expressions, st.booleans(), st.booleans()), max_size=2).map(tuple)


def _queries(inner: st.SearchStrategy[tree.Query]) -> st.SearchStrategy[tree.Query]:
    items = st.one_of(
        st.builds(tree.Selected, expressions, aliases),
        st.sampled_from(["all", "standard", "custom"]).map(tree.Fields),
        st.builds(tree.TypeOf, st.sampled_from(["Who", "What"]), _cases, st.just(()) | _some_paths),
        inner.map(tree.Children),
    )
    group = st.lists(paths | dates, max_size=2).map(tuple)

    def built(selected, sobject, alias, where, group, subtotals, having, order, limit, offset) -> tree.Query:
        return tree.Query(
            sobject=sobject,
            selected=tuple(selected),
            count=not selected,
            alias=alias,
            where=where,
            group=group,
            subtotals=subtotals if group else None,
            having=having if group else None,
            order=order,
            limit=limit,
            offset=offset,
        )

    return st.builds(
        built,
        st.lists(items, max_size=3),
        st.sampled_from(["Contact", "Event", "Thing__c"]),
        aliases,
        st.none() | _conditions(inner),
        group,
        st.sampled_from([None, "rollup", "cube"]),
        st.none() | _conditions(inner),
        _orders,
        st.sampled_from([None, 0, 7]),
        st.sampled_from([0, 3]),
    )


_plain = st.builds(lambda path, name: tree.Query(name, (tree.Selected(path),)), paths, st.sampled_from(["A", "B__c"]))
queries = _queries(_queries(_plain))
