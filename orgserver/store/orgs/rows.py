"""An ``Org`` to and from its row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, select

from orgserver.model.access.logins import Identity, LoginKey, UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.names import Alias, OrgId, RowId
from orgserver.model.orgs import Connection, Move, Org, OrgState, OrgUser, Problem
from orgserver.store import tables
from orgserver.store.people import connection_tables
from orgserver.store.transaction import Transaction, to_datetime, to_microseconds

_connections = connection_tables.connections
_of = tables.policies.c
EVERY = select(tables.orgs, _of.policy.label("bound"), _of.identity, _of.username_from).select_from(
    tables.orgs.outerjoin(tables.policies, tables.policies.c.org_id == tables.orgs.c.org_id)
)
"""Orgs with the policy of their org id, in the form that ``read_org`` reads."""
ELSEWHERE = "{}"
"""In the row of an org whose id is known: its policy stands with that id."""
IDENTITY = "identity"
"""Stands among an org's limits where it has another identity than the shared one, beside the column of that name: no
program of before 0012 reads such a policy, so none goes on with the shared login."""
_STRICTEST = Policy(read_only=True, confirm_deletes=True, keep_values=True, allow_objects=())
"""What holds where the policy of a known id is missing: nobody but a damaged store takes it away."""


def one_in(tx: Transaction, row_id: str) -> Org | None:
    """An org as it is now; None if it is gone."""
    row = tx.connection.execute(EVERY.where(tables.orgs.c.row_id == row_id)).first()
    return read_org(row) if row is not None else None


def login_in(tx: Transaction, login: LoginKey) -> Org | None:
    """An org as whoever uses this login meets it; None if the org or the login is gone, or is somebody else's."""
    org = one_in(tx, login.row_id)
    if org is None or not login.is_own:
        return org
    of = _connections.c
    its_own = select(_connections).where(of.id == login.id, of.row_id == login.row_id, of.principal == login.principal)
    row = tx.connection.execute(its_own).first()
    return org.with_connection(read_connection(row)) if row is not None else None


def read_connection(row: Row[Any]) -> Connection:
    """A connection from its row."""
    user_id = row.user_id
    return Connection(
        id=RowId(row.id),
        row_id=RowId(row.row_id),
        principal=row.principal,
        kind=row.kind,
        user=OrgUser(user_id, row.username, row.user_time_zone or "") if user_id is not None else None,
        username=row.username,
        state=OrgState(row.state),
        cause=row.cause,
        problem=_problem(row.problem),
        created_at=to_datetime(row.created_at),
        refreshed_at=_maybe(row.refreshed_at),
        confirmed_at=_maybe(row.confirmed_at),
        refresh_suspended=row.held,
    )


def problem_column(problem: Problem | None) -> str | None:
    """How a problem stands in its column."""
    return json.dumps(asdict(problem) | {"since": to_microseconds(problem.since)}) if problem else None


def _problem(text: str | None) -> Problem | None:
    facts = json.loads(text) if text else None
    return Problem(facts["code"], to_datetime(facts["since"]), facts["hint"]) if facts else None


def columns(org: Org) -> dict[str, Any]:
    """The columns of an org's row, but for when it was made."""
    return {
        "row_id": org.row_id,
        "alias": org.alias,
        "org_id": org.org_id,
        "name": org.name,
        "kind": org.kind,
        "edition": org.edition,
        "login_url": org.login_url,
        "instance_url": org.instance_url,
        "trusted_hosts": json.dumps(org.trusted_hosts),
        "api_version": org.api_version,
        "user_id": org.user.id if org.user else None,
        "username": org.user.username if org.user else None,
        "user_time_zone": org.user.time_zone if org.user else None,
        "state": org.state.value,
        "cause": org.cause,
        "problem": problem_column(org.problem),
        "policy": json.dumps(org.policy.facts()) if org.org_id is None else ELSEWHERE,
        "tags": json.dumps(org.tags),
        "source": org.source,
        "auth": org.auth,
        "held": org.refresh_suspended,
        "move": move_column(org.move),
        "enabled": org.enabled,
        "refreshed_at": to_microseconds(org.refreshed_at) if org.refreshed_at else None,
    }


def move_column(move: Move | None) -> str | None:
    """How a move stands in its column."""
    return json.dumps(asdict(move) | {"since": to_microseconds(move.since)}) if move else None


def _move(text: str | None) -> Move | None:
    facts = json.loads(text) if text else None
    return Move(**(facts | {"since": to_datetime(facts["since"])})) if facts else None


def username_from_column(username_from: UsernameFrom | None) -> str | None:
    """How it stands in its column where an org's users are known from."""
    return json.dumps(asdict(username_from)) if username_from is not None else None


def read_org(row: Row[Any], parse: Callable[[str], Any] = json.loads) -> Org:
    """An org from a row of ``EVERY``; ``parse`` reads its JSON, and may know texts that it has read before."""
    return Org(
        row_id=RowId(row.row_id),
        alias=Alias(row.alias),
        org_id=OrgId(row.org_id) if row.org_id else None,
        name=row.name,
        kind=row.kind,
        edition=row.edition,
        login_url=row.login_url,
        instance_url=row.instance_url,
        trusted_hosts=tuple(parse(row.trusted_hosts)),
        api_version=row.api_version,
        user=OrgUser(row.user_id, row.username, row.user_time_zone) if row.user_id else None,
        state=OrgState(row.state),
        cause=row.cause,
        problem=_problem(row.problem),
        policy=_policy(row),
        tags=tuple(parse(row.tags)),
        source=row.source,
        created_at=to_datetime(row.created_at),
        refreshed_at=_maybe(row.refreshed_at),
        enabled=row.enabled,
        auth=row.auth,
        refresh_suspended=row.held,
        move=_move(row.move),
        identity=_identity(row),
        username_from=UsernameFrom(**json.loads(row.username_from)) if row.username_from else None,
    )


def _maybe(microseconds: int | None) -> datetime | None:
    return to_datetime(microseconds) if microseconds is not None else None


def _identity(row: Row[Any]) -> Identity:
    """Whose login is used; of an org whose policy is missing, nobody's but the caller's own."""
    identity: Identity | None = row.identity
    return identity or ("shared" if row.org_id is None else "own")


def _policy(row: Row[Any]) -> Policy:
    if row.org_id is None:
        return read_policy(row.policy)
    return read_policy(row.bound) if row.bound is not None else _STRICTEST


@lru_cache(maxsize=256)  # of ten thousand orgs, most have one of a few
def read_policy(text: str) -> Policy:
    """A policy from its column."""
    facts = json.loads(text)
    facts.pop(IDENTITY, None)
    return Policy.read(facts)
