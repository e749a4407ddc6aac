"""Checks id tokens: who signed them, for whom, when, and that they answer our own request.

Rules are those of OpenID Connect Core §3.1.3.7.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from authlib.common.errors import AuthlibBaseError
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from orgserver.model.secret import Secret
from orgserver.oauth.key_cache import KeyCache
from orgserver.oauth.key_sets import ALGORITHMS
from orgserver.oauth.provider.refusals import AuthTimeMissing, ProviderRefused, ProviderUnavailable
from orgserver.oauth.refusals import IssuerUnavailable

LEEWAY_SECONDS = 60
"""How far the provider's clock and ours may differ."""
MAX_CHARACTERS = 64 * 1_024
_SUBJECT = re.compile(r"[ -~]{1,255}")
"""ASCII of such a length, by §2."""
_LAST_TIME = 2.0**52
_TYPES = ("", "jwt", "application/jwt")
_REFUSALS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "the id token has expired (do the clocks differ?)"),
    (jwt.ImmatureSignatureError, "the id token is not valid yet (do the clocks differ?)"),
    (jwt.InvalidAudienceError, "the id token is for another client"),
    (jwt.InvalidIssuerError, "the id token is of another issuer"),
    (jwt.MissingRequiredClaimError, "the id token lacks iss, sub, aud, exp or iat"),
    (jwt.InvalidSignatureError, "the id token's signature is wrong"),
)
_MALFORMED = "the id token is no JWT that can be read"
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
_TIMES = ("exp", "nbf", "iat", "auth_time")


class IdTokens:
    """Id tokens of one provider for one client."""

    def __init__(self, issuer: str, client_id: str, keys: KeyCache, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._keys = keys
        self._clock = clock

    async def load_keys(self) -> None:
        """Wait for the provider's keys; ProviderUnavailable where it does not tell them."""
        try:
            await self._keys.load()
        except IssuerUnavailable as error:
            raise ProviderUnavailable(error.reason, error.retry_after) from None

    async def verify(
        self, token: Secret, *, nonce: str | None, access_token: Secret | None, max_age: int | None = None
    ) -> dict[str, Any]:
        """The claims of an id token; ProviderRefused for one that says nothing to us.

        ``nonce``: of the request that it answers; None after a refresh (§12.2). ``max_age``: so long ago, at most, the
        person has shown who they are; AuthTimeMissing where the token does not say.
        """
        text = token.reveal()
        header = _read_header(text)
        claims = self._decode(text, await self._find_key(header), header["alg"])
        self._check_audience(claims)
        self._check_openid_claims(claims, header, nonce, access_token)
        if max_age is not None:
            self._check_auth_time(claims, max_age)
        return claims

    async def aclose(self) -> None:
        """Ask the provider no more."""
        await self._keys.aclose()

    async def _find_key(self, header: Mapping[str, Any]) -> Any:
        try:
            key = await self._keys.find(header.get("kid"), header["alg"])
        except IssuerUnavailable as error:
            raise ProviderUnavailable(error.reason, error.retry_after) from None
        if key is None:
            raise ProviderRefused("the id token is signed by a key that the provider does not have")
        return key.key

    def _decode(self, text: str, key: Any, algorithm: str) -> dict[str, Any]:
        """The claims of a token whose signature, issuer, audience and times are right (rules 2, 3, 6 to 10)."""
        try:
            claims = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=self._client_id,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except _UNREADABLE as error:
            reason = next((text for kind, text in _REFUSALS if isinstance(error, kind)), _MALFORMED)
            raise ProviderRefused(reason) from None
        subject = claims["sub"]
        if any(not _is_time(claims[name]) for name in _TIMES if name in claims):
            raise ProviderRefused(_MALFORMED)
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise ProviderRefused("the id token has no subject that anybody could be")
        return claims

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        """Rule 3: nobody else is trusted, so nobody else may be in the audience."""
        if claims["aud"] not in (self._client_id, [self._client_id]):
            raise ProviderRefused("the id token is for others, too")

    def _check_openid_claims(
        self, claims: Mapping[str, Any], header: Mapping[str, Any], nonce: str | None, access_token: Secret | None
    ) -> None:
        """Nonce, authorized party and hash of the access token (rules 4, 5, 11; §3.1.3.8), as Authlib knows them."""
        params = {
            "nonce": nonce,
            "client_id": self._client_id,
            "access_token": access_token.reveal() if access_token is not None else None,
        }
        try:
            CodeIDToken(claims, header, None, params).validate(int(self._clock()), LEEWAY_SECONDS)
        except JoseError as error:
            name = getattr(error, "claim", None)
            raise ProviderRefused(f"the id token's claim {name} is wrong or missing") from None
        except (AuthlibBaseError, *_UNREADABLE):
            raise ProviderRefused(_MALFORMED) from None

    def _check_auth_time(self, claims: Mapping[str, Any], max_age: int) -> None:
        """Rule 13: it is asked for again where the person has signed in too long ago."""
        auth_time = claims.get("auth_time")
        if auth_time is None:
            raise AuthTimeMissing("the provider does not say when somebody signed in (claim auth_time)")
        age = self._clock() - auth_time
        if age > max_age + LEEWAY_SECONDS:
            raise ProviderRefused("the provider did not ask the person to sign in again (claim auth_time)")
        if age < -LEEWAY_SECONDS:
            raise ProviderRefused("the id token says that somebody signs in later than now (do the clocks differ?)")


def _read_header(text: str) -> Mapping[str, Any]:
    """The header, before anything is known of the token; one with an algorithm of its own choice is refused."""
    if len(text) > MAX_CHARACTERS:
        raise ProviderRefused("the id token is too long")
    try:
        header = jwt.get_unverified_header(text)
    except _UNREADABLE:
        raise ProviderRefused(_MALFORMED) from None
    algorithm, kind = header.get("alg"), header.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise ProviderRefused("the id token is signed by an algorithm that is not accepted")
    if "crit" in header or not isinstance(header.get("kid"), str | None):
        raise ProviderRefused(_MALFORMED)
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise ProviderRefused("what the provider calls an id token is none")
    return header


def _is_time(value: object) -> bool:
    """Neither true, nor infinite or no number: JSON as Python reads it has these, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LAST_TIME
