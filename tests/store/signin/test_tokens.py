"""Tokens: spent once, given back by the attempt that spent them alone, and read without a wait for the store."""

from orgserver.model.digests import digest_text
from orgserver.store.signin import sweep, tokens
from orgserver.store.signin.token_reader import TokenReader
from orgserver.store.transaction import Transaction

from .test_sessions import add_browser
from .world import HOUR, MINUTE, World

CODE, ACCESS, REFRESH = digest_text("code"), digest_text("access"), digest_text("refresh")


async def add(world: World, session_id: str) -> None:
    def change(tx: Transaction) -> None:
        bound = {"code_challenge": "c", "redirect_uri": "u"}
        tokens.add_in(tx, "code", CODE, session_id, ["orgs:read"], tx.now + MINUTE, **bound)
        tokens.add_in(tx, "access", ACCESS, session_id, ["orgs:read"], tx.now + HOUR)
        tokens.add_in(tx, "refresh", REFRESH, session_id, ["orgs:read"], tx.now + HOUR)

    await world.write(change)


async def test_a_token_is_found_with_its_session_and_spent_once(world: World) -> None:
    await world.add_people("ada")
    session_id = await world.sign_in()
    await add(world, session_id)

    token = await world.write(lambda tx: tokens.find_in(tx, CODE))
    assert token is not None
    assert (token.kind, token.scopes, token.session.id) == ("code", ("orgs:read",), session_id)
    assert (token.code_challenge, token.redirect_uri, token.used_at) == ("c", "u", None)
    assert await world.write(lambda tx: tokens.spend_in(tx, CODE, "first"))
    assert not await world.write(lambda tx: tokens.spend_in(tx, CODE, "second"))
    assert not await world.write(lambda tx: tokens.spend_in(tx, digest_text("of nobody"), "first"))
    assert await world.write(lambda tx: tokens.find_in(tx, digest_text("of nobody"))) is None


async def test_only_the_attempt_that_spent_it_gives_it_back_and_only_while_the_session_lives(world: World) -> None:
    await world.add_people("ada")
    session_id = await world.sign_in()
    await add(world, session_id)
    await world.write(lambda tx: tokens.spend_in(tx, REFRESH, "first"))

    assert not await world.write(lambda tx: tokens.unspend_in(tx, REFRESH, "second"))
    assert await world.write(lambda tx: tokens.unspend_in(tx, REFRESH, "first"))
    assert await world.write(lambda tx: tokens.spend_in(tx, REFRESH, "third"))
    await world.write(lambda tx: world.sessions.end_in(tx, session_id, "revoked"))
    assert not await world.write(lambda tx: tokens.unspend_in(tx, REFRESH, "third"))


async def test_an_access_token_is_read_as_the_store_has_it_now(world: World) -> None:
    await world.add_people("ada")
    session_id = await world.sign_in()
    await add(world, session_id)
    reader = TokenReader(world.store.database)

    for _ in range(2):  # by the store's connections, and once it is open by the event loop's own reader
        token = await reader.find_access(ACCESS)
        assert token is not None
        assert (token.principal, token.scopes, token.session_id) == ("ada", ("orgs:read",), session_id)
        assert (token.resource, token.expires_at) == ("https://o.example/mcp", world.clock.now + HOUR)
        assert token.ended_at is None
    assert await reader.find_access(REFRESH) is None
    assert await reader.find_access(digest_text("of nobody")) is None

    await world.write(lambda tx: world.sessions.end_in(tx, session_id, "revoked"))
    ended = await reader.find_access(ACCESS)
    assert ended is not None
    assert ended.ended_at == world.clock.now
    await world.write(lambda tx: tokens.drop_access_in(tx, session_id))
    assert await reader.find_access(ACCESS) is None


async def test_a_cookie_opens_a_live_session_of_its_browser(world: World) -> None:
    await world.add_people("ada")
    session_id = await add_browser(world)
    reader = TokenReader(world.store.database)

    session = await reader.find_browser(digest_text("cookie"))
    assert session is not None
    assert session.id == session_id
    assert await reader.find_browser(digest_text("another")) is None
    await world.write(lambda tx: world.sessions.end_in(tx, session_id, "sign-out"))
    assert await reader.find_browser(digest_text("cookie")) is None


async def test_a_code_is_known_for_an_hour_and_a_refresh_token_as_long_as_its_session(world: World) -> None:
    await world.add_people("ada")
    await add(world, await world.sign_in())
    world.clock.now += HOUR
    await world.write(sweep.sweep_in)

    assert await world.write(lambda tx: tokens.find_in(tx, CODE)) is not None
    assert await world.write(lambda tx: tokens.find_in(tx, ACCESS)) is None
    world.clock.now += MINUTE
    await world.write(sweep.sweep_in)
    assert await world.write(lambda tx: tokens.find_in(tx, CODE)) is None
    assert await world.write(lambda tx: tokens.find_in(tx, REFRESH)) is not None
