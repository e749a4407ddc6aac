"""At each refresh the provider is asked whether its own grant still stands; nothing is lost and nothing used twice."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update

from orgserver.model.access.people import Person
from orgserver.model.access.policies import Policy
from orgserver.model.digests import digest_text
from orgserver.model.errors import StoreError
from orgserver.model.secret import Secret
from orgserver.oauth.provider.client import ProviderAnswer
from orgserver.oauth.provider.refusals import GrantEnded, ProviderRefused, ProviderUnavailable
from orgserver.services.signin.tokens.access_tokens import SignedIn, TokenRefusal
from orgserver.services.signin.tokens.authorization_server import (
    PROVIDER_ENDED,
    PROVIDER_NOT_BELIEVED,
    PROVIDER_TOKEN_CHANGED,
)
from orgserver.services.signin.tokens.issuance import CODE_REFUSED, REFRESH_REUSED
from orgserver.store.people import changes, claims
from orgserver.store.signin import tables, tokens
from orgserver.store.transaction import Transaction
from tests.conftest import Clock

from .world import ADA, World, error_of

DAY = 24 * 3_600
HOUR_US, DAY_US = 3_600 * 1_000_000, DAY * 1_000_000


def answer(token: str | None = None, groups: tuple[str, ...] | None = None) -> ProviderAnswer:
    return ProviderAnswer(Person(ADA, "Ada", groups=groups), Secret(token) if token is not None else None)


async def test_the_provider_is_asked_each_time_with_its_newest_token(world: World) -> None:
    tokens = await world.sign_in(provider_token="prt-first-canary")
    world.canaries |= {"prt-second-canary"}
    world.provider.answers = [answer("prt-second-canary"), answer(None), answer(None)]

    for _ in range(3):
        reply = await world.refresh(tokens["refresh_token"])
        assert reply.status_code == 200
        tokens = reply.json()

    assert world.provider.refreshes == ["prt-first-canary", "prt-second-canary", "prt-second-canary"]


async def test_a_code_shown_without_its_proof_leaves_no_grant_of_the_provider_behind(world: World) -> None:
    grant = await world.grant(provider_token="prt-canary")

    assert error_of(await world.token(grant.form(code_verifier="w" * 43))) == (400, "invalid_grant")

    code = await world.store.database.write(lambda tx: tokens.find_in(tx, digest_text(grant.code)))
    assert code is not None
    assert (code.session.ended_why, code.session.has_provider_token) == (CODE_REFUSED, False)
    assert any(f"why:{CODE_REFUSED}" in entry.fields for entry in await world.entries())


async def test_a_token_of_the_provider_that_was_put_back_ends_the_session(world: World) -> None:
    tokens = await world.sign_in(provider_token="prt-first-canary")
    sealed = select(tables.sessions.c.provider_token)
    first = await world.store.database.write(lambda tx: tx.connection.execute(sealed).scalar())
    world.provider.answers = [answer("prt-second")]
    tokens = (await world.refresh(tokens["refresh_token"])).json()
    put_back = update(tables.sessions).values(provider_token=first)
    await world.store.database.write(lambda tx: tx.connection.execute(put_back))

    assert error_of(await world.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert await world.last_failure() == "PROVIDER_TOKEN"
    session = await world.session()
    assert (session.ended_why, session.has_provider_token) == (PROVIDER_TOKEN_CHANGED, False)
    assert await world.check(tokens["access_token"]) in (TokenRefusal.ENDED, TokenRefusal.UNKNOWN)
    assert world.provider.refreshes == ["prt-first-canary"]


async def test_a_session_that_the_provider_vouches_for_ends_thirty_days_after_its_last_use(
    world: World, clock: Clock
) -> None:
    tokens = await world.sign_in(provider_token="prt-canary")
    clock.advance(29 * DAY)
    tokens = (await world.refresh(tokens["refresh_token"])).json()
    session = await world.session()
    assert session.used_at is not None
    assert session.expires_at - session.used_at == 30 * DAY_US

    clock.advance(30 * DAY + 1)
    assert error_of(await world.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


async def test_a_session_without_a_grant_of_the_provider_ends_after_its_hours_and_its_tokens_with_it(
    world: World, clock: Clock
) -> None:
    tokens = await world.sign_in()
    session = await world.session()
    assert session.expires_at - session.created_at == 12 * HOUR_US

    clock.advance(11.5 * 3_600)
    late = (await world.refresh(tokens["refresh_token"])).json()
    assert 1_700 < late["expires_in"] <= 1_800
    clock.advance(1_801)
    assert await world.check(late["access_token"]) is TokenRefusal.EXPIRED
    assert error_of(await world.refresh(late["refresh_token"])) == (400, "invalid_grant")
    assert world.provider.refreshes == []


@pytest.mark.parametrize(
    ("failure", "why", "code"),
    [
        (GrantEnded("the provider has ended the grant: invalid_grant"), PROVIDER_ENDED, "PROVIDER_ENDED"),
        (ProviderRefused("the id token is of another person"), PROVIDER_NOT_BELIEVED, "SIGNIN_ID_TOKEN"),
    ],
)
async def test_what_the_provider_does_not_confirm_ends_on_record(
    world: World, failure: Exception, why: str, code: str
) -> None:
    tokens = await world.sign_in(provider_token="prt-canary")
    world.provider.answers = [failure]

    assert error_of(await world.refresh(tokens["refresh_token"])) == (400, "invalid_grant")

    assert await world.check(tokens["access_token"]) is TokenRefusal.ENDED
    session = await world.session()
    assert (session.ended_why, session.has_provider_token) == (why, False)
    assert await world.last_failure() == code
    assert any(entry.action == "key" and f"why:{why}" in entry.fields for entry in await world.entries())


async def test_while_the_provider_is_away_the_refresh_token_stays_good(world: World) -> None:
    tokens = await world.sign_in(provider_token="prt-canary")
    world.provider.answers = [ProviderUnavailable("no answer", retry_after=7.2)]

    reply = await world.refresh(tokens["refresh_token"])

    assert error_of(reply) == (503, "temporarily_unavailable")
    assert reply.headers["retry-after"] == "8"
    assert await world.last_failure() == "PROVIDER_UNAVAILABLE"
    assert isinstance(await world.check(tokens["access_token"]), SignedIn)
    assert (await world.refresh(tokens["refresh_token"])).status_code == 200


class SlowProvider:
    """Answers when a test lets it."""

    def __init__(self, reply: ProviderAnswer | Exception) -> None:
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self._reply = reply

    async def refresh(self, _token: Secret, _subject: Any) -> ProviderAnswer:
        self.is_asked.set()
        await self.may_answer.wait()
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


def slow_down(world: World, monkeypatch: pytest.MonkeyPatch, reply: ProviderAnswer | Exception) -> SlowProvider:
    slow = SlowProvider(reply)
    monkeypatch.setattr(world.provider, "refresh", slow.refresh)
    return slow


@pytest.mark.parametrize("reply", [answer("prt-second-canary"), ProviderUnavailable("no answer")])
async def test_a_session_that_ends_meanwhile_stays_over(
    world: World, monkeypatch: pytest.MonkeyPatch, reply: ProviderAnswer | Exception
) -> None:
    tokens = await world.sign_in(provider_token="prt-canary")
    slow = slow_down(world, monkeypatch, reply)
    refresh = asyncio.create_task(world.refresh(tokens["refresh_token"]))
    await slow.is_asked.wait()

    await world.revoke(tokens["access_token"])
    slow.may_answer.set()

    assert (await refresh).status_code in (400, 503)
    assert await world.live_sessions() == []
    assert error_of(await world.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


async def test_a_second_use_while_the_provider_is_asked_ends_the_session_for_both(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await world.sign_in(provider_token="prt-canary")
    slow = slow_down(world, monkeypatch, answer(None))
    first = asyncio.create_task(world.refresh(tokens["refresh_token"]))
    await slow.is_asked.wait()

    second = await world.refresh(tokens["refresh_token"])
    slow.may_answer.set()

    assert error_of(second) == (400, "invalid_grant")
    assert error_of(await first) == (400, "invalid_grant")
    assert (await world.session()).ended_why == REFRESH_REUSED


async def test_a_client_that_leaves_loses_no_token_of_the_provider(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await world.sign_in(provider_token="prt-canary")
    world.canaries |= {"prt-second-canary"}
    slow = slow_down(world, monkeypatch, answer("prt-second-canary"))
    refresh = asyncio.create_task(world.refresh(tokens["refresh_token"]))
    await slow.is_asked.wait()

    refresh.cancel()
    slow.may_answer.set()
    await world.server.close()

    token = await world.store.database.write(provider_token_in(world, (await world.session()).id))
    assert token is not None
    assert token.reveal() == "prt-second-canary"


def provider_token_in(world: World, session_id: str) -> Any:
    return lambda tx: world.sessions.open_provider_token_in(tx, session_id)


async def test_a_store_that_is_busy_for_a_moment_loses_no_token_of_the_provider(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orgserver.services.signin.tokens.authorization_server.PAUSE_SECONDS", 0.01)
    tokens = await world.sign_in(provider_token="prt-canary")
    write, calls = world.store.database.write, 0

    async def write_rarely(change: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (2, 3):  # what follows the provider's answer
            raise StoreError("the store is busy")
        return await write(change, **more)

    monkeypatch.setattr(world.store.database, "write", write_rarely)

    assert (await world.refresh(tokens["refresh_token"])).status_code == 200
    assert calls == 4


async def test_groups_follow_what_the_provider_says_on_record(world: World) -> None:
    def add_group(tx: Transaction) -> None:
        changes.add_group_in(tx, "sales")
        changes.set_claim_in(tx, "sales", "00G-sales")

    await world.store.database.write(add_group)
    tokens = await world.sign_in(provider_token="prt-canary")
    world.provider.answers = [answer(groups=("00G-sales", "00G-other")), answer(groups=None), answer(groups=())]

    for groups in (("sales",), ("sales",), ()):  # what the provider does not say stays as it is
        tokens = (await world.refresh(tokens["refresh_token"])).json()
        assert await world.store.database.write(lambda tx: claims.groups_in(tx, "ada")) == groups
    lines = [line for entry in await world.entries() for line in entry.fields if line.startswith("claim_groups")]
    assert lines == ["claim_groups:sales->none", "claim_groups:none->sales"]


async def test_nobody_is_asked_about_a_principal_who_is_disabled(world: World) -> None:
    tokens = await world.sign_in(provider_token="prt-canary")
    await world.store.database.write(
        lambda tx: changes.change_principal_in(tx, "ada", kind="person", enabled=False, roles=(), limits=Policy())
    )

    assert await world.check(tokens["access_token"]) is TokenRefusal.DISABLED
    assert error_of(await world.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert world.provider.refreshes == []
