"""The checks of ``doctor`` on the open store: its contents, its keys and its orgs."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from orgserver.model.errors import OperatorError
from orgserver.model.orgs import Org, OrgState
from orgserver.model.text import count_of
from orgserver.services.calls.one_time_codes import OneTimeCodes, refuse_if_closed
from orgserver.services.doctor.machine import Finding, size
from orgserver.services.orgs.keepalive import LIFE, WARN_FROM, dies_at
from orgserver.services.tokens import instance_moves, token_errors
from orgserver.store import diagnostics
from orgserver.store.diagnostics import Diagnostics
from orgserver.store.orgs.rewrapping import Strays
from orgserver.store.session import Store
from orgserver.store.transaction import to_datetime
from orgserver.vault.ring import retry_behind

_LATE_SECONDS = 600
_MUCH_WAL = 64 * 1024 * 1024
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


async def of_store(store: Store) -> list[Finding]:
    """Check the store from inside; a damaged one may take a while."""
    late = store.database.clock() - _LATE_SECONDS * 1_000_000
    async with store.database.reading() as connection:
        figures = await diagnostics.read_diagnostics(connection, late)
    beside = store.database.beside
    left = await asyncio.to_thread(lambda: sorted(path.name for path in beside.parent.glob(f"{beside.name}.rescue-*")))
    return [
        *(await _of_file(store.database.file, figures) if figures.journal_mode is not None else [audit_log(figures)]),
        pending(figures),
        rescue(left),
        enrolments(figures.unfinished),
    ]


async def _of_file(file: Path, figures: Diagnostics) -> list[Finding]:
    size_of_file = await asyncio.to_thread(store_size, file, figures.events)
    return [journal(str(figures.journal_mode)), integrity(figures.damage), audit_log(figures), size_of_file]


def journal(mode: str) -> Finding:
    """Readers and writers get along in WAL alone."""
    if mode == "wal":
        return Finding("journal", "ok", "WAL, every commit synced (synchronous = FULL)")
    todo = "stop every program that uses the file; orgserver sets it to WAL when it opens it"
    return Finding("journal", "problem", f"{mode}, where WAL is needed", todo)


def integrity(damage: Sequence[str]) -> Finding:
    """SQLite's own check, in full."""
    if not damage:
        return Finding("integrity", "ok", "SQLite finds no damage (quick_check, in full)")
    todo = "stop the servers, move the store away, and: orgserver restore FILE"
    return Finding("integrity", "problem", f"SQLite finds damage: {damage[0]}", todo)


def audit_log(figures: Diagnostics) -> Finding:
    """Whether as many events are there as were written; what they say, only the chain tells."""
    off = figures.missing_events
    if not off:
        return Finding("audit log", "ok", "no event is missing; orgserver audit verify checks what they say")
    text = f"{count_of(abs(off), 'event')} {'missing' if off > 0 else 'too many'}"
    todo = "somebody has edited the store: orgserver audit verify says where; keep it, and a backup of before"
    return Finding("audit log", "problem", text, todo)


def store_size(file: Path, events: int) -> Finding:
    """How much there is, and whether the WAL is written back."""
    wal = file.with_name(file.name + "-wal")
    wal_size = wal.stat().st_size if wal.exists() else 0
    text = f"{size(file.stat().st_size)} and {size(wal_size)} of WAL, {events:,} audit events"
    if wal_size > _MUCH_WAL:
        return Finding("size", "note", f"{text}; a reader that stays for long keeps the WAL from being written back")
    return Finding("size", "ok", text)


def pending(figures: Diagnostics) -> Finding:
    """An intent without its outcome is a call under way, or one whose process died less than a minute ago."""
    if figures.overdue:
        todo = "restart the servers; orgserver audit list --outcome pending names them"
        return Finding("pending", "warning", f"{count_of(figures.overdue, 'act')} should have ended long ago", todo)
    if figures.pending:
        return Finding("pending", "note", f"{count_of(figures.pending, 'act')} under way, or waiting to be given up")
    return Finding("pending", "ok", "no act waits for its outcome")


def rescue(waiting: Sequence[str]) -> Finding:
    """Answers that did not get into the store; those that can go in went in when it was opened, a moment ago."""
    if not waiting:
        return Finding("rescue files", "ok", "none")
    todo = "keep the files, they may hold the only working refresh tokens; the log says why they do not open"
    return Finding("rescue files", "problem", f"token answers that could not be taken in: {', '.join(waiting)}", todo)


def enrolments(unfinished: Sequence[str]) -> Finding:
    """A rotated refresh token may live here alone."""
    if not unfinished:
        return Finding("enrolments", "ok", "none is unfinished")
    todo = "run the same add-org again: it goes on where it stopped"
    return Finding("enrolments", "warning", f"unfinished: {', '.join(unfinished)}", todo)


async def left_behind(store: Store, orgs: Sequence[Org]) -> list[Finding]:
    """What an earlier version left under an older key of its org; nothing where all is well."""

    async def count() -> Strays:
        async with store.database.reading() as connection:
            return await store.wrapped_keys.strays(connection)

    strays = await retry_behind(count)
    aliases = {str(org.row_id): org.alias for org in orgs}
    findings = []
    if strays.recoverable:
        text = f"{_per_org(strays.recoverable, aliases)}: under an older key of their org, where nothing looks for them"
        todo = "orgserver rotate-key --reseal puts them under the one of now"
        findings.append(Finding("sealed values", "warning", text, todo))
    if strays.lost:
        text = f"{_per_org(strays.lost, aliases)}: their key is gone, and nothing opens them any more"
        todo = "those changes cannot be undone; have the requests made again; audit erase lets go of the values"
        findings.append(Finding("sealed values", "warning", text, todo))
    if strays.sign_ins:
        text = f"{strays.sign_ins:,} sign-ins and sessions: under another key than that of sign-ins, nothing opens them"
        todo = (
            "they end at their next refresh, and those people sign in again; whom it does not concern notices nothing"
        )
        findings.append(Finding("sealed values", "warning", text, todo))
    return findings


def _per_org(counts: Mapping[str, int], aliases: Mapping[str, str]) -> str:
    each = (f"{number:,} of {aliases.get(owner, owner)}" for owner, number in sorted(counts.items()))
    return f"kept values and requests, {', '.join(each)}"


async def approvals(store: Store) -> Finding:
    """How people's yes is proven, where one is needed."""
    try:
        state = await OneTimeCodes(store).state()
    except OperatorError as error:
        return Finding("approvals", "problem", str(error), error.hint)
    if state is None:
        todo = "to ask for a one-time code, too: orgserver approvals setup"
        return Finding("approvals", "note", "a person says yes by typing it at a terminal", todo)
    since = f"one-time codes, set up on {to_datetime(state.set_up_at):%Y-%m-%d}"
    try:
        refuse_if_closed(state)
    except OperatorError as error:
        return Finding("approvals", "warning", f"{since}; {error}", error.hint)
    return Finding("approvals", "ok", f"a person says yes by {since}")


def keys(usage: Mapping[str, int], ring: Sequence[str], source: str) -> list[Finding]:
    """Which master keys are still needed."""
    return [_key(each, count, ring, source) for each, count in usage.items()]


def _key(each: str, count: int, ring: Sequence[str], source: str) -> Finding:
    if each not in ring:
        todo = f"put this key back, behind the first of {source}"
        return Finding("key", "problem", f"{each} seals {count:,} values and is not in the ring", todo)
    if each == ring[0]:
        return Finding("key", "ok", f"{each} seals {count:,} values, and every new one")
    if count:
        return Finding("key", "warning", f"{each}, an older one, still seals {count:,} values", "orgserver rotate-key")
    todo = f"take it out of {source}, but keep it as long as backups from before"
    return Finding("key", "note", f"{each} is needed by no value any more", todo)


# -- orgs


def of_org(org: Org, now: datetime) -> Finding:
    """How an org stands, how old its token is, and what it needs."""
    name = f"org {org.alias}"
    off = "" if org.enabled else "disabled; "
    sick = _sick(org)
    if sick is not None:
        return Finding(name, "problem", off + sick[0], sick[1])
    if org.problem is not None:
        text = f"its last token request was refused on {org.problem.since:%Y-%m-%d}: {org.problem.code}"
        return Finding(name, "warning", off + text, org.problem.hint)
    news = instance_moves.describe_move(org, now)
    if news is not None:
        todo = "if nobody knows of this, ask the org's administrator, and disable it meanwhile: "
        return Finding(name, "warning", off + news, f"{todo}orgserver update-org {org.alias} --disable")
    if not org.holds_refresh_token:
        return Finding(name, "ok", f"{off}ready; logs in by {org.auth} whenever it needs to")
    return _aged(org, name, off, now)


def twins(orgs: Sequence[Org]) -> list[Finding]:
    """Orgs that are registered more than once: their aliases share one policy."""
    by_id: dict[str, list[Org]] = defaultdict(list)
    for org in orgs:
        if org.org_id is not None:
            by_id[org.org_id].append(org)
    return [_twins(org_id, same) for org_id, same in by_id.items() if len(same) > 1]


def _twins(org_id: str, same: Sequence[Org]) -> Finding:
    limits = ", ".join(same[0].policy.limits) or "none"
    name = f"org {', '.join(org.alias for org in same)}"
    return Finding(name, "note", f"one org ({org_id}) under {len(same)} aliases, with the same limits: {limits}")


def _sick(org: Org) -> tuple[str, str] | None:
    cause = f": {org.cause}" if org.cause else ""
    if org.refresh_suspended or org.state is OrgState.IN_DOUBT:
        return f"in doubt{cause}", token_errors.settle_doubt(org)
    if org.state is OrgState.NEEDS_LOGIN:
        return f"needs a new login{cause}", token_errors.setup_first(org, org.cause) or token_errors.log_in_again(org)
    if org.state is OrgState.QUARANTINED:
        return f"quarantined{cause}", f"find out why; then log in again: {token_errors.log_in_again(org)}"
    return None


def _aged(org: Org, name: str, off: str, now: datetime) -> Finding:
    idle = now - (org.refreshed_at or org.created_at)
    end = dies_at(org) or org.created_at + LIFE
    if idle >= LIFE:
        todo = f"orgserver refresh-idle; if it fails: {token_errors.log_in_again(org)}"
        return Finding(name, "problem", f"{off}idle for {idle.days} days: its refresh token has probably died", todo)
    text = f"{off}ready; last refreshed {_ago(idle)}, dies of idleness on {end:%Y-%m-%d}"
    if idle >= WARN_FROM:
        todo = "orgserver refresh-idle, and let a server or cron do it from now on"
        return Finding(name, "warning", text, todo)
    return Finding(name, "ok", text)


def _ago(idle: timedelta) -> str:
    if idle < 2 * _MINUTE:
        return "just now"
    if idle < 2 * _HOUR:
        return f"{idle // _MINUTE} minutes ago"
    return f"{idle // _HOUR} hours ago" if idle < 2 * _DAY else f"{idle // _DAY} days ago"
