"""The token endpoint: what each kind of grant must show, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import OAuthRefusal
from orgserver.sandbox.oauth import assertions, connected_apps
from orgserver.sandbox.oauth.authorize import Codes
from orgserver.sandbox.org import SandboxOrg

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_REFRESHABLE = frozenset({"refresh_token", "offline_access"})
Form = dict[str, str]


class Grants:
    """Answers of one org's token endpoint."""

    def __init__(self, org: SandboxOrg, orgs: Sequence[SandboxOrg], codes: Codes) -> None:
        self._org = org
        self._orgs = orgs
        self._codes = codes
        self._kinds: dict[str, Callable[[Form], dict[str, Any]]] = {
            "refresh_token": self._refresh,
            "authorization_code": self._code,
            "client_credentials": self._credentials,
        }

    def answer(self, request: Request) -> Answer:
        """Answer one request; OAuthRefusal says what is wrong with it."""
        form = connected_apps.read_form(request)
        self._count_foreign(form.get("refresh_token", ""))
        kind = self._kinds.get(form.get("grant_type", ""))
        if form.get("grant_type") == _JWT_BEARER:
            kind = partial(self._assertion, request.headers.get("host", ""))
        if kind is None:
            raise OAuthRefusal("unsupported_grant_type", "grant type not supported")
        answers = self._org.answers
        tokens = kind(form) | answers.fields
        return Answer(200, {name: value for name, value in tokens.items() if name not in answers.without})

    def _refresh(self, form: Form) -> dict[str, Any]:
        """Rotate, or keep the refresh token if rotation is off. A spent one ends its whole family."""
        org = self._org
        client_id = connected_apps.authenticate(org, form)
        self._check_place()
        refresh_token = form.get("refresh_token", "")
        spent_by = org.logins.find_spent(refresh_token)
        if spent_by is not None:
            org.counters.reuses += 1
            org.logins.end(spent_by)
        family = org.logins.find_token(refresh_token)
        if family is None or family.client_id != client_id:
            raise OAuthRefusal("invalid_grant", "expired access/refresh token")
        self._check_active(family.user_id)
        org.counters.refreshes += 1
        family.generation += 1
        answer = org.new_session(family)
        if org.rotation:
            answer["refresh_token"] = org.logins.rotate(family)
        return answer

    def _code(self, form: Form) -> dict[str, Any]:
        org = self._org
        client_id = connected_apps.authenticate(org, form)
        self._check_place()
        approval = self._codes.redeem(client_id, form)
        self._check_active(approval.user_id)
        org.counters.logins += 1
        if _REFRESHABLE.isdisjoint(approval.scope.split()):
            return org.new_session(org.logins.without_refresh_token(client_id, approval.scope, approval.user_id))
        family = org.logins.begin(client_id, approval.scope, approval.user_id)
        self._codes.note_login(form["code"], family)
        return org.new_session(family) | {"refresh_token": family.refresh_token}

    def _assertion(self, host: str, form: Form) -> dict[str, Any]:
        client_id, user = assertions.check_assertion(self._org, form.get("assertion", ""), host)
        self._check_place()
        return self._without_refresh_token(client_id, user.id)

    def _credentials(self, form: Form) -> dict[str, Any]:
        if not self._org.answers.client_credentials:
            raise OAuthRefusal("invalid_grant", "request not supported on this domain")
        client_id = connected_apps.authenticate_confidential(self._org, form)
        self._check_place()
        return self._without_refresh_token(client_id, self._org.user_id)

    def _without_refresh_token(self, client_id: str, user_id: str) -> dict[str, Any]:
        self._check_active(user_id)
        self._org.counters.logins += 1
        return self._org.new_session(self._org.logins.without_refresh_token(client_id, "api web", user_id))

    def _check_active(self, user_id: str) -> None:
        if not self._org.users.by_id[user_id].active:
            raise OAuthRefusal("invalid_grant", "inactive user")

    def _check_place(self) -> None:
        """Refuse the right app where or when it may not, or because the same token is being worked on."""
        answers = self._org.answers
        if answers.busy:
            answers.busy -= 1
            raise OAuthRefusal("invalid_grant", "Token request is already being processed")
        if answers.ip_refused:
            raise OAuthRefusal("invalid_grant", "ip restricted")
        if answers.outside_login_hours:
            raise OAuthRefusal("invalid_request", "invalid login hours")
        if answers.inactive_user:
            raise OAuthRefusal("invalid_grant", "inactive user")

    def _count_foreign(self, refresh_token: str) -> None:
        """Count a refresh token, living or dead, that another org gave."""
        if not refresh_token or self._org.logins.find_token(refresh_token) is not None:
            return
        others = (each.logins for each in self._orgs if each is not self._org)
        if any(each.find_token(refresh_token) or each.find_spent(refresh_token) for each in others):
            self._org.counters.foreign_tokens += 1
