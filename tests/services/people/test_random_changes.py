"""Whatever is added, changed, renamed and removed, in whatever order: what is permitted is what a small model says."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.access.principals import EVERY_PERMISSION, Principal
from orgserver.model.errors import PeopleError
from orgserver.model.names import RowId, alias
from orgserver.model.orgs import Caller
from orgserver.services.people.requests import GrantChanges, GroupChanges, PrincipalChanges, read_grants
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in

OPERATOR = Caller(Principal("local:op"), "cli")
PRINCIPALS, GROUPS, ALIASES, TAGS = ("ada", "bob"), ("ops", "staff"), ("acme", "emea-1", "emea-2"), ("eu", "us")
SELECTORS = (*ALIASES, "*", "emea-*", "?cme", "tag:eu", "tag:us")
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
ORG = {
    "name": "", "login_url": "https://login.salesforce.com", "instance_url": "https://x.my.salesforce.com",
    "trusted_hosts": "[]", "api_version": "v66.0", "state": "ready", "policy": "{}", "source": "", "auth": "jwt",
    "enabled": True, "created_at": 1, "tags": "[]",
}  # fmt: skip

Held = dict[tuple[str, str], tuple[frozenset[str], datetime | None]]
"""Grants by what they are bound to: an org's row, or a selector."""


class Refused(Exception):
    """What the model refuses."""


@dataclass
class Model:
    """Who may what, in plain dictionaries."""

    orgs: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    principals: dict[str, bool] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    grants: dict[str, Held] = field(default_factory=dict)

    def bind(self, selector: str) -> tuple[str, str]:
        if selector not in ALIASES:
            return "selector", selector
        rows = [row for row, (name, _) in self.orgs.items() if name == selector]
        if not rows:
            raise Refused
        return "row", rows[0]

    def grant(self, holder: str, texts: list[str], revoked: list[str], until: datetime | None) -> None:
        after = dict(self.grants[holder])
        for selector in dict.fromkeys(revoked):
            if after.pop(self.bind(selector), None) is None:
                raise Refused
        added: dict[tuple[str, str], frozenset[str]] = {}
        for text in texts:
            selector, _, words = text.rpartition(":")
            bound = self.bind(selector)
            added[bound] = added.get(bound, frozenset()) | frozenset(words.split(","))
        self.grants[holder] = after | {bound: (words, until) for bound, words in added.items()}

    def permitted(self, name: str, row: str, now: datetime) -> frozenset[str]:
        org, tags = self.orgs[row]
        holders = [name, *(group for group, members in self.groups.items() if name in members)]
        found: set[str] = set()
        for holder in holders if self.principals[name] else ():
            for (kind, value), (words, until) in self.grants[holder].items():
                matches = value == row if kind == "row" else (
                    value[4:] in tags if value.startswith("tag:") else fnmatchcase(org, value)
                )  # fmt: skip
                if matches and (until is None or now < until):
                    found |= words
        return frozenset(found)


texts = st.lists(
    st.builds(
        lambda selector, words: f"{selector}:{','.join(sorted(words))}",
        st.sampled_from(SELECTORS),
        st.sets(st.sampled_from(sorted(EVERY_PERMISSION)), min_size=1),
    ),
    max_size=3,
)
steps = st.one_of(
    st.tuples(st.just("add_principal"), st.sampled_from(PRINCIPALS), texts, st.sampled_from([None, SOON])),
    st.tuples(
        st.just("update_principal"), st.sampled_from(PRINCIPALS), texts,
        st.lists(st.one_of(st.sampled_from(SELECTORS), st.integers(0, 9)), max_size=1), st.sampled_from([None, SOON]),
        st.sampled_from([None, None, True, False]),
    ),
    st.tuples(st.just("remove_principal"), st.sampled_from(PRINCIPALS)),
    st.tuples(st.just("add_group"), st.sampled_from(GROUPS), st.sampled_from([*PRINCIPALS, None]), texts),
    st.tuples(
        st.just("update_group"), st.sampled_from(GROUPS), st.sampled_from([*PRINCIPALS, None]),
        st.sampled_from([*PRINCIPALS, None, 0, 1]), texts,
    ),
    st.tuples(st.just("remove_group"), st.sampled_from(GROUPS)),
    st.tuples(st.just("add_org"), st.sampled_from(ALIASES), st.frozensets(st.sampled_from(TAGS))),
    st.tuples(st.just("rename_org"), st.sampled_from(ALIASES), st.sampled_from(ALIASES)),
    st.tuples(st.just("remove_org"), st.sampled_from(ALIASES)),
)  # fmt: skip


def expect(model: Model, step: tuple[Any, ...]) -> None:
    """Do a step in the model; Refused, and the model is to be thrown away, where the product must refuse it."""
    match step:
        case ("add_principal", name, granted, until):
            if name in model.principals:
                raise Refused
            model.principals[name], model.grants[name] = True, {}
            model.grant(name, granted, [], until if granted else None)
        case ("update_principal", name, granted, revoked, until, enabled):
            if name not in model.principals:
                raise Refused
            model.grant(name, granted, revoked, until if granted else None)
            model.principals[name] = model.principals[name] if enabled is None else enabled
        case ("remove_principal", name):
            if model.principals.pop(name, None) is None:
                raise Refused
            del model.grants[name]
            for members in model.groups.values():
                members.discard(name)
        case _:
            expect_of_group(model, step)


def expect_of_group(model: Model, step: tuple[Any, ...]) -> None:
    match step:
        case ("add_group", name, member, granted):
            if name in model.groups or member not in (None, *model.principals):
                raise Refused
            model.groups[name], model.grants[name] = {member} - {None}, {}
            model.grant(name, granted, [], None)
        case ("update_group", name, member, leaving, granted):
            if name not in model.groups or member not in (None, *model.principals):
                raise Refused
            if leaving not in (None, *model.groups[name]):
                raise Refused
            model.groups[name] = (model.groups[name] - {leaving}) | ({member} - {None})
            model.grant(name, granted, [], None)
        case ("remove_group", name):
            if model.groups.pop(name, None) is None:
                raise Refused
            del model.grants[name]


def name_chosen(model: Model, step: tuple[Any, ...]) -> tuple[Any, ...]:
    """A step in which numbers stand for a grant that is there, or a member."""
    if step[0] == "update_principal" and step[1] in model.principals and step[3] and isinstance(step[3][0], int):
        held = sorted(model.orgs[value][0] if kind == "row" else value for kind, value in model.grants[step[1]])
        return (*step[:3], [held[step[3][0] % len(held)]] if held else [], *step[4:])
    if step[0] == "update_group" and isinstance(step[3], int):
        members = sorted(model.groups.get(step[1], ()))
        return (*step[:3], members[step[3] % len(members)] if members else None, *step[4:])
    return (*step[:3], [], *step[4:]) if step[0] == "update_principal" and step[1] not in model.principals else step


async def do(app: App, step: tuple[Any, ...]) -> None:
    """Do a step as a command does."""
    people = app.people
    match step:
        case ("add_principal", name, granted, until):
            grants = GrantChanges(read_grants(granted), until)
            await people.principals.add(OPERATOR, name, PrincipalChanges(grants=grants))
        case ("update_principal", name, granted, revoked, until, enabled):
            selectors = tuple(request.selector for request in read_grants(f"{text}:read" for text in revoked))
            grants = GrantChanges(read_grants(granted), until, selectors)
            await people.principals.update(OPERATOR, name, PrincipalChanges(enabled=enabled, grants=grants))
        case ("remove_principal", name):
            await people.principals.remove(OPERATOR, name)
        case ("add_group", name, member, granted):
            members = (member,) if member else ()
            await people.groups.add(OPERATOR, name, GroupChanges(None, members, (), GrantChanges(read_grants(granted))))
        case ("update_group", name, member, leaving, granted):
            members, no_members = ((each,) if each else () for each in (member, leaving))
            changes = GroupChanges(None, members, no_members, GrantChanges(read_grants(granted)))
            await people.groups.update(OPERATOR, name, changes)
        case ("remove_group", name):
            await people.groups.remove(OPERATOR, name)


async def change_orgs(app: App, model: Model, number: int, step: tuple[Any, ...]) -> None:
    """Add, rename or remove an org, in the store and in the model."""
    row = next((row for row, (name, _) in model.orgs.items() if name == step[1]), None)
    used = {name for name, _ in model.orgs.values()}
    if step[0] == "add_org" and row is None:
        row = f"row-{number}"
        tags = str(sorted(step[2])).replace("'", '"')
        await app.store.database.write(partial(_insert, ORG | {"row_id": row, "alias": step[1], "tags": tags}))
        model.orgs[row] = (step[1], step[2])
    elif step[0] == "rename_org" and row is not None and step[2] not in used:
        await app.store.database.write(partial(_rename, row, step[2]))
        model.orgs[row] = (step[2], model.orgs[row][1])
    elif step[0] == "remove_org" and row is not None:
        await app.store.database.write(partial(app.store.orgs.remove_in, row_id=RowId(row)))
        del model.orgs[row]
        for held in model.grants.values():
            held.pop(("row", row), None)


def _insert(values: dict[str, Any], tx: Any) -> None:
    tx.connection.execute(insert(tables.orgs).values(values))
    changed_in(tx)


def _rename(row: str, name: str, tx: Any) -> None:
    tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == row).values(alias=name))
    changed_in(tx)


def copied(model: Model) -> Model:
    return Model(
        dict(model.orgs), dict(model.principals), {name: set(members) for name, members in model.groups.items()},
        {holder: dict(held) for holder, held in model.grants.items()},
    )  # fmt: skip


async def outcome(doing: Callable[[], Any]) -> bool:
    try:
        await doing()
    except PeopleError:
        return False
    return True


async def walk(every: list[tuple[Any, ...]], home: Path) -> None:
    model = Model()
    async with open_app(read_settings({"home": home}, {})) as app:
        for number, drawn in enumerate(every):
            step = name_chosen(model, drawn)
            if step[0].endswith("_org"):
                await change_orgs(app, model, number, step)
            else:
                after = copied(model)
                try:
                    expect(after, step)
                    is_allowed = True
                except Refused:
                    is_allowed, after = False, model
                assert await outcome(partial(do, app, step)) == is_allowed, step
                model = after
            await compare(app, model, step)


async def compare(app: App, model: Model, step: tuple[Any, ...]) -> None:
    catalog = await app.access.reload()
    assert set(catalog.standings) == set(model.principals)
    for name, standing in catalog.standings.items():
        for row, (org, _) in model.orgs.items():
            for now in (SOON - timedelta(hours=1), SOON):
                found = standing.permissions_in(catalog.by_alias[alias(org)], now)
                assert found == model.permitted(name, row, now), (step, name, org)
    async with app.store.database.reading() as connection:
        assert len((await connection.execute(select(tables.orgs.c.row_id))).all()) == len(model.orgs)


@settings(max_examples=25, phases=(Phase.generate,))  # each example opens a store, so none is made smaller
@given(st.lists(steps, min_size=10, max_size=30))
def test_any_sequence_of_commands_gives_the_permissions_of_the_model(every: list[tuple[Any, ...]]) -> None:
    first = [
        ("add_org", "acme", frozenset({"eu"})),
        ("add_org", "emea-1", frozenset()),
        ("add_principal", "ada", ["acme:read", "emea-*:write", "tag:eu:delete"], None),
        ("add_group", "ops", "ada", ["acme:write", "*:read"]),
    ]
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(walk([*first, *every], Path(folder) / "home"))
