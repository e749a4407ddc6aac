"""Sealed values that are moved to another row or column, or put back after they were replaced, do not open."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Table, select, update

from orgserver.app import App
from orgserver.model.access.logins import LoginKey
from orgserver.model.access.policies import Policy
from orgserver.model.errors import KeyProblem
from orgserver.model.names import Alias, RowId, SObjectName, new_id
from orgserver.model.orgs import AccessToken, Caller, Credential, Org, OrgState
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.store import tables
from orgserver.store.calls import tables as call_tables
from orgserver.store.orgs.login_tables import access_token_of, credential_of
from orgserver.store.orgs.registry import PendingEnrolment
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from tests import operations

ORGS = 20
SEED = 7


def made_up(number: int) -> tuple[Org, Credential, AccessToken]:
    now = datetime.now(UTC)
    org = Org(
        row_id=RowId(new_id()), alias=Alias(f"org-{number}"), org_id=None, name="x", kind=None, edition=None,
        login_url="https://l", instance_url="https://i", trusted_hosts=(), api_version="v66.0", user=None,
        state=OrgState.READY, cause=None, problem=None, policy=Policy(), tags=(), source="test", created_at=now,
        refreshed_at=now,
    )  # fmt: skip
    credential = Credential(
        "client",
        Secret(f"client-secret-{number}"),
        Secret(f"refresh-token-{number}"),
        Secret(f"private-key-{number}"),
        fencing=5,
    )
    return org, credential, AccessToken(Secret(f"access-token-{number}"), "https://i", 5)


async def fill(store: Store) -> list[RowId]:
    made = [made_up(number) for number in range(ORGS)]

    def change(tx: Transaction) -> None:
        for org, credential, access in made:
            store.orgs.add_in(tx, org, credential, access)

    await store.database.write(change)
    return [org.row_id for org, _, _ in made]


@dataclass(frozen=True)
class Place:
    """One sealed value in the store."""

    table: Table
    column: str
    row_id: str

    @property
    def _here(self) -> Any:
        return self.table.c["owner" if self.table is tables.data_keys else "row_id"] == self.row_id

    def value(self, tx: Transaction) -> bytes:
        found: bytes = tx.connection.execute(select(self.table.c[self.column]).where(self._here)).scalar_one()
        return found

    def put(self, tx: Transaction, value: bytes) -> None:
        tx.connection.execute(update(self.table).where(self._here).values({self.column: value}))

    def read(self, store: Store, tx: Transaction) -> Any:
        """As the product reads it."""
        login = LoginKey.shared(self.row_id)
        if self.table is tables.access_tokens:
            return store.orgs.credentials.open_access_token(login, tx.connection.execute(access_token_of(login)).one())
        return store.orgs.credentials.open_credential(login, tx.connection.execute(credential_of(login)).one())


COLUMNS = (
    (tables.credentials, "client_secret"),
    (tables.credentials, "refresh_token"),
    (tables.credentials, "private_key"),
    (tables.access_tokens, "token"),
    (tables.data_keys, "wrapped"),
)


class _Undone(Exception):
    pass


async def undone(store: Store, change: Callable[[Transaction], None]) -> None:
    """Run a change and take it back."""

    def attempt(tx: Transaction) -> None:
        change(tx)
        raise _Undone

    with pytest.raises(_Undone):
        await store.database.write(attempt)


@contextmanager
def does_not_open() -> Iterator[None]:
    with pytest.raises(KeyProblem) as caught:
        yield
    told = str(caught.value)
    assert told
    assert "\n" not in told
    assert not any(word in told for word in ("client-secret", "refresh-token-", "access-token-", "private-key-"))


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda each: getattr(each, "name", each))
async def test_a_value_opens_in_its_own_place_only(store: Store, table: Table, column: str) -> None:
    """Every value of twenty orgs in every place of this column."""
    orgs = await fill(store)
    places = [Place(table, column, row_id) for row_id in orgs]
    everywhere = [Place(each, name, row_id) for each, name in COLUMNS for row_id in orgs]
    tried = 0

    def move(tx: Transaction) -> None:
        nonlocal tried
        values = {place: place.value(tx) for place in everywhere}
        store_row = tx.connection.execute(select(tables.store)).one()
        others = [store_row.canary, store_row.store_key, store_row.audit_key]
        for place in places:
            for value in (*(values[other] for other in everywhere if other != place), *others):
                place.put(tx, value)
                with does_not_open():
                    place.read(store, tx)
                tried += 1
            place.put(tx, values[place])
            assert place.read(store, tx)

    await undone(store, move)

    assert tried == ORGS * (len(everywhere) - 1 + 3)


async def test_an_org_that_takes_everything_of_another_gets_nothing(store: Store) -> None:
    """Data key, credential and token moved together: the wrapped key names its owner."""
    orgs = await fill(store)
    chance = random.Random(SEED)
    pairs = [tuple(chance.sample(orgs, 2)) for _ in range(40)]

    def move(tx: Transaction) -> None:
        for here, there in pairs:
            before = {column: Place(*column, here).value(tx) for column in COLUMNS}
            for column in COLUMNS:
                Place(*column, here).put(tx, Place(*column, there).value(tx))
            for table in (tables.credentials, tables.access_tokens):
                with does_not_open():
                    Place(table, "", here).read(store, tx)
            for column, value in before.items():
                Place(*column, here).put(tx, value)

    print(f"seed {SEED}")
    await undone(store, move)


async def test_the_tokens_of_before_a_refresh_do_not_open_when_they_are_put_back(store: Store) -> None:
    orgs = await fill(store)
    refresh = {row_id: Place(tables.credentials, "refresh_token", row_id) for row_id in orgs}
    access = {row_id: Place(tables.access_tokens, "token", row_id) for row_id in orgs}

    def change(tx: Transaction) -> None:
        for row_id in orgs:
            old, stale = refresh[row_id].value(tx), access[row_id].value(tx)
            newer = AccessToken(Secret("newer"), "https://i", 6)
            assert store.orgs.store_refresh_in(tx, LoginKey.shared(row_id), 5, Secret("rotated"), newer)
            for place, value in ((refresh[row_id], old), (access[row_id], stale)):
                new = place.value(tx)
                place.put(tx, value)
                with does_not_open():
                    place.read(store, tx)
                place.put(tx, new)
                assert place.read(store, tx)

    await undone(store, change)


async def test_no_secret_of_a_replaced_credential_opens_when_it_is_put_back(store: Store) -> None:
    """Not even those whose context has no fencing number: a new credential has a new data key."""
    orgs = await fill(store)

    def change(tx: Transaction) -> None:
        for row_id in orgs:
            places = [Place(*column, row_id) for column in COLUMNS]
            old = [place.value(tx) for place in places]
            _, credential, access = made_up(99)
            store.orgs.credentials.replace_in(tx, row_id, replace(credential, fencing=5), access)
            for place, value in zip(places, old, strict=True):
                new = place.value(tx)
                place.put(tx, value)
                with does_not_open():
                    place.read(store, tx)
                place.put(tx, new)
                assert place.read(store, tx)

    await undone(store, change)


async def test_a_draft_opens_for_its_own_enrolment_only(store: Store) -> None:
    drafts = [
        PendingEnrolment(Alias(f"new-{number}"), RowId(new_id()), {"refresh_token": f"r{number}"})
        for number in range(3)
    ]

    def keep(tx: Transaction) -> None:
        for draft in drafts:
            store.orgs.enrolments.write_in(tx, draft)

    await store.database.write(keep)
    for here in drafts:
        for there in drafts:
            places = [Place(tables.enrolments, "draft", each.row_id) for each in (here, there)]
            mine, theirs = await store.database.write(lambda tx, p=places: [each.value(tx) for each in p])
            await store.database.write(lambda tx, p=places, v=theirs: p[0].put(tx, v))
            async with store.database.reading() as connection:
                if here is there:
                    assert (await store.orgs.enrolments.find(connection, here.alias, None))[here.alias] == here
                else:
                    with does_not_open():
                        await store.orgs.enrolments.find(connection, here.alias, None)
            await store.database.write(lambda tx, p=places, v=mine: p[0].put(tx, v))


async def test_a_kept_answer_opens_for_its_own_key_only(app: App, acme: SandboxOrg, caller: Caller) -> None:
    contact, keys = SObjectName("Contact"), ("one", "two")

    async def create(key: str) -> Any:
        values = {"LastName": key}
        return await operations.create(app, caller, "t", acme.alias, contact, values, idempotency_key=key)

    made = {key: await create(key) for key in keys}
    records = len(acme.records.tables["Contact"])

    def swap(tx: Transaction) -> None:
        kept = call_tables.idempotency
        (one, first), (two, second) = tx.connection.execute(select(kept.c.entry_id, kept.c.answer)).all()
        for entry, answer in ((one, second), (two, first)):
            tx.connection.execute(update(kept).where(kept.c.entry_id == entry).values(answer=answer))

    await app.store.database.write(swap)

    for key in keys:
        with does_not_open():
            await create(key)
    await app.store.database.write(swap)
    assert {key: await create(key) for key in keys} == made
    assert len(acme.records.tables["Contact"]) == records
