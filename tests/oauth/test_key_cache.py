"""An issuer's keys: asked for once, kept while it is away, renewed when it makes new ones, and never asked for in floods."""

import asyncio

import pytest

from orgserver.oauth.key_cache import FRESH_SECONDS, LONGEST_SECONDS, UNKNOWN_KEY_SECONDS, KeyCache
from orgserver.oauth.key_sets import MAX_KEYS, KeySet, read_key_set
from orgserver.oauth.refusals import IssuerUnavailable
from tests.oauth.issuers import Issuer, key_for, public_jwk, rsa_key


class Source:
    """An issuer that counts how often it is asked, and is away at times."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.asked = 0
        self.issuer = Issuer()
        self.error: Exception | None = None
        self.cache = KeyCache(self.fetch, lambda: self.now)

    async def fetch(self) -> KeySet:
        self.asked += 1
        await asyncio.sleep(0.001)
        if self.error is not None:
            raise self.error
        return read_key_set(self.issuer.jwks())

    async def finish_loading(self) -> None:
        """Wait until nothing is being asked any more."""
        if self.cache._loading.task is not None:
            await self.cache._loading.task

    async def has(self, key_id: str) -> bool:
        return await self.cache.find(key_id, "RS256") is not None


async def test_however_many_wait_the_issuer_is_asked_once() -> None:
    source = Source()

    assert await asyncio.gather(*(source.has("k1") for _ in range(50))) == [True] * 50
    assert source.asked == 1


async def test_a_key_made_just_now_is_found_and_one_withdrawn_ends() -> None:
    source = Source()
    assert await source.has("k1")

    source.issuer.keys = {"k2": (rsa_key(1), "RS256")}
    assert await asyncio.gather(*(source.has("k2") for _ in range(9))) == [True] * 9
    assert not await source.has("k1")
    assert source.asked == 2


async def test_a_withdrawn_key_of_which_nobody_asks_anew_ends_when_the_keys_have_aged() -> None:
    source = Source()
    assert await source.has("k1")
    source.issuer.keys = {"k2": (rsa_key(1), "RS256")}

    source.now += FRESH_SECONDS + 1
    assert await source.has("k1")  # nobody waits for the renewal
    await source.finish_loading()
    assert not await source.has("k1")


async def test_keys_that_nobody_has_do_not_make_a_flood() -> None:
    source = Source()
    assert await source.has("k1")

    for number in range(100):
        assert not await source.has(f"x{number}")
    assert source.asked == 2
    source.now += UNKNOWN_KEY_SECONDS
    assert not await source.has("x")
    assert source.asked == 3


async def test_an_issuer_that_is_away_is_asked_ever_more_seldom_and_its_keys_last_for_hours() -> None:
    source = Source()
    source.error = IssuerUnavailable("it is away")
    for _ in range(30):
        with pytest.raises(IssuerUnavailable, match="away"):
            await source.has("k1")
        source.now += 1
    assert source.asked == 5  # after 1, 2, 4, 8 seconds

    source.error, source.now = None, source.now + 60
    assert await source.has("k1")
    source.error = IssuerUnavailable("it is away")
    source.now += LONGEST_SECONDS - 1
    assert await source.has("k1")
    await source.finish_loading()
    source.now += 2
    with pytest.raises(IssuerUnavailable, match="away"):
        await source.has("k1")


async def test_an_issuer_that_drips_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orgserver.oauth.loading.LOAD_SECONDS", 0.05)

    async def fetch() -> KeySet:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(IssuerUnavailable, match="did not tell its keys within"):
        await KeyCache(fetch).find("k1", "RS256")


async def test_a_failure_that_is_not_foreseen_is_one_of_the_issuer() -> None:
    source = Source()
    source.error = ZeroDivisionError("x")

    with pytest.raises(IssuerUnavailable, match="could not be read"):
        await source.has("k1")


def test_only_keys_that_verify_without_harm_are_taken() -> None:
    good = public_jwk(rsa_key(), "good", "RS256")
    others = [
        {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
        good | {"kid": "b", "use": "enc"},
        good | {"kid": "c", "key_ops": ["sign"]},
        good | {"kid": "d", "alg": "HS256"},
        good | {"kid": "e", "e": "AQ"},
        good | {"kid": "f", "n": "AQAB"},
        good | {"kid": "g", "d": "AQAB"},
        good | {"kid": 7},
        good | {"kid": "h", "kty": "EC"},
        public_jwk(key_for("ES256"), "i", "ES256") | {"crv": "secp256k1"},
        public_jwk(key_for("ES256"), "j", "ES256") | {"x": "AAAA"},
        "k1", None, 7, [],
    ]  # fmt: skip

    assert len(read_key_set({"keys": [*others, good, public_jwk(key_for("ES256"), "es", "ES256")]})) == 2
    for document in ({"keys": others}, {"keys": []}, {"keys": {"k": good}}, {}, {"keys": [good] * (MAX_KEYS + 1)}):
        with pytest.raises(IssuerUnavailable):
            read_key_set(document)


async def test_a_token_without_a_key_s_id_means_the_one_key_that_there_is_and_no_one_of_two() -> None:
    source = Source()
    assert await source.cache.find(None, "RS256") is not None
    source.issuer.keys["k2"] = (rsa_key(1), "RS256")
    source.now += FRESH_SECONDS + 1
    await source.has("k1")
    await source.finish_loading()

    assert await source.cache.find(None, "RS256") is None
