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
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from urllib.parse import urlencode

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import OAuthRefusal
from orgserver.sandbox.oauth import connected_apps
from orgserver.sandbox.org import SandboxOrg

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


@dataclass(slots=True)
class Codes:
    """The codes that nobody has redeemed yet, and the spent ones."""

    org: SandboxOrg
    _open: dict[str, Approval] = field(default_factory=dict, repr=False)
    _spent: set[str] = field(default_factory=set, repr=False)

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
            text = "expired authorization code" if code in self._spent else "invalid authorization code"
            raise OAuthRefusal("invalid_grant", text)
        self._spent.add(code)
        if self.org.clock() - approval.approved_at >= _LIFE:
            raise OAuthRefusal("invalid_grant", "expired authorization code")
        if client_id != approval.client_id:
            raise OAuthRefusal("invalid_grant", "invalid authorization code")
        if form.get("redirect_uri", "") != approval.redirect_uri:
            raise OAuthRefusal("redirect_uri_mismatch", "redirect_uri must match configuration")
        _verify(approval.challenge, form.get("code_verifier", ""))
        return approval


class Authorizing:
    """Answers of one org's authorization page."""

    def __init__(self, org: SandboxOrg, codes: Codes) -> None:
        self._org = org
        self._codes = codes

    def answer(self, request: Request) -> Answer:
        """Lead the browser back to the app, with a code or an error; or say why there is no way back."""
        form = request.form
        try:
            self._check_way_back(form)
        except OAuthRefusal as refusal:
            return _error_page(refusal)
        try:
            outcome = self._decided(form)
        except OAuthRefusal as refusal:
            outcome = refusal.body
        if outcome is None:
            return _consent_page(self._org, form)
        return _back(form, outcome)

    def _check_way_back(self, form: dict[str, str]) -> None:
        connected_apps.check_client(self._org, form.get("client_id", ""))
        if not form.get("redirect_uri"):
            raise OAuthRefusal("invalid_request", "missing required parameter: redirect_uri")
        if form["redirect_uri"] not in self._org.callbacks:
            raise OAuthRefusal("redirect_uri_mismatch", "redirect_uri must match configuration")

    def _decided(self, form: dict[str, str]) -> dict[str, str] | None:
        """What the app is told; None while nobody has decided."""
        answers = self._org.answers
        approval = self._approval(form)
        if approval.client_id == connected_apps.PLATFORM_CLI and not answers.platform_cli:
            raise OAuthRefusal("OAUTH_APP_BLOCKED", "this app is blocked by admin")
        decision = form.get("decision") if answers.consent_page else "allow"
        if decision not in ("allow", "deny"):
            return None
        if decision == "deny" or answers.deny:
            raise OAuthRefusal("access_denied", "end-user denied authorization")
        return {"code": self._codes.give(approval)}

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


def _consent_page(org: SandboxOrg, form: dict[str, str]) -> Answer:
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in form.items()
        if name != "decision"
    )
    return Answer.text(
        200,
        "<!doctype html><title>Allow Access?</title><h1>Allow Access?</h1>"
        f"<p>{escape(form['client_id'])} asks to act for {escape(org.username)} in {escape(org.name)}.</p>"
        f'<form method="post" action="/services/oauth2/authorize">{inputs}'
        '<button id="oaapprove" name="decision" value="allow">Allow</button> '
        '<button id="oadeny" name="decision" value="deny">Deny</button></form>',
    )
