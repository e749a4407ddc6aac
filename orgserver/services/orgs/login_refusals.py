"""What ``add-org`` and ``update-org --auth`` say where the token endpoint gives no token, by the way that was tried."""

from __future__ import annotations

from orgserver.model.errors import EnrolmentError, Unanswered
from orgserver.model.orgs import AuthKind
from orgserver.salesforce.auth import oauth, token_refusals
from orgserver.salesforce.auth.token_refusals import RefusalKind
from orgserver.services.orgs.registration import Registration

_DEAD: dict[AuthKind, tuple[str, str | None]] = {
    "refresh-token": ("Salesforce does not take this refresh token", None),
    "web": ("Salesforce does not take the code of this login", "log in again; a code works once, for 15 minutes"),
    "jwt": (
        "Salesforce does not take this assertion",
        f"the app must hold the certificate of this key and be approved for the user, see {token_refusals.GUIDE}",
    ),
    "client-credentials": (
        "Salesforce does not take these client credentials",
        f"the app must have the client credentials flow enabled, with a user to run as, see {token_refusals.GUIDE}",
    ),
}
_WORDS: dict[RefusalKind, str] = {
    "client": "Salesforce does not take this client id or secret",
    "place": "Salesforce refuses this network or hour",
    "app": "the app is not allowed to do this",
    "audience": "Salesforce does not take this audience",
    "clock": "the assertion is out of time",
    "limit": "Salesforce takes no more logins right now",
    "unlisted": "Salesforce refuses, in words that are not known here",
    "busy": "somebody else is refreshing this token right now",
    "unclear": "Salesforce gave no usable answer",
}


def unanswered(registration: Registration, error: Unanswered, consequence: str) -> EnrolmentError:
    """The login host did not answer what spends no refresh token."""
    return EnrolmentError(
        f"{registration.login_url} did not answer{consequence}",
        hint="run the same command again",
        outcome=error.outcome,
        code=error.code,
    )


def lost(registration: Registration, reason: str) -> EnrolmentError:
    """The token was sent, and nobody knows what became of it."""
    return EnrolmentError(
        f"{registration.login_url} gave no usable answer, and may have spent the refresh token: {reason}",
        hint="run the same command again: it tries the token once more",
        outcome="unknown",
        code="NO_ANSWER",
    )


def unusable(registration: Registration, reason: Exception) -> EnrolmentError:
    """Of a bad answer only the new refresh token was kept."""
    return EnrolmentError(
        f"of the answer of {registration.login_url} only the new refresh token can be used: {reason}",
        hint="it is kept, sealed; run the same command again: it goes on with it",
        outcome="unknown",
        code="NO_ANSWER",
    )


def refused(
    refusal: oauth.TokenRefused, registration: Registration, way: AuthKind, *, interrupted: bool = False
) -> EnrolmentError:
    """What was refused, in whose words, and what to do; ``interrupted``: an earlier run sent the token already."""
    if refusal.kind == "dead" and interrupted:
        return EnrolmentError(
            f"the refresh token is dead ({refusal.reason}): an earlier run sent it and never saw the answer",
            hint="log in again, with --auth web, to get a new refresh token",
            outcome="rejected",
            code=refusal.error,
        )
    undone = f"{registration.alias} was not {'changed' if registration.replace else 'registered'}"
    if refusal.kind == "clock":
        return EnrolmentError(
            f"{undone}: {refusal.reason}",
            hint="set this machine's clock, best by NTP, and run the same command again",
            outcome="rejected",
            code="CLOCK_OFF",
        )
    words, hint = _DEAD[way] if refusal.kind == "dead" else (_WORDS[refusal.kind], None)
    return EnrolmentError(
        f"{undone}: {words}: {refusal.reason}",
        hint=token_refusals.what_to_do_in_setup(refusal.reason) or hint or refusal.hint,
        outcome="rejected",
        code=refusal.error,
    )
