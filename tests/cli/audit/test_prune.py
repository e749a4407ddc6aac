"""``audit prune`` and ``audit hold`` as people run them."""

import gzip
import stat
from pathlib import Path

import pytest

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.names import new_id
from tests.cli.shells import Shell

SOON = "2100-01-01"


@pytest.fixture
async def used(shell: Shell) -> Shell:
    """A home whose log holds six entries under a checkpoint, and whose operator lets commands run unattended."""
    shell.let_run_unattended()
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        for _ in range(6):
            act = Intent(new_id(), "bot", "stdio", "create", org="acme", record_ids=("003Sb0000000001IAA",))
            await app.store.audit.record(act, Completion(Outcome.SUCCEEDED))
        await app.store.audit.look_after(idle_us=0)
    return shell


async def test_what_is_pruned_is_exported_first_and_both_halves_verify(used: Shell, tmp_path: Path) -> None:
    old, key = tmp_path / "old.jsonl", tmp_path / "key.txt"
    key.write_text((await used("audit", "public-key")).out)

    pruned = await used("audit", "prune", "--before", SOON, "--export", str(old), "--yes")
    export, store = await used("audit", "verify", str(old), "--public-key", str(key)), await used("audit", "verify")
    entries = (await used("audit", "list", "--json")).json

    assert pruned.code == 0, pruned.err
    assert pruned.out == ""
    assert "6 entries" in pruned.err
    assert export.code == 0, export.err
    assert "6 entries in 12 events" in export.out
    assert store.code == 0, store.err
    assert [entry["tool"] for entry in entries] == [
        "audit verify", "audit prune", "audit prune --export",
    ]  # fmt: skip
    assert entries[1]["action"] == "prune"
    assert entries[1]["row_count"] == 6
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".old*")) == []


async def test_a_hold_is_named_in_one_line_and_nothing_is_pruned_or_written(used: Shell, tmp_path: Path) -> None:
    file = tmp_path / "old.jsonl"
    held = await used("audit", "hold", "case-17", "--record-id", "003Sb0000000001")
    again = await used("audit", "hold", "case-17")
    listed = (await used("audit", "hold", "--list", "--json")).json

    refused = await used("audit", "prune", "--before", SOON, "--export", str(file), "--yes")
    released = await used("audit", "hold", "case-17", "--release")
    unknown = await used("audit", "hold", "case-17", "--release")
    pruned = await used("audit", "prune", "--before", SOON, "--discard", "--yes", "--json")

    assert held.code == 0, held.err
    assert again.code == 1
    assert [(each["name"], each["record_id"]) for each in listed] == [("case-17", "003Sb0000000001IAA")]
    assert refused.code == 1
    assert "'case-17'" in refused.lines[0]
    assert not file.exists()
    assert (released.code, unknown.code) == (0, 1)
    assert pruned.json["entries"] >= 6
    assert (await used("audit", "verify")).code == 0


async def test_what_is_pruned_goes_compressed_into_a_file_named_gz_and_verifies(used: Shell, tmp_path: Path) -> None:
    old, key = tmp_path / "old.jsonl.gz", tmp_path / "key.txt"
    key.write_text((await used("audit", "public-key")).out)

    pruned = await used("audit", "prune", "--before", SOON, "--export", str(old), "--yes")
    export = await used("audit", "verify", str(old), "--public-key", str(key))

    assert pruned.code == 0, pruned.err
    assert len(gzip.decompress(old.read_bytes()).splitlines()) == 13  # twelve events and a checkpoint
    assert export.code == 0, export.err
    assert list(tmp_path.glob(".*")) == []


async def test_ctrl_c_at_the_question_ends_it_at_once_and_nothing_is_pruned(used: Shell) -> None:
    async with used.at_terminal("audit", "prune", "--before", SOON, "--discard") as terminal:
        await terminal.until("[y/N]")
        terminal.write("\x03")
        code = await terminal.end()

    assert code == 130
    assert (await used("audit", "list", "--json", "--tool", "audit prune")).json == []


@pytest.mark.parametrize("yes", [(), ("--yes",)])
async def test_nobody_prunes_silently_and_a_person_does_on_record(used: Shell, yes: tuple[str, ...]) -> None:
    (used.home / "config.toml").unlink()
    words = ("audit", "prune", "--before", SOON, "--discard", *yes)

    silent = await used(*words)
    async with used.at_terminal(*words) as terminal:
        await terminal.answer("for good, without an export? [y/N]", "y")
        assert await terminal.end() == 0
    (entry,) = (await used("audit", "list", "--json", "--tool", "audit prune")).json

    assert silent.code == 1
    assert "nothing was pruned: nobody is here to confirm it" in silent.lines[0]
    assert 'unattended = "allow" in config.toml' in silent.err
    assert (entry["outcome"], entry["fields"]) == ("succeeded", ["typed"])


@pytest.mark.parametrize(("org", "warned"), [("acme", False), ("acmee", True)])
async def test_a_hold_that_covers_nothing_so_far_says_so(used: Shell, org: str, warned: bool) -> None:
    held = await used("audit", "hold", "case-17", "--org", org)

    assert held.code == 0, held.err
    assert ("covers no entry so far" in held.err) is warned


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("prune --before 400d", 2, "one of --export FILE and --discard"),
        ("prune --before 400d --discard --export new", 2, "one of --export FILE and --discard"),
        ("prune --discard", 2, "--before"),
        ("prune --before yesterday --discard", 2, "ISO 8601"),
        ("prune --before 400d --discard --yes", 1, "nothing to prune"),
        ("prune --before 2100-01-01 --export HERE --yes", 1, "exists"),
        ("prune --before 2100-01-01 --export /nowhere/file --yes", 1, "cannot be written"),
        ("hold", 2, "NAME"),
        ("hold a/b", 2, "NAME"),
        ("hold x --record-id 5", 2, "--record-id"),
        ("hold x --since 1d --until 2d", 2, "--until is not after --since"),
        ("hold x --list", 2, "--list takes"),
        ("hold x --release --org acme", 2, "--release takes"),
    ],
)
async def test_what_cannot_be_is_refused_in_one_line_and_prunes_nothing(
    used: Shell, words: str, code: int, says: str
) -> None:
    there = used.home / "there"
    there.write_text("mine")

    ran = await used("audit", *words.replace("HERE", str(there)).split())
    entries = (await used("audit", "list", "--json", "--tool", "audit prune")).json

    assert ran.code == code, ran.err
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    assert entries == []
    assert there.read_text() == "mine"
