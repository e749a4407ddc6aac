"""What a client's document may say, and which URLs are a client's id."""

from typing import Any

import pytest

from orgserver.model.access.people import OAuthClient
from orgserver.oauth.clients.metadata_documents import read_client
from orgserver.oauth.urls import check_client_id

URL = "https://app.example.com/oauth/client.json"
DOCUMENT = {
    "client_id": URL,
    "client_name": "An agent",
    "redirect_uris": ["https://app.example.com/cb", "http://localhost/cb"],
}


def read(**more: Any) -> tuple[OAuthClient, dict[str, Any]]:
    document = {name: value for name, value in {**DOCUMENT, **more}.items() if value is not ...}
    return read_client(document, check_client_id(URL, may_be_loopback=False))


def test_a_document_is_a_client() -> None:
    client, metadata = read(logo_uri="https://app.example.com/logo.png", jwks={"keys": []}, unknown=1)

    assert client == OAuthClient(URL, "document", "An agent", ("https://app.example.com/cb", "http://localhost/cb"))
    assert metadata == {
        **DOCUMENT,
        "logo_uri": "https://app.example.com/logo.png",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    }


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"client_id": "https://app.example.com/other.json"}, "client_id is not the URL"),
        ({"client_id": "https://app.example.com/oauth/client.json/"}, "client_id is not the URL"),
        ({"client_id": "https://APP.example.com/oauth/client.json"}, "client_id is not the URL"),
        ({"client_id": ...}, "client_id is not the URL"),
        ({"client_secret": "x"}, "a secret"),
        ({"client_secret_expires_at": 0}, "a secret"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "only public clients"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "only public clients"),
        ({"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": "none"}, "public"),
        (
            {
                "token_endpoint_auth_method": "private_key_jwt",
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            },
            "only public clients",
        ),
        (
            {
                "token_endpoint_auth_method": "client_secret_post",
                "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
            },
            "only public clients",
        ),
        ({"token_endpoint_auth_method": ["none"]}, "only public clients"),
        ({"grant_types": ["refresh_token"]}, "grant_types does not hold authorization_code"),
        ({"response_types": ["token"]}, "response_types does not hold code"),
        ({"client_name": ...}, "client_name is missing"),
        ({"client_name": ["x"]}, "client_name is no text"),
        ({"redirect_uris": ...}, "no place to go back to"),
        ({"redirect_uris": []}, "no place to go back to"),
        ({"redirect_uris": "https://app.example.com/cb"}, "redirect_uris is no list of texts"),
        ({"redirect_uris": [1]}, "redirect_uris is no list of texts"),
        ({"redirect_uris": ["cursor://cb", "app.example:/cb"]}, "begins with https://"),
        ({"redirect_uris": ["https://app.example.com/cb", "HTTPS://app.example.com/cb"]}, "begins with https://"),
        ({"redirect_uris": ["https://app.example.com/cb", "app.example.com/cb"]}, "begins with https://"),
        ({"redirect_uris": ["https://app.example.com/cb", "http://app.example.com/cb"]}, "https, but for http to"),
        ({"redirect_uris": [f"https://app.example.com/{each}" for each in range(21)]}, "more than 20"),
        ({"contacts": ["x" * 16_384]}, "more than 16 KiB"),
    ],
)
def test_what_is_no_client_for_us_says_why(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(**more)


def test_a_client_that_would_rather_sign_is_one_where_it_can_do_without() -> None:
    client, _ = read(  # as ChatGPT describes itself
        token_endpoint_auth_method="private_key_jwt",
        token_endpoint_auth_methods_supported=["none", "private_key_jwt"],
        token_endpoint_auth_signing_alg="RS256",
        jwks_uri="https://app.example.com/oauth/jwks.json",
    )

    assert client.client_id == URL


def test_schemes_of_programs_are_left_out_where_there_are_others() -> None:
    client, _ = read(redirect_uris=["mcpjam://oauth/callback", "https://app.example.com/cb", "javascript:alert(1)"])

    assert client.redirect_uris == ("https://app.example.com/cb",)


def test_a_name_is_one_short_line() -> None:
    client, _ = read(client_name="Claude\u202e\n\x1b[31m" + "x" * 300)

    assert client.name.startswith("Claude x") and len(client.name) == 200 and client.name.isprintable()


@pytest.mark.parametrize("url", [URL, "https://app.example.com/c?version=1", "https://app.example.com/a/"])
def test_an_https_url_with_a_path_is_an_id(url: str) -> None:
    assert check_client_id(url, may_be_loopback=False).text == url


@pytest.mark.parametrize("url", ["https://localhost:8443/client.json", "https://127.0.0.1:1/c", "https://[::1]/c"])
def test_this_machine_is_named_only_where_the_server_is_on_it_itself(url: str) -> None:
    assert check_client_id(url, may_be_loopback=True).is_loopback
    with pytest.raises(ValueError, match="this machine"):
        check_client_id(url, may_be_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.com/client.json",
        "http://localhost/client.json",
        "ftp://app.example.com/client.json",
        "https://app.example.com",
        "https://app.example.com/",
        "https://app.example.com/client.json#x",
        "https://app.example.com/client.json#",
        "https://app.example.com/client.json?",
        "https://user@app.example.com/client.json",
        "https://app.example.com/a/../client.json",
        "https://app.example.com/./client.json",
        "https://app.example.com/%2e%2e/client.json",
        "https://app.example.com:443/client.json",
        "https://app.example.com:8443/client.json",
        "https://app.example.com:22/client.json",
        "https://APP.example.com/client.json",
        "https://10.0.0.1/client.json",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/client.json",
        "https://2130706433/client.json",
        f"https://app.example.com/{'a' * 2_048}",
    ],
)
def test_other_urls_are_none(url: str) -> None:
    with pytest.raises(ValueError):
        check_client_id(url, may_be_loopback=True)
