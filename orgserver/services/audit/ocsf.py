"""An entry as an event of the Open Cybersecurity Schema Framework: class 6003, API Activity.

https://schema.ocsf.io/1.3.0/classes/api_activity
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orgserver

_CLASS = 6003
_OTHER = 99
_ACTIVITIES = {"create": 1, "read": 2, "list": 2, "query": 2, "search": 2, "describe": 2, "update": 3, "delete": 4}
_NAMES = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}
_STATUS = {
    "succeeded": (1, "Success"),
    "rejected": (2, "Failure"),
    "denied": (2, "Failure"),
    "not_sent": (2, "Failure"),
}
_SEVERITY = {"denied": 2, "rejected": 2, "not_sent": 2, "unknown": 3}
_SEVERITY_NAMES = {1: "Informational", 2: "Low", 3: "Medium"}


def event(entry: dict[str, Any]) -> dict[str, Any]:
    """The event of an entry's public fields; what OCSF has no place for is under ``unmapped``."""
    activity = _ACTIVITIES.get(entry["action"], _OTHER)
    severity = _SEVERITY.get(entry["outcome"], 1)
    status_id, status = _STATUS.get(entry["outcome"], (0, "Unknown"))
    return _drop_empty(
        {
            "activity_id": activity,
            "activity_name": _NAMES.get(activity, entry["action"]),
            "category_uid": 6,
            "category_name": "Application Activity",
            "class_uid": _CLASS,
            "class_name": "API Activity",
            "type_uid": _CLASS * 100 + activity,
            "time": _milliseconds(entry["time"]),
            "duration": None if entry["duration_ms"] is None else round(entry["duration_ms"]),
            "severity_id": severity,
            "severity": _SEVERITY_NAMES[severity],
            "status_id": status_id,
            "status": status,
            "status_code": entry["error_code"],
            "status_detail": entry["outcome"],
            "actor": _drop_empty(
                {
                    "user": _drop_empty({"name": entry["principal"], "credential_uid": _credential(entry)}),
                    "app_name": entry["client"],
                    "authorizations": _authorizations(entry["decision"]),
                }
            ),
            "api": _drop_empty(
                {
                    "operation": entry["tool"] or entry["action"],
                    "service": {"name": "Salesforce" if entry["org"] else "orgserver"},
                    "request": {"uid": entry["request_id"]} if entry["request_id"] else None,
                    "response": {"code": entry["http_status"]} if entry["http_status"] else None,
                }
            ),
            "src_endpoint": {"name": entry["transport"]},
            "resources": _resources(entry),
            "metadata": {
                "version": "1.3.0",
                "uid": entry["id"],
                "sequence": entry["sequence"],
                "product": {"name": "orgserver", "vendor_name": "orgserver", "version": orgserver.__version__},
            },
            "unmapped": _drop_empty({name: entry[name] for name in _UNMAPPED}),
        }
    )


_UNMAPPED = (
    "org",
    "org_id",
    "label",
    "action",
    "fields",
    "row_count",
    "api_calls",
    "attempts",
    "salesforce_request_id",
    "undoes",
    "salesforce_user",
    "identity",
    "hash",
    "outcome_sequence",
    "outcome_hash",
)


def _credential(entry: dict[str, Any]) -> str | None:
    """The Salesforce user whose login was used."""
    user = entry["salesforce_user"]
    return user["id"] if user is not None else None


def _authorizations(decision: str | None) -> list[dict[str, Any]]:
    """The rule that denied it, if one did."""
    return [] if decision is None else [{"decision": "denied", "policy": {"name": decision}}]


def _resources(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The records; where none is known, the object, which then needs a name besides its type."""
    of = entry["object"]
    if not entry["record_ids"] and of:
        return [{"name": of, "type": of}]
    return [_drop_empty({"uid": id_, "type": of}) for id_ in entry["record_ids"]]


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1_000)


def _drop_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [], {})}
