"""Who somebody is here whom the identity provider names: by its subject; once by a verified address; or nobody."""

from typing import Any

import pytest

from orgserver.model.access.people import Person
from orgserver.model.access.principals import Principal, PrincipalKind, Subject
from orgserver.services.signin.people.identities import Stranger, Suspended
from orgserver.store.people import changes
from orgserver.store.session import Store
from tests.services.signin.arrivals import ADA, ISSUER, OTHER, Arrivals

VERIFIED = {"email": "ada@example.com", "email_verified": True}


@pytest.fixture
def world(store: Store) -> Arrivals:
    return Arrivals(store)


# By subject.


async def test_a_subject_is_its_principal_whatever_else_the_provider_says(world: Arrivals) -> None:
    await world.add("ada", ADA)
    await world.add("mallory@example.com")

    claims = {"name": "Mallory", "email": "mallory@example.com", "email_verified": True, "upn": "root"}
    assert await world.sign_in(claims, match_email=True, new="create") == Principal("ada")
    assert await world.names() == ["ada", "mallory@example.com"]
    assert await world.entries() == [], "nothing has changed"


@pytest.mark.parametrize(
    "subject", [Subject(OTHER, "sub-ada"), Subject(ISSUER, "SUB-ADA"), Subject(ISSUER, "sub-ada ")]
)
async def test_a_subject_is_one_issuers_and_to_the_letter(world: Arrivals, subject: Subject) -> None:
    await world.add("ada", subject)

    assert isinstance(await world.sign_in(), Stranger)


async def test_a_principal_that_is_disabled_is_let_in_by_nothing_and_joins_nothing(world: Arrivals) -> None:
    await world.add("ada", ADA, enabled=False)
    await world.add_group("sales", "00G-sales")

    claims = VERIFIED | {"groups": ["00G-sales"]}
    assert await world.sign_in(claims, match_email=True, new="create") == Suspended("ada")
    assert (await world.record("ada")).claim_groups == ()
    assert await world.names() == ["ada"]


# By a verified address, once.


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": True},
        {"email_verified": "true"},
        {"xms_edov": True},
        {"xms_edov": 1},
        {"xms_edov": "1"},
    ],
)
async def test_a_verified_address_binds_the_person_of_that_name_for_good_and_on_record(
    world: Arrivals, claims: dict[str, Any]
) -> None:
    await world.add("Ada@Example.com")

    who = await world.sign_in({"email": "ada@example.COM"} | claims, match_email=True)

    assert who == Principal("Ada@Example.com")
    assert (await world.record("Ada@Example.com")).subjects == (ADA,)
    (entry,) = await world.entries()
    assert (entry.action, entry.principal, entry.transport) == ("grant", "Ada@Example.com", "http")
    assert entry.fields == (f"subjects:none->{ISSUER} sub-ada",)
    assert await world.sign_in({"email": "new-name@example.com", "email_verified": False}) == who, "bound for good"
    assert len(await world.entries()) == 1


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"email_verified": False},
        {"email_verified": "false"},
        {"email_verified": 1},
        {"email_verified": None},
        {"email_verified": ["true"]},
        {"xms_edov": False},
        {"xms_edov": "0"},
        {"email_verified": False, "xms_edov": True},
    ],
)
async def test_an_address_that_nobody_has_verified_finds_nobody(world: Arrivals, claims: dict[str, Any]) -> None:
    await world.add("ada@example.com")

    assert isinstance(await world.sign_in({"email": "ada@example.com"} | claims, match_email=True), Stranger)
    assert (await world.record("ada@example.com")).subjects == ()
    assert await world.entries() == []


@pytest.mark.parametrize("name", ["upn", "preferred_username", "unique_name", "name", "sub", "nickname"])
async def test_no_other_claim_finds_anybody(world: Arrivals, name: str) -> None:
    await world.add("ada@example.com")

    claims = {name: "ada@example.com", "email_verified": True, "xms_edov": True}
    assert isinstance(await world.sign_in(claims, match_email=True), Stranger)


async def test_unless_the_operator_says_so_no_address_finds_anybody(world: Arrivals) -> None:
    await world.add("ada@example.com")

    assert isinstance(await world.sign_in(VERIFIED), Stranger)


@pytest.mark.parametrize(
    ("kind", "subjects"),
    [
        ("service", ()),
        ("person", (Subject(ISSUER, "of somebody before"),)),
    ],
)
async def test_nobody_is_bound_to_a_service_or_to_a_person_who_is_somebody_already(
    world: Arrivals, kind: PrincipalKind, subjects: tuple[Subject, ...]
) -> None:
    await world.add("ada@example.com", *subjects, kind=kind)

    assert isinstance(await world.sign_in(VERIFIED, match_email=True), Stranger)
    assert (await world.record("ada@example.com")).subjects == subjects
    assert await world.entries() == []


async def test_whoever_is_disabled_gets_no_other_principal_by_coming_for_the_first_time(world: Arrivals) -> None:
    await world.add("ada@example.com", enabled=False)
    await world.add_group("sales", "00G-sales")

    claims = VERIFIED | {"groups": ["00G-sales"]}
    assert await world.sign_in(claims, match_email=True, new="create") == Suspended("ada@example.com")
    record = await world.record("ada@example.com")
    assert (record.subjects, record.claim_groups, await world.names()) == ((), (), ["ada@example.com"])
    assert await world.entries() == []


async def test_whoever_is_somebody_at_another_provider_may_be_bound_here(world: Arrivals) -> None:
    await world.add("ada@example.com", Subject(OTHER, "ada"))

    assert await world.sign_in(VERIFIED, match_email=True) == Principal("ada@example.com")
    assert set((await world.record("ada@example.com")).subjects) == {ADA, Subject(OTHER, "ada")}


async def test_of_two_who_are_alike_none_is_bound(world: Arrivals) -> None:
    await world.add("ada@example.com")
    await world.add("ADA@example.com")  # no command adds it: an address must not choose between them

    assert isinstance(await world.sign_in(VERIFIED, match_email=True), Stranger)


@pytest.mark.parametrize(
    "email", ["\u212aim@example.com", "kim@example.com\u0000", "kim@example.com ", "k\u0131m@example.com"]
)
async def test_an_address_in_other_signs_is_another(world: Arrivals, email: str) -> None:
    await world.add("kim@example.com")  # the sign of Kelvin, in lower case, is a k

    assert isinstance(await world.sign_in({"email": email, "email_verified": True}, match_email=True), Stranger)


# New people.


async def test_whoever_is_new_gets_a_name_that_they_cannot_choose_and_no_grants(world: Arrivals) -> None:
    await world.add("root")
    claims = {"name": "root", "preferred_username": "root", "email": "root@example.com", "email_verified": True}

    who = await world.sign_in(claims, new="create", match_email=True)

    assert isinstance(who, Principal)
    assert who.name == "person-4vw4yyf5xf"
    record = await world.record(who.name)
    assert (record.kind, record.enabled, record.subjects) == ("person", True, (ADA,))
    assert (record.grants, record.keys, record.roles, record.groups, record.claim_groups) == (
        (),
        (),
        frozenset(),
        (),
        (),
    )
    (entry,) = await world.entries()
    assert (entry.action, entry.principal, entry.object) == ("grant", who.name, who.name)
    assert f"subjects:none->{ISSUER} sub-ada" in (entry.fields or ())
    assert await world.sign_in({"name": "another"}, new="refuse") == who
    assert len(await world.entries()) == 1


async def test_a_name_that_somebody_has_is_lengthened(world: Arrivals) -> None:
    first = await world.sign_in(new="create")
    assert isinstance(first, Principal)
    longer = f"{first.name}XX"
    await world.store.database.write(lambda tx: changes.remove_principal_in(tx, first.name))
    await world.add(first.name.upper(), kind="service")

    second = await world.sign_in(new="create")
    assert isinstance(second, Principal)
    assert second.name.startswith(first.name) and len(second.name) == len(longer) - 1
    await world.store.database.write(lambda tx: changes.remove_principal_in(tx, second.name))
    await world.add_group(second.name)

    third = await world.sign_in(new="create")
    assert isinstance(third, Principal)
    assert third.name.startswith(second.name) and len(third.name) == len(longer)
    assert (await world.record(first.name.upper())).subjects == ()


async def test_people_of_two_providers_are_two_and_so_are_two_ways_to_split_a_text(world: Arrivals) -> None:
    people = [Subject(ISSUER, "a"), Subject(OTHER, "a"), Subject(f"{ISSUER}/a", "b"), Subject(ISSUER, "/ab")]

    names = [await world.settle(Person(each, "Somebody"), new="create") for each in people]

    assert len(set(names)) == len(people)


@pytest.mark.parametrize("text", ["local:operator", "local:root", "orgserver", "person-4vw4yyf5xf"])
async def test_nobody_becomes_a_reserved_name_by_calling_themselves_so(world: Arrivals, text: str) -> None:
    claims = {"sub": text, "name": text, "preferred_username": text, "email": f"{text}@x", "email_verified": True}

    assert isinstance(await world.sign_in(claims, match_email=True), Stranger)
    who = await world.sign_in(claims, match_email=True, new="create")
    assert isinstance(who, Principal)
    assert who.name.startswith("person-") and who.name != text


async def test_a_stranger_leaves_nothing(world: Arrivals) -> None:
    who = await world.sign_in(VERIFIED | {"name": "Ada", "groups": ["00G-sales"]})

    assert who == Stranger(Person(ADA, "Ada", "ada@example.com", is_email_verified=True, groups=("00G-sales",)))
    assert await world.names() == []
    assert await world.entries() == []
