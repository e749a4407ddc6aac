"""A server is ready while the store takes a write, the keys open and no refresh hangs; whoever asks often costs little."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import insert, select, update

from orgserver.app import App
from orgserver.model.errors import StoreBusy
from orgserver.services.doctor import readiness
from orgserver.services.doctor.readiness import Readiness
from orgserver.store import tables
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault
from tests.both_stores import FILE


async def test_a_server_whose_store_works_is_ready_and_is_looked_at_once_for_all_who_ask(app: App) -> None:
    before, _ = app.store.database.commits
    ready = Readiness(app.store)

    answers = await asyncio.gather(*(ready.find_problems() for _ in range(50)))

    assert set(answers) == {()}
    assert app.store.database.commits[0] - before == 1


async def test_a_store_that_takes_no_write_is_not_ready(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise StoreBusy("the store is held by process 7")

    monkeypatch.setattr(app.store.database, "write", refuse)

    assert await Readiness(app.store).find_problems() == ("the store cannot be used: the store is held by process 7",)


async def test_a_full_disk_is_not_ready(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "FREE_FLOOR", 1 << 62)

    assert await Readiness(app.store).find_problems() == ("the store's disk is almost full",)


async def test_a_key_that_opens_the_store_no_more_is_not_ready(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.store.wrapped_keys, "vault", Vault([Key.new()]), raising=True)

    assert await Readiness(app.store).find_problems() == ("the master key does not open the store",)


@pytest.mark.parametrize(("state", "hangs"), [("ready", True), ("in_doubt", False)])
async def test_a_refresh_that_hangs_is_told_and_one_whose_answer_was_lost_is_not(
    app: App, state: str, hangs: bool
) -> None:
    await app.store.database.write(partial(hold, holder="here", state=state))

    assert await Readiness(app.store).find_problems() == (("1 refreshes hang",) if hangs else ())


@pytest.mark.both_stores
@pytest.mark.parametrize("is_own", [True, False], ids=["its own", "another's"])
async def test_a_refresh_that_hangs_on_another_machine_takes_no_replica_out(
    app: App, store_kind: str, is_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = app.store.process_lock if is_own else app.store.database.engine.process_lock("another")
    monkeypatch.setattr(type(lock), "is_alive", lambda *_: True)
    await app.store.database.write(partial(hold, holder=lock.holder(), state="ready"))

    is_told = is_own or store_kind == FILE
    assert await Readiness(app.store).find_problems() == (("1 refreshes hang",) if is_told else ())


def hold(tx: Transaction, holder: str, state: str) -> None:
    """Have a refresh of an org hang."""
    credential = tx.connection.execute(select(tables.credentials)).first()
    assert credential is not None
    then = tx.now - 120_000_000
    tx.connection.execute(
        insert(tables.leases).values(
            row_id=credential.row_id, holder=holder, expires_at=then, fencing=credential.fencing, sent_at=then
        )
    )
    tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == credential.row_id).values(state=state))
