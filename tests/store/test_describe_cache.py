"""Describes are kept per org and user, bounded, and go with their org."""

import pytest
from sqlalchemy import func, select

from orgserver.app import App
from orgserver.model.orgs import Caller
from orgserver.store import describe_cache, tables
from orgserver.store.describe_cache import BOUNDS, Bounds, DescribeKey, StoredDescribe

pytestmark = pytest.mark.both_stores


def key(app_row: str, name: str = "contact", user: str = "005") -> DescribeKey:
    return DescribeKey(app_row, user, name, "v66.0")


async def row_id(app: App, alias: str = "acme") -> str:
    return (await app.access.reload()).by_alias[alias].row_id


async def keep(app: App, which: DescribeKey, body: bytes = b"x", fetched_at: int = 1, bounds: Bounds = BOUNDS) -> bool:
    describe = StoredDescribe(body, "Mon, 12 Oct 2026 00:00:00 GMT", fetched_at)
    return await app.store.database.write(lambda tx: describe_cache.keep_in(tx, which, describe, bounds))


async def found(app: App, which: DescribeKey) -> StoredDescribe | None:
    async with app.store.database.reading() as connection:
        return await describe_cache.find(connection, which)


async def test_a_describe_is_found_by_the_same_org_user_object_and_version_only(app: App) -> None:
    acme, globex = await row_id(app), await row_id(app, "globex")
    assert await keep(app, key(acme), b"mine")
    assert await keep(app, key(acme), b"newer", 2)

    assert await found(app, key(acme)) == StoredDescribe(b"newer", "Mon, 12 Oct 2026 00:00:00 GMT", 2)
    for other in (key(globex), key(acme, user="006"), key(acme, "account"), DescribeKey(acme, "005", "contact", "v1")):
        assert await found(app, other) is None


async def test_what_was_not_used_for_longest_goes_when_there_are_too_many(app: App) -> None:
    three = Bounds(rows=3)
    acme = await row_id(app)
    for name in ("a", "b", "c"):
        await keep(app, key(acme, name), bounds=three)
    await app.store.database.write(lambda tx: describe_cache.touch_in(tx, key(acme, "a")))

    await keep(app, key(acme, "d"), bounds=three)

    assert [name for name in "abcd" if await found(app, key(acme, name))] == ["a", "c", "d"]


async def test_an_orgs_describes_take_no_more_than_their_bytes(app: App) -> None:
    hundred = Bounds(total_bytes=100)
    acme, globex = await row_id(app), await row_id(app, "globex")
    await keep(app, key(globex), b"x" * 90, bounds=hundred)
    for name in ("a", "b", "c", "d"):
        await keep(app, key(acme, name), b"x" * 40, bounds=hundred)
    size = select(func.sum(func.length(tables.describes.c.body))).where(tables.describes.c.row_id == acme)

    async with app.store.database.reading() as connection:
        assert (await connection.execute(size)).scalar_one() == 80
    assert await found(app, key(acme, "d")) is not None
    assert await found(app, key(globex)) is not None


async def test_one_that_is_too_large_or_of_no_org_is_not_kept(app: App) -> None:
    acme = await row_id(app)

    assert not await keep(app, key(acme), b"x" * 11, bounds=Bounds(body_bytes=10))
    assert not await keep(app, key("no-such-row"))
    assert await found(app, key(acme)) is None


async def test_nothing_of_an_org_stays_when_it_is_removed(app: App, caller: Caller) -> None:
    acme, globex = await row_id(app), await row_id(app, "globex")
    await keep(app, key(acme))
    await keep(app, key(globex))

    await app.registry.remove(caller, "acme", keep_token=True)

    assert await found(app, key(acme)) is None
    assert await found(app, key(globex)) is not None


async def test_an_answer_that_nothing_changed_only_renews_it(app: App) -> None:
    acme = await row_id(app)
    await keep(app, key(acme), b"body", 1)

    await app.store.database.write(lambda tx: describe_cache.confirm_in(tx, key(acme), 9))

    assert await found(app, key(acme)) == StoredDescribe(b"body", "Mon, 12 Oct 2026 00:00:00 GMT", 9)
