"""An org's duplicate rule: off until a test turns the knob."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orgserver.sandbox.errors import Duplicates
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.key_index import Keys
from orgserver.sandbox.state.schema import SObject


@dataclass(frozen=True, slots=True)
class Rule:
    """Records of an object that agree in all these fields are duplicates of each other."""

    sobject: str
    fields: tuple[str, ...]
    allow_save: bool = False
    """Whether it only warns: whoever says so may save all the same."""

    @classmethod
    def read(cls, knob: dict[str, Any]) -> Rule:
        """The rule that a knob tells of; ValueError says what is wrong with it."""
        unknown = knob.keys() - {"object", "fields", "allow_save"}
        sobject = schema.find(str(knob.get("object")))
        names = knob.get("fields")
        if unknown or sobject is None or not isinstance(names, list) or not names:
            raise ValueError("object, a list of fields, and allow_save at will are wanted")
        fields = [sobject.fields.get(str(name).lower()) for name in names]
        if None in fields:
            raise ValueError(f"{sobject.name} lacks one of these fields")
        return cls(sobject.name, tuple(each.name for each in fields if each), knob.get("allow_save") is True)

    def judge(self, sobject: SObject, values: dict[str, Any], identifier: str, keys: Keys, *, allow: bool) -> None:
        """Raise Duplicates if there are other records like this one."""
        if sobject.name != self.sobject or (allow and self.allow_save):
            return
        matches: set[str] | None = None
        for name in self.fields:
            identifiers = set(keys.find(sobject, sobject.fields[name.lower()], values.get(name))) - {identifier}
            matches = identifiers if matches is None else matches & identifiers
        if matches:
            raise Duplicates(self._result(sorted(matches)))

    def _result(self, matches: list[str]) -> dict[str, Any]:
        name = f"Standard {self.sobject} Duplicate Rule"
        result = {
            "entityType": self.sobject,
            "errors": [],
            "matchEngine": "ExactMatchEngine",
            "matchRecords": [_match(self.sobject, each) for each in matches],
            "rule": name.replace(" ", "_"),
            "size": len(matches),
            "success": True,
        }
        return {
            "allowSave": self.allow_save,
            "duplicateRule": name.replace(" ", "_"),
            "duplicateRuleEntityType": self.sobject,
            "errorMessage": "Use one of these records?",
            "matchResults": [result],
        }


def _match(sobject: str, identifier: str) -> dict[str, Any]:
    url = f"/services/data/v68.0/sobjects/{sobject}/{identifier}"
    record = {"attributes": {"type": sobject, "url": url}, "Id": identifier}
    return {"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0, "record": record}
