"""An access token of the issuer for this server opens it; every other text does not, and says nothing of itself."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from orgserver.model.access.principals import Subject
from orgserver.model.secret import Secret
from orgserver.oauth.access_tokens import LEEWAY_SECONDS, AccessToken, AccessTokenVerifier
from orgserver.oauth.key_cache import KeyCache
from orgserver.oauth.key_sets import ALGORITHMS, KeySet, read_key_set
from orgserver.oauth.refusals import IssuerUnavailable, TokenRefused
from tests.oauth.issuers import AUDIENCE, ISSUER, FromNow, Issuer, key_for, rsa_key, sign

ISSUED = Issuer()


def verifier(issuer: Issuer = ISSUED) -> AccessTokenVerifier:
    async def fetch() -> KeySet:
        return read_key_set(issuer.jwks())

    return AccessTokenVerifier(ISSUER, AUDIENCE, KeyCache(fetch))


async def verify(text: str, issuer: Issuer = ISSUED) -> AccessToken:
    return await verifier(issuer).verify(Secret(text))


async def reason_against(text: str, issuer: Issuer = ISSUED) -> str:
    with pytest.raises(TokenRefused) as refused:
        await verify(text, issuer)
    reason = refused.value.reason
    assert reason.isascii()
    assert '"' not in reason
    assert not any(part in reason for part in text.split(".") if part)
    return reason


async def test_a_good_token_says_who_it_is_and_what_it_is_narrowed_to() -> None:
    token = await verify(ISSUED.token())

    assert token == AccessToken(Subject(ISSUER, "ada@idp"), frozenset({"read", "write"}))


@pytest.mark.parametrize("verified", [True, False, "true", 1, None])
async def test_an_address_is_told_where_the_issuer_has_verified_it_alone(verified: object) -> None:
    claims: dict[str, Any] = {
        "email": "ada@acme.example",
        "email_verified": verified,
        "upn": "ada@acme",
        "level": 3,
        "long": "x" * 999,
    }

    token = await verify(ISSUED.token(**claims))

    assert (token.claims.get("email") == "ada@acme.example") is (verified is True)
    assert (token.claims["upn"], "level" in token.claims, "long" in token.claims) == ("ada@acme", False, False)
    assert "ada@acme" not in repr(token)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_each_algorithm_of_public_keys_is_taken(algorithm: str) -> None:
    issuer = Issuer(keys={"k1": (key_for(algorithm), algorithm)})

    assert (await verify(issuer.token(), issuer)).subject.subject == "ada@idp"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "https://other.example.com/mcp"}, "for another audience"),
        ({"aud": [f"{AUDIENCE}/"]}, "for another audience"),
        ({"aud": AUDIENCE.upper()}, "for another audience"),
        ({"aud": []}, ""),
        ({"aud": None}, "lacks iss, sub, aud or exp"),
        ({"iss": "https://evil.example.com"}, "of another issuer"),
        ({"iss": f"{ISSUER}/"}, "of another issuer"),
        ({"iss": None}, "lacks iss, sub, aud or exp"),
        ({"iss": [ISSUER]}, ""),
        ({"sub": None}, "lacks iss, sub, aud or exp"),
        ({"sub": ""}, "no subject"),
        ({"sub": 7}, ""),
        ({"sub": "x" * 256}, "no subject"),
        ({"exp": None}, "lacks iss, sub, aud or exp"),
        ({"exp": "soon"}, ""),
        ({"exp": True}, ""),
        ({"exp": 1e400}, ""),
        ({"exp": str(2**40)}, "no JWT that can be read"),
        ({"exp": FromNow(-LEEWAY_SECONDS - 2)}, "has expired"),
        ({"nbf": FromNow(LEEWAY_SECONDS + 30)}, "not valid yet"),
        ({"iat": FromNow(LEEWAY_SECONDS + 30)}, "not valid yet"),
        ({"cnf": {"jkt": "x"}}, "bound to a key"),
        ({"typ": "Refresh"}, "no access token"),
        ({"typ": "ID"}, "no access token"),
        ({"token_use": "id"}, "no access token"),
    ],
)
async def test_claims_that_are_wrong_open_nothing(claims: dict[str, Any], reason: str) -> None:
    assert reason in await reason_against(ISSUED.token(**claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["https://other.example.com", AUDIENCE]},
        {"exp": FromNow(20 - LEEWAY_SECONDS)},
        {"nbf": FromNow(LEEWAY_SECONDS - 20), "iat": FromNow(LEEWAY_SECONDS - 20)},
        {"iat": None, "nbf": None},
        {"exp": FromNow(5.5)},
        {"token_use": "access"},
    ],
)
async def test_several_audiences_and_clocks_that_differ_a_little_are_right(claims: dict[str, Any]) -> None:
    assert (await verify(ISSUED.token(**claims))).subject == Subject(ISSUER, "ada@idp")


async def test_an_id_token_is_no_access_token() -> None:
    id_token = {"scope": None, "client_id": None, "aud": AUDIENCE, "email": "ada@example.com"}
    plain = {"typ": "JWT"}

    for claims in (id_token, id_token | {"nonce": "n"}, {"nonce": "n"}, {"at_hash": "x"}, id_token | {"azp": "agent"}):
        assert "ID token" in await reason_against(ISSUED.token(header=plain, **claims))
    for typ in ("logout+jwt", "secevent+jwt", "JOSE"):
        assert "no access token" in await reason_against(ISSUED.token(header={"typ": typ}))
    for header in (plain, {"typ": "application/at+jwt"}, {"typ": "AT+JWT"}):
        assert await verify(ISSUED.token(header=header))
    assert await verify(ISSUED.token(header=plain, typ="Bearer", nonce="n"))  # Keycloak's


@pytest.mark.parametrize(
    ("claims", "permissions"),
    [
        ({"scope": "orgs:read"}, {"read"}),
        ({"scope": "orgs:delete  orgs:write"}, {"write", "delete"}),
        ({"scope": None, "scp": ["orgs:read", 7, None]}, {"read"}),
        ({"scope": None, "scp": "orgs:read orgs:delete"}, {"read", "delete"}),
        ({"scope": None, "roles": ["orgs:write"]}, {"write"}),
        ({"scope": "openid", "roles": ["orgs:write"]}, set()),
        ({"scope": "ORGS:READ orgs:readx orgs: orgs:*"}, set()),
        ({"scope": None}, set()),
        ({"scope": {"orgs:read": 1}}, set()),
    ],
)
async def test_scopes_are_read_as_issuers_write_them_and_none_implies_another(
    claims: dict[str, Any], permissions: set[str]
) -> None:
    assert (await verify(ISSUED.token(**claims))).scopes == permissions


async def test_the_client_stands_for_itself_only_where_the_token_says_so() -> None:
    machine = await verify(ISSUED.token(sub="agent@clients", gty="client-credentials"))
    of_entra = await verify(ISSUED.token(idtyp="app", client_id=None, azp="agent"))
    person = await verify(ISSUED.token(azp="agent"))

    assert machine.client == of_entra.client == Subject(ISSUER, "agent")
    assert person.client is None


def forged() -> dict[str, str]:
    """Tokens with what the issuer never signed."""
    claims, mine = ISSUED.claims(), rsa_key(99)
    public = (
        rsa_key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head, body, signature = ISSUED.token().split(".")
    of_others = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "root"}).encode()).rstrip(b"=").decode()
    own_key = {"typ": "at+jwt", "jwk": json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(mine.public_key()))}

    def with_header(**header: Any) -> str:
        encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
        return f"{encoded}.{body}.{signature}"

    hmac_head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"k1","typ":"at+jwt"}').rstrip(b"=").decode()
    hmac_key = jwt.get_algorithm_by_name("HS256")
    hmac_signature = (
        base64.urlsafe_b64encode(hmac_key.sign(f"{hmac_head}.{body}".encode(), public)).rstrip(b"=").decode()
    )
    return {
        "no signature": jwt.encode(claims, "", "none"),
        "no signature, named": with_header(alg="none", kid="k1"),
        "a public key as HMAC's": f"{hmac_head}.{body}.{hmac_signature}",
        "another key under the same id": sign(claims, mine, "RS256", {"typ": "at+jwt"}),
        "its own key in the header": sign(claims, mine, "RS256", own_key, None),
        "its own key's address": sign(claims, mine, "RS256", {"typ": "at+jwt", "jku": "https://evil.example.com"}),
        "an id of a file": sign(claims, mine, "RS256", {"typ": "at+jwt"}, "../../dev/null"),
        "another algorithm of the key": with_header(alg="PS256", kid="k1", typ="at+jwt"),
        "another kind of algorithm": with_header(alg="ES256", kid="k1", typ="at+jwt"),
        "an algorithm in small letters": with_header(alg="rs256", kid="k1", typ="at+jwt"),
        "an algorithm that is a list": with_header(alg=["RS256"], kid="k1", typ="at+jwt"),
        "a key id that is a list": with_header(alg="RS256", kid=["k1"], typ="at+jwt"),
        "extensions": with_header(alg="RS256", kid="k1", typ="at+jwt", crit=["b64"], b64=False),
        "other claims": f"{head}.{of_others}.{signature}",
        "a signature cut": f"{head}.{body}.{signature[:-4]}",
        "no parts": f"{head}{body}{signature}",
        "five parts": f"{head}.{body}.{signature}.{body}.{signature}",
        "long": "x" * 20_000,
        "deep": base64.urlsafe_b64encode(b"[" * 9_000).decode() + "..",
    }


@pytest.mark.parametrize(("text"), forged().values(), ids=forged().keys())
async def test_what_the_issuer_has_not_signed_opens_nothing(text: str) -> None:
    await reason_against(text)


@given(st.text(alphabet="abcXYZ019-_.=+/ eyJ{}", min_size=1, max_size=120) | st.text(min_size=1, max_size=60))
@settings(max_examples=60)
async def test_no_text_opens_anything_or_fails_in_another_way(text: str) -> None:
    with pytest.raises(TokenRefused):
        await verify(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=3),
    max_leaves=6,
)
CLAIMS = st.sampled_from(
    ["iss", "sub", "aud", "exp", "nbf", "iat", "scope", "scp", "cnf", "typ", "nonce", "gty", "azp"]
)


@given(changes=st.dictionaries(CLAIMS, JSON, min_size=1, max_size=3))
@settings(max_examples=60)
async def test_a_signed_token_is_taken_only_as_its_right_claims_are(changes: dict[str, Any]) -> None:
    claims = ISSUED.claims() | changes
    text = sign(claims, rsa_key(), "RS256", {"typ": "at+jwt"})
    try:
        token = await verify(text)
    except TokenRefused:
        return

    assert claims["iss"] == ISSUER
    assert claims["aud"] == AUDIENCE or AUDIENCE in claims["aud"]
    assert claims["exp"] > time.time() - LEEWAY_SECONDS - 1
    assert token.subject == Subject(ISSUER, claims["sub"])
    assert token.scopes <= {"read", "write", "delete"}


async def test_without_its_keys_nobody_knows_whether_a_token_is_good() -> None:
    async def fetch() -> KeySet:
        raise IssuerUnavailable("it is away")

    with pytest.raises(IssuerUnavailable, match="away") as unavailable:
        await AccessTokenVerifier(ISSUER, AUDIENCE, KeyCache(fetch)).verify(Secret(ISSUED.token()))
    assert 0 < unavailable.value.retry_after <= 1
