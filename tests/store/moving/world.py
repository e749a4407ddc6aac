"""A sample store to be moved, places to move it to, and what is in each of them."""

import asyncio
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from orgserver.config import Settings, read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller
from orgserver.store.engines.address import FileAddress, ServerAddress, StoreAddress
from orgserver.store.moving import rows
from orgserver.store.moving.move import Copied, Move, move
from orgserver.store.moving.places import make_engine
from orgserver.store.moving.rows import Contents, Step
from orgserver.store.session import Store, open_store
from orgserver.store.sql.threads import run_in_loop
from orgserver.vault.sources import open_vault
from tests.samples.stores.sample import FOLDER
from tests.store_server import StoreServer

MOVER = Caller(Principal("local:mover"), "cli")


@dataclass
class Home:
    """A home with a store of an earlier version, which is migrated when it is first opened."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, schema: str = "schema-0009") -> "Home":
        folder.mkdir(mode=0o700)
        for path in (FOLDER / schema).glob("orgserver.db*"):
            shutil.copyfile(path, folder / path.name)
        shutil.copyfile(FOLDER / schema / "master.key", folder / "master.key")
        for path in folder.iterdir():
            path.chmod(0o600)
        return cls(folder)

    @property
    def settings(self) -> Settings:
        return read_settings({"home": str(self.folder)}, {})

    @property
    def store(self) -> FileAddress:
        return FileAddress(self.folder / "orgserver.db")

    def file(self, name: str) -> FileAddress:
        return FileAddress(self.folder / name)

    def database(self, server: StoreServer, name: str) -> ServerAddress:
        return ServerAddress(make_url(server.url(name)), self.folder / f"postgresql-{name}")

    def order(self, target: StoreAddress, source: StoreAddress | None = None, tell: Step | None = None) -> Move:
        return Move(
            source or self.store,
            target,
            lambda: open_vault(self.settings, create=False),
            MOVER,
            tell or (lambda _table, _rows: None),
        )

    async def move(self, target: StoreAddress, source: StoreAddress | None = None, tell: Step | None = None) -> Copied:
        return await move(self.order(target, source, tell))

    async def open(self, address: StoreAddress) -> Store:
        return await open_store(address, lambda _create: open_vault(self.settings, create=False))


async def read(address: StoreAddress, *left_out: str) -> dict[str, Contents]:
    """What is in each table of a store, in a form that is the same in every database."""

    def look() -> dict[str, Contents]:
        engine = make_engine(address)
        with closing(engine.connect()) as connection:
            compared = [table for table in rows.copied_tables() if table.name not in left_out]
            return {table.name: rows.read_contents(connection, table, is_for_server=True) for table in compared}

    return await asyncio.to_thread(run_in_loop, look)
