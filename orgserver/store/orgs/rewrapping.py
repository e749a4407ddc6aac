"""Which master key each key of the store is wrapped under, and moving them under another while everybody works on.

A rotation goes through ``data_keys`` in pages, each one short transaction, and ends with the store's own row: so that
row tells whether one has come to its end. A page that was moved needs nothing more, so a rotation that was cut off
goes on with what is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import RowMapping, Table, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.store import tables
from orgserver.store.calls import one_time_codes
from orgserver.store.calls import tables as call_tables
from orgserver.store.orgs.login_tables import OWN
from orgserver.store.readiness import canary_context
from orgserver.store.transaction import PreparedStatement, Transaction
from orgserver.vault.keys import Context, DataKey, Key, Unsealable, key_id
from orgserver.vault.ring import Vault

T = TypeVar("T")
ORG = "org"
"""The purpose of data keys: of orgs, of orgs being enrolled, of people's logins, and of sign-ins."""
_STORE_KEYS = {"store_key": "store", "audit_key": "audit", "signing_key": "signing"}
_RENEWED = frozenset({"store_key"})
"""Of these, what a rotation with new data keys makes anew."""

_PAGE = select(tables.data_keys.c.owner, tables.data_keys.c.wrapped).order_by(tables.data_keys.c.owner)
_WRAP = PreparedStatement(
    update(tables.data_keys).where(tables.data_keys.c.owner == bindparam("of")).values(wrapped=bindparam("to_wrapped"))
)


class _Sealed:
    """The columns of one table that are sealed under a data key; the column ``owner`` says whose.

    Each is named with the columns that stand in its context too; of people's logins some stand in ``connections``.
    """

    def __init__(self, table: Table, owner: str = "row_id", **columns: tuple[str, ...]) -> None:
        self.name = table.name
        self.owner = owner
        self.columns = columns
        self.key = [column.name for column in table.primary_key]
        names = sorted({owner, *self.key, *columns, *chain.from_iterable(columns.values())})
        selection = [table.c[name] if name in table.c else OWN.state.c[name] for name in names]
        is_own = any(name not in table.c for name in names)
        query = select(*selection).join(OWN.state, OWN.state.c.id == table.c[owner]) if is_own else select(*selection)
        of = table.c[owner]
        self.find = PreparedStatement(query.where(of >= bindparam("first"), of <= bindparam("last")))
        self.keep = PreparedStatement(
            update(table)
            .where(*(table.c[name] == bindparam(f"of_{name}") for name in self.key))
            .values({name: bindparam(f"to_{name}") for name in columns})
        )

    def moved(self, row: RowMapping, old: DataKey, new: DataKey) -> dict[str, Any]:
        """A row under the new key; a value that does not open stays as it is, for it never will."""
        columns: dict[str, Any] = {f"of_{name}": row[name] for name in self.key}
        for name, bound in self.columns.items():
            value = row[name]
            if value is not None:
                extra = ":".join(str(row[each]) for each in bound if row[each] is not None)
                where = Context(row[self.owner], self.name, name, extra)
                with suppress(Unsealable):
                    value = new.seal(self._sealing_key(value, old).open(value, where), where)
            columns[f"to_{name}"] = value
        return columns

    def _sealing_key(self, value: bytes, key: DataKey) -> Key:
        """The key that sealed a value: of what an earlier version left behind, the one before the owner's."""
        before = key.before
        left_behind = before is not None and self.name in LEFT_BEHIND and key_id(value) == before.id
        return before if before is not None and left_behind else key


_FENCED, _HELD = ("fencing",), ("fencing", "row_id", "principal")
SEALED = (
    _Sealed(tables.credentials, client_secret=(), private_key=(), refresh_token=_FENCED),
    _Sealed(tables.access_tokens, token=_FENCED),
    _Sealed(OWN.credentials, "id", refresh_token=_HELD),
    _Sealed(OWN.access_tokens, "id", token=_HELD),
    _Sealed(tables.enrolments, draft=()),
    _Sealed(call_tables.idempotency, answer=("entry_id",)),
    _Sealed(tables.kept_values, sealed=("entry_id", "login_id")),
    _Sealed(call_tables.approvals, sealed=("code",)),
)


LEFT_BEHIND = {
    tables.kept_values.name: tables.kept_values.c.sealed,
    call_tables.approvals.name: call_tables.approvals.c.sealed,
}
"""What versions up to 0.1 left under the key before when an org got another credential, by table."""


@dataclass(frozen=True, slots=True)
class Strays:
    """How many kept values and requests are sealed under another key than their org's, by owner."""

    recoverable: Mapping[str, int]
    """Those whose key is still known: a rotation with ``--reseal`` moves them."""
    lost: Mapping[str, int]
    sign_ins: int = 0
    """Sign-ins and sessions whose secrets are sealed under another key than theirs."""


@dataclass(frozen=True, slots=True)
class Page:
    """What became of some data keys."""

    last: str | None
    """The last owner looked at; None after the last page."""
    moved: int
    unreadable: tuple[str, ...]
    """Owners whose data key no key of the ring opens: they are left as they are."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How many values each master key wraps, by the hexadecimal form of its id."""

    usage: Mapping[str, int]
    store: frozenset[str]
    """The keys of the store's own row."""


class WrappedKeys:
    """Counts and moves the store's wrapped keys. Methods ``…_in`` are changes for the writer."""

    def __init__(self, vault: Vault, store_id: str) -> None:
        self.vault = vault
        self._store_id = store_id

    async def standing(self, connection: AsyncConnection) -> Standing:
        """Count the values under each master key: data keys, the store's keys, its canary, and its one-time codes."""
        of = func.substr(tables.data_keys.c.wrapped, 2, 8)
        counted = await connection.execute(select(of, func.count()).group_by(of))
        usage = Counter({bytes(identifier).hex(): number for identifier, number in counted})
        row = (await connection.execute(select(tables.store))).one()
        codes = (await connection.execute(select(call_tables.one_time_codes.c.sealed))).scalars().all()
        values = [*(getattr(row, column) for column in ("canary", *_STORE_KEYS)), *codes]
        own = [key_id(value).hex() for value in values]
        return Standing(usage + Counter(own), frozenset(own))

    async def strays(self, connection: AsyncConnection) -> Strays:
        """Count the kept values and requests that do not open with their org's key."""
        keys: dict[str, DataKey] = {}
        for owner, wrapped in (await connection.execute(_PAGE)).all():
            with suppress(Unsealable):
                keys[owner] = self.vault.data_key(wrapped, owner, ORG)
        recoverable: Counter[str] = Counter()
        lost: Counter[str] = Counter()
        for column in LEFT_BEHIND.values():
            owner, sealed_by = column.table.c.row_id, func.substr(column, 2, 8)
            counts = select(owner, sealed_by, func.count()).where(column.is_not(None)).group_by(owner, sealed_by)
            for row_id, identifier, number in await connection.execute(counts):
                key = keys.get(row_id)
                if key is None or key.id == bytes(identifier):
                    continue
                known = key.before is not None and key.before.id == bytes(identifier)
                (recoverable if known else lost)[row_id] += number
        return Strays(recoverable, lost, await self._count_stray_sign_ins(connection, keys.get(self._store_id)))

    async def _count_stray_sign_ins(self, connection: AsyncConnection, key: Key | None) -> int:
        from orgserver.store.signin import sealing  # noqa: PLC0415  # no server on stdio needs it

        return await sealing.count_strays(connection, key.id if key is not None else None)

    async def left(self, connection: AsyncConnection, to: Key, *, reseal: bool) -> int:
        """Count the data keys that are still to be moved."""
        data_keys = (await connection.execute(_PAGE)).all()
        return sum(self._is_left(row.owner, row.wrapped, to, reseal=reseal) for row in data_keys)

    def move_in(self, tx: Transaction, to: Key, after: str, limit: int, *, reseal: bool) -> Page:
        """Move a page of data keys under a master key; with ``reseal`` every owner gets a new data key too.

        An owner is an org, or the store: the latter's data key is that of sign-ins, and all of them are one page.
        """
        page = tx.connection.execute(_PAGE.where(tables.data_keys.c.owner > after).limit(limit)).all()
        moved: dict[str, tuple[DataKey, DataKey]] = {}
        unreadable: list[str] = []
        for row in page:
            try:
                change = self._change(row.owner, row.wrapped, to, reseal=reseal)
            except Unsealable:
                unreadable.append(row.owner)
                continue
            if change is not None:
                moved[row.owner] = change
        if moved:
            _WRAP.run(tx.connection, *(_row(owner, new, to) for owner, (_, new) in moved.items()))
        if moved and reseal:
            _reseal(tx, moved, page[0].owner, page[-1].owner)
            if self._store_id in moved:
                self._reseal_sign_ins(tx, *moved[self._store_id])
        return Page(page[-1].owner if page else None, len(moved), tuple(unreadable))

    def _is_left(self, owner: str, wrapped: bytes, to: Key, *, reseal: bool) -> bool:
        try:
            return self._change(owner, wrapped, to, reseal=reseal) is not None
        except Unsealable:
            return False  # it stays as it is

    def _change(
        self, owner: str, wrapped: bytes, to: Key, *, reseal: bool, purpose: str = ORG
    ) -> tuple[DataKey, DataKey] | None:
        """An owner's data key as it is and as it shall be; None if nothing is left to do."""
        there = key_id(wrapped) == to.id
        if there and not reseal:
            return None
        key = self.vault.data_key(wrapped, owner, purpose)
        if reseal and key.made_under != to.id:
            return key, key.successor(to)
        return None if there else (key, key)

    def _reseal_sign_ins(self, tx: Transaction, old: DataKey, new: DataKey) -> None:
        from orgserver.store.signin import sealing  # noqa: PLC0415  # as above

        sealing.reseal_in(tx, self._store_id, old, new)

    def move_store_in(self, tx: Transaction, to: Key, *, reseal: bool) -> int:
        """Move what is the store's own: its keys, its canary, and the secret of its one-time codes.

        The log's keys stay what they are, or old MACs would not verify. With ``reseal`` that of cursors and forms is a
        new one; nothing that lasts is sealed under it.
        """
        row = tx.connection.execute(select(tables.store)).one()
        moved: dict[str, bytes] = {}
        for column, purpose in _STORE_KEYS.items():
            value: bytes = getattr(row, column)
            is_renewed = reseal and column in _RENEWED
            change = self._change(self._store_id, value, to, reseal=is_renewed, purpose=purpose)
            if change is not None:
                moved[column] = change[1].wrapped(to, self._store_id, purpose)
        if key_id(row.canary) != to.id:
            where = canary_context(self._store_id)
            moved["canary"] = to.seal(self.vault.open(row.canary, where), where)
        if moved:
            tx.connection.execute(update(tables.store).values(**moved))
        return len(moved) + one_time_codes.move_in(tx, self.vault, self._store_id, to)


def _row(owner: str, key: DataKey, to: Key) -> dict[str, Any]:
    return {"of": owner, "to_wrapped": key.wrapped(to, owner, ORG)}


def renew_data_key_in(tx: Transaction, vault: Vault, owner: str, wrapped: bytes) -> DataKey:
    """Give an owner a new data key, and seal everything that it has under it."""
    old, new, renewed = vault.next_data_key(wrapped, owner, ORG)
    keys = tables.data_keys
    tx.connection.execute(update(keys).where(keys.c.owner == owner).values(wrapped=renewed))
    _reseal(tx, {owner: (old, new)}, owner, owner)
    return new


def _reseal(tx: Transaction, keys: Mapping[str, tuple[DataKey, DataKey]], first: str, last: str) -> None:
    """Seal everything that these owners have under their new data keys; they lie from the first to the last."""
    for sealed in SEALED:
        present = sealed.find.run(tx.connection, {"first": first, "last": last}).mappings()
        rows = [sealed.moved(row, *keys[row[sealed.owner]]) for row in present if row[sealed.owner] in keys]
        if rows:
            sealed.keep.run(tx.connection, *rows)
