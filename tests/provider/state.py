"""What the provider knows, and what it is to do otherwise than a provider should."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "orgserver", "provider-client-secret/of+orgserver %&="
PUBLIC_CLIENT_ID = "orgserver-public"
PASSWORD = "analytical engine"
"""Of everybody."""
SCOPES = ["openid", "profile", "email", "groups", "offline_access"]
PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"sub": "sub-ada", "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": True, "groups": ["crm-admins"]},
    "grace": {"sub": "sub-grace", "name": "Grace Hopper", "email": "grace@example.com", "email_verified": True, "groups": []},
    "mallory": {"sub": "sub-mallory", "name": "Mallory", "email": "ada@example.com", "email_verified": False},
}  # fmt: skip


@dataclass
class Conduct:
    """How the provider behaves: the defaults are those of an honest and strict one."""

    redirect_uris: list[str] = field(default_factory=list)
    """Of its client, to the letter."""
    people: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {name: dict(each) for name, each in PEOPLE.items()}
    )
    """Claims by login."""
    scopes: list[str] = field(default_factory=lambda: list(SCOPES))
    """It refuses any other; without ``groups`` among them every id token has that claim."""
    refresh: str = "rotate"
    """``rotate``: a refresh token is good once, and its second use ends the grant; ``keep``; ``none``: it issues none."""
    has_id_token_at_refresh: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)
    """Members in place of the true ones; None takes one away."""
    claims: dict[str, Any] = field(default_factory=dict)
    """Claims of id tokens in place of the true ones; None takes one away, ``{"from_now": s}`` is a time."""
    refresh_claims: dict[str, Any] = field(default_factory=dict)
    """The same, of those that a refresh brings."""
    signature: str = "good"
    """Of id tokens: ``none`` (the algorithm), ``HS256`` (by the client secret), ``public key`` (HS256 by the public
    key), ``other key``, ``missing`` (no id token), ``garbage``."""
    response: dict[str, Any] = field(default_factory=dict)
    """Parameters of the authorization response in place of the true ones."""
    authorization_error: str | None = None
    """What becomes of everybody who signs in."""
    userinfo: dict[str, Any] = field(default_factory=dict)
    """Claims there in place of the true ones."""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By path, in place of the true ones: ``{"kind": "slow", "seconds": 9}``; kinds are in ``lies``."""


@dataclass
class Code:
    """An authorization code, as Authlib asks for it."""

    code: str
    client: Any
    user: dict[str, Any]
    redirect_uri: str | None
    scope: str
    nonce: str | None
    auth_time: int
    code_challenge: str | None
    code_challenge_method: str | None
    expires_at: float

    def get_redirect_uri(self) -> str | None:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class Grant:
    """What a person gave the client, as Authlib asks for it: one refresh token after another."""

    client: Any
    user: dict[str, Any]
    scope: str
    auth_time: int
    is_over: bool = False
    spent: set[str] = field(default_factory=set)

    def check_client(self, client: Any) -> bool:
        return client is self.client

    def get_scope(self) -> str:
        return self.scope


class State:
    """All of it, in memory."""

    def __init__(self) -> None:
        self.conduct = Conduct()
        self.keys = [new_key("k1")]
        self.other_key = new_key("k1")
        """Another's, of the same name."""
        self.codes: dict[str, Code] = {}
        self.grants: dict[str, Grant] = {}
        """By refresh token."""
        self.access: dict[str, Grant] = {}
        """By access token."""
        self.browsers: dict[str, tuple[str, int]] = {}
        """Login and time of the last sign-in, by cookie."""
        self.requests: list[dict[str, Any]] = []

    @property
    def key(self) -> RSAKey:
        """What id tokens are signed with."""
        return self.keys[-1]

    def rotate_key(self) -> None:
        """Sign with a new one from now on, and publish no other."""
        self.keys = [new_key(f"k{int(str(self.key.kid)[1:]) + 1}")]

    def end_grants(self, login: str) -> None:
        """Take back what a person gave."""
        for grant in [*self.grants.values(), *self.access.values()]:
            if grant.user["sub"] == self.conduct.people[login]["sub"]:
                grant.is_over = True

    def open_browser(self, login: str) -> str:
        """The cookie of somebody who has shown who they are just now."""
        cookie = secrets.token_urlsafe(32)
        self.browsers[cookie] = (login, int(time.time()))
        return cookie

    def change(self, changes: dict[str, Any]) -> None:
        """Behave otherwise: names of ``Conduct``; ``people`` are added to those there, or changed."""
        for name, value in changes.items():
            if name not in Conduct.__dataclass_fields__:
                raise ValueError(f"{name} is nothing that can be changed")
            if name == "people":
                for login, claims in value.items():
                    self.conduct.people.setdefault(login, {"sub": f"sub-{login}"}).update(claims)
            else:
                setattr(self.conduct, name, value)

    def reset(self) -> None:
        """Be honest again, to the same client; grants, keys and browsers stay."""
        self.conduct = Conduct(redirect_uris=self.conduct.redirect_uris)
        self.requests.clear()

    def describe(self) -> dict[str, Any]:
        """What a test may look at."""
        return {
            "conduct": asdict(self.conduct), "requests": self.requests,
            "live_grants": sum(not each.is_over and token not in each.spent for token, each in self.grants.items()),
        }  # fmt: skip


def new_key(name: str) -> RSAKey:
    """A key to sign with."""
    return RSAKey.generate_key(2_048, {"kid": name, "use": "sig", "alg": "RS256"})
