"""The pretend org's REST resources, under ``/services/data``."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from orgserver.sandbox import ledger, schema, upserts
from orgserver.sandbox.answers import Answer, Asked
from orgserver.sandbox.bodies import (
    allows_duplicates,
    http_date,
    method_of,
    not_allowed,
    not_found,
    object_named,
    read_values,
)
from orgserver.sandbox.bulk import Bulk
from orgserver.sandbox.collections import Collections
from orgserver.sandbox.composite import Composite
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.oauth import OAuth
from orgserver.sandbox.org import Locator, SandboxOrg
from orgserver.sandbox.paths import attributes
from orgserver.sandbox.schema import SObject
from orgserver.sandbox.searching import Searching

_VERSION = re.compile(r"v\d{2,3}\.0")
_LOCATOR = re.compile(r"(0r8[0-9A-Za-z]{15})-(\d{1,10})")
_BATCH = re.compile(r"batchSize\s*=\s*(\d{1,9})", re.IGNORECASE)
_SUPPORTED = range(59, 69)
_LABELS = {0: "Spring", 1: "Summer", 2: "Winter"}


class Rest:
    """Answers for one org."""

    def __init__(self, org: SandboxOrg, oauth: OAuth) -> None:
        self._org = org
        self._oauth = oauth
        self._collections = Collections(org.records)
        self._composite = Composite(org.records, self._resource)
        self._bulk = Bulk(org)
        self._searching = Searching(org)

    def answer(self, asked: Asked) -> Answer:
        """Answer a request; Refusal if it cannot be done."""
        match asked.parts:
            case ["services", "data"] if asked.method == "GET":
                return Answer(200, _versions())
            case ["services", "data", version, *parts] if _VERSION.fullmatch(version):
                self._oauth.authenticate(asked)
                if self._org.counters.api_calls >= self._org.protection_limit:
                    raise Refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
                self._org.counters.api_calls += 1
                with schema.of_org(self._org.objects.own):
                    return self._resource(asked, version, parts)
        raise not_found()

    def _resource(self, asked: Asked, version: str, parts: list[str]) -> Answer:
        match parts:
            case ["sobjects", name, *rest]:
                return self._sobject(asked, object_named(name), rest, version)
            case ["composite", "sobjects", *rest]:
                return self._collections.answer(asked, rest, version)
            case ["composite", *rest]:
                return self._composite.answer(asked, rest)
            case ["search" | "parameterizedSearch" as kind]:
                return self._searching.answer(asked, kind, version)
            case ["jobs", *rest]:
                return self._bulk.answer(asked, rest, version)
            case _ if asked.method != "GET":
                raise not_allowed(asked.method)
        return self._read(asked, version, parts)

    def _read(self, asked: Asked, version: str, parts: list[str]) -> Answer:
        match parts:
            case []:
                return Answer(200, self._resources(version))
            case ["query" | "queryAll", locator]:
                return self._more(locator, version)
            case ["query" | "queryAll" as kind]:
                return self._query(asked, version, deleted=kind == "queryAll")
            case ["limits"]:
                return ledger.limits(self._org)
            case ["limits", "recordCount"]:
                return ledger.counts(self._org, asked)
            case ["sobjects"]:
                return self._org.objects.all(asked, version, self._org.url)
        raise not_found()

    def _sobject(self, asked: Asked, sobject: SObject, rest: list[str], version: str) -> Answer:
        method = method_of(asked)
        match method, rest:
            case "GET", ["describe"]:
                return self._org.objects.described(asked, sobject, version, self._org.url)
            case "GET", []:
                return self._org.objects.basic(asked, sobject, version, self._org.url)
            case "GET", ["updated" | "deleted" as kind]:
                return ledger.changed(self._org, asked, sobject, kind)
            case "POST", [] | ["Id"]:
                identifier = self._org.records.create(
                    sobject, read_values(asked.body), allow_duplicates=allows_duplicates(asked)
                )
                told = {"id": identifier, "success": True, "errors": []}
                return Answer(201, told, {"location": f"/services/data/{version}/sobjects/{sobject.name}/{identifier}"})
            case _, [identifier]:
                return self._record(asked, sobject, identifier, version)
            case _, [key, value]:
                found = upserts.answer(self._org.records, asked, sobject, key, value, version)
                return found if isinstance(found, Answer) else self._record(asked, sobject, found, version)
            case _, []:
                raise not_allowed(method)
        raise not_found()

    def _record(self, asked: Asked, sobject: SObject, identifier: str, version: str) -> Answer:
        records = self._org.records
        match method_of(asked):
            case "GET":
                return self._row(asked, sobject, identifier, version)
            case "PATCH":
                self._unmodified(sobject, identifier, asked.headers.get("if-unmodified-since"))
                values = read_values(asked.body)
                records.update(sobject, identifier, values, allow_duplicates=allows_duplicates(asked))
                return Answer(204)
            case "DELETE":
                records.delete(sobject, identifier)
                return Answer(204)
            case method:
                raise not_allowed(method)

    def _row(self, asked: Asked, sobject: SObject, identifier: str, version: str) -> Answer:
        record = self._org.records.get(sobject, identifier)
        modified = datetime.fromisoformat(record["LastModifiedDate"])
        since = http_date(asked.headers.get("if-modified-since"))
        if since is not None and modified <= since:
            return Answer(304)
        row = {"attributes": attributes(sobject.name, record["Id"], version)}
        wanted = asked.query.get("fields", "")
        names = [name.strip() for name in wanted.split(",")] if wanted else [f.name for f in sobject.fields.values()]
        for name in names:
            field = sobject.fields.get(name.lower())
            if field is None:
                raise Refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            row[field.name] = record[field.name]
        row.setdefault("Id", record["Id"])
        return Answer(200, row, {"last-modified": format_datetime(modified, usegmt=True)})

    def _unmodified(self, sobject: SObject, identifier: str, text: str | None) -> None:
        if text is None:
            return
        since = http_date(text)
        if since is None:
            raise Refusal(400, "INVALID_HEADER", "If-Unmodified-Since is not a date")
        record = self._org.records.get(sobject, identifier)
        if datetime.fromisoformat(record["LastModifiedDate"]) > since:
            message = "The record you are trying to update has been modified"
            raise Refusal(412, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", message)

    def _query(self, asked: Asked, version: str, *, deleted: bool) -> Answer:
        org = self._org
        text = asked.query.get("q", "")
        runner = org.query(text, deleted=deleted)
        rows = runner.rows()
        if asked.query.get("columns") == "true":
            return Answer(200, runner.columns())
        if runner.query.count:
            return Answer(200, {"totalSize": len(rows), "done": True, "records": []})
        row = runner.projection()
        shaped = [row(record, version) for record in rows]
        found = _BATCH.search(asked.headers.get("sforce-query-options", ""))
        batch = min(max(int(found[1]), 200), 2_000) if found else 2_000
        if len(shaped) <= batch:
            return Answer(200, {"totalSize": len(shaped), "done": True, "records": shaped})
        locator = f"0r8{secrets.token_hex(8)[:15]}"
        org.locators[locator] = Locator(shaped, batch)
        return self._more(f"{locator}-0", version)

    def _more(self, text: str, version: str) -> Answer:
        found = _LOCATOR.fullmatch(text)
        locator = self._org.locators.get(found[1]) if found else None
        if found is None or locator is None or int(found[2]) >= len(locator.rows):
            raise Refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        start = int(found[2])
        end = start + locator.batch
        page: dict[str, Any] = {"totalSize": len(locator.rows), "done": end >= len(locator.rows)}
        if not page["done"]:  # under /query/ for queryAll, too
            page["nextRecordsUrl"] = f"/services/data/{version}/query/{found[1]}-{end}"
        return Answer(200, page | {"records": locator.rows[start:end]})

    def _resources(self, version: str) -> dict[str, str]:
        names = ("composite", "jobs", "limits", "parameterizedSearch", "query", "queryAll", "search", "sobjects")
        identity = f"{self._org.url}/id/{self._org.org_id}/{self._org.user_id}"
        return {name: f"/services/data/{version}/{name}" for name in names} | {"identity": identity}


def _versions() -> list[dict[str, str]]:
    return [
        {
            "label": f"{_LABELS[number % 3]} '{(number + 13) // 3:02d}",
            "url": f"/services/data/v{number}.0",
            "version": f"{number}.0",
        }
        for number in _SUPPORTED
    ]
