"""The page where a person lets an app in: ``/services/oauth2/authorize``, and the codes it gives.

Salesforce Help ``remoteaccess_oauth_web_server_flow`` and ``remoteaccess_oauth_flow_errors``; PKCE is RFC 7636, but a
challenge without a method means S256, as jsforce and the sf command rely on.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from html import escape
from urllib.parse import urlencode

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import OAuthRefusal
from orgserver.sandbox.oauth import connected_apps
from orgserver.sandbox.oauth.login_page import Browsers
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state.logins import Family
from orgserver.sandbox.state.users import SandboxUser

_LIFE = timedelta(minutes=15)
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
# No upper end: Salesforce speaks of 128 random bytes, and jsforce and the sf command make 171 characters of them.
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,}")


@dataclass(frozen=True, slots=True)
class Approval:
    """What a code stands for."""

    client_id: str
    redirect_uri: str
    scope: str
    challenge: str
    """Empty: the app does without PKCE."""
    approved_at: datetime
    user_id: str = ""


@dataclass(slots=True)
class Codes:
    """The codes that nobody has redeemed yet, and the spent ones."""

    org: SandboxOrg
    _open: dict[str, Approval] = field(default_factory=dict, repr=False)
    _spent: dict[str, Family | None] = field(default_factory=dict, repr=False)
    """The login that each of these gave."""

    def give(self, approval: Approval) -> str:
        """A code for an approval. It ends in ``=``, as Salesforce's do: it must be escaped in a URL."""
        code = f"aPrx{secrets.token_urlsafe(60)}=="
        self._open[code] = approval
        return code

    def redeem(self, client_id: str, form: dict[str, str]) -> Approval:
        """The approval of a code, once; OAuthRefusal if the code, or the one who brings it, is not the right one."""
        code = form.get("code", "")
        approval = self._open.pop(code, None)
        if approval is None:
            self._end_login(code)
            text = "expired authorization code" if code in self._spent else "invalid authorization code"
            raise OAuthRefusal("invalid_grant", text)
        self._spent[code] = None
        if self.org.clock() - approval.approved_at >= _LIFE:
            raise OAuthRefusal("invalid_grant", "expired authorization code")
        if client_id != approval.client_id:
            raise OAuthRefusal("invalid_grant", "invalid authorization code")
        if form.get("redirect_uri", "") != approval.redirect_uri:
            raise OAuthRefusal("redirect_uri_mismatch", "redirect_uri must match configuration")
        _verify(approval.challenge, form.get("code_verifier", ""))
        return approval

    def note_login(self, code: str, family: Family) -> None:
        """Remember what a code gave."""
        self._spent[code] = family

    def _end_login(self, code: str) -> None:
        """Who shows a spent code may have stolen it, and so may who showed it first (RFC 6749, 4.1.2)."""
        family = self._spent.get(code)
        if family is not None:
            self.org.logins.end(family)


class Authorizing:
    """Answers of one org's authorization page."""

    def __init__(self, org: SandboxOrg, codes: Codes) -> None:
        self._org = org
        self._codes = codes
        self._browsers = Browsers(org)

    def answer(self, request: Request) -> Answer:
        """Lead the browser back to the app, with a code or an error; or say why there is no way back."""
        form = request.form
        try:
            self._check_way_back(form)
        except OAuthRefusal as refusal:
            return _error_page(refusal)
        try:
            outcome = self._decided(request)
        except OAuthRefusal as refusal:
            outcome = refusal.body
        return outcome if isinstance(outcome, Answer) else _back(form, outcome)

    def _check_way_back(self, form: dict[str, str]) -> None:
        connected_apps.check_client(self._org, form.get("client_id", ""))
        if not form.get("redirect_uri"):
            raise OAuthRefusal("invalid_request", "missing required parameter: redirect_uri")
        if form["redirect_uri"] not in self._org.callbacks:
            raise OAuthRefusal("redirect_uri_mismatch", "redirect_uri must match configuration")

    def _decided(self, request: Request) -> dict[str, str] | Answer:
        """What the app is told; a page while nobody has decided."""
        answers, form = self._org.answers, request.form
        approval = self._approval(form)
        if approval.client_id == connected_apps.PLATFORM_CLI and not answers.platform_cli:
            raise OAuthRefusal("OAUTH_APP_BLOCKED", "this app is blocked by admin")
        has_logged_in = request.method == "POST" and "username" in form
        person = self._browsers.log_in(request) if has_logged_in else self._find_decider(form)
        decision = form.get("decision") if answers.consent_page else "allow"
        if person is None or decision not in ("allow", "deny"):
            return self._page(request, person, has_logged_in=has_logged_in)
        if decision == "deny" or answers.deny:
            raise OAuthRefusal("access_denied", "end-user denied authorization")
        return {"code": self._codes.give(replace(approval, user_id=person.id))}

    def _find_decider(self, form: dict[str, str]) -> SandboxUser | None:
        """Whose decision a request without a password is.

        Where nobody is asked that is the user of the hint, or the first. In an org of one user this one is logged in.
        """
        users = self._org.users
        if not self._org.answers.consent_page:
            return users.find(form.get("login_hint", "")) or users.first
        return users.first if len(users.by_id) == 1 else self._browsers.take_approver(form)

    def _page(self, request: Request, person: SandboxUser | None, *, has_logged_in: bool) -> Answer:
        """The consent page for who is there, or the login page for who is not or must log in again."""
        form = request.form
        if person is None and not has_logged_in and "login" not in form.get("prompt", "").split():
            person = self._browsers.find_person(request)
        if person is None:
            return self._browsers.show_login(form, was_wrong=has_logged_in)
        return self._browsers.show_consent(form, person, has_logged_in=has_logged_in)

    def _approval(self, form: dict[str, str]) -> Approval:
        if form.get("response_type") != "code":
            raise OAuthRefusal("unsupported_response_type", "response type must be code")
        challenge = form.get("code_challenge", "")
        if form.get("code_challenge_method", "S256") != "S256":
            raise OAuthRefusal("invalid_request", "invalid code challenge method")
        if (challenge and not _CHALLENGE.fullmatch(challenge)) or (self._org.answers.pkce_required and not challenge):
            raise OAuthRefusal("invalid_request", "invalid code challenge" if challenge else "missing code challenge")
        scope = " ".join(form.get("scope", "").split()) or connected_apps.SCOPE
        if not connected_apps.SCOPES.issuperset(scope.split()):
            raise OAuthRefusal("invalid_scope", "the requested scope is not allowed")
        return Approval(form["client_id"], form["redirect_uri"], scope, challenge, self._org.clock())


def _verify(challenge: str, verifier: str) -> None:
    if not challenge and not verifier:
        return
    if not verifier:
        raise OAuthRefusal("invalid_grant", "missing code verifier")
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(digest, challenge):
        raise OAuthRefusal("invalid_grant", "invalid code verifier")


def _back(form: dict[str, str], parameters: dict[str, str]) -> Answer:
    if "state" in form:
        parameters = parameters | {"state": form["state"]}
    where = form["redirect_uri"]
    return Answer(302, None, {"location": f"{where}{'&' if '?' in where else '?'}{urlencode(parameters)}"})


def _error_page(refusal: OAuthRefusal) -> Answer:
    text = urlencode(refusal.body).replace("+", "%20")
    return Answer.text(400, f"<!doctype html><title>Error</title><h1>OAuth Error</h1><p>{escape(text)}</p>")
