"""An API key opens what it may until it ends, and from then on nothing, whatever process checks it."""

import asyncio
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.app import App
from orgserver.model.access.api_keys import is_api_key, make_api_key
from orgserver.model.errors import PeopleError
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.services.people import key_uses
from orgserver.services.people.keys import KeyRefusal, NewKey
from orgserver.services.people.requests import KeyChanges, PrincipalChanges
from orgserver.store.engines.sqlite_reader import SqliteReader
from tests.conftest import Clock, OpenApp


async def check(app: App, key: NewKey) -> str | KeyRefusal:
    """Whose key it is; or why it opens nothing."""
    owner = await app.people.api_keys.check(key.text)
    if isinstance(owner, KeyRefusal):
        return owner
    assert owner.key_id == key.id
    return owner.principal.name


async def new_key(app: App, caller: Caller, name: str = "ada", until: datetime | None = None) -> NewKey:
    changes = PrincipalChanges(keys=KeyChanges(new=True, until=until))
    known = {record.name for record in await app.people.principals.all()}
    do = app.people.principals.update if name in known else app.people.principals.add
    key = (await do(caller, name, changes)).key
    assert key is not None
    return key


@given(place=st.integers(min_value=0, max_value=52), letter=st.sampled_from("aZ0_-é "))
def test_a_mistyped_key_is_known_to_be_none(place: int, letter: str) -> None:
    text = make_api_key().reveal()
    mistyped = text[:place] + letter + text[place + 1 :]

    assert re.fullmatch("osk_[0-9A-Za-z]{49}", text)
    assert is_api_key(text)
    assert is_api_key(mistyped) == (mistyped == text)
    assert not is_api_key(text + "a")
    assert not is_api_key(text[:-1])


async def test_a_key_is_its_principals_and_several_open_at_a_time(app: App, caller: Caller) -> None:
    keys = [await new_key(app, caller), await new_key(app, caller), await new_key(app, caller, "bob")]

    assert [await check(app, key) for key in keys] == ["ada", "ada", "bob"]


async def test_a_key_that_is_none_opens_nothing(app: App, caller: Caller) -> None:
    key = await new_key(app, caller)
    text = key.text.reveal()

    for none in (make_api_key(), Secret(text[:-1]), Secret(text.lower()), Secret("x"), Secret(f"{text}\n")):
        assert await app.people.api_keys.check(none) is KeyRefusal.UNKNOWN


async def test_a_key_that_was_ended_in_another_process_opens_nothing_with_the_next_request(
    app: App, caller: Caller, open_again: OpenApp, clock: Clock
) -> None:
    first, second = await new_key(app, caller), await new_key(app, caller)
    ending = await new_key(app, caller, until=datetime.now(UTC) + timedelta(minutes=5))
    assert [await check(app, key) for key in (first, second, ending)] == ["ada"] * 3

    async with open_again() as other:
        revoking = PrincipalChanges(keys=KeyChanges(revoked=(first.id,)))
        await other.people.principals.update(caller, "ada", revoking)
        assert [await check(app, key) for key in (first, second)] == [KeyRefusal.REVOKED, "ada"]
        clock.advance(301)
        assert await check(app, ending) is KeyRefusal.ENDED
        await other.people.principals.update(caller, "ada", PrincipalChanges(enabled=False))
        assert await check(app, second) is KeyRefusal.DISABLED
        await other.people.principals.update(caller, "ada", PrincipalChanges(enabled=True))
        assert await check(app, second) == "ada"
        await other.people.principals.remove(caller, "ada")
        assert await check(app, second) is KeyRefusal.UNKNOWN


async def test_the_last_uses_of_many_keys_are_written_at_once_each_once_a_minute_and_nobody_reads_anew_for_them(
    app: App, caller: Caller, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_uses, "WAIT_SECONDS", 0.05)
    several = [await new_key(app, caller) for _ in range(3)]
    version = (await app.access.catalog()).version
    commits, uses = [], []

    for seconds in (0, 30, 31):
        clock.advance(seconds)
        before = app.store.database.commits[0]
        for _ in range(5):
            assert [await check(app, key) for key in several] == ["ada"] * 3
        writing = app.people.api_keys._uses._writing
        assert writing is not None
        await writing
        commits.append(app.store.database.commits[0] - before)
        uses.append({key.last_used_at for key in (await app.people.principals.one("ada")).keys})

    assert commits == [1, 0, 1]
    assert None not in uses[0]
    assert uses[0] == uses[1] != uses[2]
    assert (await app.access.reload()).version == version


async def test_a_use_that_waits_to_be_written_is_written_at_the_end(caller: Caller, open_again: OpenApp) -> None:
    async with open_again() as app:
        key = await new_key(app, caller)
        assert await check(app, key) == "ada"

    async with open_again() as app:
        assert (await app.people.principals.one("ada")).keys[0].last_used_at is not None


async def test_a_check_that_finds_nothing_changed_does_not_wait(app: App, caller: Caller) -> None:
    key = await new_key(app, caller)
    await check(app, key)

    checking = app.people.api_keys.check(key.text)

    with pytest.raises(StopIteration):
        checking.send(None)  # it is over without a turn of the event loop


async def test_requests_of_one_turn_look_once_whether_the_store_has_changed(
    app: App, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await new_key(app, caller)
    await check(app, key)
    await asyncio.sleep(0)
    reads: list[int | None] = []
    read = SqliteReader.read

    def note(reader: SqliteReader) -> int | None:
        reads.append(read(reader))
        return reads[-1]

    monkeypatch.setattr(SqliteReader, "read", note)
    for turns in (1, 2):
        assert await asyncio.gather(*(check(app, key) for _ in range(5))) == ["ada"] * 5
        assert len(reads) == turns


async def test_whoever_comes_after_a_key_was_revoked_is_refused_in_the_midst_of_a_turn_too(
    app: App, caller: Caller
) -> None:
    key = await new_key(app, caller)
    assert await check(app, key) == "ada"
    await asyncio.sleep(0)
    after: list[asyncio.Task[str | KeyRefusal]] = []

    def revoke_and_ask() -> None:
        with closing(sqlite3.connect(app.settings.database_file)) as store, store:
            store.execute("UPDATE api_keys SET revoked_at = 1")
            store.execute("UPDATE store SET catalog_version = catalog_version + 1")
        after.append(asyncio.create_task(check(app, key)))

    loop = asyncio.get_running_loop()
    before = loop.create_task(check(app, key))
    loop.call_soon(revoke_and_ask)

    assert await before == "ada"
    assert await after[0] is KeyRefusal.REVOKED


async def test_keys_are_checked_the_long_way_while_the_version_cannot_be_read_at_once(
    app: App, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await new_key(app, caller)
    assert await check(app, key) == "ada"
    monkeypatch.setattr(SqliteReader, "read", lambda _self: None)

    assert await check(app, key) == "ada"
    await app.people.principals.update(caller, "ada", PrincipalChanges(keys=KeyChanges(revoked=(key.id,))))
    assert await check(app, key) is KeyRefusal.REVOKED


async def test_a_key_is_revoked_by_an_id_that_is_meant_for_one(app: App, caller: Caller) -> None:
    first, second = await new_key(app, caller), await new_key(app, caller)
    common = first.id[:2]

    for beginning, words in (
        (common, "2 keys of ada begin with"), ("zz", "ada has no key zz"), ("", "ada has no key"),
        (first.text.reveal(), "revoked by its id, not by its text"),
    ):  # fmt: skip
        with pytest.raises(PeopleError, match=words) as refused:
            await app.people.principals.update(caller, "ada", PrincipalChanges(keys=KeyChanges(revoked=(beginning,))))
        assert first.text.reveal() not in str(refused.value)
    await app.people.principals.update(caller, "ada", PrincipalChanges(keys=KeyChanges(revoked=(second.id.upper(),))))
    with pytest.raises(PeopleError, match="is revoked already"):
        await app.people.principals.update(caller, "ada", PrincipalChanges(keys=KeyChanges(revoked=(second.id,))))

    assert [await check(app, key) for key in (first, second)] == ["ada", KeyRefusal.REVOKED]


async def test_no_text_of_a_key_is_in_the_store_or_in_what_is_said_of_it(app: App, caller: Caller) -> None:
    key = await new_key(app, caller)
    await app.people.api_keys.check(key.text)
    record = await app.people.principals.one("ada")
    await app.store.audit.catch_up()

    stored = b"".join(path.read_bytes() for path in app.settings.database_file.parent.iterdir() if path.is_file())

    assert key.text.reveal().encode() not in stored
    assert key.text.reveal() not in f"{key!r} {record!r}"
