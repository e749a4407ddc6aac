"""Checks access tokens that are JWTs: who signed them, for whom and how long they are, and that they are no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from orgserver.model.access.principals import Permission, Subject
from orgserver.model.secret import Secret
from orgserver.oauth.key_cache import KeyCache
from orgserver.oauth.key_sets import ALGORITHMS
from orgserver.oauth.refusals import TokenRefused
from orgserver.oauth.scopes import read_scopes

LEEWAY_SECONDS = 60
"""How far the issuer's clock and ours may differ."""
MAX_CHARACTERS = 16 * 1_024
_MAX_SUBJECT = 255
_ACCESS_TYPES = ("at+jwt", "application/at+jwt")
"""What RFC 9068 calls an access token; of these nobody has to guess."""
_ANY_TYPES = ("", "jwt", "application/jwt")
"""What issuers call them that do not follow it, and what they call ID tokens, too."""
_OF_ID_TOKENS = ("nonce", "at_hash", "c_hash", "s_hash")
_OF_ACCESS_TOKENS = ("scope", "scp", "client_id", "cid", "appid", "azpacr", "appidacr", "gty")
_CLIENTS = ("client_id", "azp", "appid", "cid")
_REQUIRED = ["iss", "sub", "aud", "exp"]
_REFUSALS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.MissingRequiredClaimError, "the token lacks iss, sub, aud or exp"),
    (jwt.InvalidSignatureError, "the token's signature is wrong"),
)
_MALFORMED = "the token is no JWT that can be read"
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token that was checked says."""

    subject: Subject
    scopes: frozenset[Permission]
    """What it is narrowed to."""
    client: Subject | None = None
    """The client that got it, where it says that it acts for nobody but itself."""
    claims: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """What else it says of the subject in short texts; an address only where the issuer has verified it."""


class AccessTokenVerifier:
    """Checks tokens of one issuer for one audience."""

    def __init__(self, issuer: str, audience: str, keys: KeyCache) -> None:
        self.issuer = issuer
        self._audience = audience
        self._keys = keys

    def load_keys_ahead(self) -> None:
        """Ask the issuer for its keys, in a task of its own."""
        self._keys.load_ahead()

    async def verify(self, token: Secret) -> AccessToken:
        """What a token says; TokenRefused for one that opens nothing, IssuerUnavailable where nobody can tell."""
        text = token.reveal()
        if len(text) > MAX_CHARACTERS:
            raise TokenRefused("the token is too long")
        header = _read_header(text)
        algorithm = header["alg"]
        key = await self._keys.find(header.get("kid"), algorithm)
        if key is None:
            raise TokenRefused("the token is signed by a key that its issuer does not have")
        claims = self._decode(text, key.key, algorithm)
        _refuse_other_tokens(header, claims)
        client = _find_own_client(claims)
        return AccessToken(
            Subject(self.issuer, _read_subject(claims)),
            read_scopes(claims),
            Subject(self.issuer, client) if client is not None else None,
            _read_texts(claims),
        )

    async def aclose(self) -> None:
        """Ask the issuer no more."""
        await self._keys.aclose()

    def _decode(self, text: str, key: Any, algorithm: str) -> dict[str, Any]:
        """The claims of a token whose signature, issuer, audience and times are right."""
        try:
            claims = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED, "verify_aud": True, "verify_iss": True, "verify_exp": True},
            )
        except _UNREADABLE as error:
            reason = next((text for kind, text in _REFUSALS if isinstance(error, kind)), _MALFORMED)
            raise TokenRefused(reason) from None
        if any(not _is_time(claims[name]) for name in ("exp", "nbf", "iat") if name in claims):
            raise TokenRefused(_MALFORMED)
        return claims


def _read_header(text: str) -> Mapping[str, Any]:
    """The header, before anything is known of the token; one with an algorithm of its own choice is refused."""
    try:
        header = jwt.get_unverified_header(text)
    except _UNREADABLE:
        raise TokenRefused(_MALFORMED) from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused("the token is signed by an algorithm that is not accepted")
    if "crit" in header or not isinstance(header.get("kid"), str | None):
        raise TokenRefused(_MALFORMED)
    if _read_type(header) not in (*_ACCESS_TYPES, *_ANY_TYPES):
        raise TokenRefused("the token is no access token")
    return header


def _read_type(header: Mapping[str, Any]) -> str:
    """Empty: it does not say."""
    name = header.get("typ", "")
    return name.lower() if isinstance(name, str) else "?"


def _refuse_other_tokens(header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """TokenRefused for an ID token, a refresh token or a token that only the holder of a key may use.

    Keycloak says in the claim ``typ`` what a token is, Cognito in ``token_use``.
    """
    if "cnf" in claims:
        raise TokenRefused("the token is bound to a key, and comes without a proof of it")
    kind = claims.get("typ")
    if kind not in (None, "Bearer") or claims.get("token_use") not in (None, "access"):
        raise TokenRefused("the token is no access token")
    if _read_type(header) in _ACCESS_TYPES or kind == "Bearer":
        return
    is_for_a_client = any(name in claims for name in _OF_ID_TOKENS)
    if is_for_a_client or not any(name in claims for name in _OF_ACCESS_TOKENS):
        raise TokenRefused("the token is an ID token, not an access token")


def _read_subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT:
        raise TokenRefused("the token has no subject that anybody could be")
    return subject


def _read_texts(claims: Mapping[str, Any]) -> dict[str, str]:
    """Short texts among the claims; ``email`` counts only beside ``email_verified: true``, for others can choose it."""
    texts = {name: value for name, value in claims.items() if isinstance(value, str) and len(value) <= _MAX_SUBJECT}
    if claims.get("email_verified") is not True:
        texts.pop("email", None)
    return texts


def _find_own_client(claims: Mapping[str, Any]) -> str | None:
    """The client of a token that says it was got by the client's own credentials, as Auth0 and Entra do.

    Others give the client as the subject then. Where a token does not say so, a person may be behind the client.
    """
    if claims.get("gty") != "client-credentials" and claims.get("idtyp") != "app":
        return None
    return next((text for name in _CLIENTS if isinstance(text := claims.get(name), str) and text), None)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
