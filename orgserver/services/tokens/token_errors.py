"""The errors that a call gets when its org has no token, with the command that mends it."""

from __future__ import annotations

from orgserver.model.errors import CallError, LoginRequired, NeedsLogin, NotSent, StoreAway
from orgserver.model.orgs import Connection, Org, OrgState
from orgserver.salesforce.auth import oauth, token_refusals
from orgserver.store.processes.lock_holders import Holder

RACE = "TOKEN_RACE"
"""A login was given another credential, or ended, while a token was got for it."""


def replaced_meanwhile(org: Org) -> NotSent:
    """What is said when an answer came for a credential that is no longer the org's."""
    return NotSent(f"{org.alias} was given another credential at the same moment", code=RACE)


def login_replaced(org: Org) -> NotSent:
    """What is said when another login has taken the place of the one that a call began with."""
    message = f"the login that calls of yours to {org.alias} use became another at the same moment"
    return NotSent(message, code=RACE, hint="repeat the call")


def closed(org: Org, stored: Org | None) -> NeedsLogin:
    """Why this org must not be asked for a token."""
    if org.login.is_own:
        return _own_ended(org, stored.cause if stored is not None else None)
    if stored is None:
        return needs_login(org, "it has no credential")
    if stored.state is OrgState.QUARANTINED:
        return quarantined(org, stored.cause)
    if stored.state is OrgState.IN_DOUBT:
        return NeedsLogin(
            f"the refresh token of {org.alias} is in doubt: {stored.cause}",
            code="IN_DOUBT",
            hint=f"an administrator runs: {settle_doubt(stored)}",
        )
    return needs_login(org, stored.cause)


def quarantined(org: Org, cause: str | None) -> NeedsLogin:
    """What an org answers whose login host said something that may not be true."""
    if org.login.is_own:
        return _own_ended(org, cause)
    return NeedsLogin(
        f"{org.alias} is quarantined: {cause}",
        code="QUARANTINED",
        hint=f"an administrator finds out why, and then runs: {log_in_again(org)}",
    )


def lost(org: Org, error: CallError) -> NotSent:
    """What is said when a refresh was sent, and what came back tells nobody what became of it."""
    return NotSent(
        f"{org.alias} did not answer a token refresh: {error}", code="TOKEN_UNANSWERED", hint="try again in a minute"
    )


def needs_login(org: Org, cause: str | None) -> NeedsLogin:
    """What an org without a working credential answers."""
    if org.login.is_own:
        return _own_ended(org, cause)
    return NeedsLogin(
        f"{org.alias} needs a new login: {cause or 'its credential no longer works'}",
        hint=setup_first(org, cause) or f"an administrator runs: {log_in_again(org)}",
    )


def login_missing(org: Org) -> LoginRequired:
    """What is said to who has not logged in to an org where everybody has a login of their own.

    What to do about it is said by whoever knows how the caller came.
    """
    message = f"{org.alias} takes calls with a login of your own, which you have not given yet"
    return LoginRequired(message, row_id=org.row_id)


def login_waits(org: Org, connection: Connection) -> NeedsLogin:
    """What is said to who would be logged in by a mapping that nobody has seen: no link helps them."""
    return _ask_to_confirm(
        f"an administrator must confirm first that you are {connection.username} in {org.alias}", org, connection
    )


def _own_ended(org: Org, cause: str | None) -> NeedsLogin:
    if org.is_login_missing:
        return login_missing(org)
    message = f"your own login to {org.alias} is of no use any more: {cause or 'it has ended'}"
    if org.connection is not None and org.connection.kind == "jwt" and org.username_from is not None:
        return _ask_to_confirm(message, org, org.connection)
    return LoginRequired(message, row_id=org.row_id)


def _ask_to_confirm(message: str, org: Org, connection: Connection) -> NeedsLogin:
    hint = f"an administrator looks who you are, and runs: orgserver connections --confirm {org.alias} "
    return NeedsLogin(message, code=LoginRequired.code, retryable=True, hint=hint + connection.principal)


def setup_first(org: Org, cause: str | None) -> str | None:
    """What is to be done in Setup before a new login can help, and what then; None where the cause is not there."""
    setup = token_refusals.what_to_do_in_setup(cause) if cause else None
    if setup is None:
        return None
    command = log_in_again(org) if org.holds_refresh_token else f"orgserver check-org {org.alias}"
    return f"{setup}; then: {command}"


def log_in_again(org: Org) -> str:
    """The command that gives an org a working credential: whoever had a refresh token gets another in the browser."""
    return f"orgserver update-org {org.alias} --auth {'web' if org.holds_refresh_token else org.auth}"


def settle_doubt(org: Org) -> str:
    """What is done about an org whose refresh token may be spent."""
    risk = "(revokes the token if another store still uses it)" if org.refresh_suspended else "(settles it)"
    return f"orgserver check-org {org.alias} --try-token {risk}, or log in again: {log_in_again(org)}"


def refused(org: Org, refusal: oauth.TokenRefused) -> NotSent:
    """What an org answers whose token request was refused without killing its credential."""
    if refusal.kind in ("unclear", "limit"):
        return NotSent(
            f"{org.alias} gave no token: {refusal.reason}", code="TOKEN_UNAVAILABLE", hint="try again shortly"
        )
    off = refusal.kind == "clock"
    return NotSent(
        f"{org.alias} {'gave no token' if off else 'refused the credential'}: {refusal.reason}",
        code="CLOCK_OFF" if off else refusal.error,
        category="auth_expired",
        retryable=False,
        hint=refusal.hint,
    )


def hint(refusal: oauth.TokenRefused) -> str:
    """What is kept to be told later, when the refusal itself is gone."""
    return f"{refusal.reason}; {refusal.hint}" if refusal.kind == "clock" else refusal.hint


def refreshed_elsewhere(org: Org, process: Holder | None) -> NotSent:
    """What is said when another process has the lease of an org, and goes on having it."""
    hint = "try again shortly"
    if process is not None and process.stopped:
        hint = f"continue that process (fg in its terminal, or: kill -CONT {process.pid}) or end it"
    return NotSent(f"{process or 'another process'} is refreshing {org.alias}", code="TOKEN_BUSY", hint=hint)


def away(org: Org) -> StoreAway:
    """What is said while a new token is not in the store."""
    return StoreAway(
        f"the store does not take the new token of {org.alias}, so nothing is sent with it",
        hint="orgserver doctor says what keeps it from that: a full disk, another process, a server that is away; "
        "the token is kept safe meanwhile",
    )
