"""One-time codes: each serves once, wrong ones close approvals, and their secret lies sealed under the master key."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import delete, select, update

from orgserver.model.access.principals import Principal
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import ConfigError, OperatorError
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.calls.one_time_codes import MAX_WRONG, SETUP, OneTimeCodes, new_secret, otpauth_uri
from orgserver.services.key_rotation import MasterKeys
from orgserver.store.backup.copy import backup, restore
from orgserver.store.calls import one_time_codes
from orgserver.store.calls import tables as call_tables
from orgserver.store.calls.one_time_codes import CodeState
from orgserver.store.session import Store, open_store
from orgserver.vault.keys import Context, Key, Unsealable
from orgserver.vault.ring import Vault, write_ring
from orgserver.vault.sources import FileRing

ADA = Caller(Principal("local:ada"), "cli", label="code")
HOUR_US = 3_600_000_000


def code(secret: Secret, steps: int = 0) -> str:
    return pyotp.HOTP(secret.reveal()).at(int(time.time()) // 30 + steps)


def wrong(secret: Secret) -> str:
    """A code of none of the steps near, whatever second it is."""
    near = {code(secret, steps) for steps in range(-3, 4)}
    return next(each for each in map("{:06}".format, range(1_000)) if each not in near)


@pytest.fixture
async def secret(store: Store) -> Secret:
    """That of codes which were set up an hour ago, and of which none was used since."""
    made = new_secret()
    await remember(store, CodeState(made, int(time.time() * 1e6) - HOUR_US, 0))
    return made


async def remember(store: Store, state: CodeState) -> None:
    vault = store.wrapped_keys.vault
    await store.database.write(lambda tx: one_time_codes.save_in(tx, vault, store.id, state))


async def known(store: Store) -> CodeState:
    state = await OneTimeCodes(store).state()
    assert state is not None
    return state


async def test_codes_count_once_the_first_was_right_and_that_one_serves_no_more(store: Store) -> None:
    codes, secret = OneTimeCodes(store), new_secret()
    first = code(secret)

    assert not await codes.set_up(ADA, secret, wrong(secret), None)
    assert await codes.state() is None
    assert await codes.set_up(ADA, secret, f" {first[:3]} {first[3:]} ", None)
    with pytest.raises(OperatorError, match="used already"):
        await codes.spend(ADA, first, "approve")

    (entry,) = [each async for each in AuditLogReader(store).entries(EntryFilter())]
    assert (entry.tool, entry.action, entry.principal, entry.outcome.value) == (SETUP, "key", "local:ada", "succeeded")
    assert secret.reveal() in otpauth_uri(secret, "ada@laptop").reveal()


@pytest.mark.parametrize(("steps", "taken"), [(-1, True), (0, True), (1, True), (-3, False), (3, False)])
async def test_clocks_may_be_a_step_apart_and_no_more(store: Store, secret: Secret, steps: int, taken: bool) -> None:
    codes = OneTimeCodes(store)
    given = code(secret, steps)
    if taken:
        await codes.spend(ADA, given, "approve")
    with pytest.raises(OperatorError, match="used already" if taken else "is wrong"):
        await codes.spend(ADA, given, "approve")


async def test_a_code_serves_one_of_many_processes_and_an_older_one_none(
    store: Store, secret: Secret, opener: Callable[..., object]
) -> None:
    other: Store = await opener()  # type: ignore[misc]
    given = code(secret, 1)

    ended = await asyncio.gather(
        *(OneTimeCodes(each).spend(ADA, given, "approve") for each in (store, other) * 4), return_exceptions=True
    )
    await other.close()

    assert ended.count(None) == 1
    assert {str(each) for each in ended if each} == {"this one-time code was used already"}
    with pytest.raises(OperatorError, match="used already"):
        await OneTimeCodes(store).spend(ADA, code(secret), "approve")


async def test_five_wrong_codes_close_approvals_and_then_the_right_one_opens_nothing(
    store: Store, secret: Secret, opener: Callable[..., object]
) -> None:
    for left in range(MAX_WRONG - 1, 0, -1):
        with pytest.raises(OperatorError, match=f"is wrong; {left} more"):
            await OneTimeCodes(store).spend(ADA, wrong(secret), "approve")
    with pytest.raises(OperatorError, match="approvals are closed until"):
        await OneTimeCodes(store).spend(ADA, wrong(secret), "approve")
    other: Store = await opener()  # type: ignore[misc]
    with pytest.raises(OperatorError, match="approvals are closed until"):
        await OneTimeCodes(other).spend(ADA, code(secret), "approve")
    await other.close()
    seen = await known(store)
    await remember(store, replace(seen, closed_until=seen.closed_until - 15 * 60 * 1_000_000))

    await OneTimeCodes(store).spend(ADA, code(secret), "approve")

    entries = [each async for each in AuditLogReader(store).entries(EntryFilter())]
    assert [each.error_code for each in entries] == ["WRONG_CODE"] * 4 + ["APPROVALS_CLOSED"]
    assert {(each.outcome.value, each.tool, each.principal) for each in entries} == {("denied", "approve", "local:ada")}


async def test_a_right_code_forgets_wrong_ones_and_what_is_no_code_counts_as_none(store: Store, secret: Secret) -> None:
    codes = OneTimeCodes(store)
    with pytest.raises(OperatorError):
        await codes.spend(ADA, wrong(secret), "approve")
    for text in ("", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "y"):
        with pytest.raises(ConfigError, match="six digits"):
            await codes.spend(ADA, text, "approve")
    assert (await known(store)).wrong == 1

    await codes.spend(ADA, code(secret), "approve")

    assert (await known(store)).wrong == 0


async def test_of_two_terminals_that_set_codes_up_at_once_the_first_counts(store: Store) -> None:
    codes, first, second = OneTimeCodes(store), new_secret(), new_secret()
    await codes.set_up(ADA, first, code(first), None)

    with pytest.raises(OperatorError, match="at another terminal meanwhile"):
        await codes.set_up(ADA, second, code(second), None)

    assert (await known(store)).secret.same_as(first)


async def test_a_secret_that_is_edited_moved_or_deleted_opens_no_way(
    store: Store, secret: Secret, store_file: Path
) -> None:
    await OneTimeCodes(store).set_up(ADA, secret, code(secret), await known(store))
    sealed = await store.database.write(
        lambda tx: tx.connection.execute(select(call_tables.one_time_codes.c.sealed)).scalar()
    )
    assert sealed is not None
    assert secret.reveal().encode() not in b"".join(
        each.read_bytes() for each in store_file.parent.glob("orgserver.db*")
    )
    with pytest.raises(Unsealable):
        store.wrapped_keys.vault.open(sealed, Context(store.id, "store", "canary"))
    edited = sealed[:-1] + bytes([sealed[-1] ^ 1])
    await store.database.write(
        lambda tx: tx.connection.execute(update(call_tables.one_time_codes).values(sealed=edited))
    )
    with pytest.raises(Unsealable):
        await OneTimeCodes(store).spend(ADA, code(secret, 1), "approve")
    await store.database.write(lambda tx: tx.connection.execute(delete(call_tables.one_time_codes)))

    with pytest.raises(OperatorError, match="has lost their secret"):
        await OneTimeCodes(store).state()


@pytest.fixture
async def mine(store_file: Path, tmp_path: Path, ring: Key) -> AsyncIterator[Store]:
    """A store whose ring is a file, so that it can be rotated."""
    path = tmp_path / "ring"
    path.touch(mode=0o600)
    path.write_text(write_ring([ring]))
    source = FileRing(path)
    opened = await open_store(store_file, lambda _create: Vault(source.read(), source))
    yield opened
    await opened.close()


async def test_rotations_backups_and_restored_copies_keep_them(mine: Store, tmp_path: Path) -> None:
    secret = new_secret()
    await OneTimeCodes(mine).set_up(ADA, secret, code(secret, -1), None)

    await MasterKeys(mine).rotate(ADA)
    rotated = await MasterKeys(mine).rotate(ADA, reseal=True)
    await backup(mine, tmp_path / "copy", ADA)
    await restore(tmp_path / "copy", tmp_path / "new" / "orgserver.db", lambda: mine.wrapped_keys.vault, ADA)
    copy = await open_store(tmp_path / "new" / "orgserver.db", lambda _create: mine.wrapped_keys.vault)

    assert [count for key, count in rotated.usage.items() if key != rotated.key] == [0, 0]
    assert rotated.usage[rotated.key] == 5
    await OneTimeCodes(copy).spend(ADA, code(secret), "approve")
    with pytest.raises(OperatorError, match="used already"):
        await OneTimeCodes(copy).spend(ADA, code(secret, -1), "approve")
    await copy.close()
