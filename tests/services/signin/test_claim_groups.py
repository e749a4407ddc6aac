"""A claim fills the groups that were made for it, and no others; people follow it at each sign-in and refresh."""

from typing import Any

import pytest

from orgserver.model.access.people import Person
from orgserver.model.access.principals import Principal
from orgserver.services.signin.people.identities import follow_groups_in
from orgserver.store.people import changes
from orgserver.store.session import Store
from tests.services.signin.arrivals import ADA, Arrivals


@pytest.fixture
def world(store: Store) -> Arrivals:
    return Arrivals(store)


async def test_a_claim_fills_the_groups_that_were_made_for_it_to_the_letter_and_on_record(world: Arrivals) -> None:
    await world.add("ada", ADA)
    for name, claim in (("sales", "00G-sales"), ("case", "00g-sales"), ("part", "00G"), ("more", "00G-sales ")):
        await world.add_group(name, claim)
    await world.add_group("00G-sales")  # by hand, of the claim's own name
    await world.add_group("twin", "00G-sales")

    await world.sign_in({"groups": ["00G-sales", "00G-unknown", "00G-sales"]})

    record = await world.record("ada")
    assert (record.claim_groups, record.groups) == (("sales", "twin"), ())
    (entry,) = await world.entries()
    assert (entry.action, entry.principal, entry.object) == ("grant", "ada", "ada")
    assert entry.fields == ("claim_groups:none->sales, twin",)


async def test_groups_made_by_hand_are_neither_joined_nor_left(world: Arrivals) -> None:
    await world.add("ada", ADA)
    await world.add_group("admins")
    await world.add_group("ops")
    await world.store.database.write(lambda tx: changes.join_group_in(tx, "ops", "ada"))

    await world.sign_in({"groups": ["admins"]})

    record = await world.record("ada")
    assert (record.groups, record.claim_groups) == (("ops",), ())
    assert await world.entries() == []


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"groups": None},
        {"groups": []},
        {"groups": {"00G-sales": True}},
        {"groups": ["00G-sales"] * 1_001},
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example.com"}}},
    ],
)
async def test_without_the_claim_or_with_too_much_in_it_people_are_in_none(
    world: Arrivals, claims: dict[str, Any]
) -> None:
    await world.add("ada", ADA)
    await world.add_group("sales", "00G-sales")
    await world.sign_in({"groups": "00G-sales"})  # one text is a list of one
    assert (await world.record("ada")).claim_groups == ("sales",)

    await world.sign_in(claims)

    assert (await world.record("ada")).claim_groups == ()
    assert await world.lines() == ["claim_groups:none->sales", "claim_groups:sales->none"]


async def test_what_the_provider_does_not_say_stays(world: Arrivals) -> None:
    await world.add("ada", ADA)
    await world.add_group("sales", "00G-sales")
    await world.sign_in({"groups": ["00G-sales"]})

    await world.settle(Person(ADA, "Ada", groups=None))
    await world.sign_in({"groups": ["00G-sales"]})

    assert (await world.record("ada")).claim_groups == ("sales",)
    assert len(await world.entries()) == 1, "only what changes is on record"


async def test_new_people_join_their_groups_at_once_and_follow_later(world: Arrivals) -> None:
    await world.add_group("sales", "00G-sales")
    await world.add_group("service", "00G-service")
    who = await world.sign_in({"groups": ["00G-sales"]}, new="create")
    assert isinstance(who, Principal)

    await world.store.database.write(lambda tx: follow_groups_in(tx, world.store, who.name, ["00G-service"]))

    assert (await world.record(who.name)).claim_groups == ("service",)
    assert (await world.lines())[-2:] == ["claim_groups:none->sales", "claim_groups:sales->service"]
