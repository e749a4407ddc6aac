"""What Salesforce works out by itself about a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orgserver.sandbox.state import event_rules
from orgserver.sandbox.state.schema import Field, SObject

Record = dict[str, Any]
Tables = Mapping[str, Mapping[str, Record]]
_SUFFIX = "Address"
_PEOPLE = frozenset({"Contact", "User", "Lead"})
_PERCENT = {"Closed Won": 100.0, "Closed Lost": 0.0}


def derive(sobject: SObject, record: Record, names: set[str], tables: Tables) -> None:
    """Fill in what follows from the fields, those in ``names`` first, which somebody wrote."""
    if sobject.name in _PEOPLE or (record.get("IsPersonAccount") and sobject.name == "Account"):
        record["Name"] = " ".join(part for part in (record.get("FirstName"), record.get("LastName")) if part)
    if sobject.name == "Event":
        event_rules.derive(record, names)
        record["AccountId"] = _account(record, tables)
    elif sobject.name == "EventRelation":
        record["AccountId"] = _account({"WhoId": record.get("RelationId")}, tables)
    elif sobject.name == "Opportunity":
        _opportunity(record, names)
    elif sobject.name == "Case":
        _case(record, tables)
    for field in sobject.fields.values():
        if field.type == "address":
            record[field.name] = _address(sobject, field, record)


def _account(event: Record, tables: Tables) -> str | None:
    """The account of an event: that of what it is about, then that of whom it is with."""
    if str(event.get("WhatId")) in tables["Account"]:
        return str(event["WhatId"])
    contact = tables["Contact"].get(str(event.get("WhoId")))
    return contact["AccountId"] if contact else None


def _opportunity(record: Record, names: set[str]) -> None:
    stage = str(record.get("StageName"))
    record["IsClosed"], record["IsWon"] = stage in _PERCENT, stage == "Closed Won"
    if "Probability" not in names and stage in _PERCENT:
        record["Probability"] = _PERCENT[stage]
    if record.get("Amount") is not None and record.get("Probability") is not None:
        record["ExpectedRevenue"] = record["Amount"] * record["Probability"] / 100


def _case(record: Record, tables: Tables) -> None:
    record["IsClosed"] = record.get("Status") == "Closed"
    if not record.get("CaseNumber"):
        record["CaseNumber"] = f"{1_000 + len(tables['Case']):08d}"
    contact = tables["Contact"].get(str(record.get("ContactId")), {})
    record["ContactEmail"], record["ContactPhone"] = contact.get("Email"), contact.get("Phone")


def _address(sobject: SObject, address: Field, record: Record) -> Record | None:
    kind = address.name.removesuffix(_SUFFIX)
    parts = sobject.parts[address.name]
    if all(record.get(name) is None for name in parts):
        return None
    short = ((name.removeprefix(kind), record.get(name)) for name in parts)
    return {name[0].lower() + name[1:]: value for name, value in short}
