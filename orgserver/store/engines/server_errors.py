"""What is said when PostgreSQL refuses or is away: by its code, for its own words may hold values of statements."""

from __future__ import annotations

import os
import ssl

from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreBusy, StoreError
from orgserver.store.engines.server_connections import ReadOnlyServer

STARTING = "57P03"
READ_ONLY = "25006"
LOCK_TIMEOUT = "55P03"
_GONE = frozenset({"57P01", "57P02", STARTING, "25P03", "25P04"})
"""The server ends, starts, or has ended our session."""
_BUSY = frozenset({LOCK_TIMEOUT, "57014", "40P01", "40001"})
_DISK_FULL = "53100"
_OF_A_CHANGE = frozenset({"22", "23"})
"""Classes of codes for what one change alone asked for: a value, or a constraint."""
_FINAL = frozenset({"0A", "22", "23", "3D", "3F", "42"})
"""Classes of codes for what a server goes on saying until somebody changes it: a table, schema, right or form is none.
"""
_CORRECT_IT = (
    "correct ORGSERVER_DATABASE_PASSWORD, _FILE or _COMMAND (with none of them, none was given), or the URL's user"
)
_RIGHTS = (
    "grant SELECT, INSERT, UPDATE, DELETE on its tables and USAGE on its sequences; to migrate, be the tables' owner "
    "with CREATE on the schema public"
)
_REASONS = {
    READ_ONLY: ("is read-only", "give the primary's address; a standby, or a server that is set so, takes no writes"),
    "28P01": ("refuses the password", _CORRECT_IT),
    "28000": (
        "refuses this user",
        "correct the user in ORGSERVER_DATABASE_URL, or let it in by the server's pg_hba.conf",
    ),
    "3D000": ("has no such database", "make it (CREATE DATABASE … OWNER …), or correct ORGSERVER_DATABASE_URL"),
    "3F000": ("lacks the schema public in this database", "make it: CREATE SCHEMA public AUTHORIZATION …"),
    "42501": ("does not let this user do it", _RIGHTS),
    _DISK_FULL: ("has no disk space left", "free some there"),
    "53300": ("has no connection left for us", "raise its max_connections, or run fewer servers; each takes up to 8"),
    "42P01": ("lacks a table of ours", "restart: it tells where the store was moved; else restore a backup"),
}
_AWAY = "check that it runs and can be reached from here; nothing was lost, and calls go on when it is back"


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's code for an error, where it gave one."""
    reason = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(reason, "sqlstate", None) or getattr(reason, "pgcode", None)
    return str(code) if code else None


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, or there was none: what was under way in it may be done, or not."""
    code = sqlstate(error)
    return code is None or code.startswith("08") or code in _GONE


def is_final(error: BaseException) -> bool:
    """Whether a failure does not pass by itself, as one for want of a password or of a primary may."""
    code = sqlstate(error)
    return code is not None and code[:2] in _FINAL


def concerns_all(error: BaseException) -> bool:
    """Whether a failure concerns the store, not one change: everybody in the group would meet it."""
    code = sqlstate(error)
    return code is None or code[:2] not in _OF_A_CHANGE


def explain(error: BaseException, server: str) -> StoreError:
    """What callers are told; ``server`` names it without a password."""
    code = sqlstate(error)
    if code in _BUSY:
        hint = "try again shortly; if it lasts, look at pg_stat_activity"
        return StoreBusy("the store is busy: another process holds it", hint=hint)
    if code in _REASONS:
        reason, hint = _REASONS[code]
        return StoreError(f"the store's server {server} {reason}", hint=hint)
    if code is None or is_lost(error):
        return _explain_loss(error, server)
    if code[:2] in _OF_A_CHANGE:
        return StoreError(f"the store does not take what was to be written{_place(error)} (SQLSTATE {code})")
    return StoreError(f"the store's server {server} failed (SQLSTATE {code})", hint="look into the server's own log")


def _explain_loss(error: BaseException, server: str) -> StoreError:
    reason = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = "name the authority's certificate in ORGSERVER_CA_FILE, and the server as its certificate does"
        return StoreError(
            f"the certificate of the store's server {server} is refused: {reason.verify_message}", hint=hint
        )
    if "rejected SSL upgrade" in str(reason):
        hint = "set ssl=on there: a password and a store's content do not cross a network in plain text"
        return StoreError(f"the store's server {server} takes no TLS", hint=hint)
    if isinstance(reason, ReadOnlyServer):
        text, hint = _REASONS[READ_ONLY]
        return StoreError(f"the store's server {server} {text}", hint=hint)
    return StoreError(f"the store's server {server} does not answer{_cause(reason)}", hint=_AWAY)


def _cause(reason: object) -> str:
    """Why, where the system says it: its words hold no values."""
    if not isinstance(reason, OSError) or reason.errno is None:
        return ""
    words = os.strerror(reason.errno) if reason.errno > 0 else reason.strerror  # the latter of names
    return f": {words.lower()}" if words else ""


def _place(error: BaseException) -> str:
    """The table and constraint, by their names."""
    reason = getattr(error, "orig", error)
    cause = getattr(reason, "__cause__", None) or reason
    names = [getattr(cause, each, None) for each in ("table_name", "constraint_name")]
    known = [name for name in names if name]
    return f" ({', '.join(known)})" if known else ""
