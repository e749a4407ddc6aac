"""Several requests in one: ``/composite`` and its batch, tree and graph."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.rest.request_bodies import not_allowed, not_found, object_named, object_typed, read_object
from orgserver.sandbox.state.records import Record, Records

_MOST = 25
_MOST_QUERIES = 5
_MOST_GRAPHS = 75
_MOST_NODES = 500
_MOST_TREE = 200
_QUERIES = re.compile(r"/(?:query|queryAll|composite/sobjects)(?:[/?]|$)")
_REFERENCE = re.compile(r"@\{([A-Za-z0-9]\w*)((?:\.\w+|\[\d+\])*)\}")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_OK = range(200, 300)
_VERSION = re.compile(r"/?(?:services/data/)?(v\d{2,3}\.0)/(.*)", re.DOTALL)
_ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."
_TOO_MANY = "The request can\N{RIGHT SINGLE QUOTATION MARK}t contain more than"
_NAME = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
"""The form of a referenceId (guardian/support-service-lambdas PR 1512)."""
Resource = Callable[[Request, str, list[str]], Answer]


class _Unfit(Refusal):
    """A composite request that is refused as a whole: with 200, and one part that says why."""


class Composite:
    """Answers for one org; ``resource`` answers the requests inside."""

    def __init__(self, records: Records, resource: Resource) -> None:
        self._records = records
        self._resource = resource

    def answer(self, request: Request, rest: list[str]) -> Answer:
        """Answer a request under ``/composite``."""
        if request.method != "POST":
            raise not_allowed(request.method)
        match rest:
            case []:
                return self._composite(request)
            case ["batch"]:
                return self._batch(request)
            case ["tree", name]:
                return self._tree(request, name)
            case ["graph"]:
                return self._graphs(request)
        raise not_found()

    def _composite(self, request: Request) -> Answer:
        body = read_object(request.body)
        try:
            requests = _in_limits(body.get("compositeRequest"))
        except _Unfit as unfit:
            return Answer(200, {"compositeResponse": [_response(None, Answer(400), unfit.body)]})
        responses, _ = self._each(requests, request, all_or_none=body.get("allOrNone") is True)
        return Answer(200, {"compositeResponse": responses})

    def _each(self, requests: list[Record], request: Request, *, all_or_none: bool) -> tuple[list[Record], bool]:
        """The responses, and whether all went well."""
        bodies: dict[str, Any] = {}
        responses: list[Record] = []
        with self._records.undoable() as undo:
            for each in requests:
                reference = str(each["referenceId"])
                answer = self._sub(each, request, bodies)
                body = json.loads(answer.body) if answer.body else None
                if answer.status in _OK:
                    bodies[reference] = body
                responses.append(_response(reference, answer, body))
                if all_or_none and answer.status not in _OK:
                    break
            failed = [i for i, each in enumerate(responses) if each["httpStatusCode"] not in _OK]
            if all_or_none and failed:
                undo()
                names = [str(each["referenceId"]) for each in requests]
                responses = [
                    responses[i] if i in failed else _response(name, *_halted(_ROLLED_BACK))
                    for i, name in enumerate(names)
                ]
        return responses, not failed

    def _sub(self, each: Record, request: Request, bodies: dict[str, Any]) -> Answer:
        try:
            url = _filled(str(each.get("url", "")), bodies)
            body = _filled(each.get("body"), bodies)
            raw_headers = each.get("httpHeaders")
            headers = (
                {str(name).lower(): str(value) for name, value in raw_headers.items()}
                if isinstance(raw_headers, dict)
                else {}
            )
            return self._run(str(each.get("method", "GET")), url, body, {**request.headers, **headers})
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body)

    def _run(self, method: str, url: str, body: Any, headers: dict[str, str]) -> Answer:
        split = urlsplit(url.replace(" ", "%20"))
        match = _VERSION.fullmatch(split.path)
        if match is None:
            raise not_found()
        parts = [unquote(part) for part in match[2].strip("/").split("/")]
        if parts[0] == "composite" and parts[1:2] != ["sobjects"]:
            raise Refusal(400, "INVALID_INPUT", "A composite request cannot hold another one")
        content = b"" if body is None else json.dumps(body).encode()
        inner = Request(method.upper(), split.path, split.path, split.query, headers, content)
        return self._resource(inner, match[1], parts)

    def _batch(self, request: Request) -> Answer:
        body = read_object(request.body)
        results: list[Record] = []
        halted = False
        for each in _list(body.get("batchRequests"), _MOST):
            if halted:
                error = {"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted per request"}
                results.append({"statusCode": 412, "result": [error]})
                continue
            answer = self._sub({**each, "body": each.get("richInput")}, request, {})
            results.append({"statusCode": answer.status, "result": json.loads(answer.body) if answer.body else None})
            halted = body.get("haltOnError") is True and answer.status not in _OK
        failed = any(each["statusCode"] not in _OK for each in results)
        return Answer(200, {"hasErrors": failed, "results": results})

    def _graphs(self, request: Request) -> Answer:
        graphs = _list(read_object(request.body).get("graphs"), _MOST_GRAPHS)
        inner = [_requests(each.get("compositeRequest"), _MOST_NODES) for each in graphs]
        if sum(len(each) for each in inner) > _MOST_NODES:
            raise Refusal(400, "LIMIT_EXCEEDED", f"A graph request may hold at most {_MOST_NODES} nodes")
        results = []
        for graph, requests in zip(graphs, inner, strict=True):
            responses, well = self._each(requests, request, all_or_none=True)
            response = {"compositeResponse": responses}
            results.append({"graphId": graph.get("graphId"), "graphResponse": response, "isSuccessful": well})
        return Answer(200, {"graphs": results})

    def _tree(self, request: Request, name: str) -> Answer:
        object_named(name)
        results: list[Record] = []
        errors: list[Record] = []
        with self._records.undoable() as undo:
            try:
                for each in _list(read_object(request.body).get("records"), _MOST_TREE):
                    self._branch(each, None, results, errors)
            except Refusal:
                undo()
                raise
            if len(results) + len(errors) > _MOST_TREE:
                undo()
                raise Refusal(400, "LIMIT_EXCEEDED", f"A tree may hold at most {_MOST_TREE} records")
            if errors:
                undo()
                return Answer(400, {"hasErrors": True, "results": errors})
        return Answer(201, {"hasErrors": False, "results": results})

    def _branch(self, node: Record, parent: Record | None, results: list[Record], errors: list[Record]) -> None:
        about = node["attributes"] if isinstance(node.get("attributes"), dict) else {}
        reference = about.get("referenceId")
        children = {key: value for key, value in node.items() if isinstance(value, dict) and "records" in value}
        values = {key: value for key, value in node.items() if key != "attributes" and key not in children}
        try:
            sobject = object_typed(about.get("type"))
            identifier = self._records.create(sobject, values | (parent or {}))
        except Refusal as refusal:
            errors.append({"referenceId": reference, "errors": [refusal.outcome()]})
            return
        results.append({"referenceId": reference, "id": identifier})
        fields = {each["relationshipName"]: each["field"] for each in sobject.describe["childRelationships"]}
        for relationship, child in children.items():
            if relationship not in fields:
                text = f"No such column '{relationship}' on sobject of type {sobject.name}"
                errors.append({"referenceId": reference, "errors": [Refusal(400, "INVALID_FIELD", text).outcome()]})
                continue
            for each in _list(child["records"], _MOST_TREE):
                self._branch(each, {fields[relationship]: identifier}, results, errors)


def _in_limits(value: Any) -> list[Record]:
    """The parts of a composite request; _Unfit where they are too many (guardian/support-service-lambdas PR 766)."""
    requests = _requests(value, None)
    if len(requests) > _MOST:
        raise _Unfit(400, "LIMIT_EXCEEDED", f"{_TOO_MANY} {_MOST} operations.")
    if sum(bool(_QUERIES.search(str(each.get("url")))) for each in requests) > _MOST_QUERIES:
        raise _Unfit(400, "LIMIT_EXCEEDED", f"{_TOO_MANY} {_MOST_QUERIES} query or collection operations.")
    for name in (str(each["referenceId"]) for each in requests):
        if not _NAME.fullmatch(name):
            text = (
                f"Provided referenceId ('{name[:80]}') must start with a letter or a number, and it can contain only "
            )
            raise _Unfit(400, "INVALID_INPUT", text + "letters, numbers and underscores ('_').")
    return requests


def _list(value: Any, most: int | None) -> list[Record]:
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise Refusal(400, "JSON_PARSER_ERROR", "A list of objects is required at [line:1, column:2]")
    if most is not None and len(value) > most:
        raise Refusal(400, "LIMIT_EXCEEDED", f"The limit of {most} requests in one has been exceeded")
    return value


def _requests(value: Any, most: int | None) -> list[Record]:
    requests = _list(value, most)
    names = [each.get("referenceId") for each in requests]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise Refusal(400, "INVALID_INPUT", "every request needs a referenceId of its own")
    return requests


def _filled(value: Any, bodies: dict[str, Any]) -> Any:
    """A URL or body, its references replaced by what they refer to."""
    if isinstance(value, dict):
        return {name: _filled(each, bodies) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, bodies) for each in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _referred(whole, bodies)
    return _REFERENCE.sub(lambda match: str(_referred(match, bodies)), value)


def _referred(match: re.Match[str], bodies: dict[str, Any]) -> Any:
    value: Any = bodies.get(match[1])
    for name, index in _STEP.findall(match[2]):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            value = None
    if value is None:
        text = f"Invalid reference specified. No value for {match[1]}{match[2]} found in {match[1]}"
        raise Refusal(400, "PROCESSING_HALTED", text)
    return value


def _halted(message: str) -> tuple[Answer, Any]:
    refusal = Refusal(400, "PROCESSING_HALTED", message)
    return Answer(400, refusal.body), refusal.body


def _response(reference: str | None, answer: Answer, body: Any) -> Record:
    headers = {"Location": answer.headers["location"]} if "location" in answer.headers else {}
    return {"body": body, "httpHeaders": headers, "httpStatusCode": answer.status, "referenceId": reference}
