"""Assertions as an operator meets them: real commands, Salesforce's own host names behind a proxy, clocks that are off."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orgserver.salesforce.auth.audiences import LOGIN_URL, TEST_URL
from orgserver.salesforce.auth.token_refusals import GUIDE
from orgserver.sandbox.org import SandboxOrg
from tests.cli.login.salesforce_proxy import Proxy, proxy
from tests.cli.shells import Ran, Shell
from tests.jwt_world import EVIL, HOME, MISSING, World

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
HOSTS = [url.partition("://")[2] for url in (HOME, LOGIN_URL, TEST_URL, EVIL)]


@pytest.fixture
def key_file(tmp_path: Path, acme: SandboxOrg) -> Path:
    acme.answers.jwt_public_key = KEY.public_key()
    file = tmp_path / "key.pem"
    file.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)
    return file


@pytest.fixture
def world() -> World:
    return World({(HOME, HOME)}, MISSING)


@pytest.fixture
async def internet(tmp_path: Path, world: World) -> AsyncIterator[Proxy]:
    async with proxy(tmp_path, world.answer, HOSTS) as started:
        yield started


async def add(shell: Shell, key_file: Path, *more: str, **env: str) -> Ran:
    words = ("--auth", "jwt", "--client-id", "3MVG9", "--username", "bot@acme.com", "--jwt-key-file", str(key_file))
    return await shell("add-org", "acme", *words, *more, **env)


def at(org: SandboxOrg) -> tuple[str, ...]:
    host = org.url.partition("://")[2]
    return ("--login-url", org.url, "--trust-host", host, "--client-id", org.client_id, "--username", org.username)


# -- audiences


async def test_an_external_client_app_is_registered_by_its_my_domain(
    shell: Shell, key_file: Path, world: World, internet: Proxy
) -> None:
    added = await add(shell, key_file, "--login-url", HOME, **internet.env)

    assert added.code == 0, added.err
    assert world.shown == [(HOME, HOME)]
    assert set(internet.connected) == {"acme.my.salesforce.com:443"}


async def test_at_login_an_external_client_app_is_refused_and_the_hint_says_what_is_needed(
    shell: Shell, key_file: Path, world: World, internet: Proxy
) -> None:
    added = await add(shell, key_file, **internet.env)

    assert added.code == 1
    assert world.shown == [(LOGIN_URL, LOGIN_URL)]
    assert "External client app is not installed in this org" in added.err
    assert "--login-url https://MYDOMAIN.my.salesforce.com" in added.err
    assert GUIDE in added.err


async def test_the_audience_that_an_older_app_takes_is_remembered_by_the_next_process(
    shell: Shell, key_file: Path, world: World, internet: Proxy
) -> None:
    world.takes = {(HOME, LOGIN_URL)}
    world.refusal = {"error": "invalid_grant", "error_description": "Audience validation failed"}

    added = await add(shell, key_file, "--instance-url", HOME, **internet.env)
    world.expire()
    checked = await shell("check-org", "acme", **internet.env)

    assert (added.code, checked.code) == (0, 0), added.err + checked.err
    assert world.shown == [(HOME, HOME), (HOME, LOGIN_URL), (HOME, LOGIN_URL)]


async def test_an_audience_that_is_given_is_the_only_one_shown_and_stays(
    shell: Shell, key_file: Path, world: World, internet: Proxy
) -> None:
    world.takes = {(HOME, TEST_URL)}

    wrong = await add(shell, key_file, "--login-url", HOME, "--audience", LOGIN_URL, **internet.env)
    added = await add(shell, key_file, "--login-url", HOME, "--audience", TEST_URL, **internet.env)
    updated = await shell("update-org", "acme", "--auth", "jwt", "--jwt-key-file", str(key_file), **internet.env)

    assert (wrong.code, added.code, updated.code) == (1, 0, 0), added.err + updated.err
    assert world.shown == [(HOME, LOGIN_URL), (HOME, TEST_URL), (HOME, TEST_URL)]


async def test_a_trusted_stranger_that_refuses_its_audience_gets_no_other(
    shell: Shell, key_file: Path, world: World, internet: Proxy
) -> None:
    """The hostile twin: what it is shown could be used at Salesforce, so it is shown nothing that Salesforce takes."""
    world.refusal = {"error": "invalid_grant", "error_description": "audience is invalid"}
    stranger = ("--login-url", EVIL, "--instance-url", HOME, "--trust-host", EVIL.partition("://")[2])

    refused = await add(shell, key_file, *stranger, **internet.env)
    chosen = [await add(shell, key_file, *stranger, "--audience", url, **internet.env) for url in (LOGIN_URL, HOME)]

    assert [each.code for each in (refused, *chosen)] == [1, 1, 1]
    assert world.shown == [(EVIL, EVIL)]
    assert all("assertions for itself alone" in each.err for each in chosen)
    assert set(internet.connected) == {"proxy.acme.example:443"}


# -- the clock


@pytest.mark.parametrize(("ahead", "words"), [(3_720, "1 h 2 min behind"), (-3_720, "1 h 2 min ahead of")])
async def test_a_clock_that_is_off_is_named_and_the_org_works_again_once_it_is_right(
    shell: Shell, acme: SandboxOrg, key_file: Path, ahead: int, words: str
) -> None:
    right = acme.clock
    assert (await add(shell, key_file, *at(acme))).code == 0
    acme.expire_access_tokens()
    acme.clock = lambda: right() + timedelta(seconds=ahead)

    off = await shell("check-org", "acme")
    listed = (await shell("list-orgs", "--json")).json[0]
    found = {each["name"]: each for each in (await shell("doctor", "--json")).json}
    acme.clock = right
    again = await shell("check-org", "acme")

    assert off.code == 1
    assert f"this machine's clock is {words} Salesforce's" in off.out + off.err
    assert (listed["state"], listed["problem"]["code"]) == ("ready", "clock_off")
    assert words in listed["problem"]["hint"]
    assert found["clock"]["level"] == "problem"
    assert "clock_off" in found["org acme"]["text"]
    assert again.code == 0, again.out + again.err
    assert (await shell("list-orgs", "--json")).json[0]["problem"] is None


async def test_registering_with_a_clock_that_is_off_says_so(shell: Shell, acme: SandboxOrg, key_file: Path) -> None:
    right = acme.clock
    acme.clock = lambda: right() + timedelta(hours=1, minutes=2)

    refused = await add(shell, key_file, *at(acme))

    assert refused.code == 1
    assert "acme was not registered: this machine's clock is 1 h 2 min behind Salesforce's" in refused.err
    acme.clock = right
    assert (await add(shell, key_file, *at(acme))).code == 0
