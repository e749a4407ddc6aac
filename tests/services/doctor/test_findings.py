"""What doctor finds: each trouble is made to happen, is told in one line, and comes with what to do."""

import json
import os
import re
import sqlite3
import sys
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Update, text, update

from orgserver.app import App
from orgserver.config import Settings, read_settings
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.names import Alias, RowId, new_id
from orgserver.model.orgs import Org, OrgState, Problem
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.services.doctor import clock as clock_health
from orgserver.services.doctor import machine, store
from orgserver.services.doctor.machine import Finding
from orgserver.store import catalog_version, tables
from orgserver.store.files import FREE_FLOOR, SCHEMA, lock_path
from orgserver.store.orgs.registry import PendingEnrolment
from orgserver.store.processes.locks import LockFile
from orgserver.store.transaction import Transaction, read_clock

NOW = datetime(2026, 11, 24, 20, tzinfo=UTC)
posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")


def settings_at(home: Path, **given: Any) -> Settings:
    return read_settings({"home": home} | given, {})


async def of_store(app: App) -> dict[str, Finding]:
    return {finding.name: finding for finding in await store.of_store(app.store)}


# -- the machine


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((3, 6, 23), "ok"),
        ((3, 7, 0), "note"),
        ((3, 40, 1), "note"),
        ((3, 44, 5), "note"),
        ((3, 44, 6), "ok"),
        ((3, 45, 1), "note"),
        ((3, 50, 4), "note"),
        ((3, 50, 7), "ok"),
        ((3, 51, 2), "note"),
        ((3, 51, 3), "ok"),
        ((3, 52, 0), "ok"),
    ],
)
def test_the_wal_reset_bug_is_told_with_the_defence_that_holds(version: tuple[int, int, int], level: str) -> None:
    finding = machine.sqlite(version)

    assert finding.level == level
    assert "lock file" in finding.text


@posix
@pytest.mark.parametrize(("mode", "level"), [(0o700, "ok"), (0o750, "warning"), (0o777, "problem")])
def test_a_folder_that_others_may_use_is_told(tmp_path: Path, mode: int, level: str) -> None:
    home = tmp_path / "my home"
    home.mkdir()
    home.chmod(mode)

    finding = machine.folder(home)

    assert finding.level == level
    assert finding.todo == (f"chmod 700 '{home}'" if level != "ok" else None)


@posix
def test_files_that_are_open_to_others_are_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for name, mode in (("orgserver.db", 0o644), ("orgserver.db-wal", 0o600), ("master.key", 0o640)):
        (home / name).touch()
        (home / name).chmod(mode)

    found = {finding.name: finding for finding in machine.of_machine(settings_at(home))}

    assert found["files"].level == "problem"
    assert found["files"].text == "open to others: orgserver.db (mode 644), master.key (mode 640)"
    assert found["files"].todo == f"chmod 600 {home / 'orgserver.db'} {home / 'master.key'}"


def test_a_network_file_system_is_a_problem_and_an_unknown_one_is_not() -> None:
    assert machine.file_system("nfs4").level == "problem"
    assert machine.file_system(None).level == "note"
    assert machine.file_system("ext4").level == "ok"


@pytest.mark.parametrize(("free", "level"), [(FREE_FLOOR - 1, "problem"), (FREE_FLOOR, "warning"), (2**31, "ok")])
def test_a_full_disk_is_told_before_calls_are_refused(free: int, level: str) -> None:
    assert machine.free_space(free).level == level


def test_the_source_of_the_key_is_told_and_never_the_key(tmp_path: Path) -> None:
    secret = b64encode(b"k" * 32).decode()
    sources = {
        "ORGSERVER_MASTER_KEY in the environment": settings_at(tmp_path, master_key=secret),
        "/keys/ring": settings_at(tmp_path, master_key_file="/keys/ring"),
        "get-key": settings_at(tmp_path, master_key_command="/usr/bin/get-key --for orgserver"),
        str(tmp_path / "master.key"): settings_at(tmp_path),
    }

    for told, settings in sources.items():
        assert told in machine.key_source(settings).text
        assert secret not in repr(machine.of_machine(settings))


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ({}, "warning"),
        ({"master_key_file": "HOME/keys/ring"}, "warning"),
        ({"master_key_file": "/elsewhere/ring"}, "ok"),
        ({"master_key_command": "get-key"}, "ok"),
        ({"database_url": "sqlite+aiosqlite:////elsewhere/orgserver.db"}, "ok"),
    ],
)
def test_a_key_beside_the_database_is_a_warning(tmp_path: Path, given: dict[str, str], level: str) -> None:
    settings = settings_at(tmp_path, **{name: value.replace("HOME", str(tmp_path)) for name, value in given.items()})

    assert machine.key_place(settings).level == level


def test_a_key_in_a_folder_that_others_may_change_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(0o777)
    settings = read_settings({"home": tmp_path / "home", "master_key_file": folder / "ring"}, {})

    found = machine.key_place(settings)

    assert found.level == "problem"
    assert "can be changed by others" in found.text


def test_every_version_that_support_asks_for_is_told(tmp_path: Path) -> None:
    found = {finding.name: finding.text for finding in machine.of_machine(settings_at(tmp_path / "not" / "yet"))}

    assert found["MCP SDK"].startswith("2.")
    assert found["SQLite"].startswith(sqlite3.sqlite_version)
    assert found["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["orgserver"]
    assert "none may write orgserver.db" in found["other programs"]
    assert not (tmp_path / "not").exists()


# -- the store's files


@pytest.fixture
async def database(opener: Callable[..., Any], store_file: Path) -> Path:
    """A store that is closed."""
    await (await opener()).close()
    return store_file


def test_a_lock_that_another_process_holds_is_told_and_the_store_left_alone(database: Path) -> None:
    lock = LockFile(lock_path(database))

    with lock.hold():
        found = machine.of_files(database, patience=0.05)
    lock.close()

    assert [(finding.name, finding.level) for finding in found] == [("lock file", "problem")]
    assert "fuser" in (found[0].todo or "")
    assert [finding.level for finding in machine.of_files(database)] == ["ok", "ok"]


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    (finding,) = machine.of_files(tmp_path / "home" / "orgserver.db")

    assert finding.level == "problem"
    assert "orgserver add-org" in (finding.todo or "")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("version", "told"), [("0001", f"0001, and this version needs {SCHEMA}"), ("9999", "written by a newer orgserver")]
)
def test_an_older_or_newer_schema_is_told_and_left_as_it_is(database: Path, version: str, told: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    content = database.read_bytes()

    finding = machine.of_files(database)[-1]

    assert finding.level == "problem"
    assert told in finding.text
    assert database.read_bytes() == content


def test_a_newer_schema_that_lets_this_version_go_on_is_no_problem(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE store SET oldest_reader = ?", (SCHEMA,))

    finding = machine.of_files(database)[-1]

    assert (finding.level, finding.todo) == ("note", "update orgserver")


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500])
def test_a_file_that_is_no_store_is_told(database: Path, content: bytes) -> None:
    database.write_bytes(content)

    assert machine.of_files(database)[-1].level == "problem"
    assert database.read_bytes() == content


# -- the open store


async def test_a_store_in_order_has_nothing_to_tell(app: App) -> None:
    found = await of_store(app)

    assert {finding.level for finding in found.values()} == {"ok"}
    assert found["journal"].text.startswith("WAL")


async def test_acts_without_their_outcome_are_counted(app: App) -> None:
    async def begin(deadline: int) -> Intent:
        act = Intent(new_id(), "local:tester", "cli", Action.READ)
        version = (await app.access.reload()).version
        await app.store.audit.begin(act, deadline=deadline, catalog_version=version)
        return act

    first = await begin(read_clock() + 60_000_000)
    under_way = (await of_store(app))["pending"]
    second = await begin(1)
    overdue = (await of_store(app))["pending"]
    for act in (first, second):
        await app.store.audit.finish(act.id, Completion(Outcome.SUCCEEDED))

    assert (under_way.level, under_way.text) == ("note", "1 act under way, or waiting to be given up")
    assert (overdue.level, overdue.text) == ("warning", "1 act should have ended long ago")
    assert (await of_store(app))["pending"].level == "ok"


async def test_rescued_answers_that_cannot_be_taken_in_are_a_problem(app: App) -> None:
    org = await app.registry.one("acme")
    told = {"v": 1, "org": org.row_id, "fencing": 99, "sealed": b64encode(b"\x01" + b"x" * 60).decode()}
    for name, content in (("0123", json.dumps(told)), ("4567", "cut of")):
        app.store.database.file.with_name(f"orgserver.db.rescue-{name}").write_text(content)
    await app.store.take_in_rescued()

    finding = (await of_store(app))["rescue files"]

    assert finding.level == "problem"
    assert "orgserver.db.rescue-0123, orgserver.db.rescue-4567" in finding.text


async def test_an_unfinished_enrolment_is_a_warning(app: App) -> None:
    draft = PendingEnrolment(Alias("initech"), RowId(new_id()), {"refresh_token": "canary of an enrolment"})
    await app.store.database.write(lambda tx: app.store.orgs.enrolments.write_in(tx, draft))

    finding = (await of_store(app))["enrolments"]

    assert (finding.level, finding.text) == ("warning", "unfinished: initech")
    assert "add-org" in (finding.todo or "")


async def test_damage_that_sqlite_finds_is_a_problem(app: App) -> None:
    def damage(tx: Transaction) -> None:
        tx.connection.execute(text("PRAGMA writable_schema = ON"))
        changed = "UPDATE sqlite_master SET sql = replace(sql, 'cause TEXT', 'cause TEXT NOT NULL') WHERE name = 'orgs'"
        tx.connection.execute(text(changed))
        tx.connection.execute(text("PRAGMA writable_schema = OFF"))
        tx.connection.execute(text("PRAGMA schema_version = 999"))

    await app.store.database.write(damage)

    finding = (await of_store(app))["integrity"]

    assert finding.level == "problem"
    assert "NULL value in orgs.cause" in finding.text
    assert "orgserver restore" in (finding.todo or "")


async def test_an_event_that_was_taken_out_by_hand_is_missed(app: App) -> None:
    assert (await of_store(app))["audit log"].level == "ok"
    one = text("DELETE FROM audit_events WHERE sequence = 2")
    await app.store.database.write(lambda tx: tx.connection.execute(one))

    finding = (await of_store(app))["audit log"]

    assert (finding.level, finding.text) == ("problem", "1 event missing")
    assert "orgserver audit verify" in (finding.todo or "")


def test_another_journal_mode_is_a_problem() -> None:
    assert store.journal("delete").level == "problem"


def test_a_wal_that_is_not_written_back_is_noted(tmp_path: Path) -> None:
    file = tmp_path / "orgserver.db"
    file.touch()
    with (tmp_path / "orgserver.db-wal").open("wb") as wal:
        wal.truncate(65 * 1024 * 1024)

    finding = store.store_size(file, events=1_234)

    assert finding.level == "note"
    assert finding.text.startswith("0.0 MiB and 65.0 MiB of WAL, 1,234 audit events")


async def test_the_key_that_seals_everything_is_told(app: App) -> None:
    (finding,) = store.keys(await app.keys.usage(), app.keys.ring, app.keys.source)

    assert finding.level == "ok"
    assert app.keys.ring[0] in finding.text


def test_keys_that_are_missing_old_or_needed_no_more_are_told() -> None:
    found = store.keys({"aa": 5, "bb": 1, "cc": 0, "dd": 2}, ("aa", "bb", "cc"), "/keys/ring")

    assert [finding.level for finding in found] == ["ok", "warning", "note", "problem"]
    assert found[1].todo == "orgserver rotate-key"
    assert "take it out of /keys/ring" in (found[2].todo or "")
    assert "is not in the ring" in found[3].text


# -- orgs


@pytest.fixture
async def org(app: App) -> Org:
    return replace(await app.registry.one("acme"), refreshed_at=NOW)


@pytest.mark.parametrize(
    ("change", "level", "told", "todo"),
    [
        ({}, "ok", "ready; last refreshed just now, dies of idleness on 2026-12-24", None),
        ({"refreshed_at": NOW - timedelta(hours=5)}, "ok", "last refreshed 5 hours ago", None),
        ({"refreshed_at": NOW - timedelta(days=19)}, "ok", "19 days ago, dies of idleness on 2026-12-05", None),
        ({"refreshed_at": NOW - timedelta(days=20)}, "warning", "20 days ago", "orgserver refresh-idle"),
        ({"refreshed_at": NOW - timedelta(days=31)}, "problem", "idle for 31 days", "orgserver update-org acme --auth"),
        ({"refreshed_at": None, "created_at": NOW - timedelta(days=40)}, "problem", "idle for 40 days", "refresh-idle"),
        ({"auth": "jwt", "refreshed_at": NOW - timedelta(days=90)}, "ok", "ready; logs in by jwt", None),
        ({"enabled": False}, "ok", "disabled; ready", None),
        (
            {"state": OrgState.IN_DOUBT, "refresh_suspended": True, "cause": "this store is a copy"},
            "problem",
            "in doubt: this store is a copy",
            "orgserver check-org acme --try-token (revokes the token if another store still uses it)",
        ),
        (
            {"state": OrgState.IN_DOUBT, "cause": "its answer was lost"},
            "problem",
            "in doubt: its answer was lost",
            "orgserver check-org acme --try-token (settles it)",
        ),
        (
            {"state": OrgState.NEEDS_LOGIN, "cause": "expired"},
            "problem",
            "needs a new login: expired",
            "update-org acme",
        ),
        (
            {"state": OrgState.QUARANTINED, "cause": "another org"},
            "problem",
            "quarantined: another org",
            "find out why",
        ),
        (
            {"enabled": False, "state": OrgState.NEEDS_LOGIN},
            "problem",
            "disabled; needs a new login",
            "update-org acme",
        ),
        (
            {"problem": Problem("invalid_client", NOW, "check the client secret")},
            "warning",
            "refused on 2026-11-24: invalid_client",
            "check the client secret",
        ),
    ],
)
async def test_an_orgs_state_and_age_are_told(
    org: Org, change: dict[str, Any], level: str, told: str, todo: str | None
) -> None:
    finding = store.of_org(replace(org, **change), NOW)

    assert (finding.name, finding.level) == ("org acme", level)
    assert told in finding.text
    if todo is None:
        assert finding.todo is None
    else:
        assert todo in (finding.todo or "")


# -- the clock


async def clock(app: App) -> Finding:
    orgs = list((await app.access.reload()).by_alias.values())
    return (await clock_health.check_clock(app.access.client, orgs))[0]


async def silence(app: App) -> list[Finding]:
    orgs = list((await app.access.reload()).by_alias.values())
    return (await clock_health.check_clock(app.access.client, orgs))[1:]


async def test_the_clock_is_compared_without_a_refresh(app: App, acme: SandboxOrg, globex: SandboxOrg) -> None:
    acme.counters.refreshes = 0
    acme.expire_access_tokens()  # any answer tells the time

    finding = await clock(app)

    assert (finding.level, finding.text) == ("ok", "agrees with 2 login hosts")
    assert acme.counters.refreshes == 0
    for org in (acme, globex):
        assert [(seen.method, seen.path) for seen in org.requests] == [("GET", "/services/data")]
        assert (org.counters.stale_tokens, org.counters.foreign_tokens) == (0, 0)
    assert await silence(app) == []


async def change_orgs(app: App, statement: Update) -> None:
    """Change orgs as somebody does by hand who lets every process notice."""

    def change(tx: Transaction) -> None:
        tx.connection.execute(statement)
        catalog_version.changed_in(tx)

    await app.store.database.write(change)


async def test_orgs_in_doubt_are_not_asked_for_the_time(app: App, sandbox: Sandbox) -> None:
    doubt = update(tables.orgs).values(state="in_doubt", held=True)
    await change_orgs(app, doubt)

    finding = await clock(app)

    assert finding.level == "note"
    assert [org.requests for org in sandbox.orgs] == [[], []]


async def test_the_clock_is_compared_without_any_token_at_hand(app: App, sandbox: Sandbox) -> None:
    """An org that logs in by assertions gets none while the clock is off: just then the check is needed."""
    await app.store.database.write(lambda tx: tx.connection.execute(tables.access_tokens.delete()))
    for org in sandbox.orgs:
        org.clock = lambda: datetime.now(UTC) + timedelta(hours=1, minutes=2)

    finding = await clock(app)

    assert finding.level == "problem"
    assert re.match(r"3,7[12]\d s behind 127", finding.text)
    assert {seen.path for org in sandbox.orgs for seen in org.requests} == {"/services/data"}


async def test_a_host_whose_own_clock_is_wrong_is_told_and_fails_nothing(
    app: App, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    globex.clock = lambda: datetime.now(UTC) - timedelta(days=400)

    finding = await clock(app)

    assert finding.level == "warning"
    assert finding.text.endswith(f"ahead of {globex.url.partition('://')[2]}, but agrees with 1 other login host")


async def test_being_offline_is_no_failure(app: App) -> None:
    nowhere = update(tables.orgs).values(login_url="http://127.0.0.1:9", trusted_hosts='["127.0.0.1:9"]')
    await change_orgs(app, nowhere)

    finding = await clock(app)

    assert (finding.level, finding.text) == ("note", "not compared with Salesforce's: no login host answered")
    (silent,) = await silence(app)
    assert (silent.level, silent.text) == ("warning", "no answer with the time from 127.0.0.1:9")


async def test_login_hosts_that_do_not_answer_are_named_beside_those_that_do(app: App, acme: SandboxOrg) -> None:
    nowhere = update(tables.orgs).values(login_url="http://127.0.0.1:9", trusted_hosts='["127.0.0.1:9"]')
    await change_orgs(app, nowhere.where(tables.orgs.c.alias == "globex"))

    finding, (silent,) = await clock(app), await silence(app)

    assert (finding.level, finding.text) == ("ok", f"agrees with {acme.url.partition('://')[2]}")
    assert (silent.name, silent.level) == ("login hosts", "warning")
    assert silent.text.endswith(" from 127.0.0.1:9")


@pytest.mark.parametrize(
    ("off", "level", "told"),
    [
        (2, "ok", "agrees with host"),
        (-4, "ok", "agrees with host"),
        (30, "warning", "30 s ahead of host"),
        (-3_600, "problem", "3,600 s behind host"),
    ],
)
def test_a_clock_that_is_wrong_is_told(off: int, level: str, told: str) -> None:
    finding = clock_health.clock_of(NOW + timedelta(seconds=off), NOW, "host")

    assert (finding.level, finding.text) == (level, told)
