"""Knobs and counters for tests in other processes: ``/sandbox/…``, without a token, on loopback only.

GET    /sandbox/state      counters, records by object, live sessions, the username
GET    /sandbox/requests   what arrived and when, oldest first, with bodies but without tokens; DELETE forgets it
GET    /sandbox/tokens     every login: its client id, how often it was refreshed, its refresh token's SHA-256, how many
                           sessions it has, whether it was revoked
GET    /sandbox/faults     the faults that are still to strike; POST orders one, DELETE takes all back
POST   /sandbox/expire     end every session
POST   /sandbox/fields     {"object", "field", "values"}: change what describe tells of a field, or add one
POST   /sandbox/records    {"object", "values"}: put a record in, also into fields that no client may write
POST   /sandbox/knobs      a JSON object; the names are in ``knobs``
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from orgserver.sandbox import knobs
from orgserver.sandbox.answers import Answer, Asked
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema

_LOCAL = ("127.0.0.1", "localhost")


def answer(org: SandboxOrg, asked: Asked) -> Answer:
    """Answer a request under ``/sandbox/``."""
    # A web page that has its name point at this machine sends its own name.
    if asked.headers.get("host", "").partition(":")[0] not in _LOCAL:
        return Answer(403, {"error": "this is for 127.0.0.1"})
    try:
        return _answer(org, asked)
    except (TypeError, ValueError) as error:
        return Answer(400, {"error": str(error)})


def _answer(org: SandboxOrg, asked: Asked) -> Answer:
    name = asked.path.removeprefix("/sandbox/")
    if asked.method == "GET":
        return _told(org, name)
    match asked.method, name:
        case "DELETE", "requests":
            org.requests.clear()
        case "POST", "faults":
            org.fault(**_object(asked))
        case "DELETE", "faults":
            org.faults.clear()
        case "POST", "fields":
            told = _object(asked)
            org.objects.change(_text(told, "object"), _text(told, "field"), told.get("values", {}))
        case "POST", "records":
            return Answer(200, {"id": _add(org, _object(asked))})
        case "POST", "expire":
            org.expire_access_tokens()
        case "POST", "knobs":
            knobs.turn(org, _object(asked))
        case _:
            return _unknown()
    return Answer(200, {})


def _told(org: SandboxOrg, name: str) -> Answer:
    match name:
        case "state":
            return Answer(200, org.state())
        case "requests":
            return Answer(200, [asdict(each) for each in org.requests])
        case "tokens":
            return Answer(200, org.logins.described())
        case "faults":
            return Answer(200, [asdict(each) for each in org.faults if each.times > 0])
    return _unknown()


def _unknown() -> Answer:
    return Answer(404, {"error": "there is no such knob"})


def _object(asked: Asked) -> dict[str, Any]:
    told = json.loads(asked.body or b"{}")
    if not isinstance(told, dict):
        raise TypeError("a JSON object is wanted")
    return told


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str):
        raise TypeError(f"{name}: a text is wanted")
    return value


def _add(org: SandboxOrg, told: dict[str, Any]) -> str:
    values = told.get("values")
    found = schema.find(_text(told, "object"))
    if found is None or not isinstance(values, dict):
        raise ValueError("a known object and its values are wanted")
    sobject = org.objects.find(found.name)
    known = {field.name for field in sobject.fields.values()}
    if values.keys() - known:
        raise ValueError(f"{sobject.name} has no field {', '.join(sorted(values.keys() - known))}")
    return org.records.add(sobject, values)
