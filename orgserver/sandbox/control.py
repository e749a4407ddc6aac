"""Knobs and counters for tests in other processes: ``/sandbox/…``, without a token, on loopback only.

GET    /sandbox/state      counters, records by object, live sessions, the username
GET    /sandbox/requests   what arrived and when, oldest first, with bodies but without tokens; DELETE forgets it
GET    /sandbox/tokens     every login: its client id, how often it was refreshed, its refresh token's SHA-256, how many
                           sessions it has, whether it was revoked, whose it is, and its name in the log of requests
GET    /sandbox/users      the users with their passwords, the first one first; POST adds one or, where the username is
                           known, changes it: {"username", "name", "time_zone", "active", "approved", "password",
                           "hidden_fields"}; all but the username may be left out
GET    /sandbox/faults     the faults that are still to strike; POST orders one, DELETE takes all back
POST   /sandbox/expire     end every session, or with {"username"} those of one user
POST   /sandbox/revoke     {"username"}: end every login of a user, as an administrator would
POST   /sandbox/fields     {"object", "field", "values"}: change what describe tells of a field, or add one
POST   /sandbox/records    {"object", "values"}: put a record in, also into fields that no client may write
POST   /sandbox/knobs      a JSON object; the names are in ``knobs``
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from orgserver.sandbox import knobs
from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema

_LOCAL = ("127.0.0.1", "localhost")


def answer(org: SandboxOrg, request: Request) -> Answer:
    """Answer a request under ``/sandbox/``."""
    # A web page that has its name point at this machine sends its own name.
    if request.headers.get("host", "").partition(":")[0] not in _LOCAL:
        return Answer(403, {"error": "this is for 127.0.0.1"})
    try:
        return _answer(org, request)
    except (TypeError, ValueError) as error:
        return Answer(400, {"error": str(error)})


def _answer(org: SandboxOrg, request: Request) -> Answer:
    name = request.path.removeprefix("/sandbox/")
    if request.method == "GET":
        return _report(org, name)
    match request.method, name:
        case "DELETE", "requests":
            org.requests.clear()
        case "POST", "faults":
            org.fault(**_object(request))
        case "DELETE", "faults":
            org.faults.clear()
        case "POST", "fields":
            change = _object(request)
            org.objects.change(_text(change, "object"), _text(change, "field"), change.get("values", {}))
        case "POST", "records":
            return Answer(200, {"id": _add(org, _object(request))})
        case "POST", "users":
            return Answer(200, knobs.turn_user(org, _object(request)).described())
        case "POST", "expire" | "revoke":
            _end(org, name, _object(request))
        case "POST", "knobs":
            knobs.turn(org, _object(request))
        case _:
            return _unknown()
    return Answer(200, {})


def _report(org: SandboxOrg, name: str) -> Answer:
    match name:
        case "state":
            return Answer(200, org.state())
        case "requests":
            return Answer(200, [asdict(each) for each in org.requests])
        case "tokens":
            return Answer(200, org.logins.described())
        case "users":
            return Answer(200, [each.described() for each in org.users.by_id.values()])
        case "faults":
            return Answer(200, [asdict(each) for each in org.faults if each.times > 0])
    return _unknown()


def _end(org: SandboxOrg, name: str, body: dict[str, Any]) -> None:
    """End all sessions, or a user's, or a user's logins."""
    if name == "expire" and "username" not in body:
        org.expire_access_tokens()
        return
    username = _text(body, "username")
    user = org.users.find(username)
    if user is None:
        raise ValueError(f"there is no user {username}")
    org.logins.end_sessions_of(user.id)
    for family in org.logins.families:
        if name == "revoke" and family.user_id == user.id:
            org.logins.end(family)


def _unknown() -> Answer:
    return Answer(404, {"error": "there is no such knob"})


def _object(request: Request) -> dict[str, Any]:
    body = json.loads(request.body or b"{}")
    if not isinstance(body, dict):
        raise TypeError("a JSON object is wanted")
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise TypeError(f"{name}: a text is wanted")
    return value


def _add(org: SandboxOrg, body: dict[str, Any]) -> str:
    values = body.get("values")
    recorded = schema.find(_text(body, "object"))
    if recorded is None or not isinstance(values, dict):
        raise ValueError("a known object and its values are wanted")
    sobject = org.objects.find(recorded.name)
    names = {field.name for field in sobject.fields.values()}
    if values.keys() - names:
        raise ValueError(f"{sobject.name} has no field {', '.join(sorted(values.keys() - names))}")
    return org.records.add(sobject, values)
