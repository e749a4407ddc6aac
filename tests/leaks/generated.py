"""Queries by Hypothesis over the whole grammar, with the real names of fields and relationships, guarded ones often."""

from __future__ import annotations

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from orgserver.salesforce.soql import tree
from tests.leaks.scenarios import Scenario
from tests.leaks.worlds import Question
from tests.salesforce.soql import soql_texts

_ROOTS = ("Contact", "Account", "Event", "Opportunity", "Case", "Lead", "Custom__c")
_NAMES = (
    "Id",
    "Name",
    "CreatedDate",
    "OwnerId",
    "Owner.Username",
    "Account.Industry",
    "Title",
    "Who.Name",
    "What.Type",
)
_WAYS = ("", "", "", "Contact.", "Account.", "Who.", "Owner.", "ReportsTo.", "Contact__r.", "CreatedBy.", "x.")
_RELATIONSHIPS = ("Contacts", "Cases", "Events", "Opportunities", "ChildAccounts")
_VALUES = (
    tree.Value("string", "ada@one.example"),
    tree.Value("string", "Beta"),
    tree.Value("number", 5001),
    tree.Value("date", "1981-05-06"),
    tree.Value("null", None),
)
_COMPARED = ("=", "!=", "<", "<=", ">", ">=")


def draw_questions(scenario: Scenario, count: int, seed: int) -> list[Question]:
    """So many queries; the same ones for the same seed."""
    texts: dict[str, None] = {}

    @hypothesis.seed(seed)
    @settings(
        max_examples=3 * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(queries(scenario))
    def collect(query: tree.Query) -> None:
        texts.setdefault(soql_texts.text(query))

    collect()
    return [Question("generated", "salesforce_query", {"org": "acme", "soql": each}) for each in list(texts)[:count]]


def queries(scenario: Scenario) -> st.SearchStrategy[tree.Query]:
    """Queries that have a chance to be taken: few clauses, existing names."""
    guarded = [target.field for target in scenario.targets]
    names = st.builds(str.__add__, st.sampled_from(_WAYS), st.sampled_from(guarded)) | st.sampled_from(_NAMES)
    paths = names.map(tree.Path)
    functions = [*sorted(tree.AGGREGATES), "tolabel", "format", "calendar_year"]
    calls = st.builds(lambda name, path: tree.Call(name, (path,)), st.sampled_from(functions), paths)
    expressions = paths | paths | calls
    inner = st.builds(_inner, st.sampled_from(_ROOTS), paths, st.none() | _comparisons(expressions, None))
    children = st.builds(_inner, st.sampled_from(_RELATIONSHIPS), paths, st.none() | _comparisons(paths, None))
    cases = st.lists(st.tuples(st.sampled_from(["Contact", "Account", "Lead"]), paths.map(lambda path: (path,))))
    items = st.one_of(
        st.builds(tree.Selected, expressions),
        st.builds(tree.Selected, calls, st.sampled_from([None, "n", *guarded])),
        children.map(tree.Children),
        st.builds(tree.TypeOf, st.sampled_from(["Who", "What"]), cases.filter(bool).map(tuple)),
    )
    conditions = _comparisons(expressions, inner)
    joined = st.builds(
        tree.Group, st.sampled_from(["and", "or"]), st.lists(conditions, min_size=2, max_size=3).map(tuple)
    )
    return st.builds(
        _query,
        st.sampled_from(_ROOTS),
        st.lists(items, min_size=0, max_size=2),
        st.none() | conditions | joined | conditions.map(tree.Negation),
        st.just(()) | st.just(()) | st.tuples(paths),
        st.just(()) | st.tuples(st.builds(tree.Order, expressions, st.booleans())),
        st.sampled_from([None, "x"]),
    )


def _comparisons(
    left: st.SearchStrategy[tree.Path] | st.SearchStrategy[tree.Expression], inner: st.SearchStrategy[tree.Query] | None
) -> st.SearchStrategy[tree.Comparison]:
    plain = st.builds(tree.Comparison, left, st.sampled_from(_COMPARED), st.sampled_from(_VALUES))
    like = st.builds(tree.Comparison, left, st.just("like"), st.just(tree.Value("pattern", "a%")))
    if inner is None:
        return plain | like
    return plain | like | st.builds(tree.Comparison, left, st.sampled_from(["in", "not in"]), inner)


def _inner(sobject: str, path: tree.Path, where: tree.Comparison | None) -> tree.Query:
    return tree.Query(sobject, (tree.Selected(path),), where=where)


def _query(
    sobject: str,
    items: list[tree.Item],
    where: tree.Condition | None,
    group: tuple[tree.Path, ...],
    order: tuple[tree.Order, ...],
    alias: str | None,
) -> tree.Query:
    grouped = tuple(tree.Selected(path) for path in group)
    selected = (*grouped, *items)
    return tree.Query(
        sobject, selected, count=not selected, alias=alias, where=where, group=group if selected else (), order=order
    )
