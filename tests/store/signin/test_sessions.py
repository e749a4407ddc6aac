"""Sessions: invisible until their client has come, ended at once, and the provider's token sealed and numbered."""

import pytest
from sqlalchemy import select, update

from orgserver.model.access.principals import Subject
from orgserver.model.digests import digest_text
from orgserver.model.secret import Secret
from orgserver.store.people import changes, claims
from orgserver.store.signin import sweep, tables
from orgserver.store.signin.rows import Session
from orgserver.vault.keys import Unsealable

from .world import CLIENT, DAY, HOUR, ISSUER, MINUTE, World

GROUPS = {"ops": "group-ops", "sales": "group-sales"}


async def live(world: World, principal: str | None = None, *, ended: bool = False) -> list[Session]:
    return await world.read(lambda connection: world.sessions.all(connection, principal, ended))


async def provider_token(world: World, session_id: str) -> str | None:
    token = await world.write(lambda tx: world.sessions.open_provider_token_in(tx, session_id))
    return token.reveal() if token is not None else None


async def groups(world: World, principal: str) -> tuple[str, ...]:
    return await world.write(lambda tx: claims.groups_in(tx, principal))


async def test_a_session_is_seen_once_its_client_has_come_for_its_tokens(world: World) -> None:
    await world.add_people("ada")
    session_id = await world.consent()
    assert await live(world) == []

    assert await world.write(lambda tx: world.sessions.redeem_in(tx, session_id, tx.now + HOUR))
    (session,) = await live(world)
    assert (session.id, session.kind, session.principal, session.person) == (session_id, "client", "ada", "Ada")
    assert (session.client_id, session.client_name) == (CLIENT.client_id, CLIENT.name)
    assert session.scopes == ("orgs:read", "orgs:write")
    assert session.subject == Subject(ISSUER, "ada")
    assert session.is_live(world.clock.now)
    assert not await world.write(lambda tx: world.sessions.redeem_in(tx, session_id, tx.now + HOUR))


async def test_a_client_that_comes_too_late_gets_nothing(world: World) -> None:
    await world.add_people("ada")
    session_id = await world.consent()
    world.clock.now += MINUTE

    assert not await world.write(lambda tx: world.sessions.redeem_in(tx, session_id, tx.now + HOUR))


async def test_the_providers_newest_token_is_kept_and_an_older_one_put_back_does_not_open(world: World) -> None:
    await world.add_people("ada")
    session_id = await world.sign_in()
    own = tables.sessions.c.id == session_id
    old = select(tables.sessions.c.provider_token).where(own)
    sealed = await world.write(lambda tx: tx.connection.execute(old).scalar())

    renew = world.sessions.renew_in
    assert await world.write(lambda tx: renew(tx, session_id, provider_token=None, expires_at=tx.now + 2 * HOUR))
    assert await provider_token(world, session_id) == "prt", "a provider need not rotate its own"
    newer = Secret("prt-2")
    assert await world.write(lambda tx: renew(tx, session_id, provider_token=newer, expires_at=tx.now + 2 * HOUR))
    assert await provider_token(world, session_id) == "prt-2"

    put_back = update(tables.sessions).where(own).values(provider_token=sealed)
    await world.write(lambda tx: tx.connection.execute(put_back))
    with pytest.raises(Unsealable):
        await provider_token(world, session_id)


async def test_what_has_ended_ends_once_and_nothing_brings_it_back(world: World) -> None:
    await world.add_people("ada")
    session_id = await world.sign_in()

    assert await world.write(lambda tx: world.sessions.end_in(tx, session_id, "revoked"))
    assert not await world.write(lambda tx: world.sessions.end_in(tx, session_id, "again"))
    renew = world.sessions.renew_in
    assert not await world.write(
        lambda tx: renew(tx, session_id, provider_token=Secret("prt-2"), expires_at=tx.now + HOUR)
    )
    assert await provider_token(world, session_id) is None
    assert await live(world) == []
    (session,) = await live(world, ended=True)
    assert (session.ended_why, session.has_provider_token) == ("revoked", False)


async def test_those_of_a_principal_and_of_a_subject_end_together(world: World) -> None:
    await world.add_people("ada", "bob")
    first, second = await world.sign_in("1"), await world.sign_in("2")
    third = await world.sign_in("3", "bob")

    assert set(await world.write(lambda tx: world.sessions.end_of_principal_in(tx, "ada", "disabled"))) == {
        first,
        second,
    }
    assert [each.id for each in await live(world)] == [third]
    bob = Subject(ISSUER, "bob")
    assert await world.write(lambda tx: world.sessions.end_of_subject_in(tx, bob, "subject")) == [third]
    assert await world.write(lambda tx: world.sessions.end_of_subject_in(tx, bob, "subject")) == []


async def test_they_go_with_their_principal(world: World) -> None:
    await world.add_people("ada")
    await world.sign_in()
    await world.write(lambda tx: changes.remove_principal_in(tx, "ada"))

    assert await live(world, ended=True) == []


async def test_groups_by_claim_go_with_the_last_live_session(world: World) -> None:
    await world.add_people("ada", groups=GROUPS)
    first, second = await world.sign_in("1"), await world.sign_in("2")
    await world.write(lambda tx: claims.set_groups_in(tx, "ada", ["group-ops", "of no group"]))

    await world.write(lambda tx: world.sessions.end_in(tx, first, "revoked"))
    assert await groups(world, "ada") == ("ops",)
    await world.write(lambda tx: world.sessions.end_in(tx, second, "revoked"))
    assert await groups(world, "ada") == ()


async def test_a_browsers_session_is_found_by_its_cookie_while_it_lives(world: World) -> None:
    await world.add_people("ada")
    session_id = await add_browser(world)

    (session,) = await live(world, "ada")
    assert (session.id, session.kind, session.auth_time, session.scopes) == (session_id, "browser", 9, ())
    world.clock.now += 13 * HOUR
    assert await live(world) == []


async def test_what_is_over_is_seen_for_thirty_days(world: World) -> None:
    await world.add_people("ada")
    session_id = await world.sign_in()
    await world.write(lambda tx: world.sessions.end_in(tx, session_id, "revoked"))
    world.clock.now += 29 * DAY
    await world.write(sweep.sweep_in)
    assert session_id in {each.id for each in await live(world, ended=True)}

    world.clock.now += 2 * DAY
    await world.write(sweep.sweep_in)
    assert session_id not in {each.id for each in await live(world, ended=True)}


async def add_browser(world: World, cookie: str = "cookie") -> str:
    return await world.write(
        lambda tx: world.sessions.add_browser_in(
            tx,
            principal="ada",
            person_name="Ada",
            subject=Subject(ISSUER, "ada"),
            cookie_digest=digest_text(cookie),
            auth_time=9,
            expires_at=tx.now + 12 * HOUR,
        )
    )
