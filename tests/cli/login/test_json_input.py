"""JSON on standard input: as editors save it, and what is said of input that is something else."""

import io
import json
import sys

import pytest

from orgserver.cli.login import json_input
from orgserver.cli.login.credentials import CredentialParts
from orgserver.model.errors import ConfigError

CREDENTIAL = {"client_id": "3MVG9", "client_secret": "x", "refresh_token": "5AepCANARY"}


def read(monkeypatch: pytest.MonkeyPatch, text: str, alias: str | None = "acme") -> CredentialParts:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))
    return json_input.read_stdin(alias)


def test_a_byte_order_mark_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, "\ufeff" + json.dumps(CREDENTIAL)).values == CREDENTIAL


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "standard input is empty, so it holds no JSON object"),
        (" \n", "standard input is empty, so it holds no JSON object"),
        (
            '{"client_id": "3MVG9",\n "refresh_token": "CANARY',
            "standard input holds no JSON object: it is no JSON from line 2, column 19 on",
        ),
        (
            '{"client_id": "\\CANARY"}',
            "standard input holds no JSON object: it is no JSON from line 1, column 16 on",
        ),
        ("[]", "standard input holds no JSON object, but a list"),
        ("null", "standard input holds no JSON object, but null"),
        ('"CANARY"', "standard input holds no JSON object, but a text"),
        ("17", "standard input holds no JSON object, but a number"),
        ("[" * 100_000, "standard input holds no JSON object that can be read"),
        ('{"orgs": []}', "standard input has a list of orgs, and no org is in it"),
        ('{"orgs": ["CANARY"]}', "standard input has a list of orgs, and no org is in it"),
    ],
)
def test_other_input_is_told_by_its_kind_and_place(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as error:
        read(monkeypatch, text)

    assert str(error.value) == message
    assert str(error.value.hint).startswith('expected: {"client_id": "…"')


def test_of_several_orgs_the_one_of_the_alias_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"orgs": [CREDENTIAL | {"alias": "globex"}, {"alias": "acme", "client_id": "3MVG9acme"}]})

    assert read(monkeypatch, text).values == {"client_id": "3MVG9acme"}
    with pytest.raises(ConfigError) as error:
        read(monkeypatch, text, "initech")
    assert error.value.hint == "it has: globex, acme"
