"""A log that is shipped to a folder: every event once, whatever happens, and what is done to it there is told."""

import errno
import gzip
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orgserver.model.errors import OperatorError
from orgserver.private_files import publish
from orgserver.services.audit.shipping import folder as folders
from orgserver.services.audit.shipping.folder import Folder
from orgserver.services.audit.shipping.parts import LOG_FILE, MAX_BYTES, describe_log
from orgserver.services.audit.shipping.shipper import Shipper
from orgserver.services.audit.shipping.targets import TargetError
from orgserver.store.session import Store
from orgserver.vault.signed_notes import Signer

from .logs import CALLER, head, parts, run_both, ship_to, verify, write


async def test_it_goes_on_from_what_lies_there_and_its_own_entries_make_no_news(store: Store, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shipper = await ship_to(store, away)
    shipped = verify(store, away)
    idle = [await shipper.ship(CALLER) for _ in range(3)]
    await store.audit.look_after(idle_us=0)
    still_idle = await shipper.ship(CALLER)
    await write(store, 1)
    more = await Shipper(store, Folder(away)).ship(CALLER)

    assert [(each.parts, each.lag.events, each.last) for each in (*idle, still_idle)] == [(0, 0, shipped)] * 4
    assert more.parts == 2  # one for what the first run and the checkpoint left, one for the entry
    assert verify(store, away) == more.last == await head(store) - 3  # the last checkpoint's event, and the entry


async def test_two_who_ship_at_once_ship_every_event_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def nobody_waits(*_: object) -> Any:
        yield True

    away = tmp_path / "away"
    away.mkdir()
    for _ in range(12):
        await write(store, 1)
    monkeypatch.setattr(store.database.engine, "exclusive", nobody_waits)
    shipments = await run_both(*(Shipper(store, Folder(away)) for _ in range(4)))

    assert sum(each.parts for each in shipments) == len(parts(away)) == 12
    assert verify(store, away) == max(each.last for each in shipments)


async def test_one_process_ships_at_a_time_and_the_other_says_so(store: Store, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shipper = await ship_to(store, away)
    await write(store, 1)
    async with store.database.engine.exclusive("shipping") as is_mine:
        refused = await shipper.ship(CALLER)

    assert is_mine
    assert refused.busy
    assert refused.lag.events > 0
    assert refused.lag.seconds > 0
    assert not (await shipper.ship(CALLER)).busy


async def test_a_full_disk_leaves_no_half_part_and_the_next_run_goes_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "away"
    shipper = await ship_to(store, away)
    await write(store, 1)
    there = parts(away)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folders, "publish", full)
    with pytest.raises(TargetError, match="cannot be written: no space left on device"):
        await shipper.ship(CALLER)
    left = sorted(each.name for each in away.iterdir())
    monkeypatch.setattr(folders, "publish", publish)
    await shipper.ship(CALLER)

    assert left == [*(each.name for each in there), "log.note"]
    verify(store, away)


async def test_without_links_a_name_that_was_taken_by_somebody_who_died_is_filled(store: Store, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shipper = await ship_to(store, away)
    newest = parts(away)[-1]
    newest.write_bytes(b"")
    await write(store, 1)
    await shipper.ship(CALLER)

    assert newest.stat().st_size > 0
    verify(store, away)


@pytest.mark.parametrize("at", [0, 1, -1])
async def test_a_part_that_was_altered_is_told_of_and_not_replaced(store: Store, tmp_path: Path, at: int) -> None:
    away = tmp_path / "away"
    await ship_to(store, away)
    victim = parts(away)[at]
    forged = gzip.compress(gzip.decompress(victim.read_bytes()).replace(b"acme", b"evil"))
    victim.write_bytes(forged)
    await write(store, 1)
    shipper = Shipper(store, Folder(away))
    shipment = await shipper.ship(CALLER)

    assert len(shipment.problems) == 1
    assert victim.name in shipment.problems[0]
    assert "altered" in shipment.problems[0]
    assert shipment.parts == 1  # what is new is away all the same
    assert victim.read_bytes() == forged
    assert (await shipper.look()).problems == shipment.problems


async def test_a_part_that_was_removed_is_told_of_and_shipped_again(store: Store, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shipper = await ship_to(store, away)
    content = parts(away)[1].read_bytes()
    parts(away)[1].unlink()
    shipment = await shipper.ship(CALLER)
    after = await shipper.ship(CALLER)

    assert shipment.problems == ("1 part had been removed there, and the log still has them",)
    assert parts(away)[1].read_bytes() == content
    assert after.problems == ()
    verify(store, away)


async def test_files_that_are_none_of_this_log_are_told_of_or_left_alone(store: Store, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shipper = await ship_to(store, away)
    (away / "README").write_text("of somebody else")
    planted = away / "events-0000000000000001-0000000000009999.jsonl.gz"
    planted.write_bytes(gzip.compress(b"{}"))
    await write(store, 1)
    shipment = await shipper.ship(CALLER)

    assert shipment.problems == (f"{planted.name} is no part of this log",)
    assert shipment.parts == 1
    planted.unlink()
    verify(store, away)


async def test_a_place_of_another_store_is_refused_in_one_sentence(
    store: Store, tmp_path: Path, opener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "away"
    await ship_to(store, away)
    note = (away / "log.note").read_text()
    (away / "log.note").write_bytes(describe_log(Signer("orgserver/beef", bytes(32)), 1))
    with pytest.raises(TargetError, match="holds the log of another store, so nothing was shipped there$"):
        await Shipper(store, Folder(away)).ship(CALLER)
    for altered in (note.replace("begins 1", "begins 3"), note.replace(store.id, "beef", 1)):
        (away / "log.note").write_text(altered)
        with pytest.raises(TargetError, match=r"log\.note in .* was altered, so nothing was shipped there$"):
            await Shipper(store, Folder(away)).ship(CALLER)
    (away / "log.note").write_text(note.replace(store.id, store.id[:-4] + "beef"))
    with pytest.raises(TargetError, match="was altered, or is of another store, so nothing") as unknown:
        await Shipper(store, Folder(away)).ship(CALLER)
    assert "put the file back from a copy" in str(unknown.value.hint)
    (away / "log.note").unlink()
    shipment = await Shipper(store, Folder(away)).ship(CALLER)

    assert shipment.problems == ("log.note had been removed there",)


async def test_an_older_copy_of_the_store_is_refused(store: Store, tmp_path: Path, opener: Any) -> None:
    away, file = tmp_path / "away", store.database.file
    await ship_to(store, away)
    await store.close()
    copy = {path: path.read_bytes() for path in file.parent.glob(f"{file.name}*") if path.is_file()}
    opened = await opener()
    await write(opened, 3)
    await Shipper(opened, Folder(away)).ship(CALLER)
    await opened.close()
    file.with_name(f"{file.name}-wal").unlink(missing_ok=True)
    for path, content in copy.items():
        path.write_bytes(content)
    opened = await opener()
    with pytest.raises(TargetError, match="an older copy, or another copy"):
        await Shipper(opened, Folder(away)).ship(CALLER)
    await write(opened, 12)  # and so it stays where the copy's own log is the longer one
    with pytest.raises(TargetError, match="another co"):
        await Shipper(opened, Folder(away)).ship(CALLER)
    await opened.close()


async def test_what_was_shipped_is_proven_from_the_place_itself(store: Store, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shipper = await ship_to(store, away)
    last = verify(store, away)
    await shipper.prove(1, last)
    parts(away)[1].write_bytes(parts(away)[0].read_bytes())
    with pytest.raises(OperatorError, match="was altered there"):
        await Shipper(store, Folder(away)).prove(1, last)
    parts(away)[1].unlink()
    with pytest.raises(OperatorError, match="does not follow"):
        await Shipper(store, Folder(away)).prove(1, last)
    with pytest.raises(OperatorError, match="have not been shipped"):
        await Shipper(store, Folder(away)).prove(last + 1, last + 5)


async def test_a_part_that_would_unpack_without_end_is_damaged(store: Store, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shipper = await ship_to(store, away)
    victim = parts(away)[-1]
    victim.write_bytes(victim.read_bytes()[:-3])

    assert MAX_BYTES <= 1 << 30
    assert (await shipper.look()).problems == (f"{victim.name} was altered there: it is damaged",)


@pytest.mark.parametrize("kind", ["folder", "device", "loop"])
async def test_what_is_no_file_under_a_part_s_name_is_told_of_and_stops_nothing(
    store: Store, tmp_path: Path, kind: str
) -> None:
    away = tmp_path / "away"
    shipper = await ship_to(store, away)
    victim = parts(away)[-1]
    victim.unlink()
    if kind == "folder":
        victim.mkdir()
    else:
        victim.symlink_to("/dev/zero" if kind == "device" else victim.name)
    await write(store, 1)
    shipment = await shipper.ship(CALLER)

    assert shipment.problems == (f"{victim.name} was altered there: it is damaged",)
    assert shipment.parts > 0
    assert shipment.lag.events == 0


async def test_a_folder_that_is_not_there_is_not_made(store: Store, tmp_path: Path) -> None:
    await write(store, 1)
    with pytest.raises(TargetError, match="there is no folder"):
        await Shipper(store, Folder(tmp_path / "unmounted")).ship(CALLER)

    assert not (tmp_path / "unmounted").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
async def test_a_pipe_in_the_place_of_the_log_s_note_keeps_nobody_waiting(store: Store, tmp_path: Path) -> None:
    away = tmp_path / "away"
    await ship_to(store, away)
    before = verify(store, away)
    (away / LOG_FILE).unlink()
    os.mkfifo(away / LOG_FILE)

    assert verify(store, away) == before
