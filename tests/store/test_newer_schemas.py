"""An older version goes on with a store of a newer schema where that only adds to what it knows, and nowhere else."""

from collections.abc import Callable
from typing import Any

import pytest

from orgserver.model.errors import StoreError
from orgserver.store.files import OLDER_SCHEMAS, SCHEMA
from tests.both_stores import StorePlace

pytestmark = pytest.mark.both_stores
NEWER = "UPDATE alembic_version SET version_num = '9999'; UPDATE store SET oldest_reader = {}"


async def test_a_newer_store_is_opened_by_those_it_lets_and_by_nobody_else(
    opener: Callable[..., Any], store_place: StorePlace
) -> None:
    await (await opener()).close()
    refused = []
    for oldest_reader in ("NULL", "'9998'", f"'{SCHEMA}'", f"'{min(OLDER_SCHEMAS)}'"):
        store_place.edit(NEWER.format(oldest_reader))
        for migrate in (True, False):
            try:
                await (await opener(migrate=migrate)).close()
            except StoreError as error:
                refused.append((oldest_reader, "was written by a newer orgserver (schema 9999" in str(error)))

    assert refused == [("NULL", True)] * 2 + [("'9998'", True)] * 2
