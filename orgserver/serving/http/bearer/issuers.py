"""The issuer of access tokens and the identity provider of people, as the operator gives them."""

from __future__ import annotations

from urllib.parse import urlsplit

from orgserver.model.errors import ConfigError
from orgserver.model.hosts import is_loopback
from orgserver.model.text import is_blank, replace_unsafe
from orgserver.oauth.urls import check_issuer


def refuse_bad_issuer(issuer: str | None, audience: str | None, url: str) -> None:
    """ConfigError for an issuer that is none, or without an audience; ``url`` is how clients reach the server."""
    if issuer is None:
        if audience is not None:
            raise ConfigError("--oauth-audience needs --oauth-issuer: nobody's tokens are taken without it")
        return
    try:
        check_issuer(issuer)
    except ValueError as error:
        raise ConfigError(
            f"--oauth-issuer {replace_unsafe(issuer)}: {error}",
            hint="give it to the letter as its tokens do, such as https://idp.example.com/realms/company",
        ) from None
    if audience is None:
        raise ConfigError(
            "--oauth-issuer needs --oauth-audience: or tokens would be taken that are meant for others",
            hint=f"--oauth-audience {url}/mcp, if that is the audience that the issuer gives tokens for this server",
        )
    if is_blank(audience) or replace_unsafe(audience) != audience:
        raise ConfigError("--oauth-audience must be a text of visible characters")


def refuse_bad_sign_in(provider_issuer: str, url: str) -> None:
    """ConfigError where people's browsers could not trust this server, which is at ``url``, or it not the provider."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"people cannot sign in at {url}: it is no https",
            hint="--public-url https://NAME with --trust-proxy, or --tls-cert and --tls-key",
        )
    setting = f"ORGSERVER_SIGNIN_ISSUER {replace_unsafe(provider_issuer)}"
    if provider_issuer.rstrip("/") == url:
        raise ConfigError(f"{setting}: it is this server, which sends people to another one to sign in")
    try:
        check_issuer(provider_issuer)
    except ValueError as error:
        raise ConfigError(
            f"{setting}: {error}",
            hint="give it to the letter as the provider does, such as https://login.microsoftonline.com/TENANT/v2.0",
        ) from None
