"""The commands about sessions of sign-in: who is signed in from which client, and the end of that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.confirmation import agree
from orgserver.cli.output import print_json, safe, tell
from orgserver.cli.people.details import readable_time
from orgserver.cli.process import app_of, app_to_read, operator, run, settings_of
from orgserver.cli.tables import print_table, wide_option

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.store.signin.rows import Session

_TITLES = ("session", "principal", "person", "client", "redirect host", "scopes", "since", "last used", "ends", "ended")
_BROWSER = "a browser at /me"


@click.command(
    "list-sessions",
    epilog="Examples:\n\n  orgserver list-sessions --principal ada\n\n  orgserver list-sessions --ended --json",
)
@click.option("--principal", metavar="NAME", help="Only its own.", shell_complete=completion.registered_principals)
@click.option("--ended", is_flag=True, help="Those too that are over, for 30 days, and why.")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_sessions(principal: str | None, ended: bool, wide: bool, as_json: bool) -> None:
    """List who is signed in, from which client. Names of people and clients are as their provider and they say."""

    async def act() -> tuple[list[Session], int]:
        async with app_to_read(settings_of()) as app:
            if principal is not None:
                await app.people.principals.one(principal)
            return await app.sessions().all(principal, ended=ended), app.store.database.clock()

    sessions, now = run(act())
    every = [_details(each, now) for each in sessions]
    if as_json:
        print_json(every)
    elif every:
        print_table(_TITLES, list(map(_row, every)), spare=("since", "scopes", "person"), ids=("session",), wide=wide)
    else:
        tell("Nobody is signed in." if principal is None else f"{principal} is not signed in.")


@click.command(
    "revoke-session",
    epilog="Examples:\n\n  orgserver revoke-session 0197a0c2-5b\n\n  orgserver revoke-session --principal ada --yes",
)
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=completion.sessions)
@click.option(
    "--principal", metavar="NAME", help="All of its sessions.", shell_complete=completion.registered_principals
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke_session(ids: tuple[str, ...], principal: str | None, yes: bool) -> None:
    """End sessions, by their ids or beginnings of these. Their clients may do nothing from their next call on."""
    if bool(ids) == (principal is not None):
        raise click.UsageError("give ids of sessions, or --principal NAME")

    async def act() -> list[str]:
        async with app_of(settings_of()) as app:
            sessions = await _find(app, ids, principal)
            if sessions and not yes:
                agree(_question(sessions), undone="no session was ended")
            return await app.sessions().end_all(operator(), [each.id for each in sessions])

    session_ids = run(act())
    for session_id in session_ids:
        click.echo(f"{session_id}: ended")
    if not session_ids:
        tell("No session was ended: all were over.")


async def _find(app: App, ids: Sequence[str], principal: str | None) -> list[Session]:
    if principal is not None:
        await app.people.principals.one(principal)
        return await app.sessions().all(principal)
    sessions = [await app.sessions().one(each) for each in ids]
    return list({each.id: each for each in sessions}.values())


def _question(sessions: Sequence[Session]) -> str:
    if len(sessions) > 1:
        return f"End {len(sessions)} sessions of {', '.join(sorted({each.principal for each in sessions}))}?"
    (session,) = sessions
    return safe(f"End the session of {session.principal} from {session.client_name or _BROWSER}?")


def _details(session: Session, now: int) -> dict[str, Any]:
    from orgserver.oauth.clients.redirect_uris import host_of  # noqa: PLC0415  # a shell that completes waits not

    return {
        "id": session.id,
        "kind": session.kind,
        "principal": session.principal,
        "person": session.person,
        "subject": {"issuer": session.subject.issuer, "subject": session.subject.subject},
        "client_id": session.client_id,
        "client_name": session.client_name,
        "redirect_host": host_of(session.redirect_uri) if session.redirect_uri else None,
        "resource": session.resource,
        "scopes": list(session.scopes),
        "live": session.is_live(now),
        "created_at": _iso(session.created_at),
        "last_used_at": _iso(session.used_at),
        "expires_at": _iso(session.expires_at),
        "ended_at": _iso(session.ended_at),
        "ended_why": session.ended_why,
    }


def _row(each: dict[str, Any]) -> tuple[object, ...]:
    return (
        each["id"],
        each["principal"],
        each["person"],
        each["client_name"] or _BROWSER,
        each["redirect_host"],
        ", ".join(each["scopes"]),
        readable_time(each["created_at"]),
        readable_time(each["last_used_at"]),
        readable_time(each["expires_at"]) if each["live"] else None,
        None if each["live"] else each["ended_why"] or "expired",
    )


def _iso(time: int | None) -> str | None:
    return datetime.fromtimestamp(time / 1_000_000, UTC).isoformat(timespec="seconds") if time is not None else None
