"""Replicas come and go under load: killed, or replaced by those of a newer version. The quick sizes."""

import pytest

from tests.replicas.losing import lose_replicas
from tests.replicas.newer_program import NEWER
from tests.replicas.upgrading import upgrade_replicas
from tests.store_server import StoreServer

pytestmark = pytest.mark.timeout(300)
SEED = 18


@pytest.fixture
def database_url(store_server: StoreServer, store_database: str) -> str:
    return store_server.url(store_database)


async def test_a_replica_killed_under_load_loses_no_answer_and_no_record(database_url: str) -> None:
    done = await lose_replicas(1, seed=SEED, database_url=database_url)

    print(done)
    assert done.holds, str(done)
    assert not done.refused
    assert 1 <= done.unknown <= done.lost


async def test_an_upgrade_over_one_step_of_the_schema_fails_no_call(database_url: str) -> None:
    done = await upgrade_replicas(database_url, 2)

    print(done)
    assert done.holds, str(done)
    assert (done.schema, done.restarts) == (NEWER, 1)
