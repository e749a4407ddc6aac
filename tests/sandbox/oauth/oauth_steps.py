"""The steps of a log-in, as an app takes them."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from orgserver.sandbox.org import SandboxOrg

AUTHORIZE = "/services/oauth2/authorize"
TOKEN = "/services/oauth2/token"
REVOKE = "/services/oauth2/revoke"
INTROSPECT = "/services/oauth2/introspect"
CALLBACK = "http://localhost:1717/OauthRedirect"
VERIFIER = "v" * 43


def challenge(verifier: str) -> str:
    """What the authorization page is shown of a verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def asking(org: SandboxOrg, **changes: str) -> dict[str, str]:
    """The parameters of the authorization page; an empty one is left out."""
    told = {
        "response_type": "code",
        "client_id": org.client_id,
        "redirect_uri": CALLBACK,
        "state": "s&t ate",
        "code_challenge": challenge(VERIFIER),
    }
    return {name: value for name, value in (told | changes).items() if value}


def led_back(reply: httpx.Response) -> dict[str, str]:
    """What the browser brings back to the app."""
    assert reply.status_code == 302
    where = urlsplit(reply.headers["location"])
    assert reply.headers["location"].startswith(CALLBACK)
    return dict(parse_qsl(where.query))


async def approved(web: httpx.AsyncClient, org: SandboxOrg, **changes: str) -> str:
    """The code of an approval."""
    return led_back(await web.get(AUTHORIZE, params=asking(org, **changes)))["code"]


def redeeming(org: SandboxOrg, code: str, **changes: str) -> dict[str, str]:
    """The form that brings a code to the token endpoint; an empty parameter is left out."""
    told = {
        "grant_type": "authorization_code",
        "client_id": org.client_id,
        "client_secret": org.client_secret,
        "redirect_uri": CALLBACK,
        "code": code,
        "code_verifier": VERIFIER,
    }
    return {name: value for name, value in (told | changes).items() if value}


async def logged_in(web: httpx.AsyncClient, org: SandboxOrg, **changes: str) -> dict[str, Any]:
    """The tokens of a new login."""
    reply = await web.post(TOKEN, data=redeeming(org, await approved(web, org), **changes))
    assert reply.status_code == 200
    answer: dict[str, Any] = reply.json()
    return answer


async def refreshed(web: httpx.AsyncClient, org: SandboxOrg, token: str, **changes: str) -> tuple[int, dict[str, Any]]:
    """The answer to a refresh."""
    told = {
        "grant_type": "refresh_token",
        "client_id": org.client_id,
        "client_secret": org.client_secret,
        "refresh_token": token,
    }
    reply = await web.post(TOKEN, data={name: value for name, value in (told | changes).items() if value})
    return reply.status_code, reply.json()


async def works(web: httpx.AsyncClient, token: str) -> bool:
    """Whether an access token is good."""
    headers = {"Authorization": f"Bearer {token}"}
    return (await web.get("/services/data/v60.0/limits", headers=headers)).status_code == 200
