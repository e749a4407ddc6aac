"""``/limits`` and its record counts, the header Sforce-Limit-Info, and the records that changed between two times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.field_values import stamp
from orgserver.sandbox.state.schema import SObject

_OTHERS = {
    "ConcurrentAsyncGetReportInstances": 200,
    "ConcurrentSyncReportRuns": 20,
    "DailyAsyncApexExecutions": 250_000,
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryFileStorageMB": 976_562,
    "DailyBulkV2QueryJobs": 10_000,
    "DailyWorkflowEmails": 1_000,
    "DataStorageMB": 5,
    "FileStorageMB": 20,
    "HourlyAsyncReportRuns": 1_200,
    "HourlyTimeBasedWorkflow": 1_000,
    "MassEmail": 10,
    "SingleEmail": 15,
}


def limits(org: SandboxOrg) -> Answer:
    """``/limits``."""
    remaining = max(org.daily_limit - org.counters.api_calls, 0)
    queries = sum(job.id[:3] == "750" and job.details["jobType"] == "V2Query" for job in org.jobs.by_id.values())
    used = {"DailyBulkV2QueryJobs": queries}
    others = {name: {"Max": most, "Remaining": most - used.get(name, 0)} for name, most in _OTHERS.items()}
    return Answer(200, {"DailyApiRequests": {"Max": org.daily_limit, "Remaining": remaining}, **others})


def limit_info(org: SandboxOrg) -> str:
    """The header Sforce-Limit-Info (REST guide ``headers_api_usage``)."""
    usage = f"api-usage={org.counters.api_calls}/{org.daily_limit}"
    if org.limit_info == "bursts":
        return f"{usage}; api-bursts=1/750"
    return f"per-app-api-usage=17/250(appName={org.alias}-app); {usage}" if org.limit_info == "per_app" else usage


def counts(org: SandboxOrg, request: Request) -> Answer:
    """``/limits/recordCount``."""
    parameter = request.query.get("sObjects", "")
    names = [sobject.name for name in parameter.split(",") if (sobject := schema.find(name.strip()))]
    tables = org.records.tables
    record_counts = [{"count": len(tables[name]), "name": name} for name in (names if parameter else schema.NAMES)]
    return Answer(200, {"sObjects": record_counts})


def changed(org: SandboxOrg, request: Request, sobject: SObject, kind: str) -> Answer:
    """``/sobjects/T/updated`` or ``/deleted``."""
    start, end = (_moment(request.query.get(name, "")) for name in ("start", "end"))
    if start >= end:
        raise Refusal(400, "INVALID_REPLICATION_DATE", "startDate must be before endDate")
    table = (org.records.tables if kind == "updated" else org.records.deleted)[sobject.name]
    records = [record for record in table.values() if start <= _moment(record["SystemModstamp"]) < end]
    coverage: dict[str, Any] = {"latestDateCovered": stamp(min(end, org.clock()))}
    if kind == "updated":
        return Answer(200, {"ids": [record["Id"] for record in records], **coverage})
    deletions = [{"id": record["Id"], "deletedDate": record["SystemModstamp"]} for record in records]
    earliest = stamp(org.clock() - timedelta(days=30))
    return Answer(200, {"deletedRecords": deletions, "earliestDateAvailable": earliest, **coverage})


def _moment(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that nobody escaped
    except ValueError:
        raise Refusal(400, "MALFORMED_DATETIME", "start and end must be dateTimes") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
