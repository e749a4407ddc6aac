"""``backup`` and ``restore`` as people run them."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.names import Alias, RowId, new_id
from orgserver.sandbox.server import Sandbox
from orgserver.store.orgs.registry import PendingEnrolment
from tests.cli.shells import Shell


@pytest.fixture
async def stocked(shell: Shell, sandbox: Sandbox) -> Shell:
    """A shell whose home has both pretend orgs, and an enrolment that was not finished."""
    draft = PendingEnrolment(Alias("initech"), RowId(new_id()), {"refresh_token": "of an unfinished enrolment"})
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        await register(app, sandbox)
        await app.store.database.write(lambda tx: app.store.orgs.enrolments.write_in(tx, draft))
    for org in sandbox.orgs:
        org.requests.clear()
    return shell


@pytest.fixture
def elsewhere(stocked: Shell, tmp_path: Path) -> str:
    """Another home with the same key, and no store."""
    home = tmp_path / "elsewhere"
    home.mkdir(mode=0o700)
    shutil.copy(stocked.home / "master.key", home)
    return str(home)


async def test_a_store_is_backed_up_while_a_server_runs_and_restored_elsewhere(
    stocked: Shell, elsewhere: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    file = tmp_path / "copy.db"
    server = await stocked.start("serve")

    made = await stocked("backup", str(file))
    put_in = await stocked("restore", str(file), ORGSERVER_HOME=elsewhere)
    await stocked.end(server)
    listed = await stocked("list-orgs", "--json", ORGSERVER_HOME=elsewhere)

    assert made.code == 0, made.err
    assert made.out.startswith(f"{file}: 2 orgs, ")
    assert made.out.endswith(" MiB, checked\n")
    assert "opens only with the store's master key" in made.err
    assert "initech is not in it" in made.err
    assert put_in.code == 0, put_in.err
    assert put_in.out.startswith(f"{elsewhere}/orgserver.db: 2 orgs, ")
    assert "Held back" in put_in.err
    assert "acme, globex" in put_in.err
    assert "orgserver check-org ALIAS --try-token" in put_in.err
    assert {(org["alias"], org["state"]) for org in listed.json} == {("acme", "in_doubt"), ("globex", "in_doubt")}
    assert [org.requests for org in sandbox.orgs] == [[], []]


async def test_scripts_read_what_was_copied_and_put_in(stocked: Shell, elsewhere: str, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"

    made = (await stocked("backup", str(file), "--json")).json
    put_in = (await stocked("restore", str(file), "--json", ORGSERVER_HOME=elsewhere)).json

    assert made == {
        "file": str(file),
        "made_at": made["made_at"],
        "size": file.stat().st_size,
        "audit_events": made["audit_events"],
        "audit_problem": None,
        "orgs": 2,
        "enrolments_left_out": ["initech"],
    }
    assert put_in["file"] == str(file)
    assert put_in["store"] == f"{elsewhere}/orgserver.db"
    assert put_in["made_at"] == made["made_at"]
    assert put_in["audit_events"] == made["audit_events"] + 2
    assert put_in["orgs"][0] == {"alias": "acme", "state": "in_doubt", "held": True}


async def test_a_taken_name_and_a_missing_folder_are_one_line(stocked: Shell, tmp_path: Path) -> None:
    taken = tmp_path / "taken.db"
    taken.write_text("somebody's")

    over = await stocked("backup", str(taken))
    nowhere = await stocked("backup", str(tmp_path / "no" / "copy.db"))
    itself = await stocked("backup", str(stocked.home / "orgserver.db"))

    assert over.lines[0] == f"orgserver: error: {taken} exists already, and is left as it is"
    assert taken.read_text() == "somebody's"
    assert nowhere.lines == [
        f"orgserver: error: {tmp_path}/no/copy.db cannot be written: there is no folder {tmp_path}/no"
    ]
    assert itself.lines[0].endswith("is the store itself")
    assert [ran.code for ran in (over, nowhere, itself)] == [1, 1, 1]
    assert sorted(os.listdir(tmp_path)) == ["home", "taken.db"]


async def test_what_cannot_be_restored_is_one_line_and_changes_nothing(
    stocked: Shell, elsewhere: str, tmp_path: Path
) -> None:
    file = tmp_path / "copy.db"
    await stocked("backup", str(file))
    foreign = tmp_path / "foreign.db"
    foreign.write_text("no database")
    keyless = str(tmp_path / "keyless")

    over = await stocked("restore", str(file))
    no_backup = await stocked("restore", str(foreign), ORGSERVER_HOME=elsewhere)
    missing = await stocked("restore", str(tmp_path / "missing.db"), ORGSERVER_HOME=elsewhere)
    no_key = await stocked("restore", str(file), ORGSERVER_HOME=keyless)

    assert over.lines[0].startswith(f"orgserver: error: there is a store at {stocked.home}/orgserver.db already")
    assert "move it away" in over.lines[1]
    assert no_backup.lines[0] == f"orgserver: error: {foreign} is no backup of an orgserver store"
    assert missing.lines == [f"orgserver: error: there is no backup at {tmp_path}/missing.db"]
    assert no_key.lines[0] == f"orgserver: error: there is no master key at {keyless}/master.key"
    assert [ran.code for ran in (over, no_backup, missing, no_key)] == [1, 1, 1, 1]
    assert os.listdir(elsewhere) == ["master.key"]
    assert not Path(keyless).exists()


async def test_a_copy_of_an_edited_audit_log_is_kept_and_fails_the_command(
    stocked: Shell, elsewhere: str, tmp_path: Path
) -> None:
    file = tmp_path / "copy.db"
    with closing(sqlite3.connect(stocked.home / "orgserver.db")) as connection, connection:
        connection.execute("UPDATE audit_events SET principal = 'nobody' WHERE sequence = 1")

    made = await stocked("backup", str(file), "--json")
    put_in = await stocked("restore", str(file), ORGSERVER_HOME=elsewhere)

    assert made.code == 1
    assert json.loads(made.out)["audit_problem"] == "the searchable columns of entry 1 were edited"
    assert "orgserver: error: the audit log in it does not verify" in made.err
    assert file.exists()
    assert put_in.code == 1
    assert (Path(elsewhere) / "orgserver.db").exists()


async def test_a_restored_org_works_again_once_its_token_was_tried(
    stocked: Shell, elsewhere: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    file = tmp_path / "copy.db"
    await stocked("backup", str(file))
    await stocked("restore", str(file), ORGSERVER_HOME=elsewhere)

    refused = await stocked("check-org", "acme", ORGSERVER_HOME=elsewhere)
    idle = await stocked("refresh-idle", ORGSERVER_HOME=elsewhere)
    untouched = [org.requests for org in sandbox.orgs] == [[], []]
    tried = await stocked("check-org", "acme", "--try-token", "--yes", ORGSERVER_HOME=elsewhere)

    assert (refused.code, idle.code, untouched) == (1, 0, True)
    assert tried.code == 0, tried.err
    assert (await stocked("show-org", "acme", "--json", ORGSERVER_HOME=elsewhere)).json["state"] == "ready"


async def test_the_entry_of_a_backup_names_who_made_it(stocked: Shell, tmp_path: Path) -> None:
    await stocked("backup", str(tmp_path / "copy.db"))

    (entry,) = (await stocked("audit", "list", "--tool", "backup", "--json")).json

    assert (entry["action"], entry["outcome"], entry["row_count"]) == ("export", "succeeded", 2)
    assert entry["principal"].startswith("local:")
