"""Processes that ship are killed at any moment, two at a time: no gap, no event twice, no half part."""

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.services.audit.shipping.bucket import Bucket
from orgserver.services.audit.shipping.folder import Folder
from orgserver.services.audit.shipping.shipper import Shipper

from .bucket_server import BUCKET, KEYS, start_moto
from .logs import CALLER, verify, write

_ENDED = -9


async def kill_some(home: Path, place: str, rounds: int, **more: str) -> None:
    """Two processes at a time, killed while they ship."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(rounds):
        command = (sys.executable, "-m", "tests.services.audit.shipping.killed", str(home), place)
        both = [
            await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=os.environ | more)
            for _ in range(2)
        ]
        for each in both:
            assert each.stdout is not None
            assert await each.stdout.readline() == b"ready\n"
        for each in both:
            await asyncio.sleep(chance.uniform(0.02, 0.4))  # the fault itself: its moments are what is random
            each.kill()
            await each.communicate()
            assert each.returncode == _ENDED  # and not by itself


async def test_shippers_to_a_folder_are_killed(tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    settings = read_settings({"home": tmp_path / "home"}, {})
    async with open_app(settings) as app:  # makes it, so that two do not
        await write(app.store, 1)
    await kill_some(tmp_path / "home", str(away), 3)
    async with open_app(settings) as app:
        shipment = await Shipper(app.store, Folder(away)).ship(CALLER)
        assert shipment.problems == ()
        assert verify(app.store, away) == shipment.last


async def test_shippers_to_a_bucket_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings({"home": tmp_path / "home"}, {})
    async with open_app(settings) as app:
        await write(app.store, 1)
    with start_moto(tmp_path) as url:
        environ = KEYS | {"AWS_ENDPOINT_URL": url}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        await kill_some(tmp_path / "home", f"s3://{BUCKET}/p", 1, **environ)
        bucket, copy = Bucket(BUCKET, "p"), tmp_path / "copy"
        copy.mkdir()
        async with open_app(settings) as app:
            shipment = await Shipper(app.store, bucket).ship(CALLER)
            for each in await bucket.list_files():
                (copy / each.name).write_bytes(await bucket.read(each.name) or b"")
            assert shipment.problems == ()
            assert verify(app.store, copy) == shipment.last
