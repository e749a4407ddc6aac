"""Schemas of the sandbox's objects as our own reader reads them, with formulas and persons added."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from orgserver.model.schema import Schema
from orgserver.salesforce.protocol import describe
from orgserver.sandbox.state import schema as sandbox

FORMULAS: dict[str, dict[str, str | None]] = {
    "Contact": {
        "Score__c": 'IF(ISBLANK(Email), 0, 1) /* Phone */ & "Fax"',
        "Indirect__c": "Score__c & 'Title'",
        "AccountPhone__c": "Account.Phone",
        "Mine__c": "$User.Email",
        "Bonus__c": "Salary__c * $Setup.Rates__c.Bonus__c",
        "Harmless__c": "TEXT(YEAR(Birthdate))",
        "Total__c": None,
        "LoopA__c": "LoopB__c",
        "LoopB__c": "LoopA__c & Fax",
        "OwnerMail__c": "Owner.Email",
        "Lost__c": "Gone__r.Email",
    },
    "Case": {"Queue__c": "Owner:User.Email"},
    "Account": {"PersonEmail": "", "Tier__pc": ""},
}
"""By object, fields that are added: formulas, (None) roll-ups, and ("") plain fields."""


@cache
def schema(name: str) -> Schema | None:
    """One object's schema; None for an object that the sandbox has not."""
    found = sandbox.find(name)
    if found is None:
        return None
    body = copy.deepcopy(found.describe)
    for field, formula in FORMULAS.get(found.name, {}).items():
        body["fields"].append(_added(body["fields"][-1], field, formula))
    return describe.schema(body)


def _added(template: dict[str, Any], name: str, formula: str | None) -> dict[str, Any]:
    kind = {"calculated": formula != "", "calculatedFormula": formula or None}
    plain = {"compoundFieldName": None, "relationshipName": None, "referenceTo": [], "picklistValues": []}
    return template | plain | kind | {"name": name, "label": name, "type": "string", "nameField": False}
