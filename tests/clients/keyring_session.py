"""The master key in a real Secret Service: ``python -m tests.clients.keyring_session``.

It starts a session bus and gnome-keyring's daemon for a throwaway person, and runs ``orgserver`` commands against them
(Debian: ``apt-get install gnome-keyring dbus``). It prints a transcript without a key in it; the exit code is 0 if all
went well, 1 if something did not, 2 if a program is missing. It is no part of the test suite, which needs no daemon.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orgserver.sandbox.server import Sandbox
from orgserver.vault.ring import read_ring

NEEDED = ("dbus-run-session", "gnome-keyring-daemon")
_INSIDE = "--inside"
_LONGEST = 90
_PASSWORD = b"the throwaway person's password"


def main() -> int:
    """Play it within a session of its own."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        print(f"nothing was tested: {' and '.join(missing)} not on the path (Debian: gnome-keyring, dbus)")
        return 2
    if _INSIDE in sys.argv:
        return asyncio.run(_play(Path(os.environ["HOME"])))
    with tempfile.TemporaryDirectory(prefix="orgserver-keyring-") as folder:
        return asyncio.run(_session(Path(folder)))


async def _session(folder: Path) -> int:
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        "dbus-run-session", "--", sys.executable, "-m", "tests.clients.keyring_session", _INSIDE,
        env=kept | {"HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime)},
    )  # fmt: skip
    return await process.wait()


@asynccontextmanager
async def _daemon() -> AsyncIterator[None]:
    """Run gnome-keyring's daemon, its login keyring unlocked (and made, the first time)."""
    process = await asyncio.create_subprocess_exec(
        "gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(_PASSWORD)
    process.stdin.close()
    try:
        await _until_there()
        yield
    finally:
        process.terminate()
        await process.wait()


async def _until_there() -> None:
    import secretstorage

    async with asyncio.timeout(_LONGEST):
        while True:
            with closing(secretstorage.dbus_init()) as bus:
                if secretstorage.check_service_availability(bus):
                    return
            await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class _Commands:
    """Runs ``orgserver`` in one home, and prints what a person would see."""

    home: Path

    async def __call__(self, *arguments: str, stdin: str = "", fails: bool = False, **environ: str) -> str:
        environment = {name: text for name, text in (os.environ | environ).items() if text}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orgserver", *arguments,
            env=environment | {"ORGSERVER_HOME": str(self.home), "ORGSERVER_MASTER_KEY_COMMAND": "keyring"},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(_LONGEST):
            out, err = await process.communicate(stdin.encode())
        print(f"$ orgserver {' '.join(arguments)}\n{err.decode()}", end="", flush=True)
        assert (process.returncode != 0) is fails, out.decode()
        return out.decode()

    async def finding(self, name: str) -> str:
        found = json.loads(await self("doctor", "--offline", "--json"))
        (told,) = (each["text"] for each in found if each["name"] == name)
        print(f"{name}: {told}")
        return str(told)

    def ring(self) -> list[str]:
        """The ids of the keys that the keyring itself has."""
        import keyring

        text = keyring.get_password("orgserver", str(self.home.resolve()))
        return [key.id.hex() for key in read_ring(text or "", "the keyring")]


async def _play(folder: Path) -> int:
    orgserver = _Commands(folder / "home")
    try:
        async with Sandbox.start(1) as sandbox:
            async with _daemon():
                await _use(orgserver, sandbox.orgs[0].credentials())
            async with _daemon():
                print("-- the daemon was started anew; its file is the only copy of the key")
                await orgserver("check-org", "acme")
                await _without_variable(orgserver)
                await _locked(orgserver)
    except (AssertionError, OSError, TimeoutError) as error:
        print(f"FAILED: {error!r}")
        return 1
    print("the key was made, used, rotated and kept in the Secret Service")
    return 0


async def _use(orgserver: _Commands, credential: dict[str, Any]) -> None:
    await orgserver("add-org", "acme", "--credentials-stdin", stdin=json.dumps(credential))
    (first,) = orgserver.ring()
    assert not (orgserver.home / "master.key").exists()
    assert "the system's keyring" in await orgserver.finding("master key")
    rotated = json.loads(await orgserver("rotate-key", "--json"))
    assert orgserver.ring() == [rotated["key"], first]
    print(f"everything is under key {rotated['key']} now: {rotated['moved']} values, from {rotated['source']}")


async def _without_variable(orgserver: _Commands) -> None:
    """Many clients start servers without it; systemd's place for the bus is looked at."""
    address = os.environ["DBUS_SESSION_BUS_ADDRESS"].partition(",")[0].removeprefix("unix:path=")
    (Path(os.environ["XDG_RUNTIME_DIR"]) / "bus").symlink_to(address)
    print("-- without DBUS_SESSION_BUS_ADDRESS")
    await orgserver("check-org", "acme", DBUS_SESSION_BUS_ADDRESS="")


async def _locked(orgserver: _Commands) -> None:
    """Nobody is there to unlock it: a sentence, and the store as it was."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        secretstorage.get_default_collection(bus).lock()
    print("-- the keyring is locked")
    assert await orgserver("list-orgs", fails=True) == ""


if __name__ == "__main__":
    sys.exit(main())
