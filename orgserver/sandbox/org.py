"""One pretend org: who it is, its tokens, its records, what it was asked, and what shall go wrong."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orgserver.model.names import to_18
from orgserver.sandbox import schema
from orgserver.sandbox.errors import OAuthRefusal
from orgserver.sandbox.faults import Fault, Kind
from orgserver.sandbox.records import Record, Records
from orgserver.sandbox.values import stamp

ALIASES = ("acme", "globex", "initech", "umbrella", "hooli", "vandelay", "wonka", "stark", "wayne", "tyrell")
_PEOPLE = {
    0: [("Ada", "Lovelace"), ("Grace", "Hopper"), ("Katherine", "Johnson"), ("Radia", "Perlman")],
    1: [("Alan", "Turing"), ("Edsger", "Dijkstra"), ("Barbara", "Liskov"), ("Donald", "Knuth")],
}


def _people(number: int) -> list[tuple[str, str]]:
    """Four people, others in each org: beyond the second, first and last names meet anew."""
    if number in _PEOPLE:
        return _PEOPLE[number]
    known = _PEOPLE[0] + _PEOPLE[1]
    return [(known[(number + i) % 8][0], known[(number // 8 + 3 * i + 1) % 8][1]) for i in range(4)]


@dataclass(slots=True)
class Counters:
    """What tests look at."""

    requests: int = 0
    api_calls: int = 0
    """Requests that count against the daily limit."""
    refreshes: int = 0
    reuses: int = 0
    foreign_tokens: int = 0
    """Times that a token of another org was shown here."""
    stale_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    status: int
    """0: it was not carried out, or not to its end."""
    query: str = ""
    body: str = field(default="", repr=False)
    """Empty for the token endpoints."""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Locator:
    """A query result that is handed out in pages."""

    rows: list[Record]
    batch: int


@dataclass(slots=True)
class TokenAnswers:
    """How the token endpoint misbehaves."""

    org_id: str | None = None
    instance_url: str | None = None
    busy: int = 0
    """Answer this many requests with "already being processed"."""


@dataclass(slots=True)
class SandboxOrg:
    """A pretend org. ``url`` is both its login host and its instance."""

    number: int
    url: str
    rotation: bool = True
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    counters: Counters = field(default_factory=Counters)
    requests: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    answers: TokenAnswers = field(default_factory=TokenAnswers)
    alias: str = ""
    org_id: str = ""
    user_id: str = ""
    username: str = ""
    name: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    """The one that works now."""
    spent: set[str] = field(default_factory=set, repr=False)
    in_process: set[str] = field(default_factory=set, repr=False)
    """Refresh tokens whose request is under way."""
    access_tokens: set[str] = field(default_factory=set, repr=False)
    locators: dict[str, Locator] = field(default_factory=dict)
    daily_limit: int = 1_000_000
    """Calls until the org answers REQUEST_LIMIT_EXCEEDED."""
    time_zone: str = "Europe/Berlin"

    records: Records = field(init=False)

    def __post_init__(self) -> None:
        self.alias = ALIASES[self.number] if self.number < len(ALIASES) else f"org{self.number + 1}"
        self.name = f"{self.alias.capitalize()} (orgserver sandbox)"
        self.org_id = to_18(f"00DSb{self.number:04d}000001")
        self.user_id = to_18(f"005Sb{self.number:04d}000001")
        self.username = f"agent@{self.alias}.example"
        self.client_id = f"3MVG9{secrets.token_hex(16)}"
        self.client_secret = secrets.token_hex(32).upper()
        self.refresh_token = self._new_refresh_token()
        self.records = Records(self.number, self.user_id, self.clock)
        self._seed()

    def credentials(self) -> dict[str, Any]:
        """What ``add-org --credentials-stdin`` takes."""
        return {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": self.refresh_token,
            "login_url": self.url,
            "instance_url": self.url,
            "trust_hosts": [self.url.partition("://")[2]],
        }

    def described(self) -> dict[str, Any]:
        """The org with its credentials, for ``orgserver sandbox``."""
        told = {"alias": self.alias, "org_id": self.org_id, "username": self.username, "name": self.name}
        return told | self.credentials() | {"url": self.url}

    def state(self) -> dict[str, Any]:
        """What a test in another process may know."""
        counts = {name: len(table) for name, table in self.records.tables.items()}
        return {"counters": asdict(self.counters), "records": counts, "access_tokens": len(self.access_tokens)}

    def fault(self, kind: Kind, **details: Any) -> Fault:
        """Order a fault."""
        ordered = Fault(kind, **details)
        self.faults.append(ordered)
        return ordered

    def strikes(self, method: str, path: str, *, unread: bool = False) -> Fault | None:
        """The fault that strikes a request, if one was ordered: before its body is read, or after."""
        for each in self.faults:
            if each.unread is unread and each.matches(method, path):
                if each.skip > 0:
                    each.skip -= 1
                    continue
                each.times -= 1
                return each
        return None

    def expire_access_tokens(self) -> None:
        """End every session."""
        self.access_tokens.clear()

    def refresh(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer ``grant_type=refresh_token`` as Salesforce does with rotation on, or off."""
        if form.get("client_id") != self.client_id:
            raise OAuthRefusal("invalid_client_id", "client identifier invalid")
        if form.get("client_secret") != self.client_secret:
            raise OAuthRefusal("invalid_client", "invalid client credentials")
        if self.answers.busy:
            self.answers.busy -= 1
            raise OAuthRefusal("invalid_grant", "Token request is already being processed")
        given = form.get("refresh_token", "")
        if given in self.spent:
            self.counters.reuses += 1
            self.refresh_token = ""
            self.expire_access_tokens()
        if not given or given != self.refresh_token:
            raise OAuthRefusal("invalid_grant", "expired access/refresh token")
        self.counters.refreshes += 1
        answer = self.new_session()
        if self.rotation:
            self.spent.add(given)
            self.refresh_token = answer["refresh_token"] = self._new_refresh_token()
        return answer

    def new_session(self) -> dict[str, Any]:
        """Open a session; the form of a token answer."""
        token = f"{self.org_id[:15]}!AQ{secrets.token_urlsafe(48).replace('-', '.')}"
        self.access_tokens.add(token)
        org_id = self.answers.org_id or self.org_id
        return {
            "access_token": token,
            "signature": secrets.token_urlsafe(32),
            "scope": "refresh_token api web",
            "instance_url": self.answers.instance_url or self.url,
            "id": f"{self.url}/id/{org_id}/{self.user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(self.clock().timestamp() * 1_000)),
        }

    def revoke(self, token: str) -> bool:
        """Revoke a token; a refresh token takes its sessions along."""
        if token and token == self.refresh_token:
            self.refresh_token = ""
            self.expire_access_tokens()
            return True
        found = token in self.access_tokens
        self.access_tokens.discard(token)
        return found

    def userinfo(self) -> dict[str, Any]:
        """The OpenID Connect answer."""
        return {
            "sub": f"{self.url}/id/{self.org_id}/{self.user_id}",
            "user_id": self.user_id,
            "organization_id": self.org_id,
            "preferred_username": self.username,
            "nickname": "agent",
            "name": "Agent Smith",
            "email": self.username,
            "email_verified": True,
            "given_name": "Agent",
            "family_name": "Smith",
            "zoneinfo": self.time_zone,
            "urls": {
                "rest": f"{self.url}/services/data/v{{version}}/",
                "sobjects": f"{self.url}/services/data/v{{version}}/sobjects/",
                "query": f"{self.url}/services/data/v{{version}}/query/",
                "custom_domain": self.url,
            },
            "active": True,
            "user_type": "STANDARD",
            "language": "en_US",
            "locale": "en_US",
            "utcOffset": 3_600_000,
        }

    def identity(self) -> dict[str, Any]:
        """What the identity URL tells."""
        told = self.userinfo()
        return {
            "id": told["sub"],
            "asserted_user": True,
            "user_id": self.user_id,
            "organization_id": self.org_id,
            "username": self.username,
            "nick_name": told["nickname"],
            "display_name": told["name"],
            "email": told["email"],
            "email_verified": True,
            "first_name": told["given_name"],
            "last_name": told["family_name"],
            "timezone": self.time_zone,
            "urls": told["urls"],
            "active": True,
            "user_type": "STANDARD",
            "language": "en_US",
            "locale": "en_US",
            "utcOffset": told["utcOffset"],
        }

    @staticmethod
    def _new_refresh_token() -> str:
        return f"5Aep{secrets.token_urlsafe(56)}"

    def _seed(self) -> None:
        records = self.records
        org, user = schema.load("Organization"), schema.load("User")
        records.add(
            org,
            {"Name": self.name, "OrganizationType": "Developer Edition", "InstanceName": "SB1"},
            self.org_id,
        )
        records.add(
            user,
            {
                "Username": self.username,
                "FirstName": "Agent",
                "LastName": "Smith",
                "Email": self.username,
                "IsActive": True,
                "TimeZoneSidKey": self.time_zone,
                "UserType": "Standard",
            },
            self.user_id,
        )
        account = records.add(schema.load("Account"), {"Name": f"{self.alias.capitalize()} Corporation"})
        people = _people(self.number)
        ids = [
            records.add(
                schema.load("Contact"),
                {
                    "FirstName": first,
                    "LastName": last,
                    "Email": f"{first}.{last}@{self.alias}.example".lower(),
                    "Phone": f"+1 555 01{self.number:02d}{index:02d}",
                    "AccountId": account,
                },
            )
            for index, (first, last) in enumerate(people)
        ]
        tomorrow = (self.clock() + timedelta(days=1)).replace(hour=9, minute=0, second=0)
        for index, who in enumerate(ids[:2]):
            start = tomorrow + timedelta(hours=index * 2)
            records.add(
                schema.load("Event"),
                {
                    "Subject": ("Kick-off", "Review")[index],
                    "StartDateTime": stamp(start),
                    "EndDateTime": stamp(start + timedelta(hours=1)),
                    "WhoId": who,
                    "WhatId": account,
                },
            )
