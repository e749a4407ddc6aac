"""A server that makes principals of strangers does not start where names or claims are Salesforce users."""

import pytest

from orgserver.app import App
from orgserver.model.access.logins import UsernameFrom
from orgserver.model.errors import ConfigError
from orgserver.sandbox.org import SandboxOrg
from orgserver.servers.http import serve_http
from orgserver.serving.http.options import HttpOptions
from tests.conftest import OpenApp
from tests.services.connections.steps import let_key_log_in


class _Started(Exception):
    """The server is up."""


@pytest.mark.parametrize(("new", "kind"), [("create", "principal"), ("refuse", "principal"), ("create", "map")])
async def test_it_says_so_before_it_listens(
    app: App, acme: SandboxOrg, open_again: OpenApp, new: str, kind: str
) -> None:
    await let_key_log_in(app, acme, UsernameFrom(kind))  # type: ignore[arg-type]

    def started(_port: int) -> None:
        raise _Started

    sign_in = {"signin_issuer": "https://idp.example.com", "signin_client_id": "orgs", "signin_new": new}
    async with open_again(**sign_in) as server:
        if (new, kind) == ("create", "principal"):
            with pytest.raises(ConfigError, match="acme must not be together"):
                await serve_http(server, HttpOptions("127.0.0.1", 0), None, started)
        else:
            with pytest.RaisesGroup(_Started, allow_unwrapped=True, flatten_subgroups=True):
                await serve_http(server, HttpOptions("127.0.0.1", 0), None, started)
