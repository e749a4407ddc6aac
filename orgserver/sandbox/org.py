"""One pretend org: who it is, its tokens, its records, what it was asked, and what shall go wrong."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from orgserver.sandbox.faults import Fault, Kind
from orgserver.sandbox.query.execution import Runner
from orgserver.sandbox.query.locators import Locator
from orgserver.sandbox.query.scan import ChildPage, whole_page
from orgserver.sandbox.seed import OrgIdentity, add_user_record, seed_records
from orgserver.sandbox.state.bulk_jobs import Jobs, Pace
from orgserver.sandbox.state.describe import Objects
from orgserver.sandbox.state.duplicate_rules import Rule
from orgserver.sandbox.state.logins import Family, Logins
from orgserver.sandbox.state.records import Records
from orgserver.sandbox.state.request_log import Counters, LoggedRequest
from orgserver.sandbox.state.token_answers import TokenAnswers
from orgserver.sandbox.state.users import SandboxUser, Users

LimitInfo = Literal["plain", "bursts", "per_app"]
CALLBACK = "http://localhost:1717/OauthRedirect"
"""Where the sf command waits for a person's log-in."""


@dataclass(slots=True)
class SandboxOrg:
    """A pretend org. ``url`` is its login host, and its instance until it moves."""

    number: int
    url: str
    rotation: bool = True
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    counters: Counters = field(default_factory=Counters)
    requests: list[LoggedRequest] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    answers: TokenAnswers = field(default_factory=TokenAnswers)
    alias: str = ""
    org_id: str = ""
    name: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    callbacks: list[str] = field(default_factory=lambda: [CALLBACK])
    """Where a log-in in the browser may lead back to."""
    in_process: set[str] = field(default_factory=set, repr=False)
    """Refresh tokens whose request is under way."""
    locators: dict[str, Locator] = field(default_factory=dict)
    api_allocation: int = 15_000
    """The calls a day that replies say the org has. Salesforce lets an org go beyond."""
    protection_limit: int = 1_000_000
    """Calls until the org answers REQUEST_LIMIT_EXCEEDED."""
    plain: bool = False
    """Whether replies go in the plain form, neither packed nor in chunks."""
    page_rows: int | None = None
    """How many rows a page of a query has at most, whatever ``batchSize`` asks; None: as many as asked."""
    locators_end_with_session: bool = False
    """Whether the next page of a query is for the session that began it alone."""
    limit_info: LimitInfo = "plain"
    """The form of the header Sforce-Limit-Info."""
    bulk_rows_per_second: float | None = None
    """How fast bulk jobs get on; None: as fast as they can."""
    bulk_delay: float = 0
    """Seconds until a bulk job begins."""
    moved: bool = False

    users: Users = field(init=False, repr=False)
    records: Records = field(init=False)
    objects: Objects = field(init=False, repr=False)
    jobs: Jobs = field(init=False, repr=False)
    logins: Logins = field(init=False, repr=False)

    def __post_init__(self) -> None:
        identity = OrgIdentity.numbered(self.number)
        self.alias, self.name, self.org_id = identity.alias, identity.name, identity.org_id
        self.users = Users(self.number, SandboxUser(identity.user_id, identity.username))
        self.client_id = f"3MVG9{secrets.token_hex(16)}"
        self.client_secret = secrets.token_hex(32).upper()
        clock = lambda: self.clock()  # noqa: E731, PLW0108  # tests set another clock later
        self.logins = Logins(self.client_id, identity.user_id, self.org_id, self.counters, clock)
        self.records = Records(self.number, self.users, self.clock)
        self.objects = Objects(self.records.tables, self.users, self.clock)
        pace = Pace(lambda: self.bulk_rows_per_second, lambda: self.bulk_delay)
        self.jobs = Jobs(self.number, pace, self.users, lambda: self.objects.own)
        seed_records(self.records, identity, self.users.first, now=self.clock())

    @property
    def user_id(self) -> str:
        """The id of the first user, whose credentials the org comes with."""
        return self.users.first.id

    @property
    def username(self) -> str:
        """The name of the first user."""
        return self.users.first.username

    @username.setter
    def username(self, name: str) -> None:
        self.users.first.username = name

    @property
    def refresh_token(self) -> str:
        """The one of the first login that works now; empty when it was revoked."""
        return self.logins.seeded.refresh_token or ""

    @refresh_token.setter
    def refresh_token(self, token: str) -> None:
        self.logins.seeded.refresh_token = token

    @property
    def spent(self) -> set[str]:
        """All refresh tokens that were rotated away."""
        return {token for family in self.logins.families for token in family.spent}

    @property
    def access_tokens(self) -> set[str]:
        """All access tokens that are good."""
        return self.logins.access_tokens()

    @property
    def daily_limit(self) -> int:
        """The calls a day that the org has; once it is set, it ends the day too."""
        return self.api_allocation

    @daily_limit.setter
    def daily_limit(self, calls: int) -> None:
        self.api_allocation = self.protection_limit = calls

    @property
    def duplicate_rule(self) -> Rule | None:
        """What makes records duplicates; None: nothing."""
        return self.records.rule

    @duplicate_rule.setter
    def duplicate_rule(self, rule: Rule | None) -> None:
        self.records.rule = rule

    @property
    def person_accounts(self) -> bool:
        """Whether an account may be a person."""
        return self.objects.persons

    @person_accounts.setter
    def person_accounts(self, enabled: bool) -> None:
        self.objects.have_persons(enabled)

    @property
    def hidden_objects(self) -> frozenset[str]:
        """The objects that the org lets nobody see."""
        return self.objects.hidden

    @hidden_objects.setter
    def hidden_objects(self, names: frozenset[str]) -> None:
        self.objects.hidden = names

    @property
    def hidden_fields(self) -> dict[str, frozenset[str]]:
        """The fields that field-level security hides from the first user, by object."""
        return self.users.first.hidden_fields

    @hidden_fields.setter
    def hidden_fields(self, names: dict[str, frozenset[str]]) -> None:
        self.objects.hide_fields(self.users.first, names)

    @property
    def time_zone(self) -> str:
        """The zone of the current user, in which TODAY and its kin are meant."""
        return self.users.current.time_zone

    @property
    def user_time_zone(self) -> str:
        """The zone of the first user."""
        return self.users.first.time_zone

    @user_time_zone.setter
    def user_time_zone(self, name: str) -> None:
        self.change_user(self.users.first, time_zone=name)

    @property
    def session_seconds(self) -> float | None:
        """After how much idleness a session ends; None: never."""
        return self.logins.seconds

    @session_seconds.setter
    def session_seconds(self, seconds: float | None) -> None:
        self.logins.seconds = seconds

    @property
    def instance_url(self) -> str:
        """Where the org lives: after a move under another name, at the same door."""
        return self.url.replace("127.0.0.1", "localhost") if self.moved else self.url

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
        names = {"alias": self.alias, "org_id": self.org_id, "username": self.username, "name": self.name}
        return names | self.credentials() | {"url": self.url}

    def state(self) -> dict[str, Any]:
        """What a test in another process may know."""
        counts = {name: len(table) for name, table in self.records.tables.items()}
        return {
            "username": self.username,
            "users": len(self.users.by_id),
            "counters": asdict(self.counters),
            "records": counts,
            "access_tokens": len(self.access_tokens),
        }

    def fault(self, kind: Kind, **details: Any) -> Fault:
        """Order a fault."""
        fault = Fault(kind, **details)
        self.faults.append(fault)
        return fault

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

    def query(self, text: str, *, deleted: bool = False, page: ChildPage = whole_page) -> Runner:
        """A query of the org's records; Refusal says what is wrong with it."""
        return Runner(self.records, text, self.clock(), ZoneInfo(self.time_zone), deleted=deleted, page=page)

    def add_user(self, username: str, name: str = "", **changes: Any) -> SandboxUser:
        """Let the org have one more user; ValueError if it has one of that name."""
        user = self.users.add(username)
        user.first_name, _, user.last_name = (name or username.partition("@")[0].title()).rpartition(" ")
        add_user_record(self.records, user)
        self.change_user(user, **changes)
        return user

    def change_user(
        self,
        user: SandboxUser,
        *,
        time_zone: str | None = None,
        active: bool | None = None,
        approved: bool | None = None,
        password: str | None = None,
        hidden_fields: dict[str, frozenset[str]] | None = None,
    ) -> None:
        """Change what is said of a user; one who is no longer active has no session from now on."""
        user.time_zone = time_zone or user.time_zone
        user.password = password or user.password
        user.active = user.active if active is None else active
        user.approved = user.approved if approved is None else approved
        if hidden_fields is not None:
            self.objects.hide_fields(user, hidden_fields)
        record = self.records.tables["User"][user.id]
        record.update(IsActive=user.active, TimeZoneSidKey=user.time_zone)
        if not user.active:
            self.logins.end_sessions_of(user.id)

    def expire_access_tokens(self) -> None:
        """End every session."""
        self.logins.close_sessions()

    def new_session(self, family: Family | None = None) -> dict[str, Any]:
        """Open a session, of the first login if not told otherwise; the form of a token answer."""
        family = family or self.logins.seeded
        org_id = self.answers.org_id or self.org_id
        return {
            "access_token": self.logins.open_session(family),
            "signature": secrets.token_urlsafe(32),
            "scope": family.scope,
            "instance_url": self.answers.instance_url or self.instance_url,
            "id": f"{self.url}/id/{org_id}/{family.user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(self.clock().timestamp() * 1_000)),
        }
