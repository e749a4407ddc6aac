"""What each principal may do is read with the orgs, under one version of the store."""

import json
from typing import Any

from sqlalchemy import insert

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Grant, Selector
from orgserver.store.people import tables
from orgserver.store.session import Store
from orgserver.store.transaction import to_datetime

PRINCIPAL = {"kind": "person", "enabled": True, "roles": "[]", "limits": "{}", "created_at": 1}
GRANT: dict[str, Any] = {
    "principal": None, "group": None, "row_id": None, "permissions": '["read"]', "until": None, "created_at": 2,
    "created_by": "local:op",
}  # fmt: skip


async def test_a_standing_has_the_grants_of_its_principal_and_of_its_groups(store: Store) -> None:
    ada = PRINCIPAL | {"name": "ada", "roles": '["auditor"]', "limits": json.dumps({"read_only": True})}
    own = GRANT | {"id": "1", "principal": "ada", "selector": "emea-*", "until": 3}
    shared = GRANT | {"id": "2", "group": "ops", "selector": "tag:eu", "permissions": '["read", "write"]'}

    def add(tx: Any) -> None:
        tx.connection.execute(insert(tables.principals), [ada, PRINCIPAL | {"name": "bob", "enabled": False}])
        tx.connection.execute(insert(tables.groups).values(name="ops", created_at=1))
        tx.connection.execute(insert(tables.group_members).values(group="ops", principal="ada"))
        tx.connection.execute(insert(tables.grants), [own, shared])

    await store.database.write(add)
    async with store.database.reading() as connection:
        standings = (await store.orgs.catalog(connection)).standings

    at = to_datetime(2)
    assert set(standings) == {"ada", "bob"}
    assert (standings["ada"].roles, standings["ada"].limits) == ({"auditor"}, Policy(read_only=True))
    assert standings["ada"].grants == (
        Grant("1", "ada", Selector("emea-*"), frozenset({"read"}), at, None, to_datetime(3), "local:op"),
        Grant("2", "ops", Selector("tag:eu"), frozenset({"read", "write"}), at, None, None, "local:op"),
    )
    assert (standings["bob"].enabled, standings["bob"].grants) == (False, ())
