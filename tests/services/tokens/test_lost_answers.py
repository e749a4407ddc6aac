"""What becomes of a refresh whose answer was lost, could not be stored, or belongs to nobody here."""

import asyncio
import logging
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import httpx
import pytest
from sqlalchemy import select, update

from orgserver.app import App
from orgserver.model.errors import CallError, NeedsLogin, NotSent, StoreAway, StoreError
from orgserver.model.names import CONTACT
from orgserver.model.orgs import HOLDS_REFRESH_TOKEN, AuthKind, Caller, Credential, Org, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.queries.list_query import Listing
from orgserver.services.tokens.refresh import Refresher
from orgserver.store import tables
from orgserver.store.orgs.refreshes import Granted, hold_copied_in
from orgserver.store.transaction import Transaction
from tests import operations
from tests.refusing_stores import make_refusing
from tests.senders import HttpxSenders
from tests.services.tokens.tokens import with_tokens

TOKEN = ".*/token"


async def read(app: App, caller: Caller, alias: str = "acme") -> int:
    return (await operations.list_(app, caller, "salesforce_list_contacts", alias, Listing(CONTACT))).total_size or 0


async def org(app: App, alias: str = "acme") -> Org:
    return await app.registry.one(alias)


def asked(acme: SandboxOrg) -> int:
    return sum(seen.path.endswith("/token") for seen in acme.requests)


async def lease(app: App) -> Any:
    async with app.store.database.reading() as connection:
        return (await connection.execute(select(tables.leases))).first()


@pytest.fixture
async def app(app: App) -> AsyncIterator[App]:
    async with with_tokens(app) as quick:
        yield quick


# -- the answer is lost


async def test_a_refresh_that_never_arrived_is_proven_by_one_more_try_and_goes_on(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.fault("close", path=TOKEN)
    acme.expire_access_tokens()

    assert await read(app, caller) == 4

    assert (asked(acme), acme.counters.reuses) == (2, 0)
    assert (await org(app)).state is OrgState.READY
    assert await lease(app) is None


async def test_a_refresh_whose_answer_was_lost_is_proven_once_and_the_org_says_why_it_needs_a_login(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.fault("close", path=TOKEN, work=True)
    acme.expire_access_tokens()

    with pytest.raises(NeedsLogin, match="was lost"):
        await read(app, caller)
    with pytest.raises(NeedsLogin):
        await read(app, caller)

    assert (asked(acme), acme.counters.reuses) == (2, 1)
    found = await org(app)
    assert found.state is OrgState.NEEDS_LOGIN
    assert "the answer to a refresh sent at" in (found.cause or "")


async def test_a_lost_answer_is_not_proven_while_the_old_access_token_works(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.fault("close", path=TOKEN)

    with pytest.raises(NotSent, match="did not answer"):
        await app.access.tokens.renew(await org(app))  # as keeping alive does

    assert (await org(app)).state is OrgState.IN_DOUBT
    assert await read(app, caller) == 4  # the access token still works
    assert await app.keep_alive.refresh_idle() == []
    assert asked(acme) == 1
    acme.expire_access_tokens()
    assert await read(app, caller) == 4
    assert (asked(acme), acme.counters.reuses) == (2, 0)
    assert (await org(app)).state is OrgState.READY


async def test_a_doubt_left_by_a_dead_process_is_not_proven_by_keeping_alive(app: App, acme: SandboxOrg) -> None:
    await _left_by_the_dead(app)

    with pytest.raises(NeedsLogin, match="in doubt"):
        await app.access.tokens.renew(await org(app))

    assert asked(acme) == 0
    assert (await org(app)).state is OrgState.IN_DOUBT
    assert (await lease(app)).sent_at is not None


async def test_a_doubt_is_proven_at_an_operators_word(app: App, acme: SandboxOrg) -> None:
    await _left_by_the_dead(app)

    await app.access.tokens.renew(await org(app), force=True)

    assert (asked(acme), acme.counters.reuses) == (1, 0)
    assert (await org(app)).state is OrgState.READY


async def test_a_doubt_about_an_older_refresh_token_is_settled(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await _left_by_the_dead(app, fencing=0)

    await app.access.tokens.renew(await org(app))

    assert (asked(acme), (await org(app)).state) == (1, OrgState.READY)


async def _left_by_the_dead(app: App, fencing: int = 1) -> None:
    row_id = (await org(app)).row_id

    def change(tx: Transaction) -> None:
        values = {"row_id": row_id, "holder": "dead", "expires_at": tx.now - 1, "fencing": fencing}
        tx.connection.execute(tables.leases.insert().values(sent_at=tx.now - 2, **values))

    await app.store.database.write(change)


async def test_without_a_connection_nothing_is_in_doubt(app: App, caller: Caller, acme: SandboxOrg) -> None:
    closed_port = "http://127.0.0.1:1"

    def change(tx: Transaction) -> None:
        tx.connection.execute(
            update(tables.orgs)
            .where(tables.orgs.c.alias == "acme")
            .values(login_url=closed_port, trusted_hosts='["127.0.0.1:1"]')
        )

    row = await org(app)
    await app.store.database.write(change)
    with pytest.raises(CallError):
        await app.access.tokens.renew(row)

    found = await org(app)
    assert (found.state, found.problem and found.problem.code) == (OrgState.READY, "no_connection")
    assert await lease(app) is None


async def test_a_token_is_not_sent_when_the_lease_may_end_before_the_answer(
    app: App, caller: Caller, acme: SandboxOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [False, True]
    monkeypatch.setattr(Refresher, "_time_is_left", lambda *_: left.pop(0))
    acme.expire_access_tokens()

    assert await read(app, caller) == 4
    assert left == []
    assert asked(acme) == 1


async def test_a_clock_that_jumped_ahead_leaves_no_time(app: App) -> None:
    refresher = app.access.tokens._refresher
    credential = cast(Credential, SimpleNamespace(refresh_token=None))
    granted = Granted(await org(app), credential, app.store.database.clock() - 3_600_000_000, None)

    assert not refresher._time_is_left(granted, asyncio.get_running_loop().time())


# -- the answer cannot be stored


class AfterToken(httpx.AsyncBaseTransport):
    """Real connections; once a token was answered, and before anybody hears of it, ``act`` is called."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._real = HttpxSenders.open_real("")
        self._act = act

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._real.handle_async_request(request)
        if request.url.path.endswith("/token"):
            self._act()
        return response

    async def aclose(self) -> None:
        await self._real.aclose()


async def act_after_token(app: App, transports: HttpxSenders, act: Callable[[], None]) -> None:
    await app.access.client.aclose()
    transports.open = lambda _url: AfterToken(act)


@asynccontextmanager
async def refusing_after_token(
    app: App, transports: HttpxSenders, error: Exception | None = None
) -> AsyncIterator[tuple[App, asyncio.Event]]:
    """The app over a store that takes no writes from the moment a token was answered, while the event is set."""
    refuses = asyncio.Event()
    await act_after_token(app, transports, refuses.set)
    async with with_tokens(app, make_refusing(app.store, refuses.is_set, error)) as refusing:
        yield refusing, refuses


def rescues(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "home").glob("*rescue*"))


async def test_an_answer_that_cannot_be_stored_is_sealed_beside_the_store_and_taken_in_at_the_next_start(
    app: App,
    open_again: Any,
    caller: Caller,
    acme: SandboxOrg,
    tmp_path: Path,
    transports: HttpxSenders,
) -> None:
    acme.expire_access_tokens()
    async with refusing_after_token(app, transports) as (refusing, _):
        with pytest.raises(StoreAway, match="does not take the new token") as away:
            await refusing.access.tokens.renew(await org(app))

    assert "orgserver doctor" in (away.value.hint or "")
    (rescue,) = rescues(tmp_path)
    assert stat.S_IMODE(rescue.stat().st_mode) == 0o600
    assert acme.refresh_token not in rescue.read_text()
    async with open_again() as later:
        assert await read(later, caller) == 4
        assert (await org(later)).state is OrgState.READY
    assert rescues(tmp_path) == []
    assert (asked(acme), acme.counters.reuses) == (1, 0)


@pytest.mark.parametrize(
    "error", [StoreError("disk full"), RuntimeError("of ours"), UnicodeEncodeError("a", "b", 0, 1, "c")]
)
async def test_whatever_keeps_an_answer_from_the_store_it_is_sealed_beside_it(
    app: App,
    open_again: Any,
    caller: Caller,
    acme: SandboxOrg,
    tmp_path: Path,
    transports: HttpxSenders,
    error: Exception,
) -> None:
    acme.expire_access_tokens()
    async with refusing_after_token(app, transports, error) as (refusing, _):
        with pytest.raises(StoreAway):
            await refusing.access.tokens.renew(await org(app))

    async with open_again() as later:
        assert await read(later, caller) == 4
    assert rescues(tmp_path) == []
    assert (asked(acme), acme.counters.reuses) == (1, 0)


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("org_id", "00DSb0009000001MAA", OrgState.QUARANTINED),
        ("instance_url", "https://evil.example.com", OrgState.QUARANTINED),
        ("without", ["access_token"], OrgState.IN_DOUBT),
    ],
)
async def test_a_rotated_token_whose_access_token_may_not_be_used_is_sealed_beside_the_store_with_the_orgs_state(
    app: App,
    open_again: Any,
    acme: SandboxOrg,
    transports: HttpxSenders,
    tmp_path: Path,
    name: str,
    value: Any,
    state: OrgState,
) -> None:
    setattr(acme.answers, name, value)
    async with refusing_after_token(app, transports) as (refusing, _):
        with pytest.raises(StoreAway):
            await refusing.access.tokens.renew(await org(app))
    (rescue,) = rescues(tmp_path)

    async with open_again() as later:
        found = await org(later)
        _, credential = await later.registry.credential("acme")
        async with later.store.database.reading() as connection:
            access = await later.store.orgs.credentials.access_token(connection, found.login)

    assert (found.state, rescues(tmp_path)) == (state, [])
    assert credential is not None and credential.refresh_token is not None
    assert credential.refresh_token.reveal() == acme.refresh_token
    assert access is not None and access.fencing == 1
    assert not rescue.exists()


async def test_an_exception_of_ours_after_a_refresh_has_left_leaves_it_in_doubt(
    app: App, caller: Caller, acme: SandboxOrg, transports: HttpxSenders
) -> None:
    def fail() -> None:
        raise RuntimeError("of ours")

    await act_after_token(app, transports, fail)
    with pytest.raises(NotSent, match="did not answer"):
        await app.access.tokens.renew(await org(app))
    transports.open = transports.open_real
    await app.access.client.aclose()

    assert (await org(app)).state is OrgState.IN_DOUBT
    assert await read(app, caller) == 4
    assert (asked(acme), acme.counters.reuses) == (1, 0)


async def test_the_process_that_holds_an_unstored_answer_sends_nothing_more_and_stores_it_when_it_can(
    app: App, caller: Caller, acme: SandboxOrg, tmp_path: Path, transports: HttpxSenders
) -> None:
    row = await org(app)
    async with refusing_after_token(app, transports) as (refusing, refuses):
        for _ in range(3):
            with pytest.raises(StoreAway):
                await refusing.access.tokens.renew(row)
        assert asked(acme) == 1

        refuses.clear()
        token = await refusing.access.tokens.renew(row)

        assert token.fencing == 2
        assert rescues(tmp_path) == []
        assert asked(acme) == 1
        assert await read(refusing, caller) == 4


async def test_another_process_takes_a_rescued_answer_in_before_it_sends_anything(
    app: App, open_again: Any, caller: Caller, acme: SandboxOrg, transports: HttpxSenders
) -> None:
    async with open_again(lease_seconds=0.3, token_seconds=0.2) as other:
        acme.expire_access_tokens()
        async with refusing_after_token(app, transports) as (refusing, _):
            with pytest.raises(StoreAway):
                await refusing.access.tokens.renew(await org(app))

        assert await read(other, caller) == 4

    assert (asked(acme), acme.counters.reuses) == (1, 0)


async def test_a_rescue_file_of_another_key_or_with_junk_is_left_alone(
    app: App, open_again: Any, caller: Caller, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row_id = (await org(app)).row_id
    home = tmp_path / "home"
    (home / "orgserver.db.rescue-junk").write_text("{")
    (home / "orgserver.db.rescue-foreign").write_text(
        '{"v": 1, "org": "%s", "fencing": 1, "sealed": "%s"}' % (row_id, "AQ" + "A" * 120 + "==")
    )

    logger = logging.getLogger("orgserver.tokens")
    caplog.set_level(logging.WARNING, logger=logger.name)
    logger.addHandler(caplog.handler)  # a command that ran in this process may have taken ours off the root
    try:
        async with open_again() as later:
            assert await read(later, caller) == 4
    finally:
        logger.removeHandler(caplog.handler)

    assert len(rescues(tmp_path)) == 2
    assert "left alone" in caplog.text


# -- the answer belongs to nobody here


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("org_id", "00DSb0009000001MAA", "another org"),
        ("instance_url", "https://evil.example.com", "may not be trusted"),
    ],
)
async def test_of_an_answer_for_another_org_or_host_only_the_refresh_token_is_stored(
    app: App, caller: Caller, acme: SandboxOrg, name: str, value: str, told: str
) -> None:
    setattr(acme.answers, name, value)
    acme.expire_access_tokens()

    with pytest.raises(NeedsLogin, match=told):
        await read(app, caller)
    with pytest.raises(NeedsLogin, match="quarantined"):
        await read(app, caller)

    assert asked(acme) == 1
    assert (await org(app)).state is OrgState.QUARANTINED
    async with app.store.database.reading() as connection:
        credential = await app.store.orgs.credentials.credential(connection, (await org(app)).login)
        access = await app.store.orgs.credentials.access_token(connection, (await org(app)).login)
    assert credential is not None and credential.refresh_token is not None and credential.fencing == 2
    assert credential.refresh_token.reveal() == acme.refresh_token
    assert access is not None and access.fencing == 1


async def test_a_refusal_that_kills_nothing_leaves_the_org_ready_with_its_problem(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    body = '{"error": "invalid_grant", "error_description": "ip restricted"}'
    acme.fault("status", path=TOKEN, status=400, body=body)
    acme.expire_access_tokens()

    with pytest.raises(NotSent, match="ip restricted"):
        await read(app, caller)

    found = await org(app)
    assert (found.state, found.problem and found.problem.code) == (OrgState.READY, "invalid_grant")
    assert await read(app, caller) == 4
    assert (await org(app)).problem is None


# -- a copy of a store


def test_of_every_way_to_log_in_it_is_told_whether_it_leaves_a_refresh_token() -> None:
    assert set(HOLDS_REFRESH_TOKEN) == set(get_args(AuthKind))


@pytest.mark.parametrize("auth", get_args(AuthKind))
async def test_in_a_copy_of_a_store_exactly_the_orgs_that_hold_a_refresh_token_are_held(
    app: App, auth: AuthKind
) -> None:
    def copied(tx: Transaction) -> int | None:
        tx.connection.execute(update(tables.store).values(copied_at=tx.now))
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.alias == "acme").values(auth=auth))
        return hold_copied_in(tx, lambda when: f"this store is a copy of {when:%Y}")

    count = await app.store.database.write(copied)
    await app.access.reload()

    acme = await org(app)
    assert acme.refresh_suspended is acme.holds_refresh_token
    assert count == 1 + acme.holds_refresh_token  # globex holds one
    assert (await org(app, "globex")).refresh_suspended is True


async def test_in_a_copy_of_a_store_no_refresh_token_is_sent_until_an_operator_says_so(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    def copied(tx: Transaction) -> int | None:
        tx.connection.execute(update(tables.store).values(copied_at=tx.now))
        tx.connection.execute(tables.access_tokens.delete())
        return hold_copied_in(tx, lambda when: f"this store is a copy of {when:%Y}")

    acme.expire_access_tokens()
    assert await app.store.database.write(copied) == 2
    await app.access.reload()

    with pytest.raises(NeedsLogin, match="in doubt: this store is a copy") as refused:
        await read(app, caller)
    with pytest.raises(NeedsLogin):
        await app.access.tokens.renew(await org(app))
    assert "--try-token" in (refused.value.hint or "")
    assert await app.keep_alive.refresh_idle() == []
    assert asked(acme) == 0

    await app.access.tokens.renew(await org(app), force=True)

    assert await read(app, caller) == 4
    assert (await org(app)).refresh_suspended is False
    assert (await org(app)).state is OrgState.READY
    assert (await org(app, "globex")).refresh_suspended is True
