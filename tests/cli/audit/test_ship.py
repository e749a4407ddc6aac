"""``audit ship``, and what goes with it, as people run them."""

import asyncio
from pathlib import Path

import pytest

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.vault.signed_notes import Checkpoint, Signer
from tests.cli.shells import Shell
from tests.services.audit.shipping.logs import parts, write


@pytest.fixture
async def used(shell: Shell) -> Shell:
    """A home whose log holds six entries under three checkpoints, of which nothing may be pruned that is not away."""
    shell.let_run_unattended()
    with (shell.home / "config.toml").open("a") as file:
        file.write("ship_before_prune = true\n")
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        for _ in range(3):
            await write(app.store, 2)
    return shell


async def test_what_was_shipped_verifies_alone_and_only_that_is_pruned(used: Shell, tmp_path: Path) -> None:
    away, key = tmp_path / "away", tmp_path / "key.txt"
    away.mkdir()
    key.write_text((await used("audit", "public-key")).out)
    to = {"ORGSERVER_SHIP_TO": str(away)}
    prune = ("audit", "prune", "--before", "2100-01-01", "--discard", "--yes")

    nowhere, unshipped = await used(*prune), await used(*prune, **to)
    shipped, again = await used("audit", "ship", "--to", str(away)), await used("audit", "ship", "--json", **to)
    pruned = await used(*prune, **to)
    later = await used("audit", "ship", "--json", **to)
    alone = await used("audit", "verify", str(away), "--public-key", str(key))
    store = await used("audit", "verify", "--checkpoint", str(away))
    part = parts(away)[-1]
    whole = part.read_bytes()
    part.write_bytes(whole[:-9])
    damaged = await used("audit", "verify", str(away), "--public-key", str(key))
    part.write_bytes(whole)
    foreign = tmp_path / "foreign.note"
    foreign.write_text(Signer("orgserver/beef", bytes(32)).sign(Checkpoint("orgserver/beef", 1, bytes(32)).text()))
    strange = await used("audit", "verify", str(away), "--public-key", str(key), "--checkpoint", str(foreign))
    parts(away)[0].unlink()
    lost = await used("audit", "ship", **to)
    unlike = await used("audit", "verify", str(away), "--public-key", str(key))

    assert "where the audit log is shipped to" in nowhere.lines[0]
    assert "have not been shipped" in unshipped.err
    assert "nothing was pruned" in unshipped.err
    assert (nowhere.code, unshipped.code) == (1, 1)
    assert (shipped.code, shipped.out) == (0, "")
    assert f"{away} has everything up to event" in shipped.err
    assert (again.json["parts"], again.json["lag_events"], again.json["problems"]) == (0, 0, [])
    assert pruned.code == 0, pruned.err
    assert (later.code, later.json["parts"]) == (0, 1)
    assert alone.code == 0, alone.err
    assert "from 1." in alone.out
    assert store.code == 0, store.err
    assert "kept elsewhere" in store.out
    assert "orgserver audit ship --to FOLDER ships it again" in damaged.lines[-1]
    assert "(it may be of another store)" in strange.err
    assert (damaged.code, strange.code) == (1, 1)
    assert lost.code == 1
    assert "are missing there, and no longer in the log" in lost.lines[-1]
    assert unlike.code == 1
    assert "entry 1 was removed" in unlike.lines[0]


async def test_a_server_ships_by_itself_and_is_refused_where_that_is_set_wrongly(used: Shell, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    wrong = await used("serve", ORGSERVER_SHIP_TO="s3:/audit")
    (used.home / "away").mkdir()
    (tmp_path / "link").symlink_to(used.home / "away")
    within = [await used("audit", "ship", "--to", str(path)) for path in (used.home / "away", tmp_path / "link")]
    server = await used.start("serve", ORGSERVER_SHIP_TO=str(away), ORGSERVER_SHIP_EVERY="1")
    async with asyncio.timeout(30):
        while not parts(away):
            await asyncio.sleep(0.02)
    ended = await used.end(server)
    found = await used("doctor", "--json", "--offline", ORGSERVER_SHIP_TO=str(away))

    assert wrong.code == 1
    assert "cannot be shipped to s3:/…" in wrong.lines[-2]
    assert [each.code for each in within] == [1, 1]
    assert all("lies in the home of the store itself" in each.lines[-2] for each in within)
    assert ended.code == 0, ended.err
    assert [each["level"] for each in found.json if each["name"] == "audit shipping"] == ["note"]
