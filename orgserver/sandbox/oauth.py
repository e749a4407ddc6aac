"""The pretend org's OAuth endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orgserver.sandbox.answers import Answer, Asked
from orgserver.sandbox.errors import OAuthRefusal, Refusal
from orgserver.sandbox.org import SandboxOrg

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  # a path


class OAuth:
    """Answers for one org; it knows the others so that it can tell when their tokens are shown to it."""

    def __init__(self, org: SandboxOrg, orgs: Sequence[SandboxOrg]) -> None:
        self._org = org
        self._orgs = orgs

    def answer(self, asked: Asked) -> Answer:
        """Answer a request under ``/services/oauth2/`` or ``/id/``."""
        org = self._org
        if asked.path == TOKEN_PATH and asked.method == "POST":
            return self._token(asked)
        if asked.path == "/services/oauth2/revoke":
            if org.revoke(asked.form.get("token", "")):
                return Answer(200)
            raise OAuthRefusal("invalid_token", "token has already been revoked or does not exist")
        identity = f"/id/{org.org_id}/{org.user_id}"
        if asked.path in ("/services/oauth2/userinfo", identity):
            token = bearer(asked) or asked.query.get("oauth_token", "")
            if token not in org.access_tokens:
                self.refused(token)
                return Answer.text(403, "Bad_OAuth_Token")
            return Answer(200, org.identity() if asked.path == identity else org.userinfo())
        raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")

    def authenticate(self, asked: Asked) -> None:
        """Let a request in, or refuse it with 401."""
        kind = asked.headers.get("authorization", "").partition(" ")[0]
        if kind and kind not in ("Bearer", "OAuth"):
            raise Refusal(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        token = bearer(asked)
        if token not in self._org.access_tokens:
            self.refused(token)
            raise Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")

    def refused(self, token: str) -> None:
        """Count an access token that is not good here, and those of other orgs, living or dead, apart."""
        self._org.counters.stale_tokens += 1
        mark, exclamation, _ = token.partition("!")
        if exclamation and mark != self._org.org_id[:15]:
            self._org.counters.foreign_tokens += 1

    @contextmanager
    def processing(self, asked: Asked) -> Iterator[None]:
        """While a refresh is under way, a second one with the same token is told so."""
        given = asked.form.get("refresh_token", "") if asked.path == TOKEN_PATH else ""
        if not given:
            yield
            return
        if given in self._org.in_process:
            raise OAuthRefusal("invalid_grant", "Token request is already being processed")
        self._org.in_process.add(given)
        try:
            yield
        finally:
            self._org.in_process.discard(given)

    def _token(self, asked: Asked) -> Answer:
        form = asked.form
        given = form.get("refresh_token", "")
        if given and any(given == each.refresh_token or given in each.spent for each in self._others()):
            self._org.counters.foreign_tokens += 1
        if form.get("grant_type") != "refresh_token":
            raise OAuthRefusal("unsupported_grant_type", "grant type not supported")
        return Answer(200, self._org.refresh(form))

    def _others(self) -> Iterator[SandboxOrg]:
        return (each for each in self._orgs if each is not self._org)


def bearer(asked: Asked) -> str:
    """The access token of a request."""
    kind, _, token = asked.headers.get("authorization", "").partition(" ")
    return token if kind in ("Bearer", "OAuth") else ""
