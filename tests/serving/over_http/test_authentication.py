"""Which headers hold a token: exactly one, in the one form that there is; everything else is nobody's request."""

import random

import pytest

from orgserver.app import App
from orgserver.services.people import auth_failures
from orgserver.services.people.requests import KeyChanges
from orgserver.serving.http.authentication import Authenticated, Authenticator
from orgserver.serving.http.bearer.challenges import Challenges
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.replies import Reply
from tests.people import OPERATOR, principal_changes

FROM = Admitted("192.0.2.1", "https", "orgs.example.com")


class Asked:
    """An authenticator, and a key that it knows."""

    def __init__(self, app: App, key: str) -> None:
        self.key = key.encode()
        self._authenticator = Authenticator(app.people, Challenges(), None)

    async def status(self, *headers: bytes) -> int:
        """What a request with these headers is answered; 200: it is its principal's."""
        answer = await self._authenticator.authenticate(list(headers), FROM)
        if isinstance(answer, Authenticated):
            assert answer.principal.name == "ada"
            return 200
        assert isinstance(answer, Reply)
        assert self.key not in answer.body
        return answer.status


@pytest.fixture
async def asked(app: App) -> Asked:
    changes = principal_changes("acme:read", keys=KeyChanges(new=True))
    key = (await app.people.principals.add(OPERATOR, "ada", changes)).key
    assert key is not None
    return Asked(app, key.text.reveal())


async def test_a_key_in_its_one_form_is_taken(asked: Asked) -> None:
    for header in (b"Bearer %s", b"bearer %s", b"BEARER %s", b"Bearer   %s", b"Bearer %s  "):
        assert await asked.status(header % asked.key) == 200


async def test_whatever_else_a_header_holds_is_nobody_s(asked: Asked) -> None:
    key = asked.key
    for headers in (
        (), (b"",), (b"Bearer",), (b"Bearer ",), (key,), (b"Basic " + key,), (b"Token " + key,), (b"Bearer:" + key,),
        (b"Bearer\t" + key,), (b" Bearer " + key,), (b"Bearer " + key, b"Bearer " + key), (b"Bearer " + key, b"Basic x"),
        (b"Bearer " + key + b", Bearer " + key,), (b"Bearer " + key + b" x",), (b'Bearer "' + key + b'"',),
        (b"Bearer " + key[:-1],), (b"Bearer " + key + b"0",), (b"Bearer " + key.lower(),), (b"Bearer " + key + b"\xc3\xa9",),
        (b"Bearer \xff" + key,), (b"Bearer " + key + b"\x00",), (b"Bearer " + b"x" * 100_000,), (b"Bearer osk_" + b"0" * 49,),
    ):  # fmt: skip
        assert await asked.status(*headers) == 401, headers


async def test_no_header_made_by_chance_opens_anything_or_fails_in_another_way(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_failures, "SECONDS", 60.0)
    chance = random.Random()
    parts = [
        b"Bearer",
        b"bearer",
        b"Basic",
        b" ",
        b"  ",
        b"\t",
        b",",
        b"=",
        b'"',
        b"\x00",
        b"\xff",
        b"osk_",
        asked.key[4:],
    ]
    for _ in range(500):
        header = b"".join(chance.choices(parts, k=chance.randint(0, 6))) + chance.randbytes(chance.randint(0, 3))
        words = header.split(b" ", 1)
        is_right = words[0].lower() == b"bearer" and len(words) == 2 and words[1].strip(b" ") == asked.key
        assert await asked.status(header) == (200 if is_right else 401), header
