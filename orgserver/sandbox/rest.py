"""The pretend org's REST resources, under ``/services/data``."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from orgserver.sandbox import schema
from orgserver.sandbox.answers import Answer, Asked
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.oauth import OAuth
from orgserver.sandbox.org import Locator, SandboxOrg
from orgserver.sandbox.paths import attributes
from orgserver.sandbox.running import Runner
from orgserver.sandbox.schema import SObject

_VERSION = re.compile(r"v\d{2,3}\.0")
_LOCATOR = re.compile(r"(0r8[0-9A-Za-z]{15})-(\d{1,10})")
_BATCH = re.compile(r"batchSize\s*=\s*(\d{1,9})", re.IGNORECASE)
_SUPPORTED = range(59, 69)
_LABELS = {0: "Spring", 1: "Summer", 2: "Winter"}
_DESCRIBED = datetime(2026, 10, 12, tzinfo=UTC)
_LEFT_OUT = ("fields", "childRelationships", "recordTypeInfos", "supportedScopes", "actionOverrides")
_METHODS = "GET,POST,PATCH,DELETE,HEAD"


class Rest:
    """Answers for one org."""

    def __init__(self, org: SandboxOrg, oauth: OAuth) -> None:
        self._org = org
        self._oauth = oauth

    def answer(self, asked: Asked) -> Answer:
        """Answer a request; Refusal if it cannot be done."""
        match asked.parts:
            case ["services", "data"] if asked.method == "GET":
                return Answer(200, _versions())
            case ["services", "data", version, *parts] if _VERSION.fullmatch(version):
                self._oauth.authenticate(asked)
                if self._org.counters.api_calls >= self._org.daily_limit:
                    raise Refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
                self._org.counters.api_calls += 1
                return self._resource(asked, version, parts)
        raise _not_found()

    def _resource(self, asked: Asked, version: str, parts: list[str]) -> Answer:
        match parts:
            case ["sobjects", name, *rest]:
                return self._sobject(asked, _object(name), rest, version)
            case _ if asked.method != "GET":
                raise _not_allowed(asked.method)
            case []:
                return Answer(200, self._resources(version))
            case ["query" | "queryAll", locator]:
                return self._more(locator, version)
            case ["query" | "queryAll" as kind]:
                return self._query(asked, version, deleted=kind == "queryAll")
            case ["limits"]:
                return Answer(200, self._limits())
            case ["sobjects"]:
                return self._described(asked, _global(), version)
        raise _not_found()

    def _sobject(self, asked: Asked, sobject: SObject, rest: list[str], version: str) -> Answer:
        records = self._org.records
        method = asked.method
        if method == "POST" and (other := asked.query.get("_HttpMethod")):
            method = other.upper()
        match method, rest:
            case "GET", ["describe"]:
                return self._described(asked, sobject.describe, version)
            case "GET", []:
                return self._described(asked, {"objectDescribe": _brief(sobject), "recentItems": []}, version)
            case "POST", []:
                identifier = records.create(sobject, _values(asked.body))
                return Answer(201, {"id": identifier, "success": True, "errors": []})
            case "GET", [identifier]:
                return self._row(asked, sobject, identifier, version)
            case "PATCH", [identifier]:
                self._unmodified(sobject, identifier, asked.headers.get("if-unmodified-since"))
                records.update(sobject, identifier, _values(asked.body))
                return Answer(204)
            case "DELETE", [identifier]:
                records.delete(sobject, identifier)
                return Answer(204)
            case _, [] | [_]:
                raise _not_allowed(method)
        raise _not_found()

    def _row(self, asked: Asked, sobject: SObject, identifier: str, version: str) -> Answer:
        record = self._org.records.get(sobject, identifier)
        modified = datetime.fromisoformat(record["LastModifiedDate"])
        since = _http_date(asked.headers.get("if-modified-since"))
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
        since = _http_date(text)
        if since is None:
            raise Refusal(400, "INVALID_HEADER", "If-Unmodified-Since is not a date")
        record = self._org.records.get(sobject, identifier)
        if datetime.fromisoformat(record["LastModifiedDate"]) > since:
            message = "The record you are trying to update has been modified"
            raise Refusal(412, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", message)

    def _query(self, asked: Asked, version: str, *, deleted: bool) -> Answer:
        org = self._org
        text = asked.query.get("q", "")
        runner = Runner(org.records, text, org.clock(), ZoneInfo(org.time_zone), deleted=deleted)
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

    def _described(self, asked: Asked, description: dict[str, Any], version: str) -> Answer:
        since = _http_date(asked.headers.get("if-modified-since"))
        if since is not None and since >= _DESCRIBED:
            return Answer(304)
        answer = Answer(200, description, {"last-modified": format_datetime(_DESCRIBED, usegmt=True)})
        answer.body = answer.body.replace(b"/services/data/vxx.0/", f"/services/data/{version}/".encode())
        answer.body = answer.body.replace(b"https://orgname.my.salesforce.com", self._org.url.encode())
        return answer

    def _limits(self) -> dict[str, Any]:
        left = max(self._org.daily_limit - self._org.counters.api_calls, 0)
        return {
            "DailyApiRequests": {"Max": self._org.daily_limit, "Remaining": left},
            "DataStorageMB": {"Max": 5, "Remaining": 5},
            "FileStorageMB": {"Max": 20, "Remaining": 20},
        }

    def _resources(self, version: str) -> dict[str, str]:
        names = ("sobjects", "query", "queryAll", "limits")
        identity = f"{self._org.url}/id/{self._org.org_id}/{self._org.user_id}"
        return {name: f"/services/data/{version}/{name}" for name in names} | {"identity": identity}


def _object(name: str) -> SObject:
    found = schema.find(name)
    if found is None:
        raise _not_found()
    return found


def _not_found() -> Refusal:
    return Refusal(404, "NOT_FOUND", "The requested resource does not exist")


def _not_allowed(method: str) -> Refusal:
    return Refusal(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are {_METHODS}")


def _http_date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


def _values(body: bytes) -> dict[str, Any]:
    if not body:
        raise Refusal(400, "JSON_PARSER_ERROR", "No content to map to Object due to end of input")
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "JSON_PARSER_ERROR", "Unexpected character at [line:1, column:1]") from None
    if not isinstance(values, dict):
        message = "Can not deserialize SObject out of this token at [line:1, column:1]"
        raise Refusal(400, "JSON_PARSER_ERROR", message)
    return {name: value for name, value in values.items() if name != "attributes"}


def _versions() -> list[dict[str, str]]:
    return [
        {
            "label": f"{_LABELS[number % 3]} '{(number + 13) // 3:02d}",
            "url": f"/services/data/v{number}.0",
            "version": f"{number}.0",
        }
        for number in _SUPPORTED
    ]


def _global() -> dict[str, Any]:
    objects = [_brief(schema.load(name)) for name in schema.NAMES]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects}


def _brief(sobject: SObject) -> dict[str, Any]:
    return {name: value for name, value in sobject.describe.items() if name not in _LEFT_OUT}
