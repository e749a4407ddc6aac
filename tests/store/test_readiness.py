"""What opens is ready; what a start refuses, or has to change first, is not, and is left as it was."""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from orgserver.model.errors import OrgserverError
from orgserver.store import files, readiness
from orgserver.store.processes.locks import hold_lock
from orgserver.store.session import open_store
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there a start looks at nothing beforehand")
VAULT = Vault([Key.new()])

NAMES = ("ada", "off", "ending", "member", "claimed")


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    file = tmp_path / "orgserver.db"
    store = await open_store(file, lambda _create: VAULT)
    await store.close()
    return file


def is_ready(database: Path, vault: Vault = VAULT, aliases: tuple[str, ...] = ()) -> bool:
    before = {path.name: path.read_bytes() for path in database.parent.iterdir() if path.is_file()}
    ready = readiness.is_ready(database, lambda: vault, aliases)
    assert {path.name: path.read_bytes() for path in database.parent.iterdir() if path.is_file()} == before
    return ready


def change(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


async def test_a_store_that_opens_is_ready_also_while_a_server_has_it_open(database: Path) -> None:
    assert is_ready(database)

    store = await open_store(database, lambda _create: VAULT)
    try:
        assert readiness.is_ready(database, lambda: VAULT, ())
    finally:
        await store.close()


def test_what_is_not_there_is_not_ready_and_not_made(tmp_path: Path) -> None:
    assert not is_ready(tmp_path / "orgserver.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = '9999'",
        "UPDATE alembic_version SET version_num = '0006'",
        "DELETE FROM alembic_version",
        "PRAGMA application_id = 1",
        "DELETE FROM store",
        "UPDATE store SET canary = x'00'",
        "UPDATE store SET store_key = audit_key",
        "UPDATE store SET audit_key = x''",
        "UPDATE store SET signing_key = NULL",
        "UPDATE store SET store_id = 'another'",
        "UPDATE store SET copied_at = 1",
        "DROP TABLE orgs",
    ],
)
def test_what_a_start_refuses_or_has_to_change_is_not_ready(database: Path, statement: str) -> None:
    change(database, statement)

    assert not is_ready(database)


def test_another_key_and_a_key_that_cannot_be_read_are_not_ready(database: Path) -> None:
    def fail() -> Vault:
        raise OrgserverError("no key")

    assert not is_ready(database, Vault([Key.new()]))
    assert not readiness.is_ready(database, fail, ())
    assert is_ready(database, Vault([Key.new(), *VAULT.ring]))


def test_orgs_that_are_not_registered_are_not_ready(database: Path) -> None:
    assert not is_ready(database, aliases=("acme",))


@pytest.mark.parametrize(
    ("name", "is_there"),
    [("ada", True), ("ops", False), ("off", False), ("ending", False), ("member", False), ("claimed", False)],
)
def test_a_principal_is_ready_that_may_call_without_an_end(database: Path, name: str, is_there: bool) -> None:
    principal = "INSERT INTO principals (name, kind, enabled, roles, limits, created_at) VALUES "
    grant = 'INSERT INTO grants (id, principal, "group", selector, permissions, until, created_at, created_by) VALUES '
    change(database, principal + ", ".join(f"('{each}', 'person', {each != 'off'}, '[]', '{{}}', 1)" for each in NAMES))
    change(database, "INSERT INTO groups (name, created_at) VALUES ('ops', 1)")
    change(database, "INSERT INTO group_members VALUES ('ops', 'member')")
    change(database, "INSERT INTO claim_members VALUES ('ops', 'claimed')")
    change(database, grant + "('1', 'ada', NULL, '*', '[]', NULL, 1, ''), ('2', 'ending', NULL, '*', '[]', 9, 1, '')")
    change(database, grant + "('3', NULL, 'ops', '*', '[]', 9, 1, '')")

    assert readiness.is_ready(database, lambda: VAULT, (), name) is is_there


def test_a_store_that_another_process_writes_to_is_not_ready(database: Path) -> None:
    with hold_lock(database):
        assert not is_ready(database)
    assert is_ready(database)


def test_what_is_damaged_or_is_no_database_is_not_ready(database: Path) -> None:
    content = database.read_bytes()
    for damaged in (b"", b"no database" * 500, content[:4096] + bytes(len(content) - 4096)):
        database.write_bytes(damaged)
        assert not is_ready(database)


def test_a_link_and_a_network_file_system_are_not_ready(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = database.with_name("link.db")
    link.symlink_to(database)
    os.link(f"{database}.lock", f"{link}.lock")
    assert not is_ready(link)
    link.unlink()

    monkeypatch.setattr(files, "find_file_system", lambda _folder: "nfs")
    assert not is_ready(database)


def test_a_store_whose_last_writer_was_killed_is_ready(database: Path) -> None:
    copy = database.parent / "copy"
    copy.mkdir(0o700)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE store SET catalog_version = catalog_version + 1")
        connection.commit()
        for path in database.parent.glob("orgserver.db*"):
            (copy / path.name).write_bytes(path.read_bytes())
    log = copy / "orgserver.db-wal"
    assert log.stat().st_size

    assert readiness.is_ready(copy / "orgserver.db", lambda: VAULT, ())
    assert log.stat().st_size
