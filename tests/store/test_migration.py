"""A store of an older version is brought to the newest schema with everything in it."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from orgserver.model.access.policies import Policy
from orgserver.model.errors import StoreError
from orgserver.model.names import org_id
from orgserver.store import tables
from orgserver.store.database import Database
from orgserver.store.files import APPLICATION_ID, OLDER_SCHEMAS, SCHEMA
from orgserver.store.migration import scripts
from orgserver.store.session import Store

ORG = {
    "row_id": "r1", "alias": "acme", "name": "Acme", "login_url": "https://login.salesforce.com",
    "instance_url": "https://acme.my.salesforce.com", "trusted_hosts": "[]", "api_version": "v66.0", "state": "ready",
    "policy": "{}", "tags": "[]", "source": ".env", "enabled": 1, "created_at": 1,
}  # fmt: skip
CREDENTIAL = {
    "row_id": "r1", "kind": "refresh-token", "client_id": "3MVG9", "client_secret": b"sealed secret",
    "refresh_token": b"sealed token", "fencing": 7, "given": "digest",
}  # fmt: skip
NEWER = OLDER_SCHEMAS - {"0001"}
"""Schemas in which an org, not its credential, says how it is logged in to."""
LEASE = {"row_id": "r1", "holder": "p/1", "expires_at": 5}


def at(schema: str, file: Path) -> None:
    """Make a store of an older version, with an org in it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite+pysqlite:///{file}")
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    with engine.connect() as connection, connection.begin():
        config.attributes.update(connection=connection, metadata=tables.metadata)
        command.upgrade(config, schema)
        connection.execute(text(f"PRAGMA application_id = {APPLICATION_ID}"))
        for table, row in (("orgs", ORG), ("credentials", dict(CREDENTIAL)), ("leases", LEASE)):
            if schema in NEWER:
                row.pop("kind", None)
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
    engine.dispose()


async def test_a_store_of_the_first_version_keeps_its_orgs_and_credentials(store_file: Path) -> None:
    at("0001", store_file)

    database = await Database.open(store_file)
    async with database.reading() as connection:
        org = (await connection.execute(text("SELECT * FROM orgs"))).one()
        credential = (await connection.execute(text("SELECT * FROM credentials"))).one()
        lease = (await connection.execute(text("SELECT * FROM leases"))).one()
        schema = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    await database.close()

    assert schema == SCHEMA
    assert (org.alias, org.auth, org.held) == ("acme", "refresh-token", 0)
    assert (credential.client_secret, credential.refresh_token, credential.fencing, credential.given) == (
        b"sealed secret", b"sealed token", 7, "digest",
    )  # fmt: skip
    assert (credential.private_key, credential.username, credential.audience) == (None, None, None)
    assert (lease.holder, lease.fencing, lease.sent_at) == ("p/1", 0, None)


@pytest.mark.parametrize("schema", sorted(OLDER_SCHEMAS))
async def test_an_older_store_is_not_changed_by_whoever_may_not(schema: str, store_file: Path) -> None:
    at(schema, store_file)

    with pytest.raises(StoreError, match="is needed"):
        await Database.open(store_file, migrate=False)


ACME, GLOBEX = org_id("00DSb0001234567"), org_id("00DSb0007654321")
LOCKED, KEEPING = Policy(read_only=True), Policy(keep_values=True)
ALIASES: dict[str, tuple[str | None, Policy]] = {
    "a": (ACME, LOCKED),
    "b": (ACME[:15], KEEPING),
    "c": (ACME, Policy()),
    "d": (GLOBEX, Policy()),
    "e": (None, LOCKED),
}


async def test_twins_get_the_strictest_of_their_policies_on_record_and_once(
    opener: Callable[..., Any], store_file: Path, tmp_path: Path
) -> None:
    await (await opener()).close()
    newest = store_file.rename(tmp_path / "newest.db")
    at("0006", store_file)
    with closing(sqlite3.connect(store_file)) as connection, connection:
        _as_before(connection, newest)

    for _ in range(2):
        store: Store = await opener()
        async with store.database.reading() as reading:
            orgs = (await store.orgs.catalog(reading)).by_alias.values()
            found = {org.alias: (org.org_id, org.policy) for org in orgs}
            events = (await reading.execute(text("SELECT canonical FROM audit_events ORDER BY sequence"))).scalars()
            told = [(event["org"], event["fields"]) for event in map(json.loads, events) if event.get("tool")]
        await store.close()

        both = LOCKED.strictest(KEEPING)
        assert found == {
            "a": (ACME, both), "b": (ACME, both), "c": (ACME, both), "d": (GLOBEX, Policy()), "e": (None, LOCKED),
            "acme": (None, Policy()),
        }  # fmt: skip
        assert told == [("a", ["keep_values"]), ("b", ["read_only"]), ("c", ["read_only", "keep_values"])]


def _as_before(connection: sqlite3.Connection, newest: Path) -> None:
    """Give a store of version 0006 its keys, and orgs with a policy each."""
    connection.execute("ATTACH ? AS newest", (str(newest),))
    for table in ("store", "audit_head", "data_keys"):
        names = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
        connection.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM newest.{table}")
    for alias, (known_as, policy) in ALIASES.items():
        row = ORG | {"row_id": alias, "alias": alias, "org_id": known_as, "policy": json.dumps(policy.facts())}
        values = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO orgs ({', '.join(row)}) VALUES ({values})", tuple(row.values()))
