"""A rolling upgrade over one step of the schema, under load: old and new versions at work side by side."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from tests.faults.servers import Killed, judge
from tests.replicas.load import Load, has_answers, load
from tests.replicas.newer_program import write_migrations
from tests.replicas.world import Replicas, replicas

STEP = 20
"""Calls that are answered between two steps of it."""
ABANDONED_SECONDS = 60
"""As servers have it: nobody dies here, and who merely waits for a processor must not be taken for dead."""


@dataclass
class Upgraded:
    """What came of it."""

    load: Load = field(default_factory=Load)
    schema: str = ""
    judged: Killed = field(default_factory=lambda: Killed(0))
    restarts: int = 0
    """Of the old version after the migration."""

    @property
    def holds(self) -> bool:
        failed = self.load.lost or self.load.late or self.load.refused or self.judged.wrong or self.judged.unknown
        return not failed and len(self.load.answered) > STEP

    def __str__(self) -> str:
        return (
            f"to schema {self.schema}, the old version started {self.restarts} times after it: "
            f"{len(self.load.answered)} answered calls, {len(self.load.lost)} lost, "
            f"{sum(self.load.refused.values())} refused {dict(self.load.refused) or ''}, "
            f"{self.judged.unknown} unknown, {len(self.judged.wrong)} wrong {self.judged.wrong or ''}"
        )


async def upgrade_replicas(database_url: str, count: int) -> Upgraded:
    """Replace so many replicas by those of a newer version, one at a time; then judge."""
    done = Upgraded()
    with tempfile.TemporaryDirectory() as folder:
        migrations = Path(folder) / "migrations"
        await asyncio.to_thread(write_migrations, migrations)
        newer = ("-m", "tests.replicas.newer_program", str(migrations))
        async with replicas(Path(folder), database_url, count, abandoned_seconds=ABANDONED_SECONDS) as world:
            key = await world.add_person("load", "acme:read,write")
            old = list(world.urls)
            async with load(world, key) as done.load:
                await has_answers(done.load, STEP)
                await world.start(newer)  # migrates, while all of the old ones are at work
                done.schema = await _read_schema(world)
                await has_answers(done.load, STEP)
                old.append(await world.start())  # as a crash would have it
                done.restarts += 1
                for url in old:
                    await has_answers(done.load, STEP)
                    await world.stop(url)
                    if len(world.urls) < count:
                        await world.start(newer)
            done.judged.answered = done.load.answered
            await judge(done.judged, world.app, world.acme)
    return done


async def _read_schema(world: Replicas) -> str:
    async with world.app.store.database.reading() as connection:
        version: str = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    return version
