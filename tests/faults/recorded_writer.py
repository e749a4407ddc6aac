"""A process that writes into a store of its own while all that it asks of the disk is recorded.

``powercut`` runs it as `python -m tests.faults.recorded_writer`. Two lives, each opened and closed: callers append
intents and outcomes at once, checkpoints are made, refresh tokens rotate and are stored, or left in rescue files and
taken in. Reads what to do as JSON from standard input; writes the record to the file that is named there.
"""

import asyncio
import json
import logging
import pickle
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from orgserver.model.access.logins import LoginKey
from orgserver.model.access.policies import Policy
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.names import Alias, RowId, new_id
from orgserver.model.orgs import AccessToken, Credential, Org, OrgState
from orgserver.model.secret import Secret
from orgserver.store.engines import sqlite_connections
from orgserver.store.session import Store, open_store
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault

from .watching import Watched

FAR = 1 << 60
FILE = "orgserver.db"
LIVES, CALLERS = 2, 8
ROW = RowId("0190a000-0000-7000-8000-000000000001")
URL = "https://acme.my.salesforce.com"


def refresh_token(fencing: int) -> str:
    """The refresh token that an org has with a fencing number."""
    return f"rotated {fencing} times"


class RecordedWriter:
    """One life of the process."""

    def __init__(self, store: Store, watched: Watched, chance: random.Random) -> None:
        self._store, self._told, self._chance = store, watched.acknowledged, chance

    async def live(self, calls: int) -> None:
        """Everything at once."""
        await self._enrol()
        await asyncio.gather(*(self._call(calls) for _ in range(CALLERS)), self._refresh(calls // 2), self._sign(calls))

    async def _enrol(self) -> None:
        now = datetime.now(UTC)
        org = Org(
            ROW, Alias("acme"), None, "Acme", None, None, URL, URL, (), "v66.0", None, OrgState.READY, None, None,
            Policy(), (), "busy", now, now,
        )  # fmt: skip
        orgs = self._store.orgs
        credential = Credential("app", None, Secret(refresh_token(1)), fencing=1)

        def enrol(tx: Transaction) -> None:
            if not orgs.is_registered_in(tx, org.alias):
                orgs.add_in(tx, org, credential, None)

        await self._store.database.write(enrol)

    async def _call(self, calls: int) -> None:
        for number in range(calls):
            one = Intent(
                new_id(), "busy", "stdio", Action.CREATE, org="acme", object="Contact", fields=("LastName",) * 9
            )
            version = await self._store.database.write(self._catalog_version)
            await self._store.audit.begin(one, deadline=FAR, catalog_version=version)
            self._told("intent", one.id)
            if number % 10 == 9:
                continue  # it will be found pending
            ending = Completion(Outcome.SUCCEEDED, record_ids=(f"003Sb{self._chance.randrange(10**10):010d}AAA",))
            assert await self._store.audit.finish(one.id, ending)
            self._told("outcome", one.id)

    @staticmethod
    def _catalog_version(tx: Transaction) -> int:
        return int(tx.connection.exec_driver_sql("SELECT catalog_version FROM store").scalar_one())

    async def _refresh(self, times: int) -> None:
        """Rotations: most are stored at once; now and then the store does not take one."""
        async with self._store.database.reading() as connection:
            credential = await self._store.orgs.credentials.credential(connection, LoginKey.shared(ROW))
        assert credential is not None
        for fencing in range(credential.fencing, credential.fencing + times):
            token = Secret(refresh_token(fencing + 1))
            access = AccessToken(Secret("access"), URL, fencing + 1)
            if fencing % 3:
                change = partial(self._refreshed, fencing=fencing, token=token, access=access)
                assert await self._store.database.write(change)
            else:
                await asyncio.to_thread(self._store.rescue.keep, LoginKey.shared(ROW), fencing, token, access)
            self._told("token", str(fencing + 1))
            await self._store.take_in_rescued()

    def _refreshed(self, tx: Transaction, fencing: int, token: Secret, access: AccessToken) -> bool:
        return self._store.orgs.store_refresh_in(tx, LoginKey.shared(ROW), fencing, token, access)

    async def _sign(self, times: int) -> None:
        for _ in range(times):
            await self._store.audit.look_after(idle_us=0)
            self._told("checkpoint", "")


def _with(synchronous: str) -> Callable[[Any, object], None]:
    """How the product prepares its writer's connection, but for one setting."""
    product = sqlite_connections._prepare_writer

    def prepare(connection: Any, record: object) -> None:
        product(connection, record)
        connection.execute(f"PRAGMA synchronous = {synchronous}")

    return prepare


async def main(folder: Path, key: bytes, seed: int, calls: int) -> Watched:
    chance = random.Random(seed)
    watched = Watched(folder)
    for _ in range(LIVES):
        store = await open_store(folder / FILE, lambda _create: Vault([Key(key)]))
        await RecordedWriter(store, watched, chance).live(calls)
        await store.close()
    return watched


if __name__ == "__main__":
    told = json.load(sys.stdin)
    logging.disable(logging.WARNING)
    if told["synchronous"]:
        sqlite_connections._prepare_writer = _with(told["synchronous"])
    done = asyncio.run(main(Path(told["folder"]), bytes.fromhex(told["key"]), told["seed"], told["calls"]))
    Path(told["record"]).write_bytes(pickle.dumps(done.record))
