"""People sign in at a provider that is honest: who they are, and what may be asked again without them."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from orgserver.model.access.principals import Subject
from orgserver.oauth.provider.client import Provider
from orgserver.oauth.provider.refusals import GrantEnded, ProviderRefused, ProviderUnavailable
from tests.oauth.provider.conftest import MakeProvider
from tests.oauth.provider.people import refresh_token_of, sign_in, visit
from tests.provider.running import PUBLIC_CLIENT_ID, RunningProvider


async def test_somebody_signs_in_and_is_asked_for_again_without_being_there(
    provider: Provider, idp: RunningProvider
) -> None:
    answer = await sign_in(provider, idp)

    ada = Subject(idp.issuer, "sub-ada")
    assert (answer.person.subject, answer.person.name, answer.person.groups) == (ada, "Ada Lovelace", ("crm-admins",))
    assert (answer.person.email, answer.person.is_email_verified) == ("ada@example.com", True)
    assert answer.refresh_token is not None

    await idp.set(people={"ada": {"groups": ["sales"]}})
    again = await provider.refresh(refresh_token_of(answer), ada)
    assert again.person.groups == ("sales",)
    assert again.refresh_token is not None and again.refresh_token != answer.refresh_token
    with pytest.raises(GrantEnded):  # it rotates
        await provider.refresh(refresh_token_of(answer), ada)


@pytest.mark.parametrize(
    ("methods", "is_basic", "has_secret_in_form"),
    [
        (["client_secret_basic", "client_secret_post"], True, False),
        (["private_key_jwt", "client_secret_post"], False, True),
        (None, True, False),  # OpenID Connect Discovery §3: the default
    ],
)
async def test_the_secret_goes_where_the_provider_takes_it_and_a_strange_one_is_encoded(
    provider: Provider, idp: RunningProvider, methods: list[str] | None, is_basic: bool, has_secret_in_form: bool
) -> None:
    await idp.set(metadata={"token_endpoint_auth_methods_supported": methods})

    await sign_in(provider, idp)
    request = next(each for each in (await idp.look())["requests"] if each["path"] == "/token")
    assert request["is_basic"] == is_basic
    assert ("client_secret" in request["values"]) == has_secret_in_form


async def test_a_provider_that_takes_no_secret_is_not_shown_it(provider: Provider, idp: RunningProvider) -> None:
    await idp.set(metadata={"token_endpoint_auth_methods_supported": ["private_key_jwt"]})

    with pytest.raises(ProviderUnavailable, match="neither in a header nor in a form"):
        await sign_in(provider, idp)
    assert await idp.requests("/token") == []


async def test_without_a_secret_pkce_alone_shows_who_asks(make: MakeProvider, idp: RunningProvider) -> None:
    answer = await sign_in(make(PUBLIC_CLIENT_ID, None), idp)

    assert answer.person.name == "Ada Lovelace"
    (form,) = await idp.requests("/token")
    assert "client_secret" not in form and len(form["code_verifier"]) == 43


async def test_a_wrong_secret_is_told_to_the_operator_and_ends_no_grant(
    make: MakeProvider, provider: Provider, idp: RunningProvider
) -> None:
    answer, other = await sign_in(provider, idp), make(secret="yesterday's")

    with pytest.raises(ProviderRefused, match=r"invalid_client \(is the client secret right"):
        await sign_in(other, idp)
    with pytest.raises(ProviderUnavailable, match="invalid_client"):
        await other.refresh(refresh_token_of(answer), answer.person.subject)
    assert (await provider.refresh(refresh_token_of(answer), answer.person.subject)).person.groups == ("crm-admins",)


async def test_what_is_asked_for_is_what_the_provider_knows(make: MakeProvider, idp: RunningProvider) -> None:
    async def ask(
        groups_claim: str | None = "groups", *, fresh: bool = False, offline: bool = True
    ) -> dict[str, list[str]]:
        visited = await visit(make(groups_claim=groups_claim), idp, fresh=fresh, offline=offline)
        return parse_qs(urlsplit(visited.url).query)

    first = await ask()
    assert first["scope"] == ["openid profile email offline_access groups"]
    assert (first["code_challenge_method"], first["response_type"]) == (["S256"], ["code"])
    assert "prompt" not in first and "response_mode" not in first
    assert (await ask(None, offline=False))["scope"] == ["openid profile email"]
    await idp.set(scopes=["openid", "profile", "email"])
    assert (await ask())["scope"] == ["openid profile email"]
    fresh = await ask(fresh=True)
    assert (fresh["prompt"], fresh["max_age"]) == (["login"], ["300"])
    assert "claims" not in fresh


async def test_without_a_refresh_token_there_is_none_and_one_that_stays_is_not_given_again(
    provider: Provider, idp: RunningProvider
) -> None:
    assert (await sign_in(provider, idp, offline=False)).refresh_token is None
    assert (await sign_in(provider, idp, fresh=True)).refresh_token is None
    await idp.set(refresh="none")
    assert (await sign_in(provider, idp)).refresh_token is None

    await idp.set(refresh="keep")
    answer = await sign_in(provider, idp)
    for _ in range(2):
        assert (await provider.refresh(refresh_token_of(answer), answer.person.subject)).refresh_token is None


async def test_groups_are_unchanged_where_a_refresh_does_not_say_them_and_none_where_it_says_so(
    provider: Provider, idp: RunningProvider
) -> None:
    await idp.set(refresh="keep", scopes=["openid", "profile", "email", "offline_access"])
    answer = await sign_in(provider, idp)
    token, ada = refresh_token_of(answer), answer.person.subject

    await idp.set(has_id_token_at_refresh=False)
    assert (await provider.refresh(token, ada)).person.groups == ("crm-admins",)  # of userinfo
    for userinfo in ({"kind": "status", "status": 404}, {"kind": "cut"}, {"kind": "html"}):
        await idp.set(answers={"/userinfo": userinfo})
        assert (await provider.refresh(token, ada)).person.groups is None
    await idp.set(has_id_token_at_refresh=True, refresh_claims={"groups": []})
    assert (await provider.refresh(token, ada)).person.groups == ()
    await idp.set(refresh_claims={"groups": None}, answers={}, userinfo={"groups": None})
    assert (await provider.refresh(token, ada)).person.groups == ()


async def test_what_an_id_token_lacks_is_asked_for_and_must_be_of_the_same_person(
    provider: Provider, idp: RunningProvider
) -> None:
    await idp.set(claims={"name": None, "email": None, "email_verified": None, "groups": None})
    person = (await sign_in(provider, idp)).person
    assert (person.name, person.email, person.groups) == ("Ada Lovelace", "ada@example.com", ("crm-admins",))

    await idp.set(userinfo={"sub": "sub-mallory"})
    with pytest.raises(ProviderRefused, match="userinfo endpoint is of another person"):
        await sign_in(provider, idp)
    await idp.set(answers={"/userinfo": {"kind": "status", "status": 500}})
    with pytest.raises(ProviderUnavailable):
        await sign_in(provider, idp)


@pytest.mark.parametrize(
    ("claims", "userinfo", "address", "is_verified"),
    [
        ({"email": "mallory@example.com", "email_verified": None}, {}, "mallory@example.com", False),
        ({"email": None, "email_verified": True}, {"email_verified": None}, "ada@example.com", False),
        ({"email": None, "email_verified": None, "xms_edov": True}, {"email_verified": None}, "ada@example.com", False),
        ({"email": "ada@example.com", "email_verified": None}, {}, "ada@example.com", True),
        ({"email": "ada@example.com", "email_verified": False}, {}, "ada@example.com", False),
        ({"email": None, "email_verified": False}, {}, "ada@example.com", False),
        ({"email": None, "email_verified": None}, {}, "ada@example.com", True),
    ],
)
async def test_an_address_is_verified_by_what_names_it(
    provider: Provider,
    idp: RunningProvider,
    claims: dict[str, Any],
    userinfo: dict[str, Any],
    address: str,
    is_verified: bool,
) -> None:
    await idp.set(claims={"name": None} | claims, userinfo=userinfo)

    person = (await sign_in(provider, idp)).person
    assert (person.email, person.is_email_verified) == (address, is_verified)


@pytest.mark.parametrize("auth_time", [1, "yesterday", 1e300])
async def test_userinfo_does_not_say_when_somebody_signed_in(
    provider: Provider, idp: RunningProvider, auth_time: object
) -> None:
    await idp.set(claims={"name": None, "auth_time": None}, userinfo={"auth_time": auth_time})

    assert (await sign_in(provider, idp)).person.auth_time is None


async def test_signing_in_anew_says_when_also_to_somebody_who_is_signed_in_there(
    provider: Provider, idp: RunningProvider
) -> None:
    began = int(time.time())
    assert ((await sign_in(provider, idp, fresh=True)).person.auth_time or 0) >= began


async def test_a_grant_of_another_provider_is_over_and_its_token_goes_nowhere(
    provider: Provider, idp: RunningProvider
) -> None:
    answer = await sign_in(provider, idp)
    await idp.reset()

    with pytest.raises(GrantEnded, match="another provider"):
        await provider.refresh(refresh_token_of(answer), Subject("https://idp.example.com", "sub-ada"))
    assert (await idp.look())["requests"] == []


async def test_an_operator_sees_what_the_provider_can_do(provider: Provider, idp: RunningProvider) -> None:
    examination = await provider.examine()

    assert examination.endpoints["token"] == f"{idp.issuer}/token"
    assert examination.challenge_methods == {"S256"} and "offline_access" in examination.scopes
    assert "auth_time" in examination.claims and examination.keys == 1
