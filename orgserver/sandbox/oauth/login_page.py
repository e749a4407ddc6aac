"""Who sits at a browser: the login page, the session that it opens, and the page on which a person lets an app in.

Salesforce Help ``remoteaccess_oauth_web_server_flow``: ``login_hint`` fills in the username, and ``prompt=login`` asks
for the password even of somebody who is logged in.
"""

from __future__ import annotations

import hmac
import re
import secrets
from html import escape

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state.users import SandboxUser

_OF_PAGES = frozenset({"decision", "approver", "username", "pw"})
_HEAD = '<!doctype html><html lang="en"><meta charset="utf-8">'


class Browsers:
    """Who is logged in with which browser, and to whom the consent page was shown."""

    def __init__(self, org: SandboxOrg) -> None:
        self._org = org
        # Cookies do not tell ports apart, and each org here is a port.
        self._cookie = f"sid_{org.org_id[:15]}"
        self._sessions: dict[str, str] = {}
        self._approvers: dict[str, str] = {}

    def log_in(self, request: Request) -> SandboxUser | None:
        """The active user whose name and password a request brings in its body."""
        user = self._org.users.find(request.form.get("username", ""))
        password = request.form.get("pw", "")
        if user is None or not user.active or not hmac.compare_digest(password.encode(), user.password.encode()):
            return None
        return user

    def find_person(self, request: Request) -> SandboxUser | None:
        """The active user who is logged in with the browser of a request."""
        cookie = re.search(rf"(?:^|; ){self._cookie}=([\w-]+)", request.headers.get("cookie", ""))
        user = self._org.users.by_id.get(self._sessions.get(cookie[1], "")) if cookie else None
        return user if user is not None and user.active else None

    def take_approver(self, form: dict[str, str]) -> SandboxUser | None:
        """The user to whom the consent page of a form was shown, once."""
        user = self._org.users.by_id.get(self._approvers.pop(form.get("approver", ""), ""))
        return user if user is not None and user.active else None

    def show_consent(self, form: dict[str, str], user: SandboxUser, *, has_logged_in: bool) -> Answer:
        """The consent page, for the one who has just logged in or was logged in before."""
        approver = secrets.token_urlsafe(24)
        self._approvers[approver] = user.id
        page = Answer.text(
            200,
            f"{_HEAD}<title>Allow Access?</title><h1>Allow Access?</h1>"
            f"<p>{escape(form['client_id'])} asks to act for {escape(user.username)} in {escape(self._org.name)}.</p>"
            f'<form method="post" action="/services/oauth2/authorize">{_hidden(form | {"approver": approver})}'
            '<button id="oaapprove" name="decision" value="allow">Allow</button> '
            '<button id="oadeny" name="decision" value="deny">Deny</button></form>',
        )
        if has_logged_in:
            session = secrets.token_urlsafe(24)
            self._sessions[session] = user.id
            page.headers = {"set-cookie": f"{self._cookie}={session}; Path=/; HttpOnly; SameSite=Lax"}
        return page

    def show_login(self, form: dict[str, str], *, was_wrong: bool) -> Answer:
        """The login page."""
        name = escape(form.get("username", "") or form.get("login_hint", ""))
        wrong = '<p id="error">Please check your username and password.</p>' if was_wrong else ""
        return Answer.text(
            200,
            f"{_HEAD}<title>Login | Salesforce</title><h1>{escape(self._org.name)}</h1>{wrong}"
            f'<form method="post" action="/services/oauth2/authorize">{_hidden(form)}'
            f'<label>Username <input id="username" name="username" value="{name}" autocomplete="username"></label> '
            '<label>Password <input id="password" name="pw" type="password" autocomplete="current-password"></label> '
            '<button id="Login">Log In</button></form>',
        )


def _hidden(form: dict[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in form.items()
        if name not in _OF_PAGES or (name == "approver" and value)
    )
