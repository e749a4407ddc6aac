"""Attacks on guarded fields, by category: every place of a query, every way to another object, every tool that asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.leaks.scenarios import Scenario, Target
from tests.leaks.worlds import Question

_PLAIN = {
    "select": (
        "SELECT Id, {F} FROM {O}",
        "select id, {f} from {o}",
        "SELECT {F} FROM {O} LIMIT 2 OFFSET 1",
        "SELECT x.{F} FROM {O} x",
        "SELECT {O}.{F} FROM {O}",
        "SELECT\n\tId ,\n{F}\nFROM\n{O}",
    ),
    "where": (
        "SELECT Id FROM {O} WHERE {F} = {V}",
        "SELECT Id FROM {O} WHERE {F} != null ORDER BY Id",
        "SELECT Id FROM {O} WHERE NOT ({F} = {V})",
        "SELECT Id FROM {O} WHERE (Id != null AND (CreatedDate > 2020-01-01T00:00:00Z OR {F} > {V}))",
        "SELECT Id FROM {O} WHERE {F} IN ({V}, {V})",
        "SELECT Id FROM {O} WHERE x.{F} = {V}",
        "SELECT Id FROM {O} x WHERE x.{f} NOT IN ({V}) ORDER BY Id",
        "SELECT COUNT() FROM {O} WHERE {F} = {V}",
        "SELECT COUNT(Id) FROM {O} WHERE {F} >= {V}",
    ),
    "order": (
        "SELECT Id FROM {O} ORDER BY {F}",
        "SELECT Id FROM {O} ORDER BY CreatedDate, {F} DESC NULLS LAST LIMIT 1",
        "SELECT Id FROM {O} y ORDER BY y.{F} ASC NULLS FIRST",
    ),
    "group": (
        "SELECT {F}, COUNT(Id) FROM {O} GROUP BY {F}",
        "SELECT COUNT(Id) FROM {O} GROUP BY {F}",
        "SELECT {F} n, COUNT(Id) c FROM {O} GROUP BY {F} ORDER BY COUNT(Id)",
        "SELECT {F}, COUNT(Id) FROM {O} GROUP BY ROLLUP({F})",
        "SELECT {F}, GROUPING({F}) g, COUNT(Id) FROM {O} GROUP BY CUBE({F})",
        "SELECT CreatedById, COUNT(Id) FROM {O} GROUP BY CreatedById HAVING MAX({F}) > {V}",
        "SELECT CreatedById FROM {O} GROUP BY CreatedById ORDER BY MIN({F})",
    ),
    "aggregate": (
        "SELECT COUNT({F}) FROM {O}",
        "SELECT COUNT_DISTINCT({F}) FROM {O}",
        "SELECT MIN({F}) FROM {O}",
        "SELECT MAX({F}) Id FROM {O}",
        "SELECT SUM({F}) s, AVG({F}) a FROM {O}",
        "SELECT CreatedById, MAX({F}) m FROM {O} GROUP BY CreatedById ORDER BY MAX({F})",
    ),
    "function": (
        "SELECT toLabel({F}) FROM {O}",
        "SELECT FORMAT({F}) Title FROM {O}",
        "SELECT FORMAT({F}) FROM {O}",
        "SELECT convertCurrency({F}) FROM {O}",
        "SELECT FORMAT(MAX({F})) m FROM {O}",
        "SELECT Id FROM {O} WHERE toLabel({F}) = {V}",
        "SELECT Id FROM {O} WHERE DISTANCE({F}, GEOLOCATION(1.0, 2.0), 'km') < 5",
        "SELECT Id FROM {O} ORDER BY DISTANCE({F}, GEOLOCATION(1.0, 2.0), 'km')",
    ),
    "semi-join": (
        "SELECT Id FROM {O} WHERE Id IN (SELECT Id FROM {O} WHERE {F} = {V})",
        "SELECT Id FROM Contact WHERE OwnerId IN (SELECT OwnerId FROM {O} WHERE {F} != {V})",
        "SELECT Id FROM Account WHERE OwnerId NOT IN (SELECT OwnerId FROM {O} WHERE {F} > {V})",
        "SELECT COUNT() FROM Contact WHERE OwnerId IN (SELECT CreatedById FROM {O} WHERE {F} = {V})",
        "SELECT Id FROM Contact WHERE Name IN (SELECT {F} FROM {O})",
    ),
    "fields": (
        "SELECT FIELDS(ALL) FROM {O} LIMIT 200",
        "SELECT FIELDS(STANDARD) FROM {O}",
        "SELECT FIELDS(CUSTOM), FIELDS(STANDARD) FROM {O} LIMIT 5",
        "SELECT Id, FIELDS(ALL) FROM {O} WHERE Id != null LIMIT 5",
    ),
    "beyond the grammar": (
        "SELECT Id FROM {O} WHERE {F} = {V} WITH SECURITY_ENFORCED",
        "SELECT {F} FROM {O} ALL ROWS",
        "SELECT {F} FROM {O} FOR VIEW",
        "SELECT Id/**/, {F} FROM {O}",
        "SELECT Id FROM {O}, {O}.Account a WHERE {F} = {V}",
        "SELECT Id FROM {O} WHERE {F} = {V} AND Id != null OR {F} != {V}",
        "SELECT Id,, {F} FROM {O}",
        "SELECT {F} FROM {O} USING SCOPE everything",
        "SELECT Id, {F} FROM {O} LIMIT 1 WHERE {F} = {V}",
        "SELECT \u00a0{F}\u2003FROM {O}",
        "FIND {{x}} RETURNING {O}({F})",
        "SELECT Id FROM {O} WHERE {F} = '\\u0061' ORDER BY {F}",
    ),
    "names": (
        "SELECT {F} Id FROM {O} GROUP BY {F}",
        "SELECT COUNT(Id) {F} FROM {O}",
        "SELECT Id FROM {O} {F} WHERE {F}.{F} != null",
        "SELECT {O}.{O}.{F} FROM {O}",
        "SELECT Id FROM {O} Owner WHERE Owner.{F} = {V}",
        "SELECT Owner.{F} FROM {O} Owner",
        "SELECT Account.{F} FROM {O} Account",
    ),
}
_DATES = (
    "SELECT CALENDAR_YEAR({F}), COUNT(Id) FROM {O} GROUP BY CALENDAR_YEAR({F})",
    "SELECT Id FROM {O} WHERE CALENDAR_MONTH({F}) = 5",
    "SELECT Id FROM {O} WHERE {F} < TODAY ORDER BY Id",
    "SELECT Id FROM {O} WHERE {F} = LAST_N_YEARS:60",
    "SELECT DAY_IN_MONTH({F}) d FROM {O} GROUP BY DAY_IN_MONTH({F}) ORDER BY DAY_IN_MONTH({F})",
)
_LIKE = (
    "SELECT Id FROM {O} WHERE {F} LIKE 'a%'",
    "SELECT Id FROM {O} WHERE NOT {F} LIKE '%z%'",
    "SELECT COUNT() FROM {O} WHERE Id != null AND {F} LIKE '%e%'",
)
_PARENTS = {
    "Contact": ("Case:Contact", "Contact:ReportsTo", "Custom__c:Contact__r", "Event:Who", "Account:PrimaryContact"),
    "Account": ("Contact:Account", "Opportunity:Account", "Case:Account", "Event:Account", "Event:What"),
    "User": (
        "Contact:Owner",
        "Account:CreatedBy",
        "Opportunity:LastModifiedBy",
        "Event:Owner",
        "Contact:Account.Owner",
    ),
    "Lead": ("Event:Who", "Lead:MasterRecord"),
    "Case": ("Case:Parent", "Event:What"),
    "Opportunity": ("Event:What",),
    "Event": ("EventRelation:Event",),
}
_BY_PARENT = (
    "SELECT {R}.{F} FROM {C}",
    "SELECT Id, {C}.{R}.{F} FROM {C} ORDER BY Id",
    "SELECT Id FROM {C} WHERE {R}.{F} = {V}",
    "SELECT Id FROM {C} ORDER BY {R}.{F} DESC",
    "SELECT {R}.{F}, COUNT(Id) FROM {C} GROUP BY {R}.{F}",
    "SELECT Id FROM {C} z WHERE z.{R}.{F} != null",
    "SELECT TYPEOF {R} WHEN {O} THEN {F} ELSE Name END FROM {C}",
    "SELECT TYPEOF {R} WHEN Account THEN Id ELSE {F} END FROM {C}",
)
_CHILDREN = {
    "Contact": ("Account:Contacts",),
    "Case": ("Account:Cases", "Contact:Cases"),
    "Opportunity": ("Account:Opportunities",),
    "Event": ("Contact:Events", "Account:Events"),
    "User": ("Contact:Users",),
    "Account": ("Account:ChildAccounts",),
}
_BY_CHILD = (
    "SELECT Id, (SELECT Id, {F} FROM {K}) FROM {P}",
    "SELECT Id, (SELECT Id FROM {K} WHERE {F} = {V}) FROM {P}",
    "SELECT Id, (SELECT Id FROM {K} ORDER BY {F} LIMIT 1) FROM {P}",
    "SELECT Id, (SELECT c.{F} FROM p.{K} c) FROM {P} p",
    "SELECT Id, (SELECT FIELDS(STANDARD) FROM {K}) FROM {P}",
    "SELECT Id FROM {P} WHERE Id IN (SELECT {P}Id FROM {O} WHERE {F} = {V})",
)
_LISTS = {"Contact": "salesforce_list_contacts", "Event": "salesforce_list_appointments"}


def attacks(scenario: Scenario) -> Iterator[Question]:
    """Every attack of a scenario."""
    for target in scenario.targets:
        for category, text in _queries(target):
            yield Question(category, "salesforce_query", {"org": "acme", "soql": text})
        yield from _other_tools(target)


def _queries(target: Target) -> Iterator[tuple[str, str]]:
    templates = [(category, text) for category, texts in _PLAIN.items() for text in texts]
    templates += [("date", text) for text in _DATES] if target.is_date else []
    templates += [] if target.is_date or target.is_number else [("like", text) for text in _LIKE]
    for category, text in templates:
        yield category, _write(text, target)
    for place in _PARENTS.get(target.object, ()):
        child, _, path = place.partition(":")
        for text in _BY_PARENT:
            yield "parent", _write(text, target, C=child, R=path)
    for place in _CHILDREN.get(target.object, ()):
        parent, _, relationship = place.partition(":")
        for text in _BY_CHILD:
            yield "child", _write(text, target, P=parent, K=relationship)


def _write(text: str, target: Target, **more: str) -> str:
    names = {"O": target.object, "F": target.field, "V": target.literal}
    return text.format(**names, o=target.object.lower(), f=target.field.lower(), **more)


def _other_tools(target: Target) -> Iterator[Question]:
    tool, sobject, field = _LISTS.get(target.object), target.object, target.field
    org: dict[str, Any] = {"org": "acme"}
    if tool is not None:
        value = f"{target.word}T00:00:00Z" if field.endswith("DateTime") else target.word
        for arguments in (
            {"fields": ["Id", field]},
            {"filter": {field: value}},
            {"filter": {field: {"is_null": False}}, "count": True},
            {"filter": {field.lower(): {"ne": value}}},
            {"filter": {"Id": {"ne": "003000000000000AAA"}, field: {"in": [value]}}},
            {"order_by": field},
            {"order_by": f"{field} desc", "limit": 1},
            {},
        ):
            yield Question("list", tool, org | arguments)
    for text in (target.word, target.word[:3]):
        if len(text) > 1:
            yield Question("search", "salesforce_search", org | {"text": text})
            yield Question("search", "salesforce_search", org | {"text": text, "objects": [sobject]})
            yield Question("search", "salesforce_search", org | {"text": text, "objects": [sobject, "Account"]})
    for soql in (f"SELECT COUNT() FROM {sobject} WHERE {field} != null", f"SELECT {field} FROM {sobject}"):
        yield Question("fleet", "salesforce_query_orgs", {"orgs": ["acme"], "soql": soql})
    count = f"SELECT {field}, COUNT(Id) n FROM {sobject} GROUP BY {field}"
    yield Question("fleet", "salesforce_query_orgs", {"orgs": ["*"], "soql": count, "merge": True})
    yield Question(
        "page", "salesforce_query", org | {"soql": f"SELECT Id FROM {sobject} ORDER BY {field}", "count": True}
    )
