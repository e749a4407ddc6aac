"""The company's identity provider, of which this server is a client: people go there, and it says who they are."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from orgserver.model.access.people import Person
from orgserver.model.access.principals import Subject
from orgserver.model.secret import Secret
from orgserver.oauth.discovery import fetch_keys_at
from orgserver.oauth.documents import DocumentFetcher
from orgserver.oauth.key_cache import KeyCache
from orgserver.oauth.key_sets import KeySet
from orgserver.oauth.provider.claims import add_userinfo, read_person, says_groups
from orgserver.oauth.provider.id_tokens import IdTokens
from orgserver.oauth.provider.metadata import MetadataCache, ProviderMetadata
from orgserver.oauth.provider.refusals import GrantEnded, ProviderRefused, ProviderUnavailable
from orgserver.oauth.provider.requests import FRESH_SECONDS, ProviderClient, make_authorization_url
from orgserver.oauth.provider.token_endpoint import TokenEndpoint, TokenReply
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import CheckedUrl, check_issuer

REFRESH_SECONDS = 10.0
"""For all of a refresh."""
_PREPARE_SECONDS = 4.0
"""Of these for what must be known before the refresh token is used: afterwards there may be a new one to be kept."""
_USERINFO_CLAIMS = ("name", "email")


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """Who somebody is, and what may be asked again without them."""

    person: Person
    refresh_token: Secret | None
    """After a refresh: the one to use from now on; None: the one from before stays good."""


@dataclass(frozen=True, slots=True)
class ProviderExamination:
    """What an operator should know of the provider."""

    issuer: str
    endpoints: dict[str, str]
    """URLs by name: authorization, token, keys, userinfo."""
    scopes: frozenset[str]
    claims: frozenset[str]
    challenge_methods: frozenset[str]
    """Each empty where the provider does not say."""
    keys: int


class Provider:
    """One provider, for one server."""

    def __init__(
        self,
        issuer: str,
        client: ProviderClient,
        groups_claim: str | None,
        fetcher: DocumentFetcher,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self._url = check_issuer(issuer)
        self._client = client
        self._groups_claim = groups_claim
        self._fetcher = fetcher
        self._metadata = MetadataCache(fetcher, issuer, self._url)
        self._tokens = TokenEndpoint(fetcher, client, self._url)
        self._keys = KeyCache(self._fetch_keys, name="the identity provider of sign-in")
        self._id_tokens = IdTokens(issuer, client.client_id, self._keys, clock)

    async def make_authorization_url(
        self, *, state: str, nonce: str, verifier: Secret, fresh: bool = False, offline: bool = True
    ) -> str:
        """Where to send a person's browser; ProviderUnavailable.

        ``fresh``: they must show anew who they are. ``offline``: a refresh token is wanted, too.
        """
        return make_authorization_url(
            await self._metadata.load(),
            self.issuer,
            self._client,
            state=state,
            nonce=nonce,
            verifier=verifier,
            is_fresh=fresh,
            is_offline=offline and not fresh,
            has_groups=self._groups_claim is not None,
        )

    async def check_response_issuer(self, iss: str | None) -> None:
        """ProviderRefused where a response to an authorization request is not of this provider (RFC 9207 §2.4).

        ProviderUnavailable where nobody knows whether it should have said so.
        """
        metadata = await self._metadata.load()
        if iss is None and metadata.has_response_issuer:
            raise ProviderRefused("the response does not say which provider it is of (iss)")
        if iss is not None and iss != self.issuer:
            raise ProviderRefused("the response is of another provider (iss)")

    async def exchange(self, code: Secret, *, verifier: Secret, nonce: str, fresh: bool = False) -> ProviderAnswer:
        """Who has signed in, for the code that came back.

        ProviderUnavailable, ProviderRefused; AuthTimeMissing where the provider does not say whether it is ``fresh``.
        """
        metadata = await self._metadata.load()
        reply = await self._tokens.exchange(metadata, code, verifier)
        if reply.id_token is None:
            raise ProviderRefused("the provider gave no id token")
        claims = await self._id_tokens.verify(
            reply.id_token,
            nonce=nonce,
            access_token=reply.access_token,
            max_age=FRESH_SECONDS if fresh else None,
        )
        if not self._says_groups(claims) or any(name not in claims for name in _USERINFO_CLAIMS):
            claims = add_userinfo(claims, await self._fetch_userinfo(metadata, reply, claims["sub"]))
        return ProviderAnswer(read_person(claims, self._groups_claim), reply.refresh_token)

    async def refresh(self, refresh_token: Secret, subject: Subject) -> ProviderAnswer:
        """Who somebody still is, within ten seconds; of the person only subject and groups count.

        GrantEnded ends what rests on it. ProviderUnavailable: the refresh token may be tried again later.
        ProviderRefused: what came is not of this person, or not to be believed.
        """
        if subject.issuer != self.issuer:
            raise GrantEnded("the grant is of another provider than the one that this server has now")
        end = asyncio.get_running_loop().time() + REFRESH_SECONDS
        metadata = await self._prepare()
        reply = await self._tokens.refresh(metadata, refresh_token)
        try:
            async with asyncio.timeout_at(end):
                claims = await self._read_refreshed(reply, subject)
        except (TimeoutError, ProviderUnavailable):
            raise ProviderRefused("the id token that came with a refresh could not be checked in time") from None
        return ProviderAnswer(await self._complete(metadata, reply, claims, end), reply.refresh_token)

    async def examine(self) -> ProviderExamination:
        """Look at it for an operator; ProviderUnavailable."""
        metadata = await self._metadata.load()
        await self._id_tokens.load_keys()
        urls = {
            "authorization": metadata.authorization_endpoint,
            "token": metadata.token_endpoint,
            "keys": metadata.keys_url,
            "userinfo": metadata.userinfo_endpoint,
        }
        return ProviderExamination(
            self.issuer,
            {name: url.text for name, url in urls.items() if url is not None},
            metadata.scopes,
            metadata.claims,
            metadata.challenge_methods,
            len(await self._keys.load()),
        )

    async def aclose(self) -> None:
        """Ask it no more."""
        await self._metadata.aclose()
        await self._id_tokens.aclose()

    async def _prepare(self) -> ProviderMetadata:
        """Know what a refresh needs, before it."""
        try:
            async with asyncio.timeout(_PREPARE_SECONDS):
                metadata = await self._metadata.load()
                await self._id_tokens.load_keys()
        except TimeoutError:
            raise ProviderUnavailable("the provider does not tell its metadata and keys in time") from None
        return metadata

    async def _fetch_keys(self) -> KeySet:
        try:
            metadata = await self._metadata.load()
        except ProviderUnavailable as error:
            raise IssuerUnavailable(error.reason, error.retry_after) from None
        return await fetch_keys_at(self._fetcher, metadata.keys_url, self._url)

    async def _read_refreshed(self, reply: TokenReply, subject: Subject) -> dict[str, Any]:
        """The claims that came with a refresh, which must be of the same person (OpenID Connect Core §12.2)."""
        if reply.id_token is None:
            return {"iss": subject.issuer, "sub": subject.subject}
        claims = await self._id_tokens.verify(reply.id_token, nonce=None, access_token=reply.access_token)
        if claims["sub"] != subject.subject:
            raise ProviderRefused("the id token that came with a refresh is of another person")
        return claims

    async def _complete(
        self, metadata: ProviderMetadata, reply: TokenReply, claims: dict[str, Any], end: float
    ) -> Person:
        """The person after a refresh; without groups where nothing says them: the new refresh token matters more."""
        is_silent = reply.id_token is None
        if not self._says_groups(claims):
            try:
                async with asyncio.timeout_at(end):
                    claims = add_userinfo(claims, await self._fetch_userinfo(metadata, reply, claims["sub"]))
            except (TimeoutError, ProviderUnavailable):
                is_silent = True
        if is_silent and not self._says_groups(claims):
            return replace(read_person(claims, None), groups=None)
        return read_person(claims, self._groups_claim)

    def _says_groups(self, claims: dict[str, Any]) -> bool:
        return self._groups_claim is None or says_groups(claims, self._groups_claim)

    async def _fetch_userinfo(self, metadata: ProviderMetadata, reply: TokenReply, subject: str) -> dict[str, Any]:
        """More of the person, where the provider has it (OpenID Connect Core §5.3); it must be the same person."""
        url = metadata.userinfo_endpoint
        if url is None:
            return {}
        headers = {"authorization": f"Bearer {reply.access_token.reveal()}"}
        try:
            document = await self._fetcher.fetch_document(url, headers=headers, must_be_public=self._is_elsewhere(url))
        except IssuerUnavailable as error:
            raise ProviderUnavailable(error.reason) from None
        if document is None:
            return {}
        if document.object.get("sub") != subject:
            raise ProviderRefused("what the provider says at its userinfo endpoint is of another person")
        return document.object

    def _is_elsewhere(self, url: CheckedUrl) -> bool:
        return url.origin != self._url.origin and not self._url.is_loopback


def make_provider(
    issuer: str,
    client_id: str,
    secret: Secret | None,
    groups_claim: str | None,
    callback_url: str,
    make_tls: Callable[[], ssl.SSLContext],
    proxy: str | None = None,
) -> Provider:
    """A provider, which is not asked for anything yet; ValueError for an issuer whose URL is none."""
    client = ProviderClient(client_id, secret, callback_url)
    return Provider(issuer, client, groups_claim, DocumentFetcher(make_tls, proxy))
