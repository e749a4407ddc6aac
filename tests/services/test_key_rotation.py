"""A store gets a new master key, and new data keys, and nothing that was sealed is lost."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, select, update

from orgserver.app import App
from orgserver.model.access.logins import LoginKey
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Principal
from orgserver.model.audit import EntryFilter, Outcome
from orgserver.model.errors import KeyProblem
from orgserver.model.names import Alias, RowId, new_id
from orgserver.model.orgs import AccessToken, Caller, Credential, Org, OrgState
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.key_rotation import MasterKeys
from orgserver.store import tables
from orgserver.store.orgs.rewrapping import SEALED
from orgserver.store.session import Store, open_store
from orgserver.vault.keys import Context, Key, Unsealable, key_id
from orgserver.vault.ring import Vault, write_ring
from orgserver.vault.sources import FileRing
from tests import operations

Opener = Callable[[], Any]


@pytest.fixture
def ring_path(tmp_path: Path, ring: Key) -> Path:
    path = tmp_path / "ring"
    path.touch(mode=0o600)
    path.write_text(write_ring([ring]))
    return path


@pytest.fixture
def opens(store_file: Path, ring_path: Path) -> Opener:
    """Opens the store as another process would, with the ring's file as it is then."""

    def vault(_create: bool) -> Vault:
        source = FileRing(ring_path)
        return Vault(source.read(), source)

    @asynccontextmanager
    async def open_it() -> AsyncIterator[Store]:
        store = await open_store(store_file, vault)
        try:
            yield store
        finally:
            await store.close()

    return open_it


@pytest.fixture
async def mine(opens: Opener) -> AsyncIterator[Store]:
    async with opens() as store:
        yield store


def org(number: int) -> Org:
    now = datetime.now(UTC)
    return Org(
        row_id=RowId(new_id()), alias=Alias(f"org-{number}"), org_id=None, name="x", kind=None, edition=None,
        login_url="https://l", instance_url="https://i", trusted_hosts=(), api_version="v66.0", user=None,
        state=OrgState.READY, cause=None, problem=None, policy=Policy(), tags=(), source="test", created_at=now,
        refreshed_at=now,
    )  # fmt: skip


CREDENTIAL = Credential("client", Secret("client-secret"), Secret("refresh-token"), Secret("private-key"), fencing=3)
ACCESS = AccessToken(Secret("access-token"), "https://i", 3)


async def add(store: Store, number: int) -> RowId:
    new = org(number)
    await store.database.write(lambda tx: store.orgs.add_in(tx, new, CREDENTIAL, ACCESS))
    return new.row_id


async def add_some(store: Store, count: int) -> list[RowId]:
    return [await add(store, number) for number in range(count)]


async def read(store: Store, row_id: RowId) -> tuple[Credential | None, AccessToken | None]:
    async with store.database.reading() as connection:
        credentials, login = store.orgs.credentials, LoginKey.shared(row_id)
        return await credentials.credential(connection, login), await credentials.access_token(connection, login)


async def raw(store: Store, table: Any) -> list[Any]:
    async with store.database.reading() as connection:
        return list((await connection.execute(select(table))).all())


def who() -> Caller:
    return Caller(Principal("local:tester"), "cli")


async def entries(store: Store) -> list[Any]:
    from orgserver.services.audit.log_reader import AuditLogReader

    return [entry async for entry in AuditLogReader(store).entries(EntryFilter(action="key"))]


async def test_a_rotation_makes_a_key_moves_everything_and_says_so_in_the_audit_log(mine: Store, ring: Key) -> None:
    orgs = await add_some(mine, 3)

    done = await MasterKeys(mine).rotate(who())

    assert (done.made, done.resumed, done.resealed, done.moved, done.unreadable) == (True, False, False, 7, ())
    assert done.usage == {done.key: 7, ring.id.hex(): 0}
    assert [await read(mine, each) for each in orgs] == [(CREDENTIAL, ACCESS)] * 3
    (entry,) = await entries(mine)
    assert (entry.outcome, entry.tool, entry.object, entry.row_count) == (Outcome.SUCCEEDED, "rotate-key", done.key, 7)


async def test_every_value_stays_sealed_as_it_is_when_only_the_master_key_changes(mine: Store) -> None:
    await add_some(mine, 2)
    before = [await raw(mine, table) for table in (tables.credentials, tables.access_tokens)]

    await MasterKeys(mine).rotate(who())

    assert [await raw(mine, table) for table in (tables.credentials, tables.access_tokens)] == before


async def test_with_reseal_no_sealed_byte_stays(mine: Store) -> None:
    orgs = await add_some(mine, 2)
    before = {table: await raw(mine, table) for table in (tables.credentials, tables.access_tokens, tables.data_keys)}

    done = await MasterKeys(mine).rotate(who(), reseal=True)

    assert done.resealed
    assert [await read(mine, each) for each in orgs] == [(CREDENTIAL, ACCESS)] * 2
    for table, rows in before.items():
        for old, new in zip(rows, await raw(mine, table), strict=True):
            sealed = [c.name for c in table.columns if isinstance(c.type, LargeBinary)]
            assert sealed and all(getattr(old, name) != getattr(new, name) for name in sealed)


async def test_what_was_sealed_under_the_old_data_key_no_longer_opens_with_the_old_ring(mine: Store, ring: Key) -> None:
    """Who has the old master key and an old data key can open nothing of today."""
    (row_id,) = await add_some(mine, 1)
    (wrapped,) = [row.wrapped for row in await raw(mine, tables.data_keys)]
    old = Vault([ring]).data_key(wrapped, row_id, "org")

    await MasterKeys(mine).rotate(who(), reseal=True)

    (row,) = await raw(mine, tables.credentials)
    with pytest.raises(Unsealable):
        old.open(row.client_secret, Context(row_id, "credentials", "client_secret"))
    with pytest.raises(Unsealable):
        Vault([ring]).data_key((await raw(mine, tables.data_keys))[0].wrapped, row_id, "org")


def test_every_column_that_is_sealed_under_a_data_key_is_known_to_reseal() -> None:
    """Those of sign-ins are sealed anew by ``store.signin.sealing``, which has tests of its own."""
    known = {(sealed.name, column) for sealed in SEALED for column in sealed.columns}
    plain = {
        ("store", "canary"), ("store", "store_key"), ("store", "audit_key"), ("store", "signing_key"), ("data_keys", "wrapped"),
        ("audit_head", "hash"), ("audit_head", "sealed"), ("audit_events", "canonical"), ("audit_events", "hash"),
        ("audit_events", "mac"), ("audit_checkpoints", "hash"), ("kept_values", "salt"), ("audit_base", "hash"), ("approvals", "digest"),
        ("one_time_codes", "sealed"), ("idempotency", "key_digest"), ("idempotency", "arguments_digest"), ("describes", "body"), ("api_keys", "digest"),
        ("signin_requests", "state_digest"), ("signin_requests", "browser_digest"), ("signin_requests", "sealed"),
        ("signin_sessions", "cookie_digest"), ("signin_sessions", "provider_token"), ("signin_tokens", "digest"),
        ("connect_links", "nonce_digest"), ("connect_links", "browser_digest"), ("connect_links", "state_digest"),
        ("connect_links", "sealed"), ("revocations", "sealed"),
    }  # fmt: skip
    binary = {
        (table.name, column.name)
        for table in tables.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }

    assert known == binary - plain


async def test_the_audit_log_verifies_across_rotations(mine: Store, opens: Opener) -> None:
    from orgserver.services.audit.log_reader import AuditLogReader

    await MasterKeys(mine).rotate(who())
    await MasterKeys(mine).rotate(who(), reseal=True)

    async with opens() as other:
        verified = await AuditLogReader(other).verify()

    assert (verified.problem, verified.entries) == (None, 2)


async def test_a_store_opens_with_the_new_key_alone(mine: Store, opens: Opener, ring_path: Path) -> None:
    (row_id,) = await add_some(mine, 1)
    await MasterKeys(mine).rotate(who())
    ring_path.write_text(ring_path.read_text().split(",")[0])

    async with opens() as other:
        assert await read(other, row_id) == (CREDENTIAL, ACCESS)


async def test_an_open_store_finds_the_new_key_by_itself(mine: Store, opens: Opener) -> None:
    (row_id,) = await add_some(mine, 1)
    async with opens() as other:
        await MasterKeys(other).rotate(who(), reseal=True)

        assert await read(mine, row_id) == (CREDENTIAL, ACCESS)
        new = await add(mine, 2)
        assert await read(other, new) == (CREDENTIAL, ACCESS)
        usage = await MasterKeys(mine).usage()
        assert list(usage.values()) == [6, 0], "nothing was sealed under the old key again"


async def test_a_refresh_that_began_before_a_reseal_is_stored_after_it(mine: Store, opens: Opener) -> None:
    (row_id,) = await add_some(mine, 1)
    await read(mine, row_id)
    async with opens() as other:
        await MasterKeys(other).rotate(who(), reseal=True)

    newer = AccessToken(Secret("newer"), "https://i", 4)
    await mine.database.write(
        lambda tx: mine.orgs.store_refresh_in(tx, LoginKey.shared(row_id), 3, Secret("rotated"), newer)
    )

    credential, access = await read(mine, row_id)
    assert credential is not None and credential.refresh_token == Secret("rotated")
    assert access == newer


async def test_what_late_writers_seal_with_the_data_key_before_still_opens(mine: Store, opens: Opener) -> None:
    """Such as an answer kept for an idempotency key, or one rescued beside the store."""
    (row_id,) = await add_some(mine, 1)
    async with mine.database.reading() as connection:
        held = await mine.orgs.credentials.data_key(connection, row_id)
    where = Context(row_id, "idempotency", "answer")
    async with opens() as other:
        await MasterKeys(other).rotate(who(), reseal=True)
        late = held.seal(b"late", where)
        async with other.database.reading() as connection:
            assert (await other.orgs.credentials.data_key(connection, row_id)).open(late, where) == b"late"


# -- cut off, twice, and mended


class CutOff(Exception):
    pass


async def cut_off(store: Store, after: int, *, reseal: bool, page: int) -> None:
    """Run a rotation that ends in the middle."""

    def progress(done: int, _total: int) -> None:
        if done >= after:
            raise CutOff

    with pytest.raises(CutOff):
        await MasterKeys(store).rotate(who(), reseal=reseal, page=page, progress=progress)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("then", [False, True])
async def test_a_rotation_that_was_cut_off_is_finished_by_the_next(
    mine: Store, ring: Key, first: bool, then: bool
) -> None:
    orgs = await add_some(mine, 7)
    await cut_off(mine, 3, reseal=first, page=2)
    half = await MasterKeys(mine).usage()
    under = half[ring.id.hex()]

    done = await MasterKeys(mine).rotate(who(), reseal=then, page=2)

    assert under == 3 + 4
    assert (done.made, done.resumed, len(done.usage)) == (False, True, 2)
    assert done.usage == {done.key: 11, ring.id.hex(): 0}
    assert [await read(mine, each) for each in orgs] == [(CREDENTIAL, ACCESS)] * 7
    vault = mine.wrapped_keys.vault
    made_under = {vault.data_key(row.wrapped, row.owner, "org").made_under for row in await raw(mine, tables.data_keys)}
    if then:
        assert made_under == {bytes.fromhex(done.key)}, "no org was left out"
    outcomes = [(entry.outcome, entry.error_code) for entry in await entries(mine)]
    assert outcomes == [(Outcome.UNKNOWN, "INTERRUPTED"), (Outcome.SUCCEEDED, None)]


async def test_a_resumed_reseal_does_not_begin_again(mine: Store) -> None:
    await add_some(mine, 6)
    await cut_off(mine, 4, reseal=True, page=2)
    before = [row.wrapped for row in await raw(mine, tables.data_keys)][:4]

    done = await MasterKeys(mine).rotate(who(), reseal=True, page=2)

    assert done.moved == 2 + 4
    assert [row.wrapped for row in await raw(mine, tables.data_keys)][:4] == before


async def test_a_key_that_was_written_and_never_used_is_the_one_to_go_on_with(mine: Store, ring_path: Path) -> None:
    """A rotation was killed between its new ring file and its first seal."""
    await add_some(mine, 1)
    new = Key.new()
    FileRing(ring_path).put_first(new)

    done = await MasterKeys(mine).rotate(who())

    assert (done.key, done.made, done.resumed) == (new.id.hex(), False, False)
    assert len(ring_path.read_text().split(",")) == 2


async def test_a_second_rotation_at_once_is_refused_in_one_line(mine: Store, ring_path: Path) -> None:
    before = ring_path.read_text()
    async with mine.database.engine.exclusive("rotate") as is_mine:
        assert is_mine
        with pytest.raises(KeyProblem, match="another rotate-key") as caught:
            await MasterKeys(mine).rotate(who())

    assert "\n" not in str(caught.value)
    assert ring_path.read_text() == before
    assert await entries(mine) == []


async def test_a_rotation_right_after_another_uses_the_ring_as_that_one_left_it(mine: Store, opens: Opener) -> None:
    async with opens() as other:
        first = await MasterKeys(other).rotate(who())

        second = await MasterKeys(mine).rotate(who())

    assert first.key != second.key
    assert second.made
    assert len(second.usage) == 3


async def test_what_a_server_with_an_old_ring_sealed_is_mended_without_another_key(mine: Store, ring: Key) -> None:
    first = await MasterKeys(mine).rotate(who())
    stale = Vault([ring])
    _, wrapped = stale.new_data_key("late", "org")
    await mine.database.write(
        lambda tx: tx.connection.execute(tables.data_keys.insert().values(owner="late", wrapped=wrapped))
    )

    done = await MasterKeys(mine).rotate(who())

    assert (done.key, done.made, done.moved) == (first.key, False, 1)
    assert done.usage == {first.key: 5, ring.id.hex(): 0}


async def test_orgs_that_are_added_and_removed_meanwhile_are_left_in_order(mine: Store, opens: Opener) -> None:
    orgs = await add_some(mine, 5)
    async with opens() as other:
        added: list[RowId] = []
        tasks: list[asyncio.Task[Any]] = []

        async def meddle(number: int) -> None:
            added.append(await add(other, number))
            await other.database.write(lambda tx: other.orgs.remove_in(tx, orgs[4]))

        def progress(done: int, _total: int) -> None:
            if done in (1, 3):
                tasks.append(asyncio.ensure_future(meddle(100 + done)))

        done = await MasterKeys(mine).rotate(who(), reseal=True, page=1, progress=progress)
        await asyncio.gather(*tasks)

        assert [count for key, count in (await MasterKeys(other).usage()).items() if key != done.key] == [0]
        for each in (*orgs[:4], *added):
            assert await read(other, each) == await read(mine, each) == (CREDENTIAL, ACCESS)


async def test_a_data_key_that_nothing_opens_is_named_and_stops_nobody(mine: Store, ring: Key) -> None:
    first, second = await add_some(mine, 2)
    foreign = Vault([Key.new()]).new_data_key(first, "org")[1]
    keys = tables.data_keys
    await mine.database.write(
        lambda tx: tx.connection.execute(update(keys).where(keys.c.owner == first).values(wrapped=foreign))
    )

    done = await MasterKeys(mine).rotate(who(), reseal=True)

    assert done.unreadable == ("org-0",)
    assert done.usage == {done.key: 5, ring.id.hex(): 0, key_id(foreign).hex(): 1}
    assert await read(mine, second) == (CREDENTIAL, ACCESS)
    assert (await MasterKeys(mine).rotate(who())).made, "the next rotation is none the worse for it"


async def test_a_ring_that_only_the_operator_can_change_needs_a_new_key_from_him(store: Store, ring: Key) -> None:
    with pytest.raises(KeyProblem):
        await MasterKeys(store).rotate(who())

    assert await MasterKeys(store).usage() == {ring.id.hex(): 4}
    assert await entries(store) == []


async def test_a_kept_answer_is_the_same_after_a_reseal(app: App, acme: SandboxOrg, caller: Caller) -> None:
    from orgserver.model.names import SObjectName

    contact = SObjectName("Contact")

    async def create() -> Any:
        values = {"LastName": "Lovelace"}
        return await operations.create(app, caller, "t", "acme", contact, values, idempotency_key="k")

    first = await create()
    before = len(acme.records.tables["Contact"])

    await app.keys.rotate(who(), reseal=True)

    assert await create() == first
    assert len(acme.records.tables["Contact"]) == before


# -- rings from slow sources


class SlowRing:
    """A source that answers when the test lets it."""

    name, advice, slow = "the test", "ask the test", True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def changed(self) -> bool:
        return True

    def read(self) -> list[Key]:
        self.asked.set()
        assert self.may_answer.wait(20)
        return FileRing(self.path).read()

    def put_first(self, key: Key) -> None:
        raise KeyProblem("only you")


async def _reading(store: Store, row_id: RowId) -> object:
    return await read(store, row_id)


async def _writing(store: Store, row_id: RowId) -> object:
    """A step of a refresh opens the credential inside a transaction."""
    return await store.database.write(lambda tx: store.orgs.credentials.data_key_in(tx, row_id).id)


@pytest.mark.parametrize("work", [_reading, _writing])
async def test_nobody_else_waits_while_a_slow_source_is_asked_for_a_new_key(
    mine: Store, store_file: Path, ring_path: Path, ring: Key, work: Callable[[Store, RowId], Any]
) -> None:
    (row_id,) = await add_some(mine, 1)
    source = SlowRing(ring_path)
    server = await open_store(store_file, lambda _create: Vault([ring], source))
    await MasterKeys(mine).rotate(who(), reseal=True)

    waiting = asyncio.create_task(work(server, row_id))
    async with asyncio.timeout(20):
        await asyncio.to_thread(source.asked.wait)
        await add(mine, 2)
        async with server.database.reading() as connection:
            assert len((await server.orgs.catalog(connection)).by_alias) == 2
        await server.database.write(lambda tx: server.orgs.credentials.touch_in(tx, LoginKey.shared(row_id)))
        assert not waiting.done()
        source.may_answer.set()
        assert await waiting == await work(mine, row_id)
    await server.close()
