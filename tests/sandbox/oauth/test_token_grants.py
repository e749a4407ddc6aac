"""Logins without a person: signed assertions and an app's own credentials; and why a login may be refused."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from orgserver.sandbox.org import SandboxOrg
from tests.sandbox.oauth.oauth_steps import TOKEN, approved, redeeming, refreshed, works

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def pem(key: Any) -> str:
    return str(
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def signed(org: SandboxOrg, key: Any = KEY, algorithm: str = "RS256", **changes: Any) -> dict[str, str]:
    claims = {
        "iss": org.client_id,
        "sub": org.username,
        "aud": org.url,
        "exp": int(org.clock().timestamp()) + 180,
    }
    return {"grant_type": JWT_BEARER, "assertion": jwt.encode(claims | changes, key, algorithm=algorithm)}


def credentials(org: SandboxOrg, **changes: str) -> dict[str, str]:
    told = {"grant_type": "client_credentials", "client_id": org.client_id, "client_secret": org.client_secret}
    return {name: value for name, value in (told | changes).items() if value}


async def answer(web: httpx.AsyncClient, form: dict[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = (await web.post(TOKEN, data=form)).json()
    return told


async def refusal(web: httpx.AsyncClient, form: dict[str, str]) -> tuple[str, str]:
    reply = await web.post(TOKEN, data=form)
    assert reply.status_code == 400
    return reply.json()["error"], reply.json()["error_description"]


@pytest.fixture
async def trusted(web: httpx.AsyncClient, acme: SandboxOrg) -> SandboxOrg:
    assert (await web.post("/sandbox/knobs", json={"jwt_public_key": pem(KEY)})).status_code == 200
    return acme


SHARED = ["https://login.salesforce.com", "https://test.salesforce.com"]


@pytest.mark.parametrize("audience", SHARED)
async def test_an_external_client_app_is_not_found_at_a_shared_login_host(
    web: httpx.AsyncClient, trusted: SandboxOrg, audience: str
) -> None:
    missing = ("app_not_found", "External client app is not installed in this org")

    assert await refusal(web, signed(trusted, aud=audience)) == missing
    web.headers["host"] = audience.partition("://")[2]
    assert await refusal(web, signed(trusted)) == missing
    assert trusted.counters.logins == 0


@pytest.mark.parametrize("audience", SHARED)
async def test_an_older_connected_app_takes_the_shared_login_hosts_alone(
    web: httpx.AsyncClient, trusted: SandboxOrg, audience: str
) -> None:
    await web.post("/sandbox/knobs", json={"connected_app": True})

    assert await refusal(web, signed(trusted)) == ("invalid_grant", "audience is invalid")
    assert "access_token" in await answer(web, signed(trusted, aud=audience))


@pytest.mark.parametrize(
    ("ahead", "text"), [(3_600, "expired authorization code"), (-3_600, "invalid assertion"), (0, None)]
)
async def test_an_assertion_is_judged_by_the_orgs_own_clock(
    web: httpx.AsyncClient, trusted: SandboxOrg, ahead: int, text: str | None
) -> None:
    here = int(datetime.now(UTC).timestamp())
    await web.post("/sandbox/knobs", json={"clock_ahead": ahead})

    reply = await web.post(TOKEN, data=signed(trusted, exp=here + 180))

    assert reply.json().get("error_description") == text
    there = parsedate_to_datetime(reply.headers["date"]).timestamp()
    assert abs(there - here - ahead) <= 5


async def test_an_assertion_gives_a_session_and_no_refresh_token(web: httpx.AsyncClient, trusted: SandboxOrg) -> None:
    told = await answer(web, signed(trusted))

    assert "refresh_token" not in told
    assert told["id"].endswith(f"/id/{trusted.org_id}/{trusted.user_id}")
    assert await works(web, told["access_token"])
    assert trusted.counters.logins == 1


async def test_a_certificate_stands_for_its_key(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    await web.post("/sandbox/knobs", json={"jwt_public_key": certificate()})

    assert "access_token" in await answer(web, signed(acme))


async def test_an_expiry_in_milliseconds_is_taken_as_the_sf_command_writes_it(
    web: httpx.AsyncClient, trusted: SandboxOrg
) -> None:
    now = trusted.clock().timestamp() * 1_000

    assert "access_token" in await answer(web, signed(trusted, exp=int(now) + 300))
    assert (await refusal(web, signed(trusted, exp=int(now) - 120_000)))[1] == "expired authorization code"


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"aud": "https://evil.example"}, "invalid_grant", "Audience validation failed"),
        ({"sub": "nobody@acme.example"}, "invalid_grant", "user hasn't approved this consumer"),
        ({"iss": "nobody"}, "invalid_client_id", "client identifier invalid"),
        ({"exp": 1_000_000_000}, "invalid_grant", "expired authorization code"),
        ({"exp": 99_999_999_999}, "invalid_grant", "invalid assertion"),
        ({"exp": None}, "invalid_grant", "invalid assertion"),
        ({"iat": 99_999_999_999}, "invalid_grant", "invalid assertion"),
        ({"nbf": "soon"}, "invalid_grant", "invalid assertion"),
        ({"key": OTHER_KEY}, "invalid_grant", "invalid assertion"),
        ({"key": "a shared secret of thirty-two bytes", "algorithm": "HS256"}, "invalid_grant", "invalid assertion"),
    ],
)
async def test_an_assertion_that_is_not_right_is_refused(
    web: httpx.AsyncClient, trusted: SandboxOrg, changes: dict[str, Any], error: str, text: str
) -> None:
    assert await refusal(web, signed(trusted, **changes)) == (error, text)
    assert trusted.counters.logins == 0


async def test_what_is_no_assertion_is_refused(web: httpx.AsyncClient, trusted: SandboxOrg) -> None:
    assert await refusal(web, {"grant_type": JWT_BEARER, "assertion": "x"}) == ("invalid_grant", "invalid assertion")


async def test_without_a_key_no_assertion_is_taken(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    assert await refusal(web, signed(acme)) == ("invalid_grant", "invalid assertion")


async def test_an_app_that_nobody_approved_is_refused(web: httpx.AsyncClient, trusted: SandboxOrg) -> None:
    trusted.answers.jwt_approved = False

    assert await refusal(web, signed(trusted)) == ("invalid_grant", "user hasn't approved this consumer")


@pytest.mark.parametrize("text", ["", "x", pem(ec.generate_private_key(ec.SECP256R1()))])
async def test_what_is_no_rsa_key_is_no_key(web: httpx.AsyncClient, acme: SandboxOrg, text: str) -> None:
    assert (await web.post("/sandbox/knobs", json={"jwt_public_key": text})).status_code == 400
    assert acme.answers.jwt_public_key is None


async def test_an_apps_own_credentials_give_a_session_and_no_refresh_token(
    web: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    told = await answer(web, credentials(acme))

    assert "refresh_token" not in told
    assert await works(web, told["access_token"])
    header = await web.post(
        TOKEN, data=credentials(acme, client_id="", client_secret=""), auth=(acme.client_id, acme.client_secret)
    )
    assert header.status_code == 200
    assert acme.counters.logins == 2


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_secret": ""}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client_id"),
        ({"client_id": "PlatformCLI", "client_secret": ""}, "invalid_client"),
    ],
)
async def test_wrong_credentials_are_refused(
    web: httpx.AsyncClient, acme: SandboxOrg, changes: dict[str, str], error: str
) -> None:
    assert (await refusal(web, credentials(acme, **changes)))[0] == error
    assert acme.counters.logins == 0


async def test_credentials_can_be_switched_off(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    await web.post("/sandbox/knobs", json={"client_credentials": False})

    assert await refusal(web, credentials(acme)) == ("invalid_grant", "request not supported on this domain")


@pytest.mark.parametrize(
    ("knob", "error", "text"),
    [
        ("ip_refused", "invalid_grant", "ip restricted"),
        ("outside_login_hours", "invalid_request", "invalid login hours"),
        ("inactive_user", "invalid_grant", "inactive user"),
    ],
)
async def test_the_place_the_time_or_the_user_may_be_refused_and_nothing_is_spent(
    web: httpx.AsyncClient, trusted: SandboxOrg, knob: str, error: str, text: str
) -> None:
    code, first = await approved(web, trusted), trusted.refresh_token
    await web.post("/sandbox/knobs", json={knob: True})

    for form in (signed(trusted), credentials(trusted), redeeming(trusted, code)):
        assert await refusal(web, form) == (error, text)
    assert (await refreshed(web, trusted, first))[1] == {"error": error, "error_description": text}

    await web.post("/sandbox/knobs", json={knob: False})
    assert (await web.post(TOKEN, data=redeeming(trusted, code))).status_code == 200
    assert (await refreshed(web, trusted, first))[0] == 200


async def test_delays_come_from_the_seed(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    knobs = {"token_delay": [0.5, 1.5], "token_delay_after": [2, 3], "seed": 7}
    drawn = []
    for _ in range(2):
        await web.post("/sandbox/knobs", json=knobs)
        drawn.append([acme.answers.pause_before(), acme.answers.pause_after(), acme.answers.pause_before()])

    assert drawn[0] == drawn[1]
    assert 0.5 <= drawn[0][0] != drawn[0][2] <= 1.5
    assert 2 <= drawn[0][1] <= 3


async def test_while_a_refresh_is_delayed_another_is_told_so(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    await web.post("/sandbox/knobs", json={"token_delay": [0.3, 0.3]})

    replies = await asyncio.gather(*(refreshed(web, acme, acme.refresh_token) for _ in range(2)))

    (refused,) = [told for status, told in replies if status == 400]
    assert refused["error_description"] == "Token request is already being processed"
    assert (acme.counters.refreshes, acme.counters.reuses, acme.counters.token_requests) == (1, 0, 2)


async def test_whoever_leaves_before_a_delayed_answer_has_lost_it(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    first = acme.refresh_token
    await web.post("/sandbox/knobs", json={"token_delay_after": [60, 60]})

    lost = asyncio.create_task(refreshed(web, acme, first))
    async with asyncio.timeout(10):
        while not acme.counters.refreshes:
            await asyncio.sleep(0)
    # The work is done and written down; the answer does not leave, however long another request takes.
    await web.get("/services/data/v60.0/limits")
    assert not lost.done()
    lost.cancel()

    assert acme.refresh_token not in ("", first)
    await web.post("/sandbox/knobs", json={"token_delay_after": None})
    assert (await refreshed(web, acme, first))[1]["error"] == "invalid_grant"
    assert acme.counters.reuses == 1
