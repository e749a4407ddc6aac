"""A person signs in, by our client of OpenID Connect, at a provider that nobody here wrote: npm's oidc-provider."""

from __future__ import annotations

import asyncio
import html
import os
import re
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from orgserver.model.access.principals import Subject
from orgserver.model.secret import Secret
from orgserver.oauth.provider.client import Provider, ProviderAnswer, make_provider
from orgserver.oauth.provider.refusals import GrantEnded, ProviderRefused
from tests.clients.npm import Packages

SCRIPT = Path(__file__).parent / "oidc_provider.mjs"
CALLBACK = "http://127.0.0.1:9/signin/callback"
_FORM = re.compile(r'action="([^"]+)" method="post"')
_HIDDEN = re.compile(r'type="hidden" name="([^"]+)" value="([^"]*)"')


async def sign_in_at_oidc_provider(packages: Packages) -> None:
    """Sign in, sign in anew, and refresh until the grant is over; AssertionError where something is otherwise."""
    secret = secrets.token_urlsafe(24) + "/+=&%"
    async with _running(packages, secret) as issuer:
        provider = make_provider(issuer, "orgserver", Secret(secret), "groups", CALLBACK, ssl.create_default_context)
        try:
            await _visit(provider, issuer)
        finally:
            await provider.aclose()


async def _visit(provider: Provider, issuer: str) -> None:
    examination = await provider.examine()
    claims = ", ".join(sorted(examination.claims & {"auth_time", "groups", "email"}))
    print(f"it says: claims {claims}; PKCE {', '.join(examination.challenge_methods)}; {examination.keys} key")
    async with httpx2.AsyncClient(trust_env=False) as person:
        answer = await _sign_in(provider, person)
        ada = answer.person
        assert ada.subject == Subject(issuer, "ada"), ada
        assert (ada.name, ada.email, ada.is_email_verified) == ("Ada Lovelace", "ada@example.com", True), ada
        assert ada.groups == ("crm-admins",), ada
        print(f"signed in: {ada.name}, {ada.email}, groups {', '.join(ada.groups)} (of its userinfo)")
        fresh = await _sign_in(provider, person, fresh=True)
        assert fresh.person.auth_time is not None, "it did not say when"
        print("signed in anew, though the browser was signed in: auth_time is there")
        await _slip_in_a_code(provider, person)
    first = answer.refresh_token
    assert first is not None, "no refresh token"
    again = await provider.refresh(first, ada.subject)
    assert again.refresh_token is not None and again.person.groups == ("crm-admins",), again.person
    print("refreshed: a new refresh token, the same groups")
    for token in (first, again.refresh_token):
        try:
            await provider.refresh(token, ada.subject)
        except GrantEnded as ended:
            print(f"refreshed with a {'spent' if token is first else 'new'} token: {ended.reason}")
        else:
            raise AssertionError("a spent refresh token was taken, or did not end the grant")


async def _sign_in(provider: Provider, person: httpx2.AsyncClient, *, fresh: bool = False) -> ProviderAnswer:
    verifier, nonce = Secret(secrets.token_urlsafe(32)), secrets.token_urlsafe(16)
    url = await provider.make_authorization_url(state="s", nonce=nonce, verifier=verifier, fresh=fresh)
    callback = await _walk(person, url, must_show_login=fresh)
    await provider.check_response_issuer(callback.get("iss"))
    return await provider.exchange(Secret(callback["code"]), verifier=verifier, nonce=nonce, fresh=fresh)


async def _slip_in_a_code(provider: Provider, person: httpx2.AsyncClient) -> None:
    """A code that was asked for with another verifier is worth nothing."""
    url = await provider.make_authorization_url(state="s", nonce="n", verifier=Secret("x" * 43))
    code = Secret((await _walk(person, url))["code"])
    try:
        await provider.exchange(code, verifier=Secret("y" * 43), nonce="n")
    except ProviderRefused as refused:
        print(f"a code with another verifier: {refused.reason}")
    else:
        raise AssertionError("a code was taken without its verifier")


async def _walk(person: httpx2.AsyncClient, url: str, *, must_show_login: bool = False) -> dict[str, str]:
    """Follow redirects, sign in and consent where a form asks for it; what comes back to the client."""
    shown = []
    for _ in range(20):
        response = await person.get(url)
        form = _FORM.search(response.text)
        if response.status_code == httpx2.codes.OK and form is not None:
            values = dict(_HIDDEN.findall(response.text))
            shown.append(values["prompt"])
            response = await person.post(
                urljoin(url, html.unescape(form[1])), data=values | {"login": "ada", "password": "any"}
            )
        assert response.is_redirect, f"{response.status_code} {response.text[:500]}"
        url = urljoin(url, response.headers["location"])
        if url.startswith(CALLBACK):
            assert not must_show_login or "login" in shown, "nobody was asked to sign in anew"
            return dict(parse_qsl(urlsplit(url).query))
    raise AssertionError("it goes in circles")


@asynccontextmanager
async def _running(packages: Packages, secret: str) -> AsyncIterator[str]:
    """The provider in a process of its own; its issuer."""
    copy = packages.folder / SCRIPT.name
    copy.write_text(SCRIPT.read_text("utf-8"), "utf-8")
    process = await asyncio.create_subprocess_exec(
        "node", str(copy), CALLBACK,
        env=os.environ | {"PATH": packages.path, "CLIENT_SECRET": secret}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            issuer = (await process.stdout.readline()).decode().strip()
            while not issuer.startswith("http"):
                assert issuer or process.returncode is None, "it did not start"
                issuer = (await process.stdout.readline()).decode().strip()
        yield issuer
    finally:
        process.kill()
        await process.wait()
