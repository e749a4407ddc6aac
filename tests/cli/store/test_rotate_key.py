"""``rotate-key`` as a process of its own: what it does, says, refuses, and leaves when it is interrupted."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from orgserver.store.processes.locks import hold_file_if_free
from orgserver.vault.keys import Key
from orgserver.vault.ring import read_ring, write_ring
from tests.cli.shells import SECONDS, Shell


@pytest.fixture(autouse=True)
def _no_key_is_printed(shell: Shell) -> Iterator[None]:
    yield
    text = (shell.home / "master.key").read_text() if (shell.home / "master.key").exists() else ""
    for key in [*text.strip().split(","), *shell.env.get("ORGSERVER_MASTER_KEY", "").split(",")]:
        assert not key or not any(key in printed for printed in shell.printed)


def ring(shell: Shell) -> list[str]:
    return [key.id.hex() for key in read_ring((shell.home / "master.key").read_text(), "test")]


async def test_everything_is_under_a_new_key_and_the_org_still_answers(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    (old,) = ring(shell)

    ran = await shell("rotate-key")
    checked = await shell("check-org", "acme")

    new, kept = ring(shell)
    assert (ran.code, ran.err, kept) == (0, "", old)
    assert f"Everything is under key {new} now (a new key): 5 values moved" in ran.out
    assert f"Older keys: {old} (0 values)." in ran.out
    assert "doctor" in ran.out
    assert "backups" in ran.out
    assert checked.code == 0
    assert (shell.home / "master.key").stat().st_mode & 0o777 == 0o600


async def test_reseal_makes_new_data_keys_and_json_tells_every_key(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)

    told = (await shell("rotate-key", "--reseal", "--json")).json
    checked = await shell("check-org", "acme")

    new, old = ring(shell)
    assert told == {
        "key": new,
        "new_key": True,
        "resumed": False,
        "moved": 5,
        "resealed": True,
        "values_per_key": {new: 5, old: 0},
        "unreadable": [],
        "source": str(shell.home / "master.key"),
        "seconds": told["seconds"],
    }
    assert checked.code == 0


async def test_a_rotation_is_on_record(shell: Shell) -> None:
    await shell("migrate")
    await shell("rotate-key")

    (entry,) = (await shell("audit", "list", "--json")).json

    assert (entry["action"], entry["tool"], entry["outcome"]) == ("key", "rotate-key", "succeeded")
    assert entry["object"] == ring(shell)[0]
    assert (await shell("audit", "verify")).code == 0


async def test_a_ring_of_the_environment_gets_its_new_key_from_the_operator(shell: Shell, acme: SandboxOrg) -> None:
    old, new = Key.new(), Key.new()
    shell.env["ORGSERVER_MASTER_KEY"] = write_ring([old])
    await shell.add(acme)

    refused = await shell("rotate-key")
    shell.env["ORGSERVER_MASTER_KEY"] = write_ring([new, old])
    done = await shell("rotate-key", "--json")
    shell.env["ORGSERVER_MASTER_KEY"] = write_ring([new])

    assert (refused.code, refused.out, len(refused.lines)) == (1, "", 2)
    assert "only you can put a new one there" in refused.lines[0]
    assert "os.urandom(32)" in refused.lines[1]
    assert (done.json["key"], done.json["new_key"]) == (new.id.hex(), False)
    assert (await shell("check-org", "acme")).code == 0


async def test_a_ring_of_a_command_gets_its_new_key_from_the_operator(shell: Shell, tmp_path: Path) -> None:
    old, new, file = Key.new(), Key.new(), tmp_path / "keyring"
    shell.env["ORGSERVER_MASTER_KEY_COMMAND"] = shlex.join(
        [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", str(file)]
    )
    file.write_text(write_ring([old]))
    await shell("migrate")

    refused = await shell("rotate-key")
    file.write_text(write_ring([new, old]))
    done = await shell("rotate-key", "--json")

    assert (refused.code, len(refused.lines)) == (1, 2)
    assert done.json["values_per_key"] == {new.id.hex(): 4, old.id.hex(): 0}


async def test_a_second_rotation_is_refused_in_one_line_and_changes_nothing(shell: Shell) -> None:
    await shell("migrate")
    before = ring(shell)

    with hold_file_if_free(shell.home / "orgserver.db.rotate.lock"):
        ran = await shell("rotate-key")

    assert (ran.code, ran.out) == (1, "")
    assert ran.lines[0] == "orgserver: error: another rotate-key is at work on this store"
    assert ring(shell) == before
    assert (await shell("rotate-key")).code == 0, "and afterwards it goes"


async def test_of_two_that_begin_together_none_breaks_the_other(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)

    both = await asyncio.gather(shell("rotate-key"), shell("rotate-key"))

    assert {ran.code for ran in both} <= {0, 1}
    assert min(ran.code for ran in both) == 0
    assert all("another rotate-key" in ran.lines[0] for ran in both if ran.code)
    assert (await shell("check-org", "acme")).code == 0


@pytest.mark.parametrize("sign", ["orgserver.db.rotate.lock", "master.key.lock"])
async def test_ctrl_c_leaves_nothing_by_halves(shell: Shell, acme: SandboxOrg, sign: str) -> None:
    """Interrupted as soon as it has begun, or begun to write its key; wherever it stops, the next run is whole."""
    await shell.add(acme)
    process = await shell.start("rotate-key", "--reseal")
    async with asyncio.timeout(SECONDS):
        while not (shell.home / sign).exists() and process.returncode is None:
            await asyncio.sleep(0)
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    ran = await shell.end(process)

    checked = await shell("check-org", "acme")
    again = await shell("rotate-key", "--reseal", "--json")

    assert ran.code in (0, 130), ran.err
    assert "Traceback" not in ran.err
    assert checked.code == 0
    assert again.code == 0
    assert sum(again.json["values_per_key"].values()) == again.json["values_per_key"][again.json["key"]] == 5
    assert (await shell("audit", "verify")).code == 0


async def test_a_store_without_its_key_is_one_sentence(shell: Shell) -> None:
    await shell("migrate")
    (shell.home / "master.key").rename(shell.home / "away")

    ran = await shell("rotate-key")

    assert (ran.code, ran.out) == (1, "")
    assert "there is no master key" in ran.lines[0]
    assert not (shell.home / "master.key").exists()
    (shell.home / "away").rename(shell.home / "master.key")


async def test_a_wrong_word_is_wrong_usage(shell: Shell) -> None:
    ran = await shell("rotate-key", "now")

    assert ran.code == 2
    assert not (shell.home / "orgserver.db").exists()
