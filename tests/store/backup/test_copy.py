"""A backup is whole, holds nothing that may not be used twice, and sends no refresh token when it becomes a store."""

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, insert, update

from orgserver.app import App
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.errors import KeyProblem, NeedsLogin, StoreError
from orgserver.model.names import Alias, RowId, new_id
from orgserver.model.orgs import Caller, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.store import migration, tables
from orgserver.store.backup import copy as copying
from orgserver.store.backup.copy import StoreCopy
from orgserver.store.files import APPLICATION_ID, SCHEMA
from orgserver.store.orgs.registry import PendingEnrolment
from orgserver.store.transaction import Transaction, to_microseconds
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault
from orgserver.vault.sources import open_vault

WRITER = """
import asyncio, sys
from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.orgs import Caller
from orgserver.model.access.principals import Principal

async def main():
    caller = Caller(Principal("local:writer"), "cli")
    async with open_app(read_settings({"home": sys.argv[1]}, {})) as app:
        told = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        written = 0
        while not told.done():
            await app.audit_log.record_export(caller, "writer", written)
            written += 1
            if written == 5:
                print("writing", flush=True)

asyncio.run(main())
"""

FULL = """
import asyncio, resource, sys
from pathlib import Path
from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.errors import StoreError
from orgserver.model.orgs import Caller
from orgserver.model.access.principals import Principal
from orgserver.store.backup import copy as copying

async def main():
    caller = Caller(Principal("local:tester"), "cli")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    async with open_app(read_settings({"home": sys.argv[1]}, {})) as app:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), hard))
        try:
            await copying.backup(app.store, Path(sys.argv[2]), caller)
        except StoreError as error:
            print(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

asyncio.run(main())
"""

RESTORER = Caller(Principal("local:restorer"), "cli")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "store.db"


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def another_home(app: App, tmp_path: Path) -> Path:
    """A folder with the store's key and nothing else."""
    home = tmp_path / "another"
    home.mkdir(mode=0o700)
    shutil.copy(app.settings.home / "master.key", home)
    return home


async def restored(home: Path, file: Path) -> StoreCopy:
    settings = read_settings({"home": home}, {})
    return await copying.restore(file, settings.database_file, lambda: open_vault(settings, create=False), RESTORER)


async def draft_of(app: App, alias: str) -> RowId:
    """An enrolment that was begun and not finished."""
    draft = PendingEnrolment(Alias(alias), RowId(new_id()), {"refresh_token": "of an unfinished enrolment"})
    await app.store.database.write(lambda tx: app.store.orgs.enrolments.write_in(tx, draft))
    return draft.row_id


async def test_a_backup_is_one_private_file_and_says_what_is_in_it(app: App, caller: Caller, target: Path) -> None:
    made = await copying.backup(app.store, target, caller)

    assert [path.name for path in target.parent.iterdir()] == ["store.db"]
    assert target.stat().st_mode & 0o777 == 0o600
    assert rows(target, "PRAGMA journal_mode") == [("delete",)]
    assert rows(target, "PRAGMA integrity_check") == [("ok",)]
    assert rows(target, "SELECT alias FROM orgs ORDER BY alias") == [("acme",), ("globex",)]
    assert rows(target, "SELECT copied_at FROM store") == [(to_microseconds(made.made_at),)]
    ((events,),) = rows(target, "SELECT sequence FROM audit_head")
    assert (made.orgs, made.events, made.size) == (2, events, target.stat().st_size)
    assert (made.enrolments_left_out, made.chain_problem) == ((), None)


async def test_the_original_is_not_marked_and_has_the_backup_on_record(app: App, caller: Caller, target: Path) -> None:
    made = await copying.backup(app.store, target, caller)

    assert rows(app.store.database.file, "SELECT copied_at FROM store") == [(None,)]
    newest = rows(
        app.store.database.file,
        "SELECT tool, action, principal FROM audit_events WHERE kind = 'intent' ORDER BY sequence",
    )
    assert newest[-1] == ("backup", "export", "local:tester")
    assert made.events == rows(app.store.database.file, "SELECT sequence FROM audit_head")[0][0] - 2
    assert (await app.audit_log.verify()).problem is None


async def test_no_cached_token_lease_or_unfinished_enrolment_is_left_in_a_backup(
    app: App, caller: Caller, target: Path, sandbox: Sandbox
) -> None:
    unfinished = await draft_of(app, "initech")
    file = app.store.database.file
    await app.store.database.write(
        lambda tx: tx.connection.execute(
            insert(tables.leases).values(row_id="x", holder="lease canary of a process", expires_at=1)
        )
    )
    sealed = [token for (token,) in rows(file, "SELECT token FROM access_tokens")]
    sealed += [draft for (draft,) in rows(file, "SELECT draft FROM enrolments")]
    sealed += [wrapped for (wrapped,) in rows(file, f"SELECT wrapped FROM data_keys WHERE owner = '{unfinished}'")]
    assert len(sealed) == 4

    made = await copying.backup(app.store, target, caller)

    content = target.read_bytes()
    assert made.enrolments_left_out == ("initech",)
    assert not [value for value in sealed if value in content]
    assert b"lease canary" not in content
    for org in sandbox.orgs:
        for secret in (org.refresh_token, org.client_secret, *org.access_tokens):
            assert secret.encode() not in content
    assert (app.settings.home / "master.key").read_bytes().strip() not in content
    assert rows(target, "SELECT count(*) FROM data_keys") == [(2,)]


@asynccontextmanager
async def writers(home: Path, count: int) -> AsyncIterator[None]:
    """Processes that write to the store until they are told to end."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(home), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(count)
    ]
    async with asyncio.timeout(60):
        for process in started:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"writing\n"
        yield
        codes = []
        for process in started:
            await process.communicate(b"")
            codes.append(process.returncode)
    assert codes == [0] * count


async def test_copies_made_while_four_processes_write_are_whole(app: App, caller: Caller, target: Path) -> None:
    made: list[StoreCopy] = []

    async with writers(app.settings.home, 4):
        for number in range(3):
            made.append(await copying.backup(app.store, target.with_name(f"{number}.db"), caller))

    assert [copy.chain_problem for copy in made] == [None] * 3
    assert made[0].events < made[1].events < made[2].events
    for copy in made:
        assert rows(copy.path, "PRAGMA integrity_check") == [("ok",)]
        assert rows(copy.path, "PRAGMA foreign_key_check") == []
        assert rows(copy.path, "SELECT count(*), max(sequence) FROM audit_events") == [(copy.events, copy.events)]
    assert (await app.audit_log.verify()).problem is None


async def test_a_name_that_is_taken_is_left_as_it_is(app: App, caller: Caller, target: Path) -> None:
    target.write_text("somebody's")

    with pytest.raises(StoreError, match="exists already"):
        await copying.backup(app.store, target, caller)

    assert target.read_text() == "somebody's"
    assert os.listdir(target.parent) == ["store.db"]


async def test_a_name_that_is_taken_meanwhile_is_left_as_it_is(app: App, caller: Caller, target: Path) -> None:
    backup = asyncio.create_task(copying.backup(app.store, target, caller))
    async with asyncio.timeout(10):
        while not os.listdir(target.parent):  # until its copying has begun
            await asyncio.sleep(0)
    target.write_text("somebody's")

    with pytest.raises(StoreError, match="exists already"):
        await backup

    assert target.read_text() == "somebody's"
    assert os.listdir(target.parent) == ["store.db"]


async def test_a_file_system_without_links_gets_its_backup_all_the_same(
    app: App, caller: Caller, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_given: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)

    await copying.backup(app.store, target, caller)

    assert os.listdir(target.parent) == ["store.db"]
    assert rows(target, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("name", ["orgserver.db", "orgserver.db-wal", "orgserver.db-journal", "orgserver.db.lock"])
async def test_a_backup_never_becomes_a_part_of_the_store(app: App, caller: Caller, name: str) -> None:
    before = sorted(os.listdir(app.settings.home))

    with pytest.raises(StoreError, match="is the store itself|would be taken for a part of the store"):
        await copying.backup(app.store, app.settings.home / name, caller)

    assert sorted(os.listdir(app.settings.home)) == before


async def test_a_missing_folder_is_one_sentence(app: App, caller: Caller, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no folder"):
        await copying.backup(app.store, tmp_path / "nowhere" / "store.db", caller)


@pytest.mark.skipif(sys.platform == "win32", reason="the disk is filled with a limit that POSIX has")
@pytest.mark.parametrize("bytes_free", [0, 70_000])
async def test_a_full_disk_is_one_sentence_and_leaves_nothing(app: App, target: Path, bytes_free: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FULL, str(app.settings.home), str(target), str(bytes_free), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()

    assert process.returncode == 0
    (line,) = out.decode().splitlines()
    assert line.startswith(f"the backup could not be written to {target.parent}: ")
    assert os.listdir(target.parent) == []
    assert rows(app.store.database.file, "SELECT count(*) FROM audit_events WHERE tool = 'backup'") == [(0,)]


async def test_an_interrupted_backup_leaves_nothing(app: App, caller: Caller, target: Path) -> None:
    task = asyncio.ensure_future(copying.backup(app.store, target, caller))
    async with asyncio.timeout(10):
        while not os.listdir(target.parent):
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert os.listdir(target.parent) == []


async def test_an_edited_audit_log_is_copied_as_it_is_and_told(app: App, caller: Caller, target: Path) -> None:
    await app.store.database.write(
        lambda tx: tx.connection.execute(
            update(tables.audit_events).where(tables.audit_events.c.sequence == 1).values(principal="nobody")
        )
    )

    made = await copying.backup(app.store, target, caller)

    assert made.chain_problem == "the searchable columns of entry 1 were edited"


# -- a copy becomes a store


async def test_a_restored_store_holds_every_refresh_token_back(
    app: App, caller: Caller, target: Path, tmp_path: Path, open_again: Any, sandbox: Sandbox
) -> None:
    long_ago = to_microseconds(datetime.now(UTC) - timedelta(days=8))
    await app.store.database.write(lambda tx: tx.connection.execute(update(tables.orgs).values(refreshed_at=long_ago)))
    await copying.backup(app.store, target, caller)
    content = target.read_bytes()
    home = another_home(app, tmp_path)

    put_in = await restored(home, target)

    assert target.read_bytes() == content
    assert sorted(os.listdir(home)) == ["master.key", "orgserver.db"]
    assert (home / "orgserver.db").stat().st_mode & 0o777 == 0o600
    assert put_in.chain_problem is None
    async with open_again(home=home) as copy:
        for org in await copy.registry.all():
            assert (org.state, org.refresh_suspended) == (OrgState.IN_DOUBT, True)
            assert org.cause == (
                f"this store is a copy made at {put_in.made_at:%Y-%m-%dT%H:%M:%SZ}; "
                "the original may have used the refresh token since"
            )
            with pytest.raises(NeedsLogin) as refused:
                await copy.access.tokens.current(org)
            assert refused.value.code == "IN_DOUBT"
        assert await copy.keep_alive.refresh_idle() == []
        assert (await copy.audit_log.verify()).problem is None
    entries = rows(home / "orgserver.db", "SELECT tool, action, principal FROM audit_events WHERE tool IS NOT NULL")
    assert entries[-1] == ("restore", "enrol", RESTORER.principal.name)
    assert [org.requests for org in sandbox.orgs] == [[], []]


async def test_a_backup_that_is_copied_back_by_hand_is_held_too(
    app: App, caller: Caller, target: Path, tmp_path: Path, open_again: Any
) -> None:
    await copying.backup(app.store, target, caller)
    home = another_home(app, tmp_path)
    shutil.copy(target, home / "orgserver.db")

    async with open_again(home=home) as first, open_again(home=home) as second:
        states = {org.state for each in (first, second) for org in await each.registry.all()}

    assert states == {OrgState.IN_DOUBT}
    assert rows(home / "orgserver.db", "SELECT count(*) FROM audit_events WHERE tool = 'restore'") == [(1,)]


async def test_orgs_that_hold_no_refresh_token_go_on_at_once(
    app: App, caller: Caller, target: Path, tmp_path: Path, open_again: Any
) -> None:
    def change(tx: Transaction) -> None:
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.alias == "globex").values(auth="jwt"))

    await app.store.database.write(change)
    await copying.backup(app.store, target, caller)
    home = another_home(app, tmp_path)
    await restored(home, target)

    async with open_again(home=home) as copy:
        assert {org.alias: org.state.value for org in await copy.registry.all()} == {
            "acme": "in_doubt",
            "globex": "ready",
        }


async def test_the_original_goes_on_beside_its_copy(
    app: App, caller: Caller, target: Path, tmp_path: Path, acme: SandboxOrg
) -> None:
    await copying.backup(app.store, target, caller)
    await restored(another_home(app, tmp_path), target)

    acme.expire_access_tokens()
    checked = await app.registry.check("acme")

    assert checked.error is None
    assert acme.counters.reuses == 0


async def test_a_copy_without_a_mark_gets_one(app: App, tmp_path: Path, target: Path, open_again: Any) -> None:
    await draft_of(app, "initech")
    with closing(sqlite3.connect(app.store.database.file)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    home = another_home(app, tmp_path)

    await restored(home, target)

    async with open_again(home=home) as copied:
        assert {org.refresh_suspended for org in await copied.registry.all()} == {True}
    assert rows(home / "orgserver.db", "SELECT count(*) FROM access_tokens") == [(0,)]
    assert rows(home / "orgserver.db", "SELECT count(*) FROM enrolments") == [(0,)]


async def test_a_copy_of_an_older_schema_is_brought_to_ours(app: App, tmp_path: Path, target: Path) -> None:
    older = Config()
    older.set_main_option("script_location", str(migration.scripts()))
    engine = create_engine(f"sqlite+pysqlite:///{target}")
    with engine.connect() as connection:
        older.attributes |= {"connection": connection, "metadata": tables.metadata}
        command.upgrade(older, "0001")
        connection.commit()
    engine.dispose()
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        copy.execute("ATTACH ? AS live", (str(app.store.database.file),))
        columns = ", ".join(row[1] for row in copy.execute("PRAGMA main.table_info(store)"))
        copy.execute(f"INSERT INTO main.store ({columns}) SELECT {columns} FROM live.store")
        copy.execute("INSERT INTO main.audit_events SELECT * FROM live.audit_events")
        copy.execute("INSERT INTO main.audit_head SELECT * FROM live.audit_head")
    home = another_home(app, tmp_path)

    put_in = await restored(home, target)

    assert put_in.chain_problem is None
    assert rows(home / "orgserver.db", "SELECT version_num FROM alembic_version") == [(SCHEMA,)]
    assert rows(target, "SELECT version_num FROM alembic_version") == [("0001",)]


async def test_a_store_is_never_restored_over(app: App, caller: Caller, target: Path) -> None:
    await copying.backup(app.store, target, caller)
    before = sorted(os.listdir(app.settings.home))

    with pytest.raises(StoreError, match="there is a store at") as refused:
        await restored(app.settings.home, target)

    assert "move it away" in (refused.value.hint or "")
    assert sorted(os.listdir(app.settings.home)) == before


async def test_a_left_over_journal_is_not_replayed_into_a_restored_store(
    app: App, caller: Caller, target: Path, tmp_path: Path
) -> None:
    await copying.backup(app.store, target, caller)
    home = another_home(app, tmp_path)
    (home / "orgserver.db-wal").write_bytes(b"of a store that was moved away")

    with pytest.raises(StoreError, match="left over from another store"):
        await restored(home, target)

    assert sorted(os.listdir(home)) == ["master.key", "orgserver.db-wal"]


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500])
async def test_what_is_no_backup_is_refused(app: App, tmp_path: Path, target: Path, content: bytes) -> None:
    target.write_bytes(content)
    home = another_home(app, tmp_path)

    with pytest.raises(StoreError, match="is no backup of an orgserver store"):
        await restored(home, target)

    assert os.listdir(home) == ["master.key"]
    assert os.listdir(target.parent) == ["store.db"]


async def test_the_database_of_another_program_is_no_backup(app: App, tmp_path: Path, target: Path) -> None:
    with closing(sqlite3.connect(target)) as other:
        other.execute("CREATE TABLE store (title)")

    with pytest.raises(StoreError, match="is no backup of an orgserver store"):
        await restored(another_home(app, tmp_path), target)


async def test_a_backup_of_a_newer_orgserver_is_refused(app: App, caller: Caller, tmp_path: Path, target: Path) -> None:
    await copying.backup(app.store, target, caller)
    with closing(sqlite3.connect(target)) as newer, newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
    home = another_home(app, tmp_path)

    with pytest.raises(StoreError, match="newer orgserver"):
        await restored(home, target)

    assert os.listdir(home) == ["master.key"]


async def test_a_damaged_backup_is_refused(app: App, caller: Caller, tmp_path: Path, target: Path) -> None:
    await copying.backup(app.store, target, caller)
    content = bytearray(target.read_bytes())
    content[-40_960:-4_096] = b"\xff" * 36_864
    target.write_bytes(content)
    home = another_home(app, tmp_path)

    with pytest.raises(StoreError, match="is damaged"):
        await restored(home, target)

    assert os.listdir(home) == ["master.key"]


@pytest.mark.parametrize("size", [40, 4_096, 100_000, -1])
async def test_a_backup_that_was_cut_off_is_called_so(
    app: App, caller: Caller, tmp_path: Path, target: Path, size: int
) -> None:
    await copying.backup(app.store, target, caller)
    target.write_bytes(target.read_bytes()[:size])
    home = another_home(app, tmp_path)

    with pytest.raises(StoreError, match="is cut off: its end is missing"):
        await restored(home, target)

    assert os.listdir(home) == ["master.key"]


async def test_a_backup_whose_schema_cannot_be_read_is_called_damaged(
    app: App, caller: Caller, tmp_path: Path, target: Path
) -> None:
    await copying.backup(app.store, target, caller)
    content = bytearray(target.read_bytes())
    content[100:4_096] = b"\xff" * 3_996
    target.write_bytes(content)

    with pytest.raises(StoreError, match="is damaged"):
        await restored(another_home(app, tmp_path), target)


async def test_another_master_key_is_refused_before_anything_is_put_in_place(
    app: App, caller: Caller, target: Path, tmp_path: Path
) -> None:
    await copying.backup(app.store, target, caller)
    home = tmp_path / "another"

    with pytest.raises(KeyProblem, match="not the one this store was sealed with"):
        await copying.restore(target, home / "orgserver.db", lambda: Vault([Key.new()]), RESTORER)
    with pytest.raises(KeyProblem, match="there is no master key"):
        await restored(home, target)

    assert not home.exists()


async def test_a_backup_that_is_not_there_is_one_sentence(app: App, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no backup at"):
        await restored(another_home(app, tmp_path), tmp_path / "nothing.db")
