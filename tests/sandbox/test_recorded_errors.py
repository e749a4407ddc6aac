"""The sandbox refuses in the very words that real orgs were recorded with."""

from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.sandbox.shapes import exchanged, recorded

DATA = "/services/data/v60.0"


@pytest.mark.parametrize(
    ("name", "request_", "status"),
    [
        ("delete_error", ("DELETE", "/sobjects/Contact/rid/1", None), 404),
        ("upsert_error", ("PATCH", "/sobjects/Contact/Namez/1", {"LastName": "x"}), 404),
        ("sobject_find_error", ("GET", "/sobjects/Contact/23foo/1", None), 404),
        ("sobject_describe_error", ("GET", "/sobjects/Whizbang/describe", None), 404),
        ("search_error", ("GET", "/search?q=FIND+acme", None), 400),
    ],
)
async def test_a_refusal_is_the_recorded_one(
    web: httpx.AsyncClient, name: str, request_: tuple[str, str, Any], status: int
) -> None:
    method, path, body = request_

    reply = await web.request(method, DATA + path, json=body)

    assert (reply.status_code, reply.json()) == (status, recorded(f"{name}_response"))


async def test_an_unknown_field_is_refused_in_the_recorded_words(web: httpx.AsyncClient) -> None:
    reply = await web.post(f"{DATA}/sobjects/Contact", json={"LastName": "x", "foo": 1})

    (expected,) = recorded("write_error_response")
    assert reply.json() == [expected | {"message": expected["message"].replace("Bar", "Contact")}]
    assert reply.status_code == 400


async def test_an_ended_session_is_refused_in_the_recorded_words(acme: SandboxOrg, web: httpx.AsyncClient) -> None:
    acme.expire_access_tokens()

    reply = await web.get(f"{DATA}/limits")

    assert (reply.status_code, reply.json()) == (401, recorded("expired_session_response"))
    assert reply.headers["www-authenticate"] == "Token"


async def test_a_dead_refresh_token_is_refused_in_the_recorded_words(acme: SandboxOrg, web: httpx.AsyncClient) -> None:
    form = {"grant_type": "refresh_token", "client_id": acme.client_id, "client_secret": acme.client_secret}

    reply = await web.post("/services/oauth2/token", data=form | {"refresh_token": "5Aep-dead"})

    assert (reply.status_code, reply.json()) == (400, recorded("refresh_error_response"))


@pytest.mark.parametrize("name", ["test_errors", "test_count_sobjects__errors"])
async def test_refused_parts_of_a_composite_are_the_recorded_ones(web: httpx.AsyncClient, name: str) -> None:
    for asked, told in exchanged(name, "/composite"):
        for each in asked["compositeRequest"]:
            each["url"] = each["url"].replace("vxx.0", "v60.0")

        reply = (await web.post(f"{DATA}/composite", json=asked)).json()

        for real, ours in zip(told["compositeResponse"], reply["compositeResponse"], strict=True):
            assert ours.keys() == real.keys()
            assert ours["httpStatusCode"] == real["httpStatusCode"]
            if real["httpStatusCode"] >= 400:
                assert ours["body"] == real["body"]
