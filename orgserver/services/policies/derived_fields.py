"""Which other fields a field tells of: parts of compound fields, what formulas name, what Salesforce derives itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orgserver.model.schema import FieldInfo, Schema

NAME_PARTS = ("FirstName", "LastName", "MiddleName", "Salutation", "Suffix", "InformalName")
_NAMED_IN_PARTS = frozenset({"contact", "lead", "user"})
_ADDRESS_PARTS = (
    "Street",
    "City",
    "State",
    "StateCode",
    "PostalCode",
    "Country",
    "CountryCode",
    "Latitude",
    "Longitude",
    "GeocodeAccuracy",
)
_MIRRORS = {
    ("case", "contactemail"): "Contact.Email",
    ("case", "contactphone"): "Contact.Phone",
    ("case", "contactmobile"): "Contact.MobilePhone",
    ("case", "contactfax"): "Contact.Fax",
}
"""Standard fields that show a field of a parent."""
_DERIVED = {
    ("opportunity", "expectedrevenue"): ("Amount", "Probability"),
    ("opportunity", "isclosed"): ("StageName",),
    ("opportunity", "iswon"): ("StageName",),
    ("opportunity", "forecastcategory"): ("StageName",),
    ("opportunity", "forecastcategoryname"): ("StageName",),
    ("opportunity", "probability"): ("StageName",),
    ("opportunity", "fiscal"): ("CloseDate",),
    ("opportunity", "fiscalquarter"): ("CloseDate",),
    ("opportunity", "fiscalyear"): ("CloseDate",),
    ("case", "isclosed"): ("Status",),
    ("event", "accountid"): ("WhatId", "WhoId"),
    ("task", "accountid"): ("WhatId", "WhoId"),
    ("event", "activitydatetime"): ("StartDateTime",),
    ("event", "activitydate"): ("StartDateTime",),
    ("event", "enddatetime"): ("StartDateTime", "DurationInMinutes"),
    ("event", "enddate"): ("StartDateTime", "DurationInMinutes"),
    ("event", "durationinminutes"): ("StartDateTime", "EndDateTime"),
    ("event", "startdatetime"): ("ActivityDateTime",),
}
"""Standard fields that Salesforce makes of others of the same record."""
_NAME_SEARCH = {
    "account": ("Website", "Site", "NameLocal"),
    "asset": ("SerialNumber",),
    "case": ("CaseNumber", "SuppliedName", "SuppliedCompany", "Subject"),
    "contact": ("AssistantName", "FirstNameLocal", "LastNameLocal"),
    "event": ("Subject",),
    "lead": ("Company", "CompanyLocal", "FirstNameLocal", "LastNameLocal"),
    "task": ("Subject",),
    "user": ("CommunityNickname",),
}
"""What ``IN NAME FIELDS`` searches beside an object's own name (SOQL and SOSL Reference, "IN SearchGroup")."""
_FORMULA = re.compile(
    r"""/\*.*?\*/ | "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*'
      | (?P<path>\$?[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)*)(?P<call>\s*\()?""",
    re.VERBOSE | re.DOTALL,
)
_PERSON, _PERSON_CUSTOM = "Person", "__pc"


def name_search_fields(sobject: str) -> Iterator[str]:
    """The fields of a standard object in which a search of names looks, whatever its describe says."""
    yield from ("Name", *standard_siblings(sobject, "Name"))
    yield from _NAME_SEARCH.get(sobject.lower(), ())


def siblings(schema: Schema, field: FieldInfo) -> Iterator[str]:
    """Fields of the same record of which a field tells: its parts, what it is a part of, what it is made from."""
    lower = field.name.lower()
    yield from schema.parts(lower)
    if field.compound and field.compound.lower() != lower and schema.field(field.compound) is not None:
        yield field.compound
    yield from _DERIVED.get((schema.name.lower(), lower), ())


def standard_siblings(sobject: str, name: str) -> Iterator[str]:
    """The same for an object whose describe is not at hand: what every org's compound fields consist of."""
    if sobject.lower() in _NAMED_IN_PARTS:
        if name.lower() == "name":
            yield from NAME_PARTS
        elif name.lower() in {part.lower() for part in NAME_PARTS}:
            yield "Name"
    if name.lower().endswith("address"):
        yield from (f"{name[: -len('Address')]}{part}" for part in _ADDRESS_PARTS)
    for part in _ADDRESS_PARTS:
        if name.lower().endswith(part.lower()):
            yield f"{name[: len(name) - len(part)]}Address"
    yield from _DERIVED.get((sobject.lower(), name.lower()), ())


def parents_field(schema: Schema, name: str) -> tuple[str, str] | None:
    """The object and field of a parent that a standard field shows."""
    sobject, dot, field = _MIRRORS.get((schema.name.lower(), name.lower()), "").partition(".")
    return (sobject, field) if dot else None


def persons_field(schema: Schema, name: str) -> tuple[str, str] | None:
    """The same field of the contact that an account may be."""
    if schema.name.lower() != "account":
        return None
    if name in NAME_PARTS:
        return "Contact", name
    if name.lower().endswith(_PERSON_CUSTOM):
        return "Contact", f"{name[: -len(_PERSON_CUSTOM)]}__c"
    if name.startswith(_PERSON) and not name.endswith("__c"):
        return "Contact", name.removeprefix(_PERSON)
    return None


def formula_paths(formula: str) -> tuple[str, ...]:
    """The names of fields in a formula, and of what may be one: its functions and words in texts are none."""
    found = (match for match in _FORMULA.finditer(formula) if match["path"] and not match["call"])
    return tuple(dict.fromkeys(match["path"] for match in found))
