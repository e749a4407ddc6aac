"""The provider's pages and documents."""

from __future__ import annotations

import html
import json
import time
from typing import Any
from urllib.parse import parse_qsl

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oidc.core.errors import LoginRequiredError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as WebRequest
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.provider.grants import METHODS, Request, Server, find_claims
from tests.provider.id_tokens import apply_changes
from tests.provider.lies import Answers
from tests.provider.state import PASSWORD, State

COOKIE = "provider_browser"
_FORM = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in at the provider</title></head>
<body><main><h1>Sign in at the provider</h1><p role="alert">{note}</p><form method="post" action="{action}">
<p><label>Name <input name="login" autocomplete="username" autofocus></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>
<p><button name="answer" value="yes">Sign in</button> <button name="answer" value="no">Cancel</button></p>
</form></main></body></html>"""


class Provider:
    """All that it answers."""

    def __init__(self, state: State, issuer: str) -> None:
        self._state = state
        self._issuer = issuer
        self._server = Server(state, issuer)

    def make_app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/.well-known/openid-configuration", self._metadata),
            Route("/jwks", self._keys),
            Route("/authorize", self._authorize, methods=["GET", "POST"]),
            Route("/token", self._token, methods=["POST"]),
            Route("/userinfo", self._userinfo),
            Route("/control", self._control, methods=["GET", "POST"]),
        ]
        return Starlette(routes=routes, middleware=[Middleware(Answers, state=self._state)])

    async def _metadata(self, _: WebRequest) -> Response:
        true = {"issuer": self._issuer, "jwks_uri": f"{self._issuer}/jwks"}
        true |= {f"{name}_endpoint": f"{self._issuer}/{path}" for name, path in _ENDPOINTS.items()}
        more = {
            "scopes_supported": self._state.conduct.scopes, "response_types_supported": ["code"],
            "response_modes_supported": ["query"], "subject_types_supported": ["public"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": METHODS, "claims_parameter_supported": False,
            "claims_supported": ["sub", "iss", "aud", "auth_time", "name", "email", "email_verified", "groups"],
            "authorization_response_iss_parameter_supported": True,
        }  # fmt: skip
        return JSONResponse(apply_changes(true | more, self._state.conduct.metadata))

    async def _keys(self, _: WebRequest) -> Response:
        return JSONResponse({"keys": [key.as_dict(private=False) for key in self._state.keys]})

    async def _authorize(self, web: WebRequest) -> Response:
        pairs = web.query_params.multi_items()
        self._state.requests.append({"path": "/authorize", "values": dict(pairs)})
        request = Request("GET", str(web.url), pairs, None)
        form = dict(await web.form()) if web.method == "POST" else {}
        try:
            browser = self._find_browser(web, request)
            grant = self._server.get_consent_grant(request, end_user=browser)
        except LoginRequiredError as error:
            return self._redirect(error.redirect_uri, dict(error.get_body()))
        except (OAuth2Error, ValueError) as error:
            return self._refuse(error)
        if web.method == "GET" and grant.prompt != "login" and browser is not None:
            return self._answer_authorization(request, grant, browser, None)
        if form.get("answer") == "no":
            return self._redirect(grant.redirect_uri, {"error": "access_denied", "state": request.payload.state})
        login = str(form.get("login", ""))
        if login not in self._state.conduct.people or form.get("password") != PASSWORD:
            note = "Name or password is wrong." if form else ""
            return HTMLResponse(_FORM.format(note=note, action=html.escape(str(web.url))))
        cookie = self._state.open_browser(login)
        return self._answer_authorization(request, grant, self._state.browsers[cookie], cookie)

    def _find_browser(self, web: WebRequest, request: Request) -> tuple[str, int] | None:
        """Who is signed in here, if that is still fresh enough for the client."""
        browser = self._state.browsers.get(web.cookies.get(COOKIE, ""))
        max_age = request.payload.data.get("max_age")
        is_old = browser is not None and max_age is not None and time.time() - browser[1] > int(max_age)
        return None if is_old else browser

    def _answer_authorization(
        self, request: Request, grant: Any, browser: tuple[str, int], cookie: str | None
    ) -> Response:
        if self._state.conduct.authorization_error is not None:
            values = {"error": self._state.conduct.authorization_error, "state": request.payload.state}
            return self._redirect(grant.redirect_uri, values)
        login, auth_time = browser
        user = (dict(self._state.conduct.people[login]), auth_time)
        _, _, headers = self._server.create_authorization_response(request, grant_user=user, grant=grant)
        response = self._redirect(dict(headers)["Location"], {})
        if cookie is not None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="lax")
        return response

    def _redirect(self, location: str, values: dict[str, Any]) -> Response:
        """To the client, with this provider's name (RFC 9207), and what else it was told to say."""
        base, _, query = location.partition("?")
        true = dict(parse_qsl(query))
        said = apply_changes(true | {"iss": self._issuer} | values, self._state.conduct.response)
        return RedirectResponse(add_params_to_uri(base, list(said.items())), 303)

    def _refuse(self, error: Exception) -> Response:
        location = getattr(error, "redirect_uri", None)
        if isinstance(error, OAuth2Error) and location:
            return self._redirect(location, dict(error.get_body()))
        return HTMLResponse(f"<h1>Refused</h1><p>{html.escape(str(error))}</p>", 400)

    async def _token(self, web: WebRequest) -> Response:
        pairs = [(name, str(value)) for name, value in (await web.form()).multi_items()]
        authorization = web.headers.get("authorization")
        self._state.requests.append(
            {"path": "/token", "values": dict(pairs), "is_basic": (authorization or "").startswith("Basic ")}
        )
        status, body, headers = self._server.create_token_response(Request("POST", str(web.url), pairs, authorization))
        if isinstance(body, dict):
            body = {name: value for name, value in body.items() if value is not None}
        else:
            body = dict(body)
        return JSONResponse(body, status, dict(headers))

    async def _userinfo(self, web: WebRequest) -> Response:
        self._state.requests.append({"path": "/userinfo", "values": {}})
        grant = self._state.access.get(web.headers.get("authorization", "").removeprefix("Bearer "))
        if grant is None or grant.is_over:
            return JSONResponse({"error": "invalid_token"}, 401)
        claims = {"sub": grant.user["sub"]} | find_claims(self._state, grant.user, grant.scope)
        return JSONResponse(apply_changes(claims, self._state.conduct.userinfo))

    async def _control(self, web: WebRequest) -> Response:
        if web.method == "POST":
            order = await web.json()
            if order.pop("reset", False):
                self._state.reset()
            if order.pop("rotate_key", False):
                self._state.rotate_key()
            if (login := order.pop("end", None)) is not None:
                self._state.end_grants(login)
            try:
                self._state.change(order)
            except ValueError as error:
                return Response(str(error), 400)
        return Response(json.dumps(self._state.describe()), media_type="application/json")  # lies may hold NaN


_ENDPOINTS = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
