"""Providers whose endpoints are at other hosts than they are themselves, as Google's, and where these may not be."""

import json
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import respx

from orgserver.model.secret import Secret
from orgserver.oauth import addresses as addresses_of_hosts
from orgserver.oauth.provider.client import Provider, make_provider
from orgserver.oauth.provider.refusals import ProviderUnavailable

GOOGLE = "https://accounts.google.com"
CALLBACK = "https://orgs.example.com/signin/callback"
SECRET = "GOCSPX-canary"


def metadata(issuer: str, **more: Any) -> dict[str, Any]:
    return {
        "issuer": issuer, "authorization_endpoint": f"{issuer}/o/oauth2/v2/auth",
        "token_endpoint": "https://oauth2.example.net/token", "jwks_uri": "https://www.example.net/certs",
        "scopes_supported": ["openid", "email", "profile"],
    } | more  # fmt: skip


@pytest.fixture
def web() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where hosts are, by name."""
    places: dict[str, str] = {}

    monkeypatch.setattr(addresses_of_hosts, "resolve", lambda host, _port: [places[host]])
    return places


def make(issuer: str) -> Provider:
    return make_provider(issuer, "orgserver", Secret(SECRET), None, CALLBACK, ssl.create_default_context)


async def ask(provider: Provider, **wishes: bool) -> dict[str, str]:
    url = await provider.make_authorization_url(state="s", nonce="n", verifier=Secret("v" * 43), **wishes)
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def test_google_gives_refresh_tokens_in_a_way_of_its_own(web: respx.MockRouter) -> None:
    web.get(f"{GOOGLE}/.well-known/openid-configuration").respond(json=metadata(GOOGLE))
    provider = make(GOOGLE)

    first = await ask(provider)
    assert (first["scope"], first["access_type"], first["prompt"]) == ("openid profile email", "offline", "consent")
    assert "access_type" not in await ask(provider, offline=False)
    fresh = await ask(provider, fresh=True)
    assert (fresh["prompt"], fresh["max_age"]) == ("select_account", "300")
    assert json.loads(fresh["claims"]) == {"id_token": {"auth_time": {"essential": True}}}
    await provider.aclose()


@pytest.mark.parametrize("address", ["10.0.0.7", "127.0.0.1", "169.254.169.254", "::1", "fd00::1"])
async def test_a_secret_is_not_posted_to_an_address_that_only_this_network_reaches(
    web: respx.MockRouter, addresses: dict[str, str], address: str
) -> None:
    issuer = "https://idp.example.com"
    web.get(f"{issuer}/.well-known/openid-configuration").respond(json=metadata(issuer))
    addresses["oauth2.example.net"] = address

    with pytest.raises(ProviderUnavailable, match="only this network can reach"):
        await make(issuer).exchange(Secret("c"), verifier=Secret("v" * 43), nonce="n")
    assert {str(call.request.url.host) for call in web.calls} == {"idp.example.com"}


async def test_a_form_goes_to_the_address_that_was_looked_at(
    web: respx.MockRouter, addresses: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    issuer = "https://idp.example.com"
    web.get(f"{issuer}/.well-known/openid-configuration").respond(json=metadata(issuer))
    addresses["oauth2.example.net"] = "203.0.114.7"
    route = web.post("https://203.0.114.7/token").respond(503, text=SECRET)
    caplog.set_level("DEBUG")

    with pytest.raises(ProviderUnavailable, match="HTTP status 503") as away:
        await make(issuer).exchange(Secret("code-canary"), verifier=Secret("v" * 43), nonce="n")
    request = route.calls.last.request
    assert request.headers["host"] == "oauth2.example.net"
    assert request.extensions["sni_hostname"] == "oauth2.example.net"
    assert "canary" not in caplog.text + str(away.value)


async def test_a_provider_with_a_path_has_its_metadata_below_it(web: respx.MockRouter) -> None:
    issuer = "https://idp.example.com/realms/company"
    web.get(f"{issuer}/.well-known/openid-configuration").respond(
        json=metadata(issuer, authorization_endpoint=f"{issuer}/auth?p=policy&x=%20")
    )

    url = await make(issuer).make_authorization_url(state="s", nonce="n", verifier=Secret("v" * 43))
    assert url.startswith(f"{issuer}/auth?p=policy&x=+&response_type=code")
    assert len(web.calls) == 1
