"""Whatever files say, one after another: the store is so, and what is exported of it changes nothing any more."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from orgserver.app import App, open_app
from orgserver.cli.configuration.conversion import convert
from orgserver.cli.configuration.reading import read
from orgserver.cli.configuration.writing import write
from orgserver.cli.policies import yaml_text
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller
from orgserver.services.configuration.declarations import Configuration
from orgserver.services.configuration.reconciler import Origin
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.transaction import Transaction
from tests.model.access.test_policies import POLICIES
from tests.services.people.test_random_changes import ORG

ORIGIN = Origin(Caller(Principal("local:op"), "cli"), "fleet")
ALIASES = ("acme", "emea-1", "on", "123")
NAMES = ("ada", "Ada", "ops@example.com", "null")
SUBJECTS = [{"issuer": "https://idp.example", "subject": text} for text in ("s-1", "ü: #2")]
ENDS = ("", " until 2037-01-31", " until 2037-01-31T10:30:15.250000+02:00", " until 2020-01-01")
LIMITS = POLICIES.map(yaml_text.facts_of)


def subsets(items: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(items), unique=True)


PERMISSIONS = st.lists(st.sampled_from(["read", "write", "delete"]), min_size=1, unique=True).map(",".join)
GRANTS = st.dictionaries(
    st.sampled_from([*ALIASES, "*", "emea-*", "tag:eu", "tag:Ü x"]), st.tuples(PERMISSIONS, st.sampled_from(ENDS))
).map(lambda grants: [f"{selector}:{permissions}{end}" for selector, (permissions, end) in grants.items()])


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """All four sections, with names that were a principal's or a group's before or are in another case now."""
    org = {"tags": subsets(("eu", "Ü x", "2027", "yes"))}
    org_more = {"policy": LIMITS | st.just("shared"), "enabled": st.booleans()}
    kinds = draw(st.dictionaries(st.sampled_from(NAMES), st.booleans(), max_size=3))
    if "ada" in kinds:
        kinds.pop("Ada", None)
    principals = [name for name, is_principal in kinds.items() if is_principal]
    subjects = draw(st.permutations(SUBJECTS))
    return {
        "policies": {"shared": draw(LIMITS)},
        "orgs": draw(st.dictionaries(st.sampled_from(ALIASES), st.fixed_dictionaries(org, optional=org_more))),
        "groups": {name: draw(_group(principals)) for name in kinds if name not in principals},
        "principals": {name: draw(_principal(subjects[place : place + 1])) for place, name in enumerate(principals)},
    }


def _group(principals: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    by_hand = st.fixed_dictionaries(
        {"members": subsets(tuple(principals)) if principals else st.just([]), "grants": GRANTS}
    )
    return by_hand | st.fixed_dictionaries({"claim": st.sampled_from(["Readers", "ü"]), "grants": GRANTS})


def _principal(subjects: list[dict[str, str]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"subjects": st.just(subjects), "grants": GRANTS},
        optional={
            "kind": st.sampled_from(["person", "service"]),
            "enabled": st.booleans(),
            "roles": st.lists(st.sampled_from(["auditor", "admin"]), unique=True),
            "limits": LIMITS,
        },
    )


def configuration(text: str) -> Configuration:
    return convert("fleet", [(read(text.encode(), "fleet.yaml"), Path())])


def add_orgs(tx: Transaction) -> None:
    for alias in ALIASES:
        tx.connection.execute(insert(tables.orgs).values(ORG | {"row_id": f"row-{alias}", "alias": alias}))
    changed_in(tx)


async def check(app: App, files: Configuration) -> None:
    plan = await app.reconciler.plan(files, prune=True)
    results = await app.reconciler.rehearse(ORIGIN, plan)
    await app.reconciler.carry_out(ORIGIN, files, plan, prune=True)

    assert [result.step for result in results] == list(plan.steps)
    assert (await app.reconciler.plan(files, prune=True)).is_empty
    exported = configuration(write(await app.reconciler.inventory(), "x"))
    for prune in (True, False):
        assert (await app.reconciler.plan(exported, prune=prune)).is_empty
    assert not (await app.reconciler.plan(exported, prune=False)).surplus


async def check_all(home: Path, every: list[dict[str, Any]]) -> None:
    async with open_app(read_settings({"home": home}, {})) as app:
        await app.store.database.write(add_orgs)
        for each in every:
            await check(app, configuration(yaml.safe_dump(each, allow_unicode=True)))


@settings(max_examples=25)
@given(st.lists(contents(), min_size=1, max_size=4))
def test_what_is_exported_of_any_store_changes_nothing(every: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check_all(Path(folder) / "home", every))
