"""What the provider publishes of itself is asked for once, counts for ten minutes, and is not asked for in floods."""

import asyncio
import ssl
from typing import Any

import pytest

from orgserver.oauth.documents import DocumentFetcher
from orgserver.oauth.provider.metadata import FRESH_SECONDS, MetadataCache
from orgserver.oauth.provider.refusals import ProviderUnavailable
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import CheckedUrl, check_issuer

ISSUER = "https://idp.example.com/realms/company"
OWN = f"{ISSUER}/.well-known/openid-configuration"


class Source(DocumentFetcher):
    """A provider that counts how often it is asked, and is away at times."""

    def __init__(self) -> None:
        super().__init__(ssl.create_default_context)
        self.now = 1_000.0
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.documents: dict[str, dict[str, Any]] = {OWN: self.document()}
        self.cache = MetadataCache(self, ISSUER, check_issuer(ISSUER), lambda: self.now)

    def document(self, **changes: Any) -> dict[str, Any]:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        return {"issuer": ISSUER} | {name: f"{ISSUER}/{name}" for name in names} | changes

    async def fetch(self, url: CheckedUrl, **_more: Any) -> dict[str, Any] | None:
        self.asked.append(url.text)
        await asyncio.sleep(0.001)
        if self.error is not None:
            raise self.error
        return self.documents.get(url.text)

    async def reason(self) -> str:
        with pytest.raises(ProviderUnavailable) as away:
            await self.cache.load()
        return away.value.reason


async def test_however_many_wait_the_provider_is_asked_once_and_again_after_ten_minutes() -> None:
    source = Source()

    await asyncio.gather(*(source.cache.load() for _ in range(50)))
    assert source.asked == [OWN]
    source.now += FRESH_SECONDS
    await source.cache.load()
    assert len(source.asked) == 1
    source.now += 1
    await source.cache.load()
    assert len(source.asked) == 2


async def test_whoever_leaves_does_not_end_the_question_for_others() -> None:
    source = Source()
    first = asyncio.create_task(source.cache.load())
    await asyncio.sleep(0)
    second = asyncio.create_task(source.cache.load())
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).token_endpoint.text == f"{ISSUER}/token_endpoint"
    assert source.asked == [OWN]


async def test_a_provider_that_takes_another_name_is_no_more_believed() -> None:
    source = Source()
    await source.cache.load()
    source.documents[OWN] = source.document(issuer="https://evil.example.com")

    source.now += FRESH_SECONDS + 1
    assert "another issuer's name" in await source.reason()


async def test_a_provider_that_is_away_is_asked_ever_more_seldom() -> None:
    source = Source()
    source.error = IssuerUnavailable("it is away")
    times = []
    for _ in range(200):
        before = len(source.asked)
        assert await source.reason() == "it is away"
        if len(source.asked) > before:
            times.append(source.now - 1_000)
        source.now += 1

    assert times == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    source.error, source.now = None, source.now + 60
    await source.cache.load()


@pytest.mark.parametrize(
    ("error", "reason"), [(ZeroDivisionError("x"), "could not be read"), (TimeoutError(), "within 10 s")]
)
async def test_a_failure_that_is_not_foreseen_is_one_of_the_provider(error: Exception, reason: str) -> None:
    source = Source()
    source.error = error

    assert reason in await source.reason()
    source.error, source.now = None, source.now + 2
    await source.cache.load()


async def test_metadata_are_looked_for_in_the_providers_own_form_first() -> None:
    source = Source()
    host = "https://idp.example.com/.well-known"
    source.documents = {f"{host}/openid-configuration/realms/company": source.document()}

    await source.cache.load()
    assert source.asked == [OWN, f"{host}/oauth-authorization-server/realms/company", *source.documents]
    source.documents.clear()
    source.now += FRESH_SECONDS + 1
    assert "publishes no metadata" in await source.reason()


async def test_what_a_provider_does_not_say_is_not_assumed() -> None:
    source = Source()
    source.documents[OWN] = source.document(scopes_supported="openid", claims_supported=[1, "sub", None])

    metadata = await source.cache.load()
    assert (metadata.scopes, metadata.claims, metadata.challenge_methods) == (frozenset(), {"sub"}, frozenset())
    assert metadata.client_methods == {"client_secret_basic"}
    assert not metadata.has_response_issuer and metadata.userinfo_endpoint is None
