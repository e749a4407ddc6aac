"""RFC 8414: what the server says of itself, and that it is so."""

from collections.abc import Callable
from typing import Any

import pytest
from mcp.shared.auth import OAuthMetadata

from .world import URL, World

PATH = "/.well-known/oauth-authorization-server"


async def test_the_document_says_what_there_is(world: World) -> None:
    reply = await world.http.get(PATH)

    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")  # §3.2
    document = reply.json()
    assert document == {
        "issuer": URL,  # §2: https, no query, no fragment; §3.3: the very name that was asked
        "authorization_endpoint": f"{URL}/authorize",
        "token_endpoint": f"{URL}/token",
        "revocation_endpoint": f"{URL}/revoke",
        "scopes_supported": ["orgs:read", "orgs:write", "orgs:delete"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": True,
    }
    assert str(OAuthMetadata.model_validate(document).issuer) == URL  # as the SDK's client reads it


async def test_nothing_is_said_without_a_value(world: World) -> None:
    document = (await world.http.get(PATH)).json()

    assert all(value not in (None, [], "") for value in document.values())  # §3.2


async def test_what_it_names_is_served_there(world: World) -> None:
    document = (await world.http.get(PATH)).json()

    for name, url in document.items():
        if name.endswith("_endpoint"):
            assert (await world.http.get(url)).status_code in (400, 405), name


async def test_it_is_read_and_never_written(world: World) -> None:
    assert (await world.http.head(PATH)).status_code == 200
    reply = await world.http.post(PATH)

    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")  # §3.1


async def test_under_another_name_of_the_server_there_is_no_such_issuer(world: World) -> None:
    world.admitted = "https://alias.example.com"

    assert (await world.http.get(PATH)).status_code == 404  # §3.3


@pytest.mark.parametrize("may_register", [True, False])
async def test_registration_is_named_where_it_is_allowed(opener: Callable[..., Any], may_register: bool) -> None:
    store = await opener()
    world = World(store, allow_registration=may_register)

    document = (await world.http.get(PATH)).json()

    assert document.get("registration_endpoint") == (f"{URL}/register" if may_register else None)
    await world.close()
    await store.close()
