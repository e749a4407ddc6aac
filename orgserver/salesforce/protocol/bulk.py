"""Bulk API 2.0 ingest jobs and sObject collections: pure pairs of request and reader (their Developer Guides)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from orgserver.model.bulk import BulkAction, RecordResult
from orgserver.model.errors import Rejected, Unanswered
from orgserver.model.names import SObjectName
from orgserver.model.results import FieldValues
from orgserver.model.text import clean_word
from orgserver.salesforce.protocol import bulk_csv, refusals
from orgserver.salesforce.protocol.messages import Reply, Request, is_count
from orgserver.salesforce.protocol.rest import duplicate_headers

MANY = 200
"""The most records of one collections request; above it a bulk job is cheaper for everybody."""
ENDED = frozenset({"JobComplete", "Failed", "Aborted"})
CSV = "text/csv"
_OPERATIONS: dict[BulkAction, str] = {"create": "insert", "update": "update", "delete": "delete", "upsert": "upsert"}
_ID = re.compile(r"[0-9A-Za-z]{15,18}")
_MESSAGE = 500
ResultSheet = Literal["successfulResults", "failedResults", "unprocessedrecords"]


@dataclass(frozen=True, slots=True)
class Job:
    """A job as Salesforce tells of it."""

    id: str
    state: str
    processed: int = 0
    failed: int = 0
    problem: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED


# -- bulk jobs


def create_job(version: str, sobject: SObjectName, action: BulkAction, key_field: str | None) -> Request:
    """Open a job."""
    body = {"object": sobject, "operation": _OPERATIONS[action], "contentType": "CSV", "lineEnding": "LF"}
    if key_field is not None:
        body["externalIdFieldName"] = key_field
    return Request("POST", f"/services/data/{version}/jobs/ingest", body=body)


def upload(version: str, job_id: str, content: bytes) -> Request:
    """Give a job its sheet, once."""
    return Request("PUT", f"{_job(version, job_id)}/batches", body=content, headers=(("Content-Type", CSV),))


def set_state(version: str, job_id: str, state: Literal["UploadComplete", "Aborted"]) -> Request:
    """Let a job begin, or stop it."""
    return Request("PATCH", _job(version, job_id), body={"state": state})


def get_job(version: str, job_id: str) -> Request:
    """Ask how a job stands."""
    return Request("GET", _job(version, job_id))


def read_job(reply: Reply) -> Job:
    """How a job stands."""
    body = reply.body if isinstance(reply.body, dict) else {}
    identifier, state = body.get("id"), body.get("state")
    if not (isinstance(identifier, str) and _ID.fullmatch(identifier) and isinstance(state, str)):
        raise Unanswered("the org's answer names no job", code="BAD_REPLY")
    return Job(
        identifier,
        state,
        _number(body.get("numberRecordsProcessed")),
        _number(body.get("numberRecordsFailed")),
        _clean_message(body.get("errorMessage")),
    )


def read_uploaded(reply: Reply) -> None:
    """The status was success, and nothing else is said."""
    del reply


def get_results(version: str, job_id: str, which: ResultSheet) -> Request:
    """Fetch one of the sheets of an ended job."""
    return Request("GET", f"{_job(version, job_id)}/{which}", accept=CSV)


def read_results(reply: Reply) -> Iterator[dict[str, str]]:
    """The rows of a sheet, as they are read."""
    return bulk_csv.read_rows(reply.body or b"")


def read_success(row: dict[str, str]) -> RecordResult:
    """What a row of successfulResults says."""
    return RecordResult("succeeded", _id_or_none(row.get("sf__id")))


def read_failure(row: dict[str, str]) -> RecordResult:
    """What a row of failedResults says: ``CODE:message:fields --``."""
    code, _, rest = row.get("sf__error", "").partition(":")
    message, _, field_list = rest.rpartition(":")
    names = re.split(r"[,\s]+", field_list.strip().removesuffix("--")) if message else []
    identifier = _id_or_none(row.get("sf__id"))
    return _failed(identifier, {"statusCode": code, "message": message or rest or code, "fields": names})


# -- collections


def collection(
    version: str, sobject: SObjectName, action: BulkAction, records: Sequence[FieldValues], key_field: str | None,
    *, all_or_none: bool, allow_duplicates: bool = False,
) -> Request:  # fmt: skip
    """Change up to 200 records in one request; each that is updated or deleted has its ``Id`` inside."""
    path = f"/services/data/{version}/composite/sobjects"
    if action == "delete":
        identifiers = ",".join(str(record["Id"]) for record in records)
        return Request("DELETE", path, (("ids", identifiers), ("allOrNone", str(all_or_none).lower())))
    if action == "upsert" and key_field is not None:
        path += f"/{quote(sobject, safe='')}/{quote(key_field, safe='')}"
    records_with_type = [{"attributes": {"type": sobject}} | record for record in records]
    body = {"allOrNone": all_or_none, "records": records_with_type}
    method = "POST" if action == "create" else "PATCH"
    return Request(method, path, body=body, headers=duplicate_headers(allow_duplicates))


def read_collection(reply: Reply, count: int) -> list[RecordResult]:
    """The result of each record, in the order of the request."""
    if not isinstance(reply.body, list) or len(reply.body) != count:
        raise Unanswered("the answer to this change does not fit its records", code="BAD_REPLY")
    return [_record_result(each) for each in reply.body]


def _record_result(entry: Any) -> RecordResult:
    identifier = _id_or_none(entry.get("id")) if isinstance(entry, dict) else None
    success = entry.get("success") if isinstance(entry, dict) else None
    if success is True and identifier is not None:
        return RecordResult("succeeded", identifier)
    if success is False:
        return _failed(identifier, entry.get("errors"))
    return RecordResult("unknown", identifier, code="BAD_REPLY")


def _failed(identifier: str | None, errors: Any) -> RecordResult:
    """The result of a record that was refused, by all the errors that are told of it."""
    entries = refusals.read_entries(errors)
    if not entries:
        return RecordResult("failed", identifier, "REJECTED")
    message = refusals.join_messages(entries)
    advice = next((each.duplicates.advice for each in entries if each.duplicates is not None), None)
    whole = _clean_message(message) if advice is None else f"{message}; {advice}"
    return RecordResult("failed", identifier, entries[0].code or "REJECTED", whole, refusals.fields_of(entries))


# -- both


def _job(version: str, job_id: str) -> str:
    if not _ID.fullmatch(job_id):
        raise Rejected("the org named a job by no id", code="BAD_REPLY")
    return f"/services/data/{version}/jobs/ingest/{job_id}"


def _number(value: Any) -> int:
    return value if is_count(value) else 0


def _id_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _clean_message(value: Any) -> str | None:
    return clean_word(value, _MESSAGE) or None
