"""Groups that a claim fills: exactly those of its values, apart from members by hand, and gone with their claim."""

from functools import partial

from orgserver.store.people import changes, claims, records
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction


async def add(store: Store) -> None:
    def change(tx: Transaction) -> None:
        changes.add_principal_in(tx, "ada", "person")
        for name, claim in (("emea", "Salesforce-EMEA"), ("ops", None), ("staff", "Staff"), ("Staff", "staff ")):
            changes.add_group_in(tx, name)
            changes.set_claim_in(tx, name, claim)
        changes.join_group_in(tx, "ops", "ada")

    await store.database.write(change)


async def version(store: Store) -> int | None:
    return await store.database.version_reader.ask_version()


async def test_values_are_compared_to_the_letter_and_never_with_names(store: Store) -> None:
    await add(store)

    for values, groups in (
        (["Staff", "ops", "salesforce-emea", "staff"], ("staff",)),
        (["Salesforce-EMEA", "Staff", "of no group"], ("emea", "staff")),
        ([], ()),
    ):
        before = await store.database.write(lambda tx: claims.groups_in(tx, "ada"))
        change = partial(claims.set_groups_in, principal="ada", values=values)
        assert await store.database.write(change) == (before, groups)
        record = await store.database.write(lambda tx: records.principal_in(tx, "ada"))
        assert record is not None
        assert (record.groups, record.claim_groups) == (("ops",), groups)


async def test_what_does_not_change_makes_nobody_read_anew(store: Store) -> None:
    await add(store)
    await store.database.write(lambda tx: claims.set_groups_in(tx, "ada", ["Staff"]))
    before = await version(store)

    await store.database.write(lambda tx: claims.set_groups_in(tx, "ada", ["Staff", "of no group"]))
    assert await version(store) == before
    await store.database.write(lambda tx: claims.clear_in(tx, "ada"))
    assert await version(store) != before


async def test_a_group_whose_claim_changes_loses_those_of_the_last_one(store: Store) -> None:
    await add(store)
    await store.database.write(lambda tx: claims.set_groups_in(tx, "ada", ["Staff", "Salesforce-EMEA"]))
    await store.database.write(lambda tx: changes.set_claim_in(tx, "staff", "Others"))
    await store.database.write(lambda tx: changes.remove_group_in(tx, "emea"))

    assert await store.database.write(lambda tx: claims.groups_in(tx, "ada")) == ()


async def test_members_by_claim_stand_apart_and_have_the_groups_grants(store: Store) -> None:
    await add(store)
    await store.database.write(lambda tx: claims.set_groups_in(tx, "ada", ["Staff"]))

    staff = await store.database.write(lambda tx: records.group_in(tx, "staff"))
    ops = await store.database.write(lambda tx: records.group_in(tx, "ops"))
    assert staff is not None
    assert ops is not None
    assert (staff.members, staff.claim_members, staff.every_member) == ((), ("ada",), ("ada",))
    assert (ops.members, ops.claim_members) == (("ada",), ())
