"""Salesforce's own host names, behind a transport: which assertions each host takes, and what it was shown."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import httpx
import jwt

from orgserver.salesforce.auth.audiences import LOGIN_URL
from tests.senders import HttpxSenders

HOME = "https://acme.my.salesforce.com"
EVIL = "https://proxy.acme.example"
ORG_ID, USER_ID = "00DSb0000000001MAA", "005Sb0000000001IAA"
AUDIENCE = {"error": "invalid_grant", "error_description": "audience is invalid"}
MISSING = {"error": "app_not_found", "error_description": "External client app is not installed in this org"}
EXPIRED = {"error": "invalid_grant", "error_description": "expired authorization code"}


@dataclass
class World:
    """An org with one app, seen from outside."""

    takes: set[tuple[str, str]]
    """Token host and audience of the assertions that get a token."""
    refusal: dict[str, str] = field(default_factory=lambda: AUDIENCE)
    """What all others get."""
    ahead: float = 0
    """Seconds that its clock is ahead of ours."""
    dated: bool = True
    """Whether its answers tell the time."""
    refuses_all: dict[str, str] | None = None
    shown: list[tuple[str, str]] = field(default_factory=list)
    """Token host and audience of each assertion, in order."""
    tokens: set[str] = field(default_factory=set)

    def install(self, transports: HttpxSenders) -> None:
        transports.open = lambda _url: httpx.MockTransport(self.answer)

    def expire(self) -> None:
        self.tokens.clear()

    def answer(self, request: httpx.Request) -> httpx.Response:
        origin = f"{request.url.scheme}://{request.url.netloc.decode()}"
        date = {"date": formatdate(time.time() + self.ahead, usegmt=True)} if self.dated else {}
        if request.url.path == "/services/oauth2/token":
            status, body = self._token(origin, dict(parse_qsl(request.content.decode())))
            return httpx.Response(status, json=body, headers=date)
        assert origin == HOME, f"a request went to {origin}"
        if request.headers["authorization"].removeprefix("Bearer ") not in self.tokens:
            return httpx.Response(
                401, json=[{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}], headers=date
            )
        return httpx.Response(200, json=_data(request.url.path), headers=date)

    def _token(self, host: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        claims = jwt.decode(form["assertion"], options={"verify_signature": False})
        self.shown.append((host, claims["aud"]))
        if self.refuses_all is not None:
            return 400, self.refuses_all
        if self.shown[-1] not in self.takes:
            return 400, self.refusal
        there = time.time() + self.ahead
        if not there - 30 <= claims["exp"] <= there + 330:
            return 400, EXPIRED
        token = f"{ORG_ID[:15]}!{len(self.shown)}"
        self.tokens.add(token)
        return 200, {
            "access_token": token,
            "instance_url": HOME,
            "id": f"{LOGIN_URL}/id/{ORG_ID}/{USER_ID}",
            "token_type": "Bearer",
        }


def _data(path: str) -> Any:
    answers: dict[str, Callable[[], Any]] = {
        "/services/data": lambda: [{"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}],
        "/services/oauth2/userinfo": lambda: {
            "organization_id": ORG_ID, "user_id": USER_ID, "preferred_username": "bot@acme.com", "zoneinfo": "UTC",
        },
        "/services/data/v68.0/query": lambda: {
            "totalSize": 1, "done": True, "records": [{"Id": ORG_ID, "Name": "Acme", "IsSandbox": False}],
        },
    }  # fmt: skip
    return answers[path.rstrip("/")]()
