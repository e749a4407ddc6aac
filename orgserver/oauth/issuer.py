"""The identity provider whose access tokens a server takes, put together from its parts."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial

from orgserver.oauth.access_tokens import AccessTokenVerifier
from orgserver.oauth.discovery import fetch_keys
from orgserver.oauth.documents import DocumentFetcher
from orgserver.oauth.key_cache import KeyCache
from orgserver.oauth.urls import check_issuer


def make_verifier(
    issuer: str, audience: str, make_tls: Callable[[], ssl.SSLContext], proxy: str | None = None
) -> AccessTokenVerifier:
    """What checks tokens of an issuer for an audience; it is not asked for its keys yet.

    ValueError for a URL that is none, and without an audience: a token for anybody is for nobody.
    """
    if not audience:
        raise ValueError("an issuer's tokens need an audience")
    fetcher = DocumentFetcher(make_tls, proxy)
    return AccessTokenVerifier(issuer, audience, KeyCache(partial(fetch_keys, fetcher, issuer, check_issuer(issuer))))
