"""Questions that touch nothing guarded: each must be answered as in an org without any policy."""

from __future__ import annotations

from collections.abc import Iterator

from tests.leaks.scenarios import Scenario
from tests.leaks.worlds import Question

_TEXTS = (
    "SELECT Id, {F} FROM {O}",
    "SELECT x.Id, x.{F} FROM {O} x WHERE x.{F} != null ORDER BY x.Id",
    "SELECT Id FROM {O} WHERE {F} LIKE '%a%' ORDER BY {F} DESC NULLS LAST, Id",
    "SELECT COUNT() FROM {O}",
    "SELECT COUNT() FROM {O} WHERE NOT ({F} = null)",
    "SELECT {F}, COUNT(Id) n FROM {O} GROUP BY {F} ORDER BY {F}",
    "SELECT COUNT_DISTINCT({F}) d, MIN({F}) FROM {O}",
    "SELECT {F} FROM {O} GROUP BY {F} HAVING COUNT(Id) > 1 ORDER BY {F}",
    "SELECT Id, {F} FROM {O} ORDER BY Id LIMIT 3 OFFSET 1",
    "SELECT Id FROM {O} WHERE CreatedDate > 2020-01-01T00:00:00Z AND ({F} = 'x' OR {F} != 'x')",
    "SELECT CALENDAR_YEAR(CreatedDate) y, COUNT(Id) FROM {O} GROUP BY CALENDAR_YEAR(CreatedDate)",
    "SELECT Id FROM {O} USING SCOPE everything WHERE {F} IN ('x', 'y') OR {F} NOT IN ('x')",
    "SELECT Id FROM {O} WHERE LastModifiedDate < TODAY ORDER BY LastModifiedDate, Id",
    "SELECT Id, CreatedById FROM {O} ORDER BY CreatedDate NULLS FIRST, Id",
    "SELECT MAX(CreatedDate) latest, COUNT(Id) FROM {O} WHERE {F} != 'zzz'",
    "SELECT COUNT(Id) total FROM {O} WHERE CreatedDate >= LAST_N_YEARS:3 AND {F} != null",
    "SELECT {F} f, MIN(CreatedDate) FROM {O} GROUP BY {F} HAVING MIN(CreatedDate) > 2020-01-01T00:00:00Z ORDER BY {F}",
)
_FIELDS = {
    "Contact": ("Title", "Department", "LeadSource"),
    "Account": ("Industry", "Website"),
    "Opportunity": ("StageName", "Name"),
    "Case": ("Priority", "Status"),
    "Lead": ("Status", "LastName"),
    "Event": ("Location",),
    "Custom__c": ("Name", "Status__c"),
}
_CROSSING = {
    ("Contact", "Account"): (
        "SELECT Account.Industry FROM Contact ORDER BY Account.Industry, Id",
        "SELECT Id FROM Contact WHERE Account.Website = 'a.example' ORDER BY Id",
        "SELECT Id, (SELECT Id, Title FROM Contacts ORDER BY Title, Id) FROM Account ORDER BY Id",
        "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE Title = 'Title 1') ORDER BY Id",
        "SELECT Id FROM Account WHERE Id NOT IN (SELECT AccountId FROM Contact WHERE Department = 'D0') ORDER BY Id",
        "SELECT Account.Industry, COUNT(Id) FROM Contact GROUP BY Account.Industry",
        "SELECT ReportsTo.Title, ReportsTo.Account.Industry FROM Contact ORDER BY Id",
    ),
    ("Event", "Contact"): (
        "SELECT Id, Location, Who.Type, Who.Id FROM Event ORDER BY StartDateTime",
        "SELECT TYPEOF Who WHEN Contact THEN Title, Department END FROM Event ORDER BY Id",
        "SELECT Id, (SELECT Location FROM Events ORDER BY Location, Id) FROM Contact ORDER BY Id",
        "SELECT Id FROM Event WHERE StartDateTime > 2030-01-12T00:00:00Z ORDER BY StartDateTime DESC",
    ),
    ("Custom__c", "Contact"): (
        "SELECT Contact__r.Title FROM Custom__c ORDER BY Contact__r.Title, Id",
        "SELECT Id FROM Custom__c WHERE Contact__r.Department = 'D1' ORDER BY Id",
        "SELECT FIELDS(CUSTOM) FROM Custom__c LIMIT 5",
        "SELECT FIELDS(STANDARD) FROM Custom__c",
    ),
    ("User", "Contact"): (
        "SELECT Owner.Username FROM Contact ORDER BY Id",
        "SELECT CreatedBy.Username, LastModifiedBy.IsActive FROM Contact ORDER BY Id",
        "SELECT Owner.Username, COUNT(Id) FROM Contact GROUP BY Owner.Username",
    ),
}
_LIST_ARGUMENTS = (
    {"fields": ["Id", "Title"]},
    {"filter": {"Title": "Title 1"}, "order_by": "Title"},
    {"filter": {"Department": {"in": ["D0", "D1"]}}, "fields": ["Department"], "order_by": "Department desc"},
    {"fields": ["Id"], "limit": 3, "count": True},
)


def harmless(scenario: Scenario) -> Iterator[Question]:
    """What of it touches nothing that this scenario guards."""
    absent = scenario.absent_fields
    for sobject, names in _FIELDS.items():
        if sobject in scenario.absent_objects or not _is_allowed(scenario, sobject):
            continue
        for name in names:
            if name not in absent.get(sobject, ()):
                for text in _TEXTS:
                    yield _query("plain", text.format(O=sobject, F=name))
    for objects, texts in _CROSSING.items():
        if all(_is_allowed(scenario, each) for each in objects):
            for text in texts:
                if not _names_any(text, absent):
                    yield _query("crossing", text)
    for arguments in _LIST_ARGUMENTS:
        yield Question("list", "salesforce_list_contacts", {"org": "acme"} | arguments)
    yield Question("fleet", "salesforce_query_orgs", {"orgs": ["*"], "soql": "SELECT COUNT() FROM Contact"})
    yield Question("search", "salesforce_search", {"org": "acme", "text": "Low1", "objects": ["Event"]})


def _query(category: str, soql: str) -> Question:
    return Question(category, "salesforce_query", {"org": "acme", "soql": soql, "limit": 50})


def _is_allowed(scenario: Scenario, sobject: str) -> bool:
    allowed = scenario.policy.allow_objects
    denied = {rule.object for rule in scenario.policy.deny_objects}
    return sobject not in denied and (allowed is None or sobject in {rule.object for rule in allowed})


def _names_any(text: str, absent: object) -> bool:
    """Whether a text goes through a reference that the scenario hides."""
    hidden = {name for names in absent.values() for name in names}  # type: ignore[attr-defined]  # a mapping
    if "AccountId" in hidden:
        return any(word in text for word in ("Account", "Contacts", "AccountId"))
    return False
