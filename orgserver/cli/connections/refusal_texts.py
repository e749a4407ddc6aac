"""Why a login of one's own was not stored, as a command says it: one line, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from orgserver.model.errors import EnrolmentError
from orgserver.model.orgs import Org
from orgserver.services.connections.refusals import Refusal, RefusalKind

_AGAIN = "run the same command again"
_GUIDE = "docs/external-client-app.md says what an app needs"
_TEXTS: Mapping[RefusalKind, tuple[str, str]] = {
    RefusalKind.OVER: ("the login took longer than ten minutes, or another command has ended it", _AGAIN),
    RefusalKind.NOT_ALLOWED: (
        "{principal} is disabled, or may do nothing in {alias}",
        "orgserver update-principal {principal} --grant {alias}:read",
    ),
    RefusalKind.CHANGED: ("{alias} is another org, or has another name, since the login began", _AGAIN),
    RefusalKind.GONE: ("{alias} was removed", "orgserver list-orgs shows those that are there"),
    RefusalKind.DISABLED: ("{alias} is disabled", "orgserver update-org {alias} --enable"),
    RefusalKind.SHARED: (
        "{alias} uses one login for all: there is nothing to connect",
        "to have each principal log in: orgserver update-org {alias} --identity own",
    ),
    RefusalKind.NO_BROWSER: (
        "nobody logs in to {alias} by a browser: its app logs in by {auth}",
        "orgserver connections --org {alias} shows whom its key logs in",
    ),
    RefusalKind.APP_CHANGED: ("{alias} has another app than the one that was let in", _AGAIN),
    RefusalKind.CONSENT_REFUSED: ("the app was not let in at Salesforce", "log in again and press Allow"),
    RefusalKind.LOGIN_REFUSED: ("Salesforce gave no login: {reason}", _GUIDE),
    RefusalKind.NO_REFRESH_TOKEN: (
        "Salesforce gave no refresh token: the app of {alias} lacks the scope refresh_token (offline_access)",
        "an administrator adds it to the app (Perform requests at any time); then log in again",
    ),
    RefusalKind.OTHER_ORG: ("that was a login to {named}; {alias} is {expected}", "log in to the right org"),
    RefusalKind.HOST_NOT_TRUSTED: ("Salesforce's answer names a host that may not be trusted: {reason}", _GUIDE),
    RefusalKind.OTHER_USER: (
        "{principal} is connected to {alias} as {pinned}, and {came} logged in",
        "to change the user: orgserver connect-org {alias} --replace{whose}",
    ),
    RefusalKind.USER_TAKEN: (
        "{came} is already another principal's login to {alias}",
        "log in as another Salesforce user; orgserver connections --org {alias} shows whose it is",
    ),
    RefusalKind.AWAY: ("the login host of {alias} could not be reached: {reason}", _AGAIN),
    RefusalKind.UNANSWERED: ("Salesforce's answer was lost, and a code works only once: {reason}", _AGAIN),
}


def error_of(refusal: Refusal, org: Org, principal: str, *, is_own: bool) -> EnrolmentError:
    """The same as an error."""
    facts = {
        "alias": org.alias,
        "auth": org.auth,
        "principal": principal,
        "reason": refusal.reason or "no reason was given",
        "whose": "" if is_own else f" --principal {principal}",
        **refusal.facts,
    }
    text, hint = _TEXTS.get(refusal.kind, ("the login cannot go on", _AGAIN))
    return EnrolmentError(f"{text.format_map(facts)}; nothing was stored", hint=hint.format_map(facts))
