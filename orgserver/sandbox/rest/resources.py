"""The pretend org's REST resources, under ``/services/data``."""

from __future__ import annotations

import re
from collections.abc import Callable

from orgserver.sandbox.answers import Answer, Asked
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.query.field_paths import attributes
from orgserver.sandbox.rest import conditional_requests, limits, upserts
from orgserver.sandbox.rest.bulk import Bulk
from orgserver.sandbox.rest.collections import Collections
from orgserver.sandbox.rest.composite import Composite
from orgserver.sandbox.rest.queries import Queries
from orgserver.sandbox.rest.request_bodies import (
    allows_duplicates,
    check_media_type,
    method_of,
    not_allowed,
    not_found,
    object_named,
    read_values,
)
from orgserver.sandbox.rest.search import Searching
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.schema import SObject

_VERSION = re.compile(r"v(\d{2,3})\.0")
_SUPPORTED = range(31, 69)
_OLDEST = 21
"""The versions before 31.0 are retired (REST guide ``errorcodes``: 410); there was REST from 20.0 on."""
_LABELS = {0: "Spring", 1: "Summer", 2: "Winter"}


class Rest:
    """Answers for one org."""

    def __init__(self, org: SandboxOrg, authenticate: Callable[[Asked], None]) -> None:
        self._org = org
        self._authenticate = authenticate
        self._collections = Collections(org.records)
        self._composite = Composite(org.records, self._resource)
        self._bulk = Bulk(org)
        self._searching = Searching(org)
        self._queries = Queries(org)

    def answer(self, asked: Asked) -> Answer:
        """Answer a request; Refusal if it cannot be done."""
        match asked.parts:
            case ["services", "data"] if asked.method == "GET":
                return Answer(200, _versions())
            case ["services", "data", version, *parts] if named := _VERSION.fullmatch(version):
                _check_version(int(named[1]))
                self._authenticate(asked)
                if self._org.counters.api_calls >= self._org.protection_limit:
                    raise Refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
                self._org.counters.api_calls += 1
                check_media_type(asked)
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
                return self._queries.more(asked, locator, version)
            case ["query" | "queryAll" as kind]:
                return self._queries.first(asked, version, deleted=kind == "queryAll")
            case ["limits"]:
                return limits.limits(self._org)
            case ["limits", "recordCount"]:
                return limits.counts(self._org, asked)
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
                return limits.changed(self._org, asked, sobject, kind)
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
                unmet = conditional_requests.check_change(asked, sobject, records.get(sobject, identifier))
                if unmet is not None:
                    return unmet
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
        instead = conditional_requests.of_read(asked, sobject, record)
        if instead is not None:
            return instead
        row = {"attributes": attributes(sobject.name, record["Id"], version)}
        wanted = asked.query.get("fields", "")
        names = [name.strip() for name in wanted.split(",")] if wanted else [f.name for f in sobject.fields.values()]
        for name in names:
            field = sobject.fields.get(name.lower())
            if field is None:
                raise Refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            row[field.name] = record[field.name]
        row.setdefault("Id", record["Id"])
        return Answer(200, row, conditional_requests.headers(sobject, record))

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


def _check_version(number: int) -> None:
    if _OLDEST <= number < _SUPPORTED.start:
        raise Refusal(410, "UNSUPPORTED_API_VERSION", f"API version {number}.0 has been retired")
