"""What a refusal of the token endpoint means for the credential, and what an administrator must do about it.

The words are Salesforce's: Help ``remoteaccess_oauth_flow_errors``; n8n#28990 and forcedotcom/cli#3482 (audiences and
hosts of External Client Apps), forcedotcom/cli#3368 and Help 005132365 (apps that are not installed),
simple-salesforce#371 (assertions out of time), restforce#957 (refresh tokens).
"""

from __future__ import annotations

import re
from typing import Any, Literal

from orgserver.model.text import clean_text, clean_word

RefusalKind = Literal[
    "dead", "busy", "client", "place", "app", "audience", "clock", "limit", "unlisted", "unclear"
]  # fmt: skip
"""What was refused:

dead      the credential: dead until a person acts
busy      nothing; the same refresh token is being worked on for somebody else
client    the client id or its secret
place     the address or the hour that the request came from or at
app       the app: missing, blocked, or not set up for this
audience  an assertion that was meant for somebody else
clock     an assertion out of time, as our clock is off
limit     too many logins; passes by itself
unlisted  something, in words that are not known here; nothing says that it passes
unclear   nothing for certain, as with server trouble: the request may have been worked on
"""

GUIDE = "https://github.com/orgserver/orgserver/blob/main/docs/external-client-app.md"
"""What every hint about an app points to: a page of the repository, for docs are not installed with the package."""
_REFUSALS = (400, 401, 403)
"""The statuses of a refusal (RFC 6749, section 5.2); with any other the words are not taken for one."""

_APP_MISSING = (
    "an administrator makes or installs the app in this very org (Setup, External Client App Manager: one that is "
    "local to another org does not count, and a sandbox refresh copies none), and the org must log in at its My "
    f"Domain, not at login. or test.salesforce.com: --login-url https://MYDOMAIN.my.salesforce.com; see {GUIDE}"
)
_APP_DENIED = (
    "an administrator lets the user use the app (Setup, External Client App Manager, the app's Policies: permitted "
    f"users, and a profile or permission set that the user has); see {GUIDE}"
)
_APP_BLOCKED = (
    "an administrator unblocks or installs the app (Setup, Connected Apps OAuth Usage or External Client Apps OAuth "
    f"Usage), or the user gets 'Approve Uninstalled Connected Apps'; or use an app of your own: {GUIDE}"
)
_FLOW_DISABLED = (
    "an administrator enables this flow (Setup, External Client App Manager, the app's OAuth settings: Flow "
    f"Enablement); see {GUIDE}"
)
_APP_ERRORS = {
    "app_not_found": _APP_MISSING,
    "oauth_ec_app_not_found": _APP_MISSING,
    "oauth_app_blocked": _APP_BLOCKED,
    "oauth_approval_error_generic": _APP_BLOCKED,
    "oauth_app_access_denied": _APP_DENIED,
    "invalid_app_access": _APP_DENIED,
    "unauthorized_client": _FLOW_DISABLED,
    "unsupported_grant_type": _FLOW_DISABLED,
    "invalid_scope": f"an administrator adds the scopes api and refresh_token to the app's OAuth settings; see {GUIDE}",
    "inactive_org": "the org is locked, closed, or its trial is over: an administrator asks Salesforce Support",
    "invalid_request": f"an administrator compares the app's OAuth settings with {GUIDE}",
    "redirect_uri_mismatch": f"an administrator adds the callback to the app, character for character; see {GUIDE}",
}
_TEXTS = {
    "user hasn't approved": (
        "an administrator pre-authorizes the user (Setup, External Client App Manager, the app's Policies: 'Admin "
        f"approved users are pre-authorized', and a permission set or profile of the user); see {GUIDE}"
    ),
    "inactive user": "an administrator activates or unfreezes the user (Setup, Users)",
    "invalid assertion": (
        "an administrator gives the app the certificate of this very key (Setup, External Client App Manager, the "
        f"app's OAuth settings: JWT Bearer Flow); see {GUIDE}"
    ),
}
_HINTS: dict[RefusalKind, str] = {
    "dead": "log in again to get a new refresh token",
    "busy": "wait a moment and try again",
    "client": (
        "check client id and client secret (Setup, External Client App Manager, the app's OAuth settings: Consumer Key "
        "and Secret); the refresh token is not at fault"
    ),
    "place": "allow this machine's address in the app or the user's profile, or try within the log-in hours",
    "app": f"an administrator of the org must allow the app and this kind of login; see {GUIDE}",
    "audience": (
        "give the org's My Domain with --login-url https://MYDOMAIN.my.salesforce.com (Setup, My Domain), or the "
        f"audience that its app takes with --audience; see {GUIDE}"
    ),
    "clock": "set this machine's clock, best by NTP; the org works again by itself once it is right",
    "limit": "wait some minutes: too many logins in a short time; nothing is wrong with the credential",
    "unlisted": (
        "an administrator looks the reason up in Setup, Login History, and compares the app's settings with "
        f"{GUIDE}; nothing says that this passes by itself"
    ),
    "unclear": "try again shortly; nothing is known to be wrong with the credential",
}
_PASSES = frozenset({"unknown_error", "server_error", "temporarily_unavailable"})
_LIMITS = frozenset({"rate_limit_exceeded", "login_rate_exceeded"})


class TokenRefused(Exception):
    """The token endpoint refused. ``kind`` says what that means for the credential."""

    def __init__(self, kind: RefusalKind, error: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.error = error
        self.reason = reason
        self.hint = _hint(kind, error, reason)


def read(status: int, body: Any) -> TokenRefused:
    """What an answer means that gives no token: HTTP status, and the JSON body (None if it is none)."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return TokenRefused("unclear", f"http_{status}", f"it answered {status} without Salesforce's words")
    error = clean_text(body["error"], 80)
    text = clean_word(body.get("error_description"), 200)
    return TokenRefused(_kind(status, error.lower(), text.lower()), error, f"{error}: {text}" if text else error)


def what_to_do_in_setup(cause: str) -> str | None:
    """What an administrator does in Setup about a refusal in these words; None where that would not help."""
    lower_case = cause.lower()
    hint_by_code = _APP_ERRORS.get(lower_case.partition(":")[0])
    return hint_by_code or next((hint for text, hint in _TEXTS.items() if text in lower_case), None)


def _hint(kind: RefusalKind, error: str, reason: str) -> str:
    if kind in ("app", "dead"):
        return what_to_do_in_setup(f"{error}: {reason}") or _HINTS[kind]
    return _HINTS[kind]


def _kind(status: int, error: str, text: str) -> RefusalKind:  # noqa: PLR0911  # one return for each row of the table
    if "already being processed" in text:
        return "busy"
    if status not in _REFUSALS or error in _PASSES:
        return "unclear"
    if error in _LIMITS or "rate exceeded" in text:
        return "limit"
    if "audience" in text:
        return "audience"
    if error.startswith("invalid_client"):
        return "client"
    if re.search(r"\bip\b", text) or re.search(r"\blog-?in[ -]hours?\b", text):
        return "place"
    if error == "invalid_grant":
        return "dead"
    return "app" if error in _APP_ERRORS else "unlisted"
