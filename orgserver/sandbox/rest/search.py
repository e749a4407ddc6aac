"""``/search`` and ``/parameterizedSearch``: SOSL answered from an org's records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.query import sosl
from orgserver.sandbox.rest.request_bodies import not_allowed, object_typed, read_object
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.records import Record
from orgserver.sandbox.state.schema import SObject

_MOST = 2_000
_SHORTEST = 2
_OBJECTS_SINCE = 37
_TEXTS = frozenset({"string", "textarea", "phone", "email", "url", "picklist", "combobox"})
Words = list[tuple[str, ...]]
Matcher = Callable[[Words], bool]


class Searching:
    """Answers under ``/search`` and ``/parameterizedSearch``."""

    def __init__(self, org: SandboxOrg) -> None:
        self._org = org

    def answer(self, request: Request, kind: str, version: str) -> Answer:
        """Answer a request for one of them."""
        return (
            self._parameterized(request, version) if kind == "parameterizedSearch" else self._search(request, version)
        )

    def _search(self, request: Request, version: str) -> Answer:
        if request.method != "GET":
            raise not_allowed(request.method)
        search = sosl.parse(request.query.get("q", ""))
        return self._done(search, _matcher(sosl.pieces(search.text)), version)

    def _parameterized(self, request: Request, version: str) -> Answer:
        if request.method not in ("GET", "POST"):
            raise not_allowed(request.method)
        parameters = read_object(request.body) if request.method == "POST" else _from_query(request)
        text = parameters.get("q")
        if not isinstance(text, str) or not text.strip():
            raise sosl.malformed("the parameter q is missing")
        words = sosl.split(text, wild="*?")
        search = sosl.Search(
            text,
            str(parameters.get("in", "ALL")).upper(),
            list(_returned(parameters)),
            _limit(parameters, "overallLimit"),
        )
        return self._done(search, _matcher([sosl.Piece(words=(word,)) for word in words]), version)

    def _done(self, search: sosl.Search, matches: Matcher, version: str) -> Answer:
        letters = re.sub(r"[^\w]", "", search.text)
        if len(letters) < _SHORTEST:
            raise sosl.malformed(f"search term must be longer than one character: {search.text}")
        most = min(_MOST, search.limit if search.limit is not None else _MOST)
        sobjects = [schema.find(name) for name in schema.NAMES]
        everything = [sosl.Returned(each.name) for each in sobjects if each is not None and each.describe["searchable"]]
        rows: list[Record] = []
        for returned in search.returning or everything:
            rows += self._rows(returned, search.scope, matches, version)
        rows = rows[:most]
        older = int(version[1:].partition(".")[0]) < _OBJECTS_SINCE
        return Answer(200, rows if older else {"searchRecords": rows})

    def _rows(self, returned: sosl.Returned, scope: str, matches: Matcher, version: str) -> list[Record]:
        sobject = object_typed(returned.sobject)
        if not sobject.describe["searchable"]:
            raise Refusal(400, "INVALID_SEARCH", f"entity type {sobject.name} does not support search")
        runner = self._org.query(returned.query)
        names = _searched(sobject, scope)
        hits = (record for record in runner.rows() if matches([sosl.split(text) for text in _texts(record, names)]))
        end = None if returned.limit is None else returned.offset + returned.limit
        row = runner.projection()
        return [row(record, version) for record in list(hits)[returned.offset : end]]


def _searched(sobject: SObject, scope: str) -> list[str]:
    """The fields that a scope looks into."""
    naming = {each["name"] for each in sobject.describe["fields"] if each["nameField"]} | {"Name"}
    kinds = {"EMAIL": {"email"}, "PHONE": {"phone"}, "SIDEBAR": {"email", "phone"}, "NAME": set(), "ALL": _TEXTS}
    if scope not in kinds:
        raise sosl.malformed(f"unexpected token: {scope[:40]}")
    by_name = scope in ("NAME", "SIDEBAR")
    return [
        field.name
        for field in sobject.fields.values()
        if field.type in kinds[scope] or (by_name and (field.name in naming or field.compound == "Name"))
    ]


def _texts(record: Record, names: list[str]) -> Iterator[str]:
    return (value for name in names if isinstance(value := record.get(name), str))


def _matcher(pieces: list[sosl.Piece]) -> Matcher:
    """A function that tells whether a record's words match; AND binds closer than OR."""
    matcher, rest = _either(pieces)
    if rest:
        raise sosl.malformed(f"unexpected token: {rest[0].operator or ' '.join(rest[0].words)}")
    return matcher


def _either(pieces: list[sosl.Piece]) -> tuple[Matcher, list[sosl.Piece]]:
    matcher, rest = _both(pieces)
    parts = [matcher]
    while rest and rest[0].operator == "OR":
        matcher, rest = _both(rest[1:])
        parts.append(matcher)
    return (lambda words: any(part(words) for part in parts)), rest


def _both(pieces: list[sosl.Piece]) -> tuple[Matcher, list[sosl.Piece]]:
    matcher, rest = _one(pieces)
    parts = [matcher]
    while rest and rest[0].operator not in ("OR", ")"):
        matcher, rest = _one(rest[1:] if rest[0].operator == "AND" else rest)
        parts.append(matcher)
    return (lambda words: all(part(words) for part in parts)), rest


def _one(pieces: list[sosl.Piece]) -> tuple[Matcher, list[sosl.Piece]]:
    if not pieces:
        raise sosl.malformed("unexpected end of the search term")
    first, rest = pieces[0], pieces[1:]
    if first.operator == "NOT":
        inner, rest = _one(rest)
        return (lambda words: not inner(words)), rest
    if first.operator == "(":
        inner, rest = _either(rest)
        if not rest or rest[0].operator != ")":
            raise sosl.malformed("a parenthesis is not closed")
        return inner, rest[1:]
    if first.operator:
        raise sosl.malformed(f"unexpected token: {first.operator}")
    return _sequence(first.words), rest


def _sequence(sequence: tuple[str, ...]) -> Matcher:
    """Words that must stand side by side in one field."""
    patterns = [re.compile(re.escape(word).replace(r"\*", ".*").replace(r"\?", ".")) for word in sequence]

    def matches(words: tuple[str, ...]) -> bool:
        starts = range(len(words) - len(patterns) + 1)
        return any(all(p.fullmatch(words[start + i]) for i, p in enumerate(patterns)) for start in starts)

    return lambda fields: any(matches(words) for words in fields)


def _returned(parameters: dict[str, Any]) -> Iterator[sosl.Returned]:
    common, default = parameters.get("fields") or ["id"], _limit(parameters, "defaultLimit")
    sobjects = parameters.get("sobjects") or []
    if not isinstance(sobjects, list) or not all(isinstance(each, dict) and "name" in each for each in sobjects):
        raise sosl.malformed("sobjects must be a list of objects with a name")
    for each in sobjects:
        where = f"WHERE {each['where']}" if each.get("where") else ""
        names = each.get("fields") or common
        if not isinstance(names, list):
            raise sosl.malformed("fields must be a list of names")
        fields = ", ".join(str(name) for name in names)
        yield sosl.Returned(str(each["name"]), fields, where, _limit(each, "limit") or default)


def _limit(parameters: dict[str, Any], name: str) -> int | None:
    value = parameters.get(name)
    if value is not None and (not isinstance(value, int) or value < 1):
        raise sosl.malformed(f"{name} must be a number above 0")
    return value


def _from_query(request: Request) -> dict[str, Any]:
    """The parameters of a URL in the form of a body."""
    pairs = parse_qsl(request.query_string, keep_blank_values=True)
    parameters: dict[str, Any] = {name: value for name, value in pairs if name in ("q", "in")}
    numbers = {name: value for name, value in pairs if name in ("overallLimit", "defaultLimit")}
    if not all(value.isdecimal() for value in numbers.values()):
        raise sosl.malformed("a limit is no number")
    parameters |= {name: int(value) for name, value in numbers.items()}
    values = dict(pairs)
    names = [part.strip() for name, value in pairs if name == "sobject" for part in value.split(",")]
    parameters["sobjects"] = [
        {
            "name": name,
            "fields": [part for part in values.get(f"{name}.fields", "").split(",") if part],
            "where": values.get(f"{name}.where"),
        }
        | ({"limit": int(limit)} if (limit := values.get(f"{name}.limit", "")).isdecimal() else {})
        for name in names
    ]
    parameters["fields"] = [part for part in values.get("fields", "").split(",") if part]
    return parameters
