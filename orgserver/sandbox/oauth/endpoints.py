"""The pretend org's OAuth endpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import OAuthRefusal, Refusal
from orgserver.sandbox.oauth import connected_apps
from orgserver.sandbox.oauth.authorize import Authorizing, Codes
from orgserver.sandbox.oauth.identity import identity, userinfo
from orgserver.sandbox.oauth.token_grants import Grants
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state.logins import Family, Session
from orgserver.sandbox.state.users import SandboxUser

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  # a path
AUTHORIZE_PATH = "/services/oauth2/authorize"
_HINTS = frozenset({"", "access_token", "refresh_token"})
_ALL_USERS = frozenset({"api", "full"})
"""The scopes with which a token also shows who other users are (Help ``remoteaccess_using_openid``)."""
_OK = 200


class OAuth:
    """Answers for one org; it knows the others so that it can tell when their tokens are shown to it."""

    def __init__(self, org: SandboxOrg, orgs: Sequence[SandboxOrg]) -> None:
        codes = Codes(org)
        self._org = org
        self._grants = Grants(org, orgs, codes)
        self._authorizing = Authorizing(org, codes)

    def answer(self, request: Request) -> Answer:
        """Answer a request under ``/services/oauth2/`` or ``/id/``."""
        match request.method, request.parts:
            case "POST", ["services", "oauth2", "token"]:
                return self._grants.answer(request)
            case "GET" | "POST", ["services", "oauth2", "authorize"]:
                return self._authorizing.answer(request)
            case "GET" | "POST", ["services", "oauth2", "revoke"]:
                return self._revoke(request.form)
            case "POST", ["services", "oauth2", "introspect"]:
                return Answer(200, self._introspected(connected_apps.read_form(request)))
            case "GET" | "POST", ["services", "oauth2", "userinfo"]:
                asker = self._asker(request)
                return asker if isinstance(asker, Answer) else Answer(200, userinfo(self._org, self._user(asker)))
            case "GET" | "POST", ["id", org_id, user_id]:
                asker = self._asker(request)
                return asker if isinstance(asker, Answer) else self._identity(request, asker, org_id, user_id)
        raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")

    def authenticate(self, request: Request) -> str:
        """The id of the user whose token a request shows, or a refusal with 401."""
        kind = request.headers.get("authorization", "").partition(" ")[0]
        if kind and kind not in ("Bearer", "OAuth"):
            raise Refusal(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        token = request.access_token
        session = self._org.logins.use(token)
        if session is None:
            self._refused(token)
            raise Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return session.family.user_id

    @contextmanager
    def processing(self, request: Request) -> Iterator[None]:
        """While a refresh is under way, a second one with the same token is told so."""
        refresh_token = request.form.get("refresh_token", "") if request.path == TOKEN_PATH else ""
        if not refresh_token:
            yield
            return
        if refresh_token in self._org.in_process:
            raise OAuthRefusal("invalid_grant", "Token request is already being processed")
        self._org.in_process.add(refresh_token)
        try:
            yield
        finally:
            self._org.in_process.discard(refresh_token)

    def _refused(self, token: str) -> None:
        """Count an access token that is not good here, and those of other orgs, living or dead, apart."""
        self._org.counters.stale_tokens += 1
        mark, exclamation, _ = token.partition("!")
        if exclamation and mark != self._org.org_id[:15]:
            self._org.counters.foreign_tokens += 1

    def find_owner(self, request: Request, answer: Answer | None = None) -> Family | None:
        """The login whose token a request shows, or is given, good or not."""
        form = request.form if request.path.startswith(("/services/oauth2/", "/id/")) else {}
        names = ("refresh_token", "token", "oauth_token", "access_token")
        tokens = [request.access_token, *(form.get(name, "") for name in names)]
        if answer is not None and request.path == TOKEN_PATH and answer.status == _OK:
            tokens.append(str(json.loads(answer.body).get("access_token", "")))
        owners = (self._org.logins.find_owner(token) for token in tokens if token)
        return next((each for each in owners if each is not None), None)

    def _user(self, session: Session) -> SandboxUser:
        return self._org.users.by_id[session.family.user_id]

    def _asker(self, request: Request) -> Session | Answer:
        """The session of a request to read who a user is, or its refusal if it shows no good token."""
        token = request.access_token or request.form.get("oauth_token", "") or request.form.get("access_token", "")
        session = self._org.logins.use(token)
        if session is not None:
            return session
        self._refused(token)
        return Answer.text(403, "Bad_OAuth_Token" if token else "Missing_OAuth_Token")

    def _identity(self, request: Request, asker: Session, org_id: str, user_id: str) -> Answer:
        if org_id != self._org.org_id:
            return Answer.text(403, "Wrong_Org")
        person = self._org.users.by_id.get(user_id)
        if person is None:
            return Answer.text(404, "Bad_Id")
        if person is not self._user(asker) and _ALL_USERS.isdisjoint(asker.family.scope.split()):
            return Answer.text(403, "Bad_OAuth_Token")
        version = request.form.get("version")
        user, answers = userinfo(self._org, person), self._org.answers
        if answers.identity_org_id is not None:
            user["organization_id"] = answers.identity_org_id
        if answers.identity_url is not None:
            truth = self._org.instance_url
            user["urls"] = {name: url.replace(truth, answers.identity_url) for name, url in user["urls"].items()}
        return Answer(200, identity(user, "68.0" if version == "latest" else version))

    def _revoke(self, form: dict[str, str]) -> Answer:
        """RFC 7009, but Salesforce says so when it does not know the token."""
        token = form.get("token", "")
        if form.get("token_type_hint", "") not in _HINTS:
            raise OAuthRefusal("unsupported_token_type", "this token type is not supported")
        family = self._org.logins.find_token(token)
        if family is not None:
            self._org.logins.end(family)
        elif not self._org.logins.close_session(token):
            raise OAuthRefusal("invalid_token", "token has already been revoked or does not exist")
        return Answer(200)

    def _introspected(self, form: dict[str, str]) -> dict[str, Any]:
        """RFC 7662: an app may ask about its own tokens."""
        client_id = connected_apps.authenticate_confidential(self._org, form, 401)
        token = form.get("token", "")
        if not token:
            raise OAuthRefusal("invalid_request", "missing required parameter: token")
        session = self._org.logins.session(token)
        family = session.family if session else self._org.logins.find_token(token)
        if family is None or family.client_id != client_id:
            return {"active": False}
        return {
            "active": True,
            "scope": family.scope,
            "client_id": client_id,
            "username": self._org.users.by_id[family.user_id].username,
            "sub": f"{self._org.url}/id/{self._org.org_id}/{family.user_id}",
            "token_type": "access_token" if session else "refresh_token",
        } | (self._times(session) if session else {})

    def _times(self, session: Session) -> dict[str, int]:
        start = math.floor(session.opened.timestamp())
        expiry = self._org.logins.expiry(session)
        return {"iat": start, "nbf": start} | ({"exp": math.floor(expiry.timestamp())} if expiry else {})
