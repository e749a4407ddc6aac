"""What the provider publishes of itself, read from its discovery document and remembered for ten minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from orgserver.model.text import escape_text
from orgserver.oauth.documents import DocumentFetcher
from orgserver.oauth.loading import Loading, LoadingTexts
from orgserver.oauth.provider.refusals import ProviderUnavailable
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import CheckedUrl, check_endpoint_url, find_openid_urls

FRESH_SECONDS = 600.0
_LONGEST = 200
"""Characters of a document's text that are repeated."""


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """Its endpoints, each at an address where it may send us, and what it says that it can do."""

    authorization_endpoint: CheckedUrl
    token_endpoint: CheckedUrl
    keys_url: CheckedUrl
    userinfo_endpoint: CheckedUrl | None
    scopes: frozenset[str]
    """Empty: it does not say."""
    claims: frozenset[str]
    """Empty: it does not say."""
    challenge_methods: frozenset[str]
    """Empty: it does not say."""
    client_methods: frozenset[str]
    """How clients may authenticate at its token endpoint."""
    has_claims_parameter: bool
    has_response_issuer: bool
    """Whether each of its authorization responses names it (RFC 9207)."""


def read_metadata(document: dict[str, Any], issuer: str, url: CheckedUrl) -> ProviderMetadata:
    """Read a discovery document (OpenID Connect Discovery §3, §4.3); ValueError says why it is not this provider's."""
    name = document.get("issuer")
    if name != issuer:
        is_template = isinstance(name, str) and "{tenantid}" in name
        if is_template:
            raise ValueError("it names no tenant: name yours")
        raise ValueError(f"it is in another issuer's name: {_show(name)}")
    methods = _read_texts(document, "token_endpoint_auth_methods_supported")
    return ProviderMetadata(
        authorization_endpoint=_read_endpoint(document, "authorization_endpoint", url),
        token_endpoint=_read_endpoint(document, "token_endpoint", url),
        keys_url=_read_endpoint(document, "jwks_uri", url),
        userinfo_endpoint=_read_endpoint(document, "userinfo_endpoint", url)
        if "userinfo_endpoint" in document
        else None,
        scopes=_read_texts(document, "scopes_supported"),
        claims=_read_texts(document, "claims_supported"),
        challenge_methods=_read_texts(document, "code_challenge_methods_supported"),
        client_methods=methods or frozenset(("client_secret_basic",)),  # the default of Discovery §3
        has_claims_parameter=document.get("claims_parameter_supported") is True,
        has_response_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


class MetadataCache:
    """The metadata of one provider: asked for once however many wait, and not in floods while it is away."""

    def __init__(
        self, fetcher: DocumentFetcher, issuer: str, url: CheckedUrl, clock: Callable[[], float] = time.monotonic
    ) -> None:
        texts = LoadingTexts(
            trouble="the identity provider of sign-in cannot be used",
            relief="the identity provider of sign-in can be used again",
            late=f"{issuer} did not tell its metadata",
            unforeseen="the metadata could not be read",
        )
        fetch = partial(_fetch_metadata, fetcher, issuer, url)
        self._loading = Loading(fetch, clock, texts, "the provider has not been asked yet")

    async def load(self) -> ProviderMetadata:
        """The metadata; ProviderUnavailable with the reason. What is older than ten minutes counts for nothing."""
        if self._loading.value_within(FRESH_SECONDS) is None:
            await self._loading.ask()
        metadata = self._loading.value_within(FRESH_SECONDS)
        if metadata is None:
            error = self._loading.make_error()
            raise ProviderUnavailable(error.reason, error.retry_after)
        return metadata

    async def aclose(self) -> None:
        """Ask no more."""
        await self._loading.aclose()


async def _fetch_metadata(fetcher: DocumentFetcher, issuer: str, url: CheckedUrl) -> ProviderMetadata:
    """The first that is the provider's own; IssuerUnavailable with what was wrong with the first that was there."""
    reasons = []
    for place in find_openid_urls(url):
        try:
            document = await fetcher.fetch(place)
            if document is not None:
                return read_metadata(document, issuer, url)
        except IssuerUnavailable as error:
            reasons.append(error.reason)
        except ValueError as error:
            reasons.append(f"the metadata of {issuer}: {error}")
    raise IssuerUnavailable(reasons[0] if reasons else f"{issuer} publishes no metadata at its well-known addresses")


def _show(name: object) -> str:
    """What a document calls its issuer, short and plain enough for a line of a log."""
    return escape_text(name[:_LONGEST]) if isinstance(name, str) else "none"


def _read_endpoint(document: dict[str, Any], name: str, url: CheckedUrl) -> CheckedUrl:
    text = document.get(name)
    if not isinstance(text, str):
        raise ValueError(f"it does not say its {name}")  # noqa: TRY004  # of a document, not of an argument
    try:
        return check_endpoint_url(text, url)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _read_texts(document: dict[str, Any], name: str) -> frozenset[str]:
    values = document.get(name)
    return frozenset(each for each in values if isinstance(each, str)) if isinstance(values, list) else frozenset()
