"""The provider's token endpoint: what is posted there, and what its answers mean for a code and for a grant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orgserver.model.secret import Secret
from orgserver.oauth.documents import DocumentFetcher, FormReply
from orgserver.oauth.provider.metadata import ProviderMetadata
from orgserver.oauth.provider.refusals import GrantEnded, ProviderRefused, ProviderUnavailable
from orgserver.oauth.provider.requests import ProviderClient, TokenForm, make_code_form, make_refresh_form
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import CheckedUrl

_OK, _TOO_MANY = 200, 429
_LATER = ("temporarily_unavailable", "server_error", "slow_down")
_OVER = ("invalid_grant", "interaction_required", "login_required", "consent_required", "access_denied")
"""What says that a grant is no more (RFC 6749 §5.2), or not without the person (Entra)."""
_ERROR = re.compile(r"[a-z_]{1,64}")
_ENTRA = re.compile(r"AADSTS[0-9]{4,9}")
"""The number of what was wrong, in an ``error_description`` that else holds what nobody wants in a log."""


@dataclass(frozen=True, slots=True)
class TokenReply:
    """Tokens of the provider."""

    access_token: Secret
    id_token: Secret | None
    refresh_token: Secret | None


class TokenEndpoint:
    """Of one provider, for one client. Only ``ProviderMetadata`` says where it is."""

    def __init__(self, fetcher: DocumentFetcher, client: ProviderClient, issuer_url: CheckedUrl) -> None:
        self._fetcher = fetcher
        self._client = client
        self._issuer_url = issuer_url

    async def exchange(self, metadata: ProviderMetadata, code: Secret, verifier: Secret) -> TokenReply:
        """Tokens for a code; ProviderRefused where there are none, ProviderUnavailable where nobody knows."""
        reply = await self._post(metadata, make_code_form(metadata, self._client, code, verifier))
        error = _read_error(reply)
        if error is not None:
            raise ProviderRefused(f"the provider gave no tokens for its code: {error}")
        return _read_tokens(reply)

    async def refresh(self, metadata: ProviderMetadata, refresh_token: Secret) -> TokenReply:
        """New tokens for a refresh token; GrantEnded where it is good no more.

        ProviderUnavailable where nothing was learned of the grant: also where the provider does not know our client.
        """
        reply = await self._post(metadata, make_refresh_form(metadata, self._client, refresh_token))
        error = _read_error(reply)
        if error is None:
            return _read_tokens(reply)
        if error.startswith(_OVER):
            raise GrantEnded(f"the provider has ended the grant: {error}")
        raise ProviderUnavailable(f"the provider did not refresh: {error}")

    async def _post(self, metadata: ProviderMetadata, form: TokenForm) -> FormReply:
        url = metadata.token_endpoint
        must_be_public = url.origin != self._issuer_url.origin and not self._issuer_url.is_loopback
        headers = {name: value.reveal() for name, value in form.headers.items()}
        try:
            return await self._fetcher.post_form(url, form.content.reveal(), headers, must_be_public=must_be_public)
        except IssuerUnavailable as error:
            raise ProviderUnavailable(error.reason) from None


def _read_error(reply: FormReply) -> str | None:
    """What was wrong, in a few words of ours and a code of theirs; None: nothing. ProviderUnavailable for no answer."""
    error = reply.object.get("error")
    if reply.status == _OK and error is None:
        return None
    if not isinstance(error, str) or error in _LATER or reply.status == _TOO_MANY:
        raise ProviderUnavailable(f"the token endpoint answered by HTTP status {reply.status} without an answer")
    code = error if _ERROR.fullmatch(error) else "an error without a name"
    number = _ENTRA.search(str(reply.object.get("error_description", "")))
    hint = " (is the client secret right, and not expired?)" if error == "invalid_client" else ""
    return code + (f" {number[0]}" if number is not None else "") + hint


def _read_tokens(reply: FormReply) -> TokenReply:
    """RFC 6749 §5.1, OpenID Connect Core §3.1.3.3."""
    access_token, kind = reply.object.get("access_token"), reply.object.get("token_type")
    if not isinstance(access_token, str) or not access_token or not isinstance(kind, str) or kind.lower() != "bearer":
        raise ProviderUnavailable("the token endpoint answered with something else than tokens")
    return TokenReply(Secret(access_token), _read_secret(reply, "id_token"), _read_secret(reply, "refresh_token"))


def _read_secret(reply: FormReply, name: str) -> Secret | None:
    text = reply.object.get(name)
    return Secret(text) if isinstance(text, str) and text else None
