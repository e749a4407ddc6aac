"""The catalog that follows each change is the one that is read whole; and no more is read for it than has changed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from orgserver.app import App
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Selector
from orgserver.model.names import Alias, OrgId
from orgserver.model.orgs import AccessToken, Org
from orgserver.model.secret import Secret
from orgserver.services.orgs.known_tokens import KnownTokens
from orgserver.store.catalog_version import changed_in
from orgserver.store.orgs import policies
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.orgs.token_digests import digest_token, find_tokens_in
from orgserver.store.people import changes, claims, grants
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from tests.bench.stores import made_up


def named(org: Org, **facts: Any) -> Org:
    return replace(org, **facts)


def take_over(store: Store, tx: Transaction, orgs: list[Org]) -> None:
    """One gives its alias to another, in one transaction."""
    store.orgs.change_in(tx, orgs[0].row_id, lambda org: named(org, alias=Alias("elsewhere")))
    store.orgs.change_in(tx, orgs[1].row_id, lambda org: named(org, alias=orgs[0].alias))


def add_twin(store: Store, tx: Transaction, twin: Org) -> None:
    org, credential, access = made_up(98)
    store.orgs.add_in(tx, named(org, org_id=twin.org_id, policy=Policy(confirm_deletes=True)), credential, access)


def by_hand(tx: Transaction, org: Org) -> None:
    tx.connection.execute(text("UPDATE orgs SET name = 'by hand' WHERE row_id = :row"), {"row": org.row_id})
    tx.connection.execute(text("UPDATE store SET catalog_version = catalog_version + 1"))


def give_in(tx: Transaction, holder: Any, name: str, org: Org) -> None:
    grants.add_in(tx, holder, name, Selector(org.alias), ["read"], row_id=org.row_id, until=None, by="test")


Change = Callable[[Store, Transaction, list[Org]], Any]
EVERY: dict[str, Change] = {
    "a tag": lambda s, tx, orgs: s.orgs.change_in(tx, orgs[0].row_id, lambda org: named(org, tags=("x",))),
    "an alias": lambda s, tx, orgs: s.orgs.change_in(tx, orgs[0].row_id, lambda org: named(org, alias=Alias("z"))),
    "an alias taken over": take_over,
    "an org removed": lambda s, tx, orgs: s.orgs.remove_in(tx, orgs[1].row_id),
    "an org added": lambda s, tx, orgs: s.orgs.add_in(tx, *made_up(99)),
    "a twin that is stricter": lambda s, tx, orgs: add_twin(s, tx, orgs[0]),
    "a policy of two aliases": lambda s, tx, orgs: policies.limit_in(
        tx, orgs[2].row_id, lambda _: Policy(read_only=True)
    ),
    "an id that is known now": lambda s, tx, orgs: policies.pin_in(tx, orgs[4].row_id, orgs[2].org_id or OrgId("")),
    "a principal": lambda s, tx, orgs: changes.add_principal_in(tx, "new", "person"),
    "a principal removed": lambda s, tx, orgs: changes.remove_principal_in(tx, "ada"),
    "a grant": lambda s, tx, orgs: give_in(tx, "principal", "ada", orgs[3]),
    "a grant of a group": lambda s, tx, orgs: give_in(tx, "group", "ops", orgs[3]),
    "a grant that ends with its org": lambda s, tx, orgs: s.orgs.remove_in(tx, orgs[0].row_id),
    "a member": lambda s, tx, orgs: changes.join_group_in(tx, "ops", "bob"),
    "a member by claim": lambda s, tx, orgs: claims.set_groups_in(tx, "bob", ["claimed"]),
    "a group removed": lambda s, tx, orgs: changes.remove_group_in(tx, "ops"),
    "something by hand": lambda s, tx, orgs: by_hand(tx, orgs[0]),
    "something of an earlier version": lambda s, tx, orgs: changed_in(tx),
}


async def fill(store: Store) -> list[Org]:
    """Five orgs, two of them the same one, with two principals and two groups."""

    def change(tx: Transaction) -> list[Org]:
        orgs = [made_up(number) for number in range(5)]
        known = [
            named(org, org_id=None if n == 4 else OrgId(f"00D{min(n, 2):012d}AAA"))
            for n, (org, _, _) in enumerate(orgs)
        ]
        for org, (_, credential, access) in zip(known, orgs, strict=True):
            store.orgs.add_in(tx, org, credential, access)
        for name in ("ada", "bob"):
            changes.add_principal_in(tx, name, "person")
        for name in ("ops", "filled"):
            changes.add_group_in(tx, name)
        changes.set_claim_in(tx, "filled", "claimed")
        changes.join_group_in(tx, "ops", "ada")
        give_in(tx, "principal", "ada", known[0])
        give_in(tx, "group", "ops", known[1])
        return known

    return await store.database.write(change)


async def read(store: Store, before: OrgSnapshot | None = None) -> OrgSnapshot:
    async with store.database.reading() as connection:
        return await store.orgs.catalog(connection, before)


@pytest.mark.parametrize("what", EVERY)
async def test_what_follows_a_change_is_what_is_read_whole(store: Store, what: str) -> None:
    orgs = await fill(store)
    before = await read(store)
    await store.database.write(lambda tx: EVERY[what](store, tx, orgs))

    followed, whole = await read(store, before), await read(store)

    assert followed == whole
    assert list(followed.by_alias) == list(whole.by_alias) == sorted(whole.by_alias)
    assert followed.version > before.version


async def test_of_a_change_nothing_else_is_read(store: Store) -> None:
    orgs = await fill(store)
    before = await read(store)
    await store.database.write(lambda tx: EVERY["a tag"](store, tx, orgs))

    after = await read(store, before)

    anew = [alias for alias, org in after.by_alias.items() if org is not before.by_alias[alias]]
    assert anew == [orgs[0].alias]
    assert after.standings is before.standings
    assert await read(store, after) == after


async def test_a_number_that_goes_back_and_comes_again_hides_nothing(store: Store) -> None:
    """As after a restore: the changes under the same numbers were others."""
    orgs = await fill(store)
    version = (await read(store)).version
    await store.database.write(lambda tx: EVERY["a tag"](store, tx, orgs))
    before = await read(store)

    def again(tx: Transaction) -> None:
        tx.connection.execute(text("UPDATE store SET catalog_version = :version"), {"version": version - 1})
        for _ in range(3):
            EVERY["a grant"](store, tx, orgs)

    await store.database.write(again)
    assert await read(store, before) == await read(store)


async def test_many_who_ask_read_once(app: App) -> None:
    """Each goes on from what another has read just now."""
    first = await app.access.reload()
    await app.store.database.write(lambda tx: changed_in(tx, "org", "nobody"))
    snapshots = await asyncio.gather(*(app.access.reload() for _ in range(20)))
    assert {each.version for each in snapshots} == {first.version + 1}
    assert all(each.by_alias == first.by_alias for each in snapshots)


async def test_a_token_of_an_earlier_version_is_known_once_it_has_been_opened(store: Store) -> None:
    orgs = await fill(store)
    digest = digest_token(Secret("refresh-token-2"))

    async def find() -> list[str]:
        await KnownTokens(store).fill()
        return await store.database.write(lambda tx: [each.alias for each in find_tokens_in(tx, digest, "")])

    assert await find() == [orgs[2].alias]

    def forget(tx: Transaction) -> None:
        tx.connection.execute(text("UPDATE credentials SET token_digest = NULL, digest_fencing = NULL"))

    def rotate(tx: Transaction) -> None:
        access = AccessToken(Secret("a"), orgs[3].instance_url, 4)
        assert store.orgs.store_refresh_in(tx, orgs[3].login, 3, Secret("rotated"), access)

    await store.database.write(forget)
    assert await find() == [orgs[2].alias]
    await store.database.write(rotate)
    known = await KnownTokens(store).by_digest()
    assert known[digest_token(Secret("rotated"))] == orgs[3].alias
    assert digest_token(Secret("refresh-token-3")) not in known
    assert len(known) == len(orgs)
