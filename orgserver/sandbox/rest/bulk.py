"""Bulk API 2.0: ``/jobs/ingest`` and ``/jobs/query``."""

from __future__ import annotations

from typing import Any

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.rest.bulk_csv import DELIMITERS, LINE_ENDINGS, Dialect
from orgserver.sandbox.rest.bulk_ingest import OPERATIONS, Ingest, objects_of
from orgserver.sandbox.rest.bulk_query import QueryJob, check, header
from orgserver.sandbox.rest.request_bodies import method_of, not_allowed, not_found, read_object
from orgserver.sandbox.state.bulk_jobs import FINAL, Job, invalid_state
from orgserver.sandbox.state.field_values import stamp

_CSV = "text/csv"


class Bulk:
    """Answers for one org."""

    def __init__(self, org: SandboxOrg) -> None:
        self._org = org

    def answer(self, request: Request, rest: list[str], version: str) -> Answer:
        """Answer a request under ``/jobs``."""
        method = method_of(request)
        match method, rest:
            case "POST", ["ingest"]:
                return self._new_ingest(request, version)
            case "POST", ["query"]:
                return self._new_query(request, version)
            case "GET", ["ingest" | "query" as kind]:
                jobs = [each.described(finely=False) for each in self._org.jobs.by_id.values() if _kind(each) == kind]
                return Answer(200, {"done": True, "nextRecordsUrl": None, "records": jobs})
            case _, ["ingest" | "query" as kind, identifier]:
                return self._job(request, method, self._find_job(kind, identifier))
            case _, ["ingest", identifier, part]:
                return self._part(request, method, self._find_job("ingest", identifier), part.lower())
            case "GET", ["query", identifier, part] if part.lower() == "results":
                return self._query_results(request, self._find_job("query", identifier), version)
            case _, ["ingest" | "query"]:
                raise not_allowed(method)
        raise not_found()

    def _find_job(self, kind: str, identifier: str) -> Job:
        job = next((each for each in self._org.jobs.by_id.values() if each.id[:15] == identifier[:15]), None)
        if job is None or _kind(job) != kind:
            raise not_found()
        return job

    def _new_ingest(self, request: Request, version: str) -> Answer:
        body = read_object(request.body)
        sobject = objects_of(body.get("object"))
        operation = body.get("operation")
        if not isinstance(operation, str) or operation not in OPERATIONS:
            raise Refusal(400, "INVALIDJOB", f"InvalidJob : Unrecognized operation {operation}")
        key = body.get("externalIdFieldName")
        key_field = sobject.fields.get(str(key).lower())
        if operation == "upsert" and (key_field is None or not key_field.lookup):
            text = f"InvalidJob : Field name provided, {key} does not match an External ID, Salesforce Id, or indexed "
            raise Refusal(400, "INVALIDJOB", f"{text}field for {sobject.name}")
        dialect = _dialect(body)
        if body.get("contentType", "CSV") != "CSV":
            raise Refusal(400, "INVALIDJOB", "InvalidJob : contentType must be CSV")
        identifier = self._org.jobs.new_id()
        details = {"operation": operation, "object": sobject.name} | self._common(version, dialect)
        details |= {"externalIdFieldName": key} if operation == "upsert" else {}
        details["contentUrl"] = f"services/data/{version}/jobs/ingest/{identifier}/batches"
        job = Ingest(
            identifier, version, details | {"jobType": "V2Ingest"}, "Open",
            records=self._org.records, sobject=sobject, dialect=dialect,
        )  # fmt: skip
        self._org.jobs.by_id[identifier] = job
        return Answer(200, job.described(finely=False))

    def _new_query(self, request: Request, version: str) -> Answer:
        body = read_object(request.body)
        operation, query = body.get("operation"), body.get("query")
        if operation not in ("query", "queryAll") or not isinstance(query, str):
            raise Refusal(400, "INVALIDJOB", "InvalidJob : operation must be query or queryAll, with a query")
        dialect = _dialect(body)
        check(query)
        runner = self._org.query(query, deleted=operation == "queryAll")
        columns = runner.columns()
        details = {"operation": operation, "object": columns["entityName"]} | self._common(version, dialect)
        job = QueryJob(
            self._org.jobs.new_id(), version, details | {"jobType": "V2Query"}, "",
            runner=runner, dialect=dialect, header=header(columns["columnMetadata"]),
        )  # fmt: skip
        self._org.jobs.by_id[job.id] = job
        self._org.jobs.start(job)
        return Answer(200, job.described(finely=False))

    def _common(self, version: str, dialect: Dialect) -> dict[str, Any]:
        now = stamp(self._org.clock())
        return {
            "createdById": self._org.users.current.id,
            "createdDate": now,
            "systemModstamp": now,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version[1:]),
            "lineEnding": dialect.line_ending,
            "columnDelimiter": dialect.delimiter,
        }

    def _job(self, request: Request, method: str, job: Job) -> Answer:
        if method == "GET":
            return Answer(200, job.described())
        if method == "DELETE":
            if job.state not in FINAL | {"UploadComplete"}:
                raise invalid_state(f"Deleting a job that is {job.state} is")
            if job.state == "UploadComplete":
                job.state = "Aborted"
            del self._org.jobs.by_id[job.id]
            return Answer(204)
        if method != "PATCH":
            raise not_allowed(method)
        state = read_object(request.body).get("state")
        if state == "Aborted":
            job.abort()
        elif state == "UploadComplete" and job.state == "Open":
            self._org.jobs.start(job)
        else:
            raise invalid_state(f"Changing a job from {job.state} to {state} is")
        return Answer(200, job.described(finely=False))

    def _part(self, request: Request, method: str, job: Job, part: str) -> Answer:
        if not isinstance(job, Ingest):
            raise not_found()
        match method, part:
            case "PUT", "batches":
                return self._upload(request, job)
            case "GET", "successfulresults" | "failedresults" | "unprocessedrecords":
                if job.state not in FINAL:
                    raise invalid_state(f"Getting results of a job that is {job.state} is")
                sheets = {"successfulresults": job.successes, "failedresults": job.failures}
                return Answer.text(200, sheets.get(part, job.unprocessed)(), _CSV)
            case _, "batches" | "successfulresults" | "failedresults" | "unprocessedrecords":
                raise not_allowed(method)
        raise not_found()

    @staticmethod
    def _upload(request: Request, job: Ingest) -> Answer:
        if not request.headers.get("content-type", "").lower().startswith(_CSV):
            raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type must be text/csv")
        if job.state != "Open" or job.body is not None:
            raise invalid_state(f"Uploading data to a job that is {job.state}{' and has data' if job.body else ''} is")
        job.body = request.body
        return Answer(201)

    def _query_results(self, request: Request, job: Job, version: str) -> Answer:
        if not isinstance(job, QueryJob):
            raise not_found()
        if job.version != version:
            text = f"the job was made with {job.version}, not {version}"
            raise Refusal(409, "API_VERSION_MISMATCH", text)
        if job.state != "JobComplete":
            raise invalid_state(f"Getting results of a job that is {job.state} is")
        return job.page(request.query.get("locator", ""), request.query.get("maxRecords", ""))


def _kind(job: Job) -> str:
    return "query" if isinstance(job, QueryJob) else "ingest"


def _dialect(body: dict[str, Any]) -> Dialect:
    dialect = Dialect(str(body.get("columnDelimiter") or "COMMA"), str(body.get("lineEnding") or "LF"))
    if dialect.delimiter not in DELIMITERS or dialect.line_ending not in LINE_ENDINGS:
        raise Refusal(400, "INVALIDJOB", "InvalidJob : Unrecognized columnDelimiter or lineEnding")
    return dialect
