"""Finds where an issuer's keys are, by the metadata that it publishes."""

from __future__ import annotations

from typing import Any

from orgserver.oauth.documents import DocumentFetcher
from orgserver.oauth.key_sets import KeySet, read_key_set
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import CheckedUrl, check_endpoint_url, find_metadata_urls


async def fetch_keys(fetcher: DocumentFetcher, issuer: str, url: CheckedUrl) -> KeySet:
    """An issuer's keys, by its metadata; IssuerUnavailable with the reason. ``issuer`` is its name to the letter."""
    return await fetch_keys_at(fetcher, await _find_keys_url(fetcher, issuer, url), url)


async def fetch_keys_at(fetcher: DocumentFetcher, keys_url: CheckedUrl, url: CheckedUrl) -> KeySet:
    """The keys at a URL that an issuer, itself at another, has named; IssuerUnavailable with the reason."""
    is_elsewhere = keys_url.origin != url.origin
    document = await fetcher.fetch(keys_url, must_be_public=is_elsewhere and not url.is_loopback)
    if document is None:
        raise IssuerUnavailable(f"{keys_url.text} is not there, where the issuer says that its keys are")
    return read_key_set(document)


async def _find_keys_url(fetcher: DocumentFetcher, issuer: str, url: CheckedUrl) -> CheckedUrl:
    """The first address that metadata in the issuer's own name gives."""
    reasons = []
    for place in find_metadata_urls(url):
        try:
            document = await fetcher.fetch(place)
            if document is not None:
                return _read_keys_url(document, issuer, url)
        except IssuerUnavailable as error:
            reasons.append(error.reason)
    raise IssuerUnavailable(reasons[0] if reasons else f"{issuer} publishes no metadata at its well-known addresses")


def _read_keys_url(document: dict[str, Any], issuer: str, url: CheckedUrl) -> CheckedUrl:
    if document.get("issuer") != issuer:
        raise IssuerUnavailable(f"the metadata of {issuer} is in another issuer's name")
    keys_url = document.get("jwks_uri")
    if not isinstance(keys_url, str):
        raise IssuerUnavailable(f"the metadata of {issuer} does not say where its keys are")
    try:
        return check_endpoint_url(keys_url, url)
    except ValueError as error:
        raise IssuerUnavailable(f"the metadata of {issuer}, of its keys: {error}") from None
