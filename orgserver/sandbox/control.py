"""Knobs and counters for tests in other processes: ``/sandbox/…``, without a token, on loopback only.

GET    /sandbox/state      counters, records by object, live sessions, the username
GET    /sandbox/requests   what arrived and when, oldest first, with bodies but without tokens; DELETE forgets it
GET    /sandbox/tokens     every login: its client id, how often it was refreshed, its refresh token's SHA-256, how many
                           sessions it has, whether it was revoked
GET    /sandbox/faults     the faults that are still to strike; POST orders one, DELETE takes all back
POST   /sandbox/expire     end every session
POST   /sandbox/knobs      a JSON object; the names are in ``knobs``
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from orgserver.sandbox import knobs
from orgserver.sandbox.answers import Answer, Asked
from orgserver.sandbox.org import SandboxOrg

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
    match asked.method, asked.path.removeprefix("/sandbox/"):
        case "GET", "state":
            return Answer(200, org.state())
        case "GET", "requests":
            return Answer(200, [asdict(each) for each in org.requests])
        case "DELETE", "requests":
            org.requests.clear()
        case "GET", "tokens":
            return Answer(200, org.logins.described())
        case "GET", "faults":
            return Answer(200, [asdict(each) for each in org.faults if each.times > 0])
        case "POST", "faults":
            org.fault(**_object(asked))
        case "DELETE", "faults":
            org.faults.clear()
        case "POST", "expire":
            org.expire_access_tokens()
        case "POST", "knobs":
            knobs.turn(org, _object(asked))
        case _:
            return Answer(404, {"error": "there is no such knob"})
    return Answer(200, {})


def _object(asked: Asked) -> dict[str, Any]:
    told = json.loads(asked.body or b"{}")
    if not isinstance(told, dict):
        raise TypeError("a JSON object is wanted")
    return told
