"""The audit log on the command line: list, show, export, verify."""

import asyncio
import csv
import gzip
import io
import itertools
import json
import re
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.audit import ENTRY_FIELDS, Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.names import CONTACT, new_id
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from tests import operations
from tests.cli.shells import TOOL, Shell


async def test_entries_are_listed_newest_first_and_filtered(shell: Shell, used: str) -> None:
    everything, denied, one, table, none = await asyncio.gather(
        shell("audit", "list", "--json"),
        shell("audit", "list", "--json", "--outcome", "denied", "--since", "1h", "--org", "acne"),
        shell("audit", "list", "--json", "--record-id", used[:15], "--action", "create", "--object", "Contact"),
        shell("audit", "list", "--limit", "2"),
        shell("audit", "list", "--until", "2020-01-01"),
    )

    assert [entry["outcome"] for entry in everything.json] == ["rejected", "denied", "succeeded", "succeeded"]
    assert list(everything.json[0]) == list(ENTRY_FIELDS)
    assert [entry["error_code"] for entry in denied.json] == ["UNKNOWN_ORG"]
    assert [entry["record_ids"] for entry in one.json] == [[used]]
    assert len(table.out.splitlines()) == 3
    assert (none.out, none.err) == ("", "No entry matches.\n")


async def test_a_misspelled_action_is_wrong_usage_and_no_empty_export(shell: Shell, used: str) -> None:
    wrong = await shell("audit", "export", "--action", "delte")
    known = await shell("audit", "list", "--action", "CREATE", "--json")

    assert wrong.code == 2
    assert "'delte' is not one of" in wrong.lines[0]
    assert {entry["action"] for entry in known.json} == {"create"}


async def test_one_entry_is_shown(shell: Shell, used: str) -> None:
    (entry,) = (await shell("audit", "list", "--json", "--record-id", used)).json

    shown, told, unknown = await asyncio.gather(
        shell("audit", "show", entry["id"]),
        shell("audit", "show", entry["id"], "--json"),
        shell("audit", "show", "01a20d8b-0000-7000-8000-000000000000"),
    )

    assert told.json == entry
    assert used in shown.out
    assert "LastName" in shown.out
    assert "Lovelace" not in shown.out
    assert unknown.code == 1
    assert unknown.err.startswith("orgserver: error: there is no audit entry")


async def test_a_list_says_how_many_records_a_large_change_touched(shell: Shell) -> None:
    ids = tuple(f"003{number:012}AAA" for number in range(200))
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        for outcome in (Completion(Outcome.SUCCEEDED, row_count=450), Completion(Outcome.SUCCEEDED, row_count=1)):
            record_ids = ids[: outcome.row_count]
            act = Intent(
                new_id(), "agent:one", "stdio", Action.BULK, org="acme", object="Contact", record_ids=record_ids
            )
            await app.store.audit.record(act, outcome)

    listed = await shell("audit", "list", "--wide")

    assert f"{ids[0]} +449" in listed.out
    assert re.search(rf"{ids[0]}  +succeeded", listed.out), listed.out


async def test_the_repeat_of_a_create_is_marked_and_names_the_first_and_exports_stay_as_they_were(
    shell: Shell, acme: SandboxOrg, caller: Caller
) -> None:
    await shell.add(acme)
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        for _ in range(2):
            await operations.create(app, caller, TOOL, "acme", CONTACT, {"LastName": "Byron"}, idempotency_key="k")
        repeat, first = await app.audit_log.newest(EntryFilter(action="create"), 2)

    listed, shown, plain, report = await asyncio.gather(
        shell("audit", "list", "--action", "create", "--wide"),
        shell("audit", "show", repeat.id),
        shell("audit", "show", repeat.id, "--json"),
        shell("audit", "report"),
    )

    assert [("create (repeat)" in line) for line in listed.out.splitlines()] == [False, True, False]
    assert re.search(rf"^repeats +{first.id}$", shown.out, re.MULTILINE)
    assert list(plain.json) == list(ENTRY_FIELDS)
    assert "1 of those that succeeded repeats an earlier call: nothing was sent" in report.out


async def test_an_export_appears_whole_and_only_for_its_owner(shell: Shell, used: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"

    exported = await shell("audit", "export", "--output", str(file), "--tool", TOOL)
    again = await shell("audit", "export", "--output", str(file))
    nowhere = await shell("audit", "export", "--output", str(tmp_path / "none" / "audit.jsonl"))

    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert exported.code == 0
    assert (exported.out, exported.err) == ("", f"3 entries written to {file}\n")
    assert [entry["outcome"] for entry in entries] == ["succeeded", "denied", "rejected"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".audit*")) == []
    assert again.code == 1
    assert "exists" in again.err
    assert nowhere.code == 1
    assert "cannot be written" in nowhere.err
    recorded = (await shell("audit", "list", "--json", "--action", "export")).json
    assert [(entry["tool"], entry["row_count"]) for entry in recorded] == [("audit export --format jsonl", 3)]


async def test_csv_and_events_go_to_standard_output(shell: Shell, used: str) -> None:
    table, chain = await asyncio.gather(
        shell("audit", "export", "--format", "csv", "--until", "2100-01-01"),
        shell("audit", "export", "--format", "events", "--since", "2h"),
    )

    rows = list(csv.reader(io.StringIO(table.out)))
    *events, last = [json.loads(line) for line in chain.out.splitlines()]
    assert rows[0] == list(ENTRY_FIELDS)
    assert {len(row) for row in rows} == {len(ENTRY_FIELDS)}
    assert used in table.out
    assert list(events[0]) == ["sequence", "previous_hash", "hash", "mac", "canonical"]
    assert list(last) == ["checkpoint"]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert all(after["previous_hash"] == before["hash"] for before, after in itertools.pairwise(events))


async def test_an_edited_entry_is_named_by_verify(shell: Shell, used: str) -> None:
    whole = await shell("audit", "verify", "--json")
    with sqlite3.connect(shell.home / "orgserver.db") as database:
        database.execute("UPDATE audit_events SET principal = 'someone' WHERE sequence = 3")
    database.close()

    broken = await shell("audit", "verify")

    assert whole.json["ok"] is True
    assert "head" in whole.json["checks"]
    assert broken.code == 1
    assert broken.err.startswith("orgserver: error: the audit log does not verify")
    assert "(sequence 3)" in broken.err


@pytest.mark.parametrize("bytes_", [b"[]", b"no JSON"])
@pytest.mark.parametrize("words", ["list", "export", "export --format parquet"])
async def test_an_entry_that_was_edited_beyond_reading_is_told_of_in_one_line_and_found(
    shell: Shell, used: str, words: str, bytes_: bytes
) -> None:
    store = sqlite3.connect(shell.home / "orgserver.db")
    (sequence,) = store.execute("SELECT max(sequence) FROM audit_events WHERE kind = 'intent'").fetchone()
    store.execute("UPDATE audit_events SET canonical = ? WHERE sequence = ?", (bytes_, sequence))
    store.commit()
    store.close()

    ran = await shell("audit", *words.split())
    verified = await shell("audit", "verify", "--since-checkpoint")

    assert (ran.code, verified.code) == (1, 1)
    assert ran.lines[0] in (
        f"orgserver: error: entry {sequence} cannot be read: it or its outcome was edited",
        "orgserver: error: the audit log cannot be searched: an entry was edited and cannot be read",
    )
    assert f"entry {sequence} was edited" in verified.lines[0]


async def test_a_reader_that_goes_away_is_no_noise(shell: Shell, used: str) -> None:
    command = f"'{sys.executable}' -m orgserver audit export | true"

    done = await asyncio.to_thread(
        subprocess.run, command, shell=True, capture_output=True, text=True, env=shell.environment(), check=False
    )

    assert done.stderr == ""


async def test_an_export_is_verified_away_from_the_store_with_the_public_key_alone(
    shell: Shell, used: str, tmp_path: Path
) -> None:
    evidence, key = tmp_path / "evidence.jsonl", tmp_path / "key.txt"
    await shell("audit", "export", "--format", "events", "--output", str(evidence))
    key.write_text((await shell("audit", "public-key")).out)
    nowhere = {"ORGSERVER_HOME": str(tmp_path / "no" / "home")}

    whole = await shell("audit", "verify", str(evidence), "--public-key", str(key), **nowhere)
    evidence.write_text(evidence.read_text().replace("Contact", "Account", 1))
    edited = await shell("audit", "verify", str(evidence), "--public-key", str(key), "--json", **nowhere)

    assert whole.code == 0, whole.err
    assert "Signed by orgserver/" in whole.out
    assert (edited.code, edited.json["ok"]) == (1, False)
    assert "was edited" in edited.json["problem"]
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("what", ["key", "checkpoint", "export", "missing"])
async def test_what_is_no_evidence_is_said_to_be_none_in_one_line(shell: Shell, tmp_path: Path, what: str) -> None:
    junk, gone = tmp_path / "junk", tmp_path / "gone"
    junk.write_text("junk\n")
    given = {
        "key": (str(junk), "--public-key", str(junk)),
        "checkpoint": ("--checkpoint", str(junk)),
        "export": (str(junk),),
        "missing": (str(gone),),
    }[what]

    ran = await shell("audit", "verify", *given)

    assert ran.code == 1
    assert ran.err.startswith("orgserver: error: ")
    assert ran.err.count("orgserver: error:") == 1
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("what", ["parquet", "cut off", "damaged", "no gzip"])
async def test_a_file_that_cannot_be_read_as_an_export_is_refused_in_one_line(
    shell: Shell, tmp_path: Path, what: str
) -> None:
    packed = gzip.compress(b'{"sequence": 1}\n' * 1_000, mtime=0)
    content = {
        "parquet": b"PAR1\xc0\xff",
        "cut off": packed[: len(packed) // 2],
        "damaged": packed[:12] + b"\xff" * (len(packed) - 12),
        "no gzip": b'{"sequence": 1}\n',
    }[what]
    given = tmp_path / ("junk" if what == "parquet" else "junk.gz")
    given.write_bytes(content)

    ran = await shell("audit", "verify", str(given))

    assert ran.code == 1
    assert ran.err.startswith(f"orgserver: error: {given} is no ")
    assert ran.err.count("\n") == 2, ran.err


async def test_a_checkpoint_that_is_none_is_not_taken_for_a_wrong_public_key(
    shell: Shell, used: str, tmp_path: Path
) -> None:
    evidence, key, junk = tmp_path / "evidence.jsonl", tmp_path / "key.txt", tmp_path / "junk"
    await shell("audit", "export", "--format", "events", "--output", str(evidence))
    key.write_text((await shell("audit", "public-key")).out)
    junk.write_text("junk\n")

    ran = await shell("audit", "verify", str(evidence), "--public-key", str(key), "--checkpoint", str(junk))

    assert ran.code == 1
    assert ran.err.startswith("orgserver: error: a checkpoint cannot be compared with this export: ")


async def test_checkpoints_verify_with_the_store_and_say_where_they_were(
    shell: Shell, used: str, tmp_path: Path
) -> None:
    await shell("audit", "export", "--format", "events", "--output", str(shell.home / "e.jsonl"))

    beside, elsewhere = shell.home / "orgserver.db.checkpoints", tmp_path / "copy.checkpoints"
    elsewhere.write_bytes(beside.read_bytes())

    near = await shell("audit", "verify", "--checkpoint", str(beside))
    far = await shell("audit", "verify", "--checkpoint", str(elsewhere))
    both = await shell("audit", "verify", "--checkpoint", str(elsewhere), "--checkpoint", str(beside))
    again = await shell("audit", "verify", "--since-checkpoint", "--json")

    assert (near.code, far.code, both.code) == (0, 0, 0), near.err
    assert "values; 1 checkpoint in the file beside the store.\nNot checked: an older copy put back whole" in near.out
    assert far.out.endswith("values; 1 checkpoint kept elsewhere.\n")
    assert both.out.endswith("values; 1 checkpoint kept elsewhere; 1 checkpoint in the file beside the store.\n")
    assert again.json["since"] > 0


async def test_a_file_named_gz_is_compressed_and_ocsf_has_a_line_for_each_entry(
    shell: Shell, used: str, tmp_path: Path
) -> None:
    packed, plain = tmp_path / "log.jsonl.gz", tmp_path / "log.ocsf"
    evidence, key = tmp_path / "evidence.jsonl.gz", tmp_path / "key.txt"

    await shell("audit", "export", "--output", str(packed), "--org", "acme")
    await shell("audit", "export", "--format", "ocsf", "--output", str(plain), "--org", "acme")
    await shell("audit", "export", "--format", "events", "--output", str(evidence))
    key.write_text((await shell("audit", "public-key")).out)

    with gzip.open(packed, "rt", encoding="utf-8") as file:
        entries = [json.loads(line) for line in file]
    events = [json.loads(line) for line in plain.read_text().splitlines()]
    assert [event["metadata"]["uid"] for event in events] == [entry["id"] for entry in entries]
    assert {event["class_uid"] for event in events} == {6003}
    assert (await shell("audit", "verify", str(evidence), "--public-key", str(key))).code == 0


async def test_tail_shows_the_newest_and_then_what_ends(
    shell: Shell, used: str, acme: SandboxOrg, caller: Caller
) -> None:
    still = await shell("audit", "tail", "-n", "2")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *("-m", "orgserver", "audit", "tail", "-f", "-n", "1", "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=shell.environment(),
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        newest = json.loads(await process.stdout.readline())
        async with open_app(read_settings({"home": shell.home}, {})) as app:
            made = await operations.create(app, caller, TOOL, "acme", CONTACT, {"LastName": "Byron"})
        following = json.loads(await process.stdout.readline())
        process.terminate()
        await process.wait()

    assert len(still.out.splitlines()) == 2
    assert newest["outcome"] == "rejected"
    assert (following["outcome"], following["record_ids"]) == ("succeeded", [made.id])
    assert process.returncode == 0


async def test_an_export_that_follows_writes_each_entry_once_when_it_has_ended(
    shell: Shell, used: str, acme: SandboxOrg, caller: Caller
) -> None:
    whole = [json.loads(line) for line in (await shell("audit", "export", "--action", "create")).out.splitlines()]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *("-m", "orgserver", "audit", "export", "--follow", "--action", "create"),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=shell.environment(),
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        first = [json.loads(await process.stdout.readline()) for _ in whole]
        async with open_app(read_settings({"home": shell.home}, {})) as app:
            await operations.create(app, caller, TOOL, "acme", CONTACT, {"LastName": "Byron"})
        following = json.loads(await process.stdout.readline())
        process.terminate()
        await process.wait()

    recorded = await shell("audit", "list", "--action", "export", "--json", "--limit", "1")
    assert first == whole
    assert following["outcome"] == "succeeded"
    assert (recorded.json[0]["tool"], recorded.json[0]["row_count"]) == (
        "audit export --format jsonl --follow",
        len(whole) + 1,
    )
    assert (await shell("audit", "export", "--follow", "--output", "x")).code == 2
