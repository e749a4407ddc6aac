"""The pretend org's REST resources, under ``/services/data``."""

from __future__ import annotations

import re
from collections.abc import Callable

from orgserver.sandbox.answers import Answer, Request
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

    def __init__(self, org: SandboxOrg, authenticate: Callable[[Request], str]) -> None:
        self._org = org
        self._authenticate = authenticate
        self._collections = Collections(org.records)
        self._composite = Composite(org.records, self._resource)
        self._bulk = Bulk(org)
        self._searching = Searching(org)
        self._queries = Queries(org)

    def answer(self, request: Request) -> Answer:
        """Answer a request; Refusal if it cannot be done."""
        match request.parts:
            case ["services", "data"] if request.method == "GET":
                return Answer(200, _versions())
            case ["services", "data", version, *parts] if version_number := _VERSION.fullmatch(version):
                _check_version(int(version_number[1]))
                user_id = self._authenticate(request)
                if self._org.counters.api_calls >= self._org.protection_limit:
                    raise Refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
                self._org.counters.api_calls += 1
                check_media_type(request)
                with self._org.users.acting(user_id), schema.of_org(self._org.objects.own):
                    return self._resource(request, version, parts)
        raise not_found()

    def _resource(self, request: Request, version: str, parts: list[str]) -> Answer:
        match parts:
            case ["sobjects", name, *rest]:
                return self._sobject(request, object_named(name), rest, version)
            case ["composite", "sobjects", *rest]:
                return self._collections.answer(request, rest, version)
            case ["composite", *rest]:
                return self._composite.answer(request, rest)
            case ["search" | "parameterizedSearch" as kind]:
                return self._searching.answer(request, kind, version)
            case ["jobs", *rest]:
                return self._bulk.answer(request, rest, version)
            case _ if request.method != "GET":
                raise not_allowed(request.method)
        return self._read(request, version, parts)

    def _read(self, request: Request, version: str, parts: list[str]) -> Answer:
        match parts:
            case []:
                return Answer(200, self._resources(version))
            case ["query" | "queryAll", locator]:
                return self._queries.more(request, locator, version)
            case ["query" | "queryAll" as kind]:
                return self._queries.first(request, version, deleted=kind == "queryAll")
            case ["limits"]:
                return limits.limits(self._org)
            case ["limits", "recordCount"]:
                return limits.counts(self._org, request)
            case ["sobjects"]:
                return self._org.objects.all(request, version, self._org.url)
        raise not_found()

    def _sobject(self, request: Request, sobject: SObject, rest: list[str], version: str) -> Answer:
        method = method_of(request)
        match method, rest:
            case "GET", ["describe"]:
                return self._org.objects.described(request, sobject, version, self._org.url)
            case "GET", []:
                return self._org.objects.basic(request, sobject, version, self._org.url)
            case "GET", ["updated" | "deleted" as kind]:
                return limits.changed(self._org, request, sobject, kind)
            case "POST", [] | ["Id"]:
                identifier = self._org.records.create(
                    sobject, read_values(request.body), allow_duplicates=allows_duplicates(request)
                )
                result = {"id": identifier, "success": True, "errors": []}
                return Answer(
                    201, result, {"location": f"/services/data/{version}/sobjects/{sobject.name}/{identifier}"}
                )
            case _, [identifier]:
                return self._record(request, sobject, identifier, version)
            case _, [key, value]:
                upserted = upserts.answer(self._org.records, request, sobject, key, value, version)
                return upserted if isinstance(upserted, Answer) else self._record(request, sobject, upserted, version)
            case _, []:
                raise not_allowed(method)
        raise not_found()

    def _record(self, request: Request, sobject: SObject, identifier: str, version: str) -> Answer:
        records = self._org.records
        match method_of(request):
            case "GET":
                return self._row(request, sobject, identifier, version)
            case "PATCH":
                unmet = conditional_requests.check_change(request, sobject, records.get(sobject, identifier))
                if unmet is not None:
                    return unmet
                values = read_values(request.body)
                records.update(sobject, identifier, values, allow_duplicates=allows_duplicates(request))
                return Answer(204)
            case "DELETE":
                records.delete(sobject, identifier)
                return Answer(204)
            case method:
                raise not_allowed(method)

    def _row(self, request: Request, sobject: SObject, identifier: str, version: str) -> Answer:
        record = self._org.records.get(sobject, identifier)
        instead = conditional_requests.check_read(request, sobject, record)
        if instead is not None:
            return instead
        row = {"attributes": attributes(sobject.name, record["Id"], version)}
        listing = request.query.get("fields", "")
        names = [name.strip() for name in listing.split(",")] if listing else [f.name for f in sobject.fields.values()]
        for name in names:
            field = sobject.fields.get(name.lower())
            if field is None:
                raise Refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            row[field.name] = record[field.name]
        row.setdefault("Id", record["Id"])
        return Answer(200, row, conditional_requests.headers(sobject, record))

    def _resources(self, version: str) -> dict[str, str]:
        names = ("composite", "jobs", "limits", "parameterizedSearch", "query", "queryAll", "search", "sobjects")
        identity = f"{self._org.url}/id/{self._org.org_id}/{self._org.users.current.id}"
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
