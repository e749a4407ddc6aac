"""What doctor finds of own sign-in: whether the identity provider can be used, and what will not work with it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orgserver.config import Settings, read_settings
from orgserver.oauth.provider.client import ProviderExamination
from orgserver.services.doctor.claim_groups import unfollowed_groups
from orgserver.services.doctor.machine import Finding
from orgserver.services.doctor.signin import check_sign_in, describe, empty_groups
from orgserver.store.people import changes, claims
from orgserver.store.people.records import GroupRecord
from orgserver.store.session import Store
from tests.provider.running import CLIENT_ID, CLIENT_SECRET, RunningProvider, running_provider
from tests.store.signin.world import World

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    with running_provider() as running:
        yield running


def settings_at(home: Path, issuer: str) -> Settings:
    settings = {"signin_issuer": issuer, "signin_client_id": CLIENT_ID, "signin_groups_claim": "groups"}
    return read_settings({"home": home, "signin_client_secret": CLIENT_SECRET} | settings, {})


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


async def test_a_provider_that_can_be_used_is_told_with_who_is_signed_in(
    store: Store, tmp_path: Path, provider: RunningProvider
) -> None:
    findings = by_name(await check_sign_in(store, settings_at(tmp_path, provider.issuer), offline=False))

    assert findings["identity provider"].level == "ok"
    assert provider.issuer in findings["identity provider"].text
    assert (findings["signed in"].level, findings["signed in"].text) == ("ok", "no sessions: orgserver list-sessions")
    assert not [finding for finding in findings.values() if finding.level in ("problem", "warning")]
    assert CLIENT_SECRET not in repr(findings)


async def test_a_provider_that_is_another_one_is_a_problem(
    store: Store, tmp_path: Path, provider: RunningProvider
) -> None:
    settings = settings_at(tmp_path, f"{provider.issuer}/")
    findings = by_name(await check_sign_in(store, settings, offline=False))

    assert findings["identity provider"].level == "problem"
    assert "ORGSERVER_SIGNIN_ISSUER" in (findings["identity provider"].todo or "")
    offline = by_name(await check_sign_in(store, settings, offline=True))
    assert "identity provider" not in offline


async def test_a_provider_that_is_away_is_a_problem(store: Store, tmp_path: Path) -> None:
    findings = by_name(await check_sign_in(store, settings_at(tmp_path, "http://127.0.0.1:9"), offline=False))

    assert findings["identity provider"].level == "problem"


def test_what_a_provider_does_not_offer_is_a_note_with_what_follows() -> None:
    nothing: frozenset[str] = frozenset()
    bare = ProviderExamination("https://idp.example.com", {}, nothing, nothing, nothing, 1)
    findings = by_name(describe(bare, "groups", has_secret=False))

    assert {name for name, each in findings.items() if each.level == "note"} == {
        "client secret", "PKCE", "refresh tokens", "auth_time", "groups",
    }  # fmt: skip
    assert "--session-hours" in findings["refresh tokens"].text
    assert "/me" in findings["auth_time"].text


def test_google_gives_refresh_tokens_in_its_own_way() -> None:
    nothing: frozenset[str] = frozenset()
    google = ProviderExamination("https://accounts.google.com", {}, nothing, nothing, frozenset({"S256"}), 2)

    assert "refresh tokens" not in by_name(describe(google, None, has_secret=True))


def test_groups_by_claim_that_nobody_is_in_are_named() -> None:
    by_hand = GroupRecord("team", None, NOW)
    empty = GroupRecord("crm", "crm-users", NOW)
    full = GroupRecord("sales", "sales-users", NOW, claim_members=("ada",))

    (finding,) = empty_groups([by_hand, empty, full], "groups")
    assert (finding.level, finding.text) == ("note", "nobody who is signed in is in crm")
    (finding,) = empty_groups([by_hand, empty, full], None)
    assert (finding.level, finding.text) == ("warning", "no claim fills crm, sales")
    assert empty_groups([by_hand, full], "groups") == []


async def test_groups_that_a_claim_filled_are_told_where_no_sign_in_is_set(store: Store) -> None:
    world = World(store)
    await world.add_people("ada", groups={"sales": "group-sales", "ops": "group-ops"})
    assert await unfollowed_groups(store) == []

    await world.write(lambda tx: claims.set_groups_in(tx, "ada", ["group-sales"]))
    (finding,) = await unfollowed_groups(store)
    assert (finding.level, finding.text[:12]) == ("warning", "1 in sales b")
    assert finding.todo is not None
    assert "update-group NAME --no-claim" in finding.todo

    await world.write(lambda tx: changes.set_claim_in(tx, "sales", None))
    assert await unfollowed_groups(store) == []
