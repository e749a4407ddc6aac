"""Registered orgs, and what changes in several tables when one is added or removed; and orgs being enrolled."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.logins import LoginKey
from orgserver.model.names import Alias, RowId
from orgserver.model.orgs import AccessToken, Credential, Move, Org, OrgState, Problem, StateChange
from orgserver.model.secret import Secret
from orgserver.store import tables
from orgserver.store.calls import tables as call_tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.orgs import policies, rows
from orgserver.store.orgs.catalog import OrgSnapshot, read_catalog
from orgserver.store.orgs.connections import Connections
from orgserver.store.orgs.credentials import Credentials
from orgserver.store.orgs.login_tables import OWN, tables_of
from orgserver.store.orgs.policies import PolicyChange
from orgserver.store.transaction import Transaction, to_datetime
from orgserver.vault.keys import Context, Key
from orgserver.vault.ring import Vault


@dataclass(frozen=True, slots=True)
class PendingEnrolment:
    """An enrolment under way: what is known so far, sealed in the store until everything is proven."""

    alias: Alias
    row_id: RowId
    facts: dict[str, Any]
    """``client_id``, ``client_secret``, ``refresh_token``, a digest of the one given, and the proof so far."""


class PendingEnrolments:
    """Reads and changes of them. Methods ``…_in`` are changes for the writer."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def find(self, connection: AsyncConnection, alias: Alias, given: str | None) -> dict[Alias, PendingEnrolment]:
        """Open the unfinished enrolments of an alias and of a refresh token, by the digest of the one given."""
        enrolments: dict[Alias, PendingEnrolment] = {}
        for row in await connection.execute(_drafts_of(alias, given)):
            enrolments[row.alias] = _read_draft(row, await self._credentials.unwrap(row.row_id, row.wrapped))
        return enrolments

    def find_in(self, tx: Transaction, alias: Alias, given: str | None) -> dict[Alias, PendingEnrolment]:
        """The same in a transaction."""
        drafts = tx.connection.execute(_drafts_of(alias, given)).all()
        return {row.alias: _read_draft(row, self._credentials.data_key_in(tx, RowId(row.row_id))) for row in drafts}

    def read_in(self, tx: Transaction, row_id: RowId) -> PendingEnrolment | None:
        """Open one enrolment that was not finished."""
        row = tx.connection.execute(select(tables.enrolments).where(tables.enrolments.c.row_id == row_id)).first()
        if row is None:
            return None
        return _read_draft(row, self._credentials.data_key_in(tx, row_id))

    def write_in(self, tx: Transaction, enrolment: PendingEnrolment) -> None:
        """Write an enrolment, new or a step further."""
        key = self._credentials.data_key_in(tx, enrolment.row_id)
        facts = key.seal(json.dumps(enrolment.facts).encode(), _draft_context(enrolment.row_id))
        tx.connection.execute(delete(tables.enrolments).where(tables.enrolments.c.alias == enrolment.alias))
        tx.connection.execute(
            insert(tables.enrolments).values(
                alias=enrolment.alias,
                row_id=enrolment.row_id,
                draft=facts,
                created_at=tx.now,
                given=enrolment.facts.get("given"),
            )
        )

    def remove_in(self, tx: Transaction, enrolment: PendingEnrolment, *, keep_key: bool) -> None:
        """End an enrolment; without ``keep_key`` its secrets are destroyed with their key."""
        tx.connection.execute(delete(tables.enrolments).where(tables.enrolments.c.alias == enrolment.alias))
        if not keep_key:
            tx.connection.execute(delete(tables.data_keys).where(tables.data_keys.c.owner == enrolment.row_id))


def _drafts_of(alias: Alias, given: str | None) -> Select[Any]:
    of = tables.enrolments.c
    query = select(tables.enrolments, tables.data_keys.c.wrapped).join(
        tables.data_keys, tables.data_keys.c.owner == of.row_id
    )
    return query.where(or_(of.alias == alias, *([of.given == given, of.given.is_(None)] if given else [])))


def _read_draft(row: Row[Any], key: Key) -> PendingEnrolment:
    facts = json.loads(key.open(row.draft, _draft_context(row.row_id)))
    return PendingEnrolment(row.alias, RowId(row.row_id), facts)


def _draft_context(row_id: str) -> Context:
    """Where the facts of an enrolment belong."""
    return Context(row_id, "enrolments", "draft")


class Orgs:
    """Reads and changes of orgs. Methods ``…_in`` are changes for the writer."""

    def __init__(self, vault: Vault) -> None:
        self.credentials = Credentials(vault)
        self.enrolments = PendingEnrolments(self.credentials)
        self.connections = Connections(self.credentials)
        self.on_state_change: Callable[[StateChange], None] | None = None
        """Told of each change of an org's state that this process has made durable, in the writer's thread."""
        self.on_revocation: Callable[[], None] | None = None
        """Told when a token is to be revoked at Salesforce that was not before, in the same way."""

    # -- reading

    async def catalog(self, connection: AsyncConnection, before: OrgSnapshot | None = None) -> OrgSnapshot:
        """Every org and every standing, of one snapshot; of what was read ``before``, only what was changed since."""
        return await read_catalog(connection, before)

    async def find(self, connection: AsyncConnection, alias: Alias) -> Org | None:
        """One org by its alias."""
        row = (await connection.execute(rows.EVERY.where(tables.orgs.c.alias == alias))).first()
        return rows.read_org(row) if row is not None else None

    async def twins(self, connection: AsyncConnection, org: Org) -> tuple[Alias, ...]:
        """The other aliases of the same org, as far as it has said which it is."""
        of = tables.orgs.c
        same = select(of.alias).where(of.org_id == org.org_id, of.row_id != org.row_id).order_by(of.alias)
        return tuple((await connection.execute(same)).scalars()) if org.org_id is not None else ()

    async def catalog_version(self, connection: AsyncConnection) -> int:
        """Read only the version."""
        return int((await connection.execute(select(tables.store.c.catalog_version))).scalar_one())

    async def refreshed_at(self, connection: AsyncConnection, login: LoginKey) -> datetime | None:
        """When a login's refresh token was last used."""
        where = tables_of(login)
        last = select(where.state.c.refreshed_at).where(where.of(where.state, login))
        time = (await connection.execute(last)).scalar()
        return to_datetime(time) if time is not None else None

    # -- changing

    def is_registered_in(self, tx: Transaction, alias: Alias) -> bool:
        """Tell whether an alias is in use."""
        used = select(tables.orgs.c.row_id).where(tables.orgs.c.alias == alias)
        return tx.connection.execute(used).first() is not None

    def add_in(
        self, tx: Transaction, org: Org, credential: Credential, access: AccessToken | None
    ) -> list[PolicyChange]:
        """Write a proven org with its credential and its first access token; the policies that this changes."""
        tx.connection.execute(insert(tables.orgs).values(created_at=tx.now, **rows.columns(org)))
        self.credentials.replace_in(tx, org.row_id, credential, access)
        return policies.join_in(tx, org)[1] if org.org_id is not None else []

    def store_refresh_in(
        self, tx: Transaction, login: LoginKey, fencing: int, refresh_token: Secret | None, access: AccessToken
    ) -> bool:
        """Store what a refresh gave, if nobody has stored another since: False then, and nothing is written."""
        if not self.credentials.rotate_in(tx, login, fencing, refresh_token, access.fencing):
            return False
        self.credentials.store_access_token_in(tx, self.credentials.data_key_in(tx, login.id), login, access)
        before = rows.one_in(tx, login.row_id) if self.on_state_change is not None and not login.is_own else None
        if self._note_success_in(tx, login, access) and before is not None:
            self._tell_in(tx, before, replace(before, state=OrgState.READY, cause=None, problem=None))
        return True

    def _note_success_in(self, tx: Transaction, login: LoginKey, access: AccessToken) -> bool:
        """Note that a login works; whether that is news."""
        where = tables_of(login)
        of, values = where.state.c, {"state": OrgState.READY.value, "cause": None, "problem": None, "held": False}
        news = [of.state != OrgState.READY.value, of.problem.is_not(None), of.held.is_(True)]
        if not login.is_own:  # where an org lives, its own login says; of a person's, only a proven move
            values["instance_url"] = access.instance_url
            news.append(of.instance_url != access.instance_url)
        query = update(where.state).where(where.of(where.state, login), or_(*news)).values(values)
        is_news = tx.connection.execute(query).rowcount > 0
        if is_news:
            changed_in(tx, "connection" if login.is_own else "org", login.id)
        return is_news

    def move_in(self, tx: Transaction, login: LoginKey, access: AccessToken, move: Move) -> bool:
        """Pin an org, and the access token that is stored, to another instance; False if that token is another."""
        if not self.note_move_in(tx, login, access.fencing, move):
            return False
        tokens = tables_of(login).access_tokens
        there = {"instance_url": access.instance_url}
        tx.connection.execute(update(tokens).where(tables_of(login).of(tokens, login)).values(there))
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == login.row_id).values(there))
        return True

    def note_move_in(self, tx: Transaction, login: LoginKey, fencing: int, move: Move | None) -> bool:
        """Note what is known of an org's move; False if the token that told of it is another one by now."""
        if self.credentials.fencing_in(tx, login) != fencing:
            return False
        values = {"move": rows.move_column(move)}
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == login.row_id).values(values))
        changed_in(tx, "org", login.row_id)
        return True

    def change_in(self, tx: Transaction, row_id: RowId, change: Callable[[Org], Org]) -> Org | None:
        """Change an org's row by a function; None if it is gone.

        Its org id and its policy stay what they are: ``policies`` changes those.
        """
        old = rows.one_in(tx, row_id)
        if old is None:
            return None
        org = replace(change(old), org_id=old.org_id, policy=old.policy)
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == row_id).values(**rows.columns(org)))
        changed_in(tx, "org", row_id)
        self._tell_in(tx, old, org)
        return org

    def _tell_in(self, tx: Transaction, before: Org, after: Org) -> None:
        """Tell of another state once it is durable: that is in one process, and once."""
        listener = self.on_state_change
        if listener is not None and before.visible_state is not after.visible_state:
            change = StateChange(after, before.visible_state, to_datetime(tx.now))
            tx.after_commit.append(lambda: listener(change))

    def tell_of_revocation(self) -> None:
        """Tell that a token is to be revoked, now that this is durable."""
        if self.on_revocation is not None:
            self.on_revocation()

    def mark_in(
        self, tx: Transaction, login: LoginKey, *, state: OrgState | None, cause: str | None, problem: Problem | None
    ) -> None:
        """Note what the last token answer said about a login."""
        if login.is_own:
            of, login_state = OWN.state, {"state": state.value, "cause": cause} if state is not None else {}
            values = {"problem": rows.problem_column(problem), **login_state}
            tx.connection.execute(update(of).where(of.c.id == login.id).values(values))
            changed_in(tx, "connection", login.id)
            return

        def mark(org: Org) -> Org:
            return replace(org, state=state or org.state, cause=cause if state else org.cause, problem=problem)

        self.change_in(tx, login.row_id, mark)

    def remove_in(self, tx: Transaction, row_id: RowId) -> None:
        """Remove an org; its data keys go first, and with them everything that was sealed. Its id keeps its policy."""
        own = select(OWN.state.c.id).where(OWN.state.c.row_id == row_id)
        ids = [row_id, *tx.connection.execute(own).scalars()]
        tx.connection.execute(delete(tables.data_keys).where(tables.data_keys.c.owner.in_(ids)))
        tx.connection.execute(delete(tables.leases).where(tables.leases.c.row_id.in_(ids)))
        for table in (
            tables.access_tokens,
            tables.credentials,
            call_tables.idempotency,
            call_tables.approvals,
            tables.describes,
            tables.orgs,
        ):
            tx.connection.execute(delete(table).where(table.c.row_id == row_id))
        for each in ids:
            self.credentials.forget_data_key(each)
        changed_in(tx, "org", row_id)
        changed_in(tx, "people")  # grants on it went with it
