"""OpenID Connect as a relying party must do it: each rule, with a provider that breaks it."""

import asyncio
import secrets
from typing import Any

import pytest

from orgserver.model.secret import Secret
from orgserver.oauth import documents
from orgserver.oauth.provider import client
from orgserver.oauth.provider.client import Provider
from orgserver.oauth.provider.refusals import AuthTimeMissing, GrantEnded, ProviderRefused, ProviderUnavailable
from tests.oauth.provider.conftest import MakeProvider
from tests.oauth.provider.people import refresh_token_of, sign_in, visit
from tests.provider.running import RunningProvider, running_provider

SOON, PAST = {"from_now": 600}, {"from_now": -600}


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        # OpenID Connect Core §3.1.3.7, by number of the rule
        pytest.param({"iss": "https://evil.example.com"}, "of another issuer", id="2: another issuer"),
        pytest.param({"iss": None}, "lacks iss", id="2: no issuer"),
        pytest.param({"aud": ["other"]}, "for another client", id="3: another audience"),
        pytest.param({"aud": ["orgserver", "other"]}, "for others, too", id="3: one more in the audience"),
        pytest.param({"aud": ["orgserver", "other"], "azp": "orgserver"}, "for others, too", id="4: with azp"),
        pytest.param({"aud": None}, "lacks", id="3: no audience"),
        pytest.param({"azp": "other"}, "azp", id="5: another authorized party"),
        pytest.param({"exp": PAST}, "has expired", id="9: expired"),
        pytest.param({"exp": None}, "lacks", id="9: without an end"),
        pytest.param({"exp": "tomorrow"}, "no JWT", id="9: an end that is no time"),
        pytest.param({"iat": SOON}, "not valid yet", id="10: issued later than now"),
        pytest.param({"iat": None}, "lacks", id="10: issued at no time"),
        pytest.param({"nbf": SOON}, "not valid yet", id="10: not valid yet"),
        pytest.param({"nonce": "of another request"}, "nonce", id="11: another nonce"),
        pytest.param({"nonce": None}, "nonce", id="11: no nonce"),
        # §2: what the claims are
        pytest.param({"sub": None}, "lacks", id="no subject"),
        pytest.param({"sub": ""}, "no subject", id="an empty subject"),
        pytest.param({"sub": "x" * 256}, "no subject", id="a subject too long"),
        pytest.param({"sub": "sub-ad\u00e9"}, "no subject", id="a subject that is not ASCII"),
        pytest.param({"sub": 7}, "no JWT|no subject", id="a subject that is a number"),
        pytest.param({"auth_time": "yesterday"}, "no JWT", id="a sign-in at no time"),
        pytest.param({"auth_time": -1}, "no JWT", id="a sign-in before there were clocks"),
        pytest.param({"auth_time": float("nan")}, "no JWT", id="a sign-in at no number"),
        pytest.param({"auth_time": True}, "no JWT", id="a sign-in at yes"),
        # §3.1.3.8
        pytest.param({"at_hash": "of-another-token"}, "at_hash", id="at_hash of another access token"),
        pytest.param({"at_hash": 7}, "at_hash|no JWT", id="at_hash that is none"),
    ],
)
async def test_an_id_token_whose_claims_are_wrong_signs_nobody_in(
    provider: Provider, idp: RunningProvider, claims: dict[str, Any], reason: str
) -> None:
    await idp.set(claims=claims)

    with pytest.raises(ProviderRefused, match=reason) as refused:
        await sign_in(provider, idp)
    assert "eyJ" not in str(refused.value)


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        # rules 6 to 8: what signs, and how
        ("none", "by an algorithm that is not accepted"),
        ("HS256", "by an algorithm that is not accepted"),
        ("public key", "by an algorithm that is not accepted"),
        ("other key", "signature is wrong"),
        ("garbage", "no JWT"),
        ("missing", "no id token"),
    ],
)
async def test_an_id_token_that_the_provider_did_not_sign_signs_nobody_in(
    provider: Provider, idp: RunningProvider, signature: str, reason: str
) -> None:
    await idp.set(signature=signature)

    with pytest.raises(ProviderRefused, match=reason):
        await sign_in(provider, idp)


@pytest.mark.parametrize("claims", [{"exp": {"from_now": -30}}, {"iat": {"from_now": 30}}, {"nbf": {"from_now": 30}}])
async def test_clocks_may_differ_by_a_minute(provider: Provider, idp: RunningProvider, claims: dict[str, Any]) -> None:
    await idp.set(claims=claims)

    assert (await sign_in(provider, idp)).person.name == "Ada Lovelace"


async def test_claims_that_may_be_there_do_no_harm(provider: Provider, idp: RunningProvider) -> None:
    await idp.set(claims={"aud": "orgserver", "azp": "orgserver", "at_hash": None, "acr": "0", "amr": ["pwd"], "x": {}})

    assert (await sign_in(provider, idp)).person.name == "Ada Lovelace"


async def test_a_code_and_its_id_token_answer_one_request_alone(provider: Provider, idp: RunningProvider) -> None:
    visited = await visit(provider, idp)
    with pytest.raises(ProviderRefused, match="nonce"):
        await visited.finish(provider, nonce=secrets.token_urlsafe(16))
    with pytest.raises(ProviderRefused, match="invalid_grant"):  # RFC 6749 §4.1.2: spent
        await visited.finish(provider)

    visited = await visit(provider, idp)
    visited.verifier = Secret(secrets.token_urlsafe(32))  # RFC 7636 §4.6: a code that somebody else slipped in
    with pytest.raises(ProviderRefused, match="invalid_grant"):
        await visited.finish(provider)


# Rule 13, §3.1.2.1: max_age
async def test_who_must_sign_in_anew_has_done_so_within_five_minutes(provider: Provider, idp: RunningProvider) -> None:
    await idp.set(claims={"auth_time": None})
    with pytest.raises(AuthTimeMissing, match="claim auth_time"):
        await sign_in(provider, idp, fresh=True)
    assert (await sign_in(provider, idp)).person.auth_time is None

    for seconds, reason in ((-361, "did not ask the person"), (61, "later than now")):
        await idp.set(claims={"auth_time": {"from_now": seconds}})
        with pytest.raises(ProviderRefused, match=reason):
            await sign_in(provider, idp, fresh=True)
    await idp.set(claims={"auth_time": {"from_now": -350}})
    assert (await sign_in(provider, idp, fresh=True)).person.auth_time is not None


async def test_a_browser_that_is_signed_in_there_is_asked_again_where_that_matters(
    provider: Provider, idp: RunningProvider
) -> None:
    async with idp.client() as person:
        verifier = Secret(secrets.token_urlsafe(32))
        first = await provider.make_authorization_url(state="1", nonce="1", verifier=verifier)
        fresh = await provider.make_authorization_url(state="2", nonce="2", verifier=verifier, fresh=True)
        await person.sign_in(first)
        assert (await person.web.get(first.replace("nonce=1", "nonce=3"))).status_code == 303
        assert (await person.web.get(fresh)).status_code == 200


# RFC 9207 §2.4, RFC 9700 §4.4: mix-up
async def test_a_response_of_another_provider_is_refused(provider: Provider, idp: RunningProvider) -> None:
    await provider.check_response_issuer(idp.issuer)
    for iss in ("https://evil.example.com", f"{idp.issuer}/", ""):
        with pytest.raises(ProviderRefused, match="another provider"):
            await provider.check_response_issuer(iss)
    with pytest.raises(ProviderRefused, match="does not say which"):
        await provider.check_response_issuer(None)


async def test_a_provider_that_never_names_itself_may_be_silent_but_not_lie(
    provider: Provider, idp: RunningProvider
) -> None:
    await idp.set(metadata={"authorization_response_iss_parameter_supported": None}, response={"iss": None})

    assert (await sign_in(provider, idp)).person.name == "Ada Lovelace"
    with pytest.raises(ProviderRefused, match="another provider"):
        await provider.check_response_issuer("https://evil.example.com")


async def test_two_providers_do_not_take_each_others_codes(provider: Provider, make: MakeProvider) -> None:
    with running_provider("http://127.0.0.1:9/signin/callback") as other:
        visited = await visit(make(issuer=other.issuer), other)
        with pytest.raises(ProviderRefused, match="another provider"):
            await visited.finish(provider)


# §10.1.1: rotation of keys
async def test_a_key_made_just_now_is_found_and_one_taken_back_ends(provider: Provider, idp: RunningProvider) -> None:
    await sign_in(provider, idp)
    await idp.set(rotate_key=True)

    assert (await sign_in(provider, idp)).person.name == "Ada Lovelace"
    await idp.set(signature="other key")  # named as the first key was
    with pytest.raises(ProviderRefused, match="signature is wrong|does not have"):
        await sign_in(provider, idp)


# §12.2: what a refresh brings
@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"sub": "sub-mallory"}, "of another person"),
        ({"iss": "https://evil.example.com"}, "of another issuer"),
        ({"aud": ["other"]}, "for another client"),
        ({"azp": "other"}, "azp"),
        ({"exp": PAST}, "has expired"),
        ({"at_hash": "of-another-token"}, "at_hash"),
    ],
)
async def test_an_id_token_after_a_refresh_is_of_the_same_person_or_refused(
    provider: Provider, idp: RunningProvider, claims: dict[str, Any], reason: str
) -> None:
    answer = await sign_in(provider, idp)
    await idp.set(refresh_claims=claims)

    with pytest.raises(ProviderRefused, match=reason):
        await provider.refresh(refresh_token_of(answer), answer.person.subject)


async def test_a_grant_that_the_provider_has_ended_is_over(provider: Provider, idp: RunningProvider) -> None:
    answer = await sign_in(provider, idp)
    await idp.set(end="ada")

    with pytest.raises(GrantEnded, match="invalid_grant"):
        await provider.refresh(refresh_token_of(answer), answer.person.subject)


ENTRA = "AADSTS50076: Due to a configuration change made by your administrator, you must use multi-factor …"


@pytest.mark.parametrize(
    ("status", "error", "raised", "reason"),
    [
        (400, {"error": "invalid_grant", "error_description": "AADSTS700082: expired"}, GrantEnded, "AADSTS700082$"),
        (400, {"error": "interaction_required", "error_description": ENTRA}, GrantEnded, "required AADSTS50076$"),
        (400, {"error": "invalid_request"}, ProviderUnavailable, "invalid_request$"),
        (401, {"error": "invalid_client"}, ProviderUnavailable, "not expired"),
        (400, {"error": "temporarily_unavailable"}, ProviderUnavailable, "HTTP status 400"),
        (429, {"error": "slow_down"}, ProviderUnavailable, "HTTP status 429"),
        (400, {"error": "<script>\x1b[2J"}, ProviderUnavailable, "an error without a name$"),
        (400, {"error": ["invalid_grant"]}, ProviderUnavailable, "HTTP status 400"),
        (200, {}, ProviderUnavailable, "something else than tokens"),
        (200, {"access_token": "x", "token_type": "DPoP"}, ProviderUnavailable, "something else than tokens"),
    ],
)
async def test_only_what_says_that_a_grant_is_over_ends_it(
    provider: Provider, idp: RunningProvider, status: int, error: dict[str, Any], raised: type[Exception], reason: str
) -> None:
    answer = await sign_in(provider, idp)
    await idp.set(answers={"/token": {"kind": "json", "status": status, "object": error}})

    with pytest.raises(raised, match=reason) as refused:
        await provider.refresh(refresh_token_of(answer), answer.person.subject)
    assert "configuration change" not in str(refused.value)


AWAY: list[dict[str, Any]] = [
    {"kind": "status", "status": 503}, {"kind": "redirect", "location": "http://127.0.0.1:1/"}, {"kind": "huge"},
    {"kind": "cut"}, {"kind": "drip"}, {"kind": "slow", "seconds": 3}, {"kind": "html"},
]  # fmt: skip


@pytest.mark.parametrize("answer", AWAY, ids=[each["kind"] for each in AWAY])
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token"])
async def test_a_provider_that_does_not_answer_as_it_should_is_away(
    make: MakeProvider, idp: RunningProvider, monkeypatch: pytest.MonkeyPatch, path: str, answer: dict[str, Any]
) -> None:
    honest = await sign_in(make(), idp)
    monkeypatch.setattr(documents, "SECONDS", 0.2)
    await idp.set(answers={path: answer})
    provider = make()

    with pytest.raises(ProviderUnavailable) as away:
        await sign_in(provider, idp)
    assert away.value.reason
    with pytest.raises(ProviderUnavailable):
        await provider.refresh(refresh_token_of(honest), honest.person.subject)
    if path != "/token":  # nothing was spent before it was known how to check what would come
        await idp.set(answers={})
        assert (await make().refresh(refresh_token_of(honest), honest.person.subject)).refresh_token is not None


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"issuer": "https://evil.example.com"}, "in another issuer's name: https://evil.example.com$"),
        ({"issuer": "https://login.example.com/{tenantid}/v2.0"}, "names no tenant: name yours"),
        ({"issuer": None}, "in another issuer's name: none$"),
        ({"token_endpoint": None}, "does not say its token_endpoint"),
        ({"authorization_endpoint": None}, "does not say its authorization_endpoint"),
        ({"jwks_uri": 7}, "does not say its jwks_uri"),
        ({"token_endpoint": "http://idp.example.com/token"}, "token_endpoint: the URL must be https"),
        ({"token_endpoint": "https://10.0.0.7/token"}, "token_endpoint: the URL's host is an address"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint: the URL must begin with https"),
        ({"userinfo_endpoint": "file:///etc/passwd"}, "userinfo_endpoint: the URL must begin with https"),
    ],
)
async def test_metadata_that_are_not_the_providers_own_lead_nowhere(
    provider: Provider, idp: RunningProvider, metadata: dict[str, Any], reason: str
) -> None:
    await idp.set(metadata=metadata)

    with pytest.raises(ProviderUnavailable, match=reason) as away:
        await provider.make_authorization_url(state="s", nonce="n", verifier=Secret("v" * 43))
    assert away.value.retry_after > 0
    assert (await idp.look())["requests"] == []


async def test_a_rotated_refresh_token_is_not_lost_to_a_slow_userinfo(
    provider: Provider, idp: RunningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await idp.set(has_id_token_at_refresh=False)
    answer = await sign_in(provider, idp)
    await idp.set(answers={"/userinfo": {"kind": "slow", "seconds": 20}})
    monkeypatch.setattr(client, "REFRESH_SECONDS", 0.5)

    again = await provider.refresh(refresh_token_of(answer), answer.person.subject)
    assert again.person.groups is None
    await idp.set(answers={})
    assert again.refresh_token is not None
    assert (await provider.refresh(refresh_token_of(again), answer.person.subject)).person.groups == ("crm-admins",)


async def test_however_many_come_at_once_the_provider_is_asked_for_its_metadata_once(
    provider: Provider, idp: RunningProvider
) -> None:
    await idp.set(metadata={"issuer": "https://evil.example.com"})

    async def ask() -> str:
        with pytest.raises(ProviderUnavailable) as away:
            await provider.make_authorization_url(state="s", nonce="n", verifier=Secret("v" * 43))
        return away.value.reason

    reasons = await asyncio.gather(*(ask() for _ in range(20)))
    assert len(set(reasons)) == 1
    await idp.reset()
    assert await ask() == reasons[0]  # not asked again at once
