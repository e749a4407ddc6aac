"""The pretend org's HTTP: Salesforce's paths, headers and errors, as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

from orgserver.sandbox import faults, schema
from orgserver.sandbox.errors import OAuthRefusal, Refusal
from orgserver.sandbox.org import SandboxOrg, Seen
from orgserver.sandbox.running import Runner, attributes
from orgserver.sandbox.schema import SObject

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
_VERSION = re.compile(r"/services/data/(v\d{2,3}\.0)(/.*)?")
_LOCATOR = re.compile(r"(0r8[0-9A-Za-z]{15})-(\d+)")
_BATCH = re.compile(r"batchSize\s*=\s*(\d+)")
_SUPPORTED = range(59, 69)
_LABELS = {0: "Spring", 1: "Summer", 2: "Winter"}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Answer:
    """What goes back."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: Any = None) -> None:
        self.status = status
        self.body = b"" if body is None else _dumps(body).encode()


class RestApp:
    """One org's application."""

    def __init__(
        self, org: SandboxOrg, orgs: list[SandboxOrg], transports: Mapping[tuple[str, int], asyncio.Transport]
    ) -> None:
        self._org = org
        self._orgs = orgs
        self._transports = transports

    async def __call__(self, scope: Scope, receive: Receive, send: faults.Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = await _read(receive)
        method, path = scope["method"], scope["path"]
        if path.startswith("/sandbox/"):
            await self._reply(send, self._control(method, path, body))
            return
        fault = self._org.strikes(method, path)
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            fault = None
        if fault is not None and not fault.work:
            self._seen(method, path, 0)
            await faults.strike(fault, send, self._transports[tuple(scope["client"])], b"{}")
            return
        answer = self._answer(scope, method, path, body)
        self._seen(method, path, answer.status)
        if fault is not None:
            await faults.strike(fault, send, self._transports[tuple(scope["client"])], answer.body)
            return
        await self._reply(send, answer)

    def _seen(self, method: str, path: str, status: int) -> None:
        self._org.counters.requests += 1
        self._org.requests.append(Seen(method, path, status))

    async def _reply(self, send: faults.Send, answer: Answer) -> None:
        used = self._org.counters.requests
        headers = [
            (b"content-type", b"application/json;charset=UTF-8"),
            (b"content-length", str(len(answer.body)).encode()),
            (b"sforce-limit-info", f"api-usage={used}/{self._org.daily_limit}".encode()),
            (b"x-request-id", secrets.token_hex(16).encode()),
        ]
        if answer.status == 401:  # noqa: PLR2004  # Unauthorized
            headers.append((b"www-authenticate", b"Token"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _answer(self, scope: Scope, method: str, path: str, body: bytes) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        try:
            if path.startswith(("/services/oauth2/", "/id/")):
                return self._oauth(method, path, headers, query, body)
            return self._data(method, path, headers, query, body)
        except (Refusal, OAuthRefusal) as refusal:
            return Answer(refusal.status, refusal.body)

    # -- OAuth

    def _oauth(self, method: str, path: str, headers: dict[str, str], query: dict[str, str], body: bytes) -> Answer:
        form = query | {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if path == "/services/oauth2/token" and method == "POST":
            if form.get("grant_type") != "refresh_token":
                raise OAuthRefusal("unsupported_grant_type", "grant type not supported")
            return Answer(200, self._org.refresh(form))
        if path == "/services/oauth2/revoke":
            if self._org.revoke(form.get("token", "")):
                return Answer(200)
            raise OAuthRefusal("invalid_token", "token has already been revoked or does not exist")
        if path in ("/services/oauth2/userinfo", f"/id/{self._org.org_id}/{self._org.user_id}"):
            if self._bearer(headers) not in self._org.access_tokens:
                return Answer(403, "Bad_OAuth_Token")
            return Answer(200, self._org.userinfo())
        raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")

    @staticmethod
    def _bearer(headers: dict[str, str]) -> str:
        kind, _, token = headers.get("authorization", "").partition(" ")
        return token if kind in ("Bearer", "OAuth") else ""

    def _authenticate(self, headers: dict[str, str]) -> None:
        token = self._bearer(headers)
        if token in self._org.access_tokens:
            return
        if any(token in other.access_tokens for other in self._orgs):
            self._org.counters.foreign_tokens += 1
        self._org.counters.stale_tokens += 1
        raise Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")

    # -- data

    def _data(  # noqa: PLR0911  # one return for each resource
        self, method: str, path: str, headers: dict[str, str], query: dict[str, str], body: bytes
    ) -> Answer:
        if path.rstrip("/") == "/services/data":
            return Answer(200, _versions())
        found = _VERSION.fullmatch(path)
        if found is None:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        self._authenticate(headers)
        version = found[1]
        parts = [unquote(part) for part in (found[2] or "").strip("/").split("/")]
        if query.pop("_HttpMethod", "").upper() == "PATCH" and method == "POST":
            method = "PATCH"
        match parts:
            case [""]:
                return Answer(200, self._resources(version))
            case ["query" | "queryAll", locator] if method == "GET":
                return self._more(locator, version)
            case ["query" | "queryAll" as kind] if method == "GET":
                return self._query(query.get("q", ""), version, headers, deleted=kind == "queryAll")
            case ["limits"] if method == "GET":
                left = self._org.daily_limit - self._org.counters.requests
                return Answer(200, {"DailyApiRequests": {"Max": self._org.daily_limit, "Remaining": left}})
            case ["sobjects"] if method == "GET":
                return Answer(200, _global())
            case ["sobjects", name, *rest]:
                return self._sobject(method, _object(name), rest, version, headers, query, body)
        raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")

    def _sobject(
        self,
        method: str,
        sobject: SObject,
        rest: list[str],
        version: str,
        headers: dict[str, str],
        query: dict[str, str],
        body: bytes,
    ) -> Answer:
        records = self._org.records
        match method, rest:
            case "GET", ["describe"]:
                return Answer(200, sobject.describe)
            case "GET", []:
                return Answer(200, {"objectDescribe": _brief(sobject), "recentItems": []})
            case "POST", []:
                identifier = records.create(sobject, _values(body))
                return Answer(201, {"id": identifier, "success": True, "errors": []})
            case "GET", [identifier]:
                return Answer(200, self._row(sobject, identifier, query.get("fields"), version))
            case "PATCH", [identifier]:
                self._unmodified(sobject, identifier, headers.get("if-unmodified-since"))
                records.update(sobject, identifier, _values(body))
                return Answer(204)
            case "DELETE", [identifier]:
                records.delete(sobject, identifier)
                return Answer(204)
        raise Refusal(
            405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are GET,POST,PATCH,DELETE"
        )

    def _row(self, sobject: SObject, identifier: str, wanted: str | None, version: str) -> dict[str, Any]:
        record = self._org.records.get(sobject, identifier)
        row = {"attributes": attributes(sobject.name, record["Id"], version)}
        names = [name.strip() for name in wanted.split(",")] if wanted else [f.name for f in sobject.fields.values()]
        for name in names:
            field = sobject.fields.get(name.lower())
            if field is None:
                raise Refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            row[field.name] = record[field.name]
        row.setdefault("Id", record["Id"])
        return row

    def _unmodified(self, sobject: SObject, identifier: str, text: str | None) -> None:
        if text is None:
            return
        try:
            since = parsedate_to_datetime(text)
        except ValueError:
            raise Refusal(400, "INVALID_HEADER", "If-Unmodified-Since is not a date") from None
        record = self._org.records.get(sobject, identifier)
        if datetime.fromisoformat(record["LastModifiedDate"]) > since:
            message = "The record you are trying to update has been modified"
            raise Refusal(412, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", message)

    def _query(self, text: str, version: str, headers: dict[str, str], *, deleted: bool) -> Answer:
        runner = Runner(self._org.records, text, self._org.clock(), deleted=deleted)
        rows = runner.rows()
        if runner.query.count:
            return Answer(200, {"totalSize": len(rows), "done": True, "records": []})
        shape = runner.projection()
        batch = 2_000
        if (wanted := _BATCH.search(headers.get("sforce-query-options", ""))) is not None:
            batch = min(max(int(wanted[1]), 200), 2_000)
        if len(rows) <= batch:
            shaped = [shape(record, version) for record in rows]
            return Answer(200, {"totalSize": len(rows), "done": True, "records": shaped})
        locator = f"0r8{secrets.token_hex(8)[:15]}"
        self._org.locators[f"{locator}:{batch}"] = [shape(record, version) for record in rows]
        return self._more(f"{locator}-0", version)

    def _more(self, text: str, version: str) -> Answer:
        found = _LOCATOR.fullmatch(text)
        key = next((key for key in self._org.locators if found and key.startswith(found[1])), None)
        if found is None or key is None:
            raise Refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        rows, batch, start = self._org.locators[key], int(key.partition(":")[2]), int(found[2])
        end = start + batch
        page: dict[str, Any] = {"totalSize": len(rows), "done": end >= len(rows), "records": rows[start:end]}
        if not page["done"]:
            page["nextRecordsUrl"] = f"/services/data/{version}/query/{found[1]}-{end}"
        return Answer(200, page)

    def _resources(self, version: str) -> dict[str, str]:
        names = ("sobjects", "query", "queryAll", "limits")
        identity = f"{self._org.url}/id/{self._org.org_id}/{self._org.user_id}"
        return {name: f"/services/data/{version}/{name}" for name in names} | {"identity": identity}

    # -- control, for tests in other processes

    def _control(self, method: str, path: str, body: bytes) -> Answer:
        if method == "GET" and path == "/sandbox/requests":
            return Answer(200, [{"method": s.method, "path": s.path, "status": s.status} for s in self._org.requests])
        if method == "GET" and path == "/sandbox/state":
            return Answer(200, self._org.state())
        if method == "POST" and path == "/sandbox/expire":
            self._org.expire_access_tokens()
            return Answer(200, {})
        if method == "POST" and path == "/sandbox/faults":
            self._org.fault(**json.loads(body))
            return Answer(200, {})
        return Answer(404, {})


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _object(name: str) -> SObject:
    found = schema.find(name)
    if found is None:
        raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
    return found


def _values(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except ValueError:
        raise Refusal(400, "JSON_PARSER_ERROR", "Unexpected character at [line:1, column:1]") from None
    if not isinstance(values, dict):
        raise Refusal(
            400, "JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body."
        )
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
    left_out = ("fields", "childRelationships", "recordTypeInfos", "supportedScopes", "actionOverrides")
    return {name: value for name, value in sobject.describe.items() if name not in left_out}
