"""What the decision on a call costs, and whether it tells anything: `python -m tests.bench.decisions [--quick]`.

First ``decide`` and the look-up of an alias, with 1,000 principals and 10,000 orgs, on pairs that were not met before
and on pairs that were. Then calls for an org that a principal may not use and for one that does not exist, in turns
over one store: the medians of both, and their difference. Nothing is judged here.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.access.acts import Act
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Grant, Principal, Selector
from orgserver.model.access.standing import Standing
from orgserver.model.errors import UnknownOrg
from orgserver.model.names import CONTACT, Alias, OrgId, RowId
from orgserver.model.orgs import Caller, Org, OrgState, Scope
from orgserver.sandbox.server import Sandbox
from orgserver.services.calls.decision import decide, find_org
from orgserver.services.calls.plan import Call
from tests.people import add_principal

NOW = datetime(2026, 11, 29, tzinfo=UTC)
ROUNDS = 5
HIDDEN, ABSENT = "globex", "glohex"
RECORD_ID = "003xx000004TmiQAAS"


@dataclass
class People:
    """Principals and orgs, as a snapshot of a store has them."""

    orgs: list[Org]
    by_alias: dict[str, Org]
    standings: list[Standing]

    @classmethod
    def of(cls, principals: int, orgs: int) -> "People":
        every = [make_org(number) for number in range(orgs)]
        groups = [make_grants(f"group-{number}", every, number) for number in range(20)]
        standings = [
            Standing(
                f"p{n}",
                "person",
                limits=Policy(row_limit=500) if n % 4 == 0 else Policy(),
                grants=(*make_grants(f"p{n}", every, n), *groups[n % 20]),
            )
            for n in range(principals)
        ]
        return cls(every, {org.alias: org for org in every}, standings)


def make_grants(holder: str, orgs: Sequence[Org], number: int) -> tuple[Grant, ...]:
    """Three exact ones, a glob and a tag."""
    chance = random.Random(number)
    exact = [(org.alias, org.row_id) for org in chance.sample(orgs, min(3, len(orgs)))]
    selectors = [*exact, (f"o{number % 10}*", None), (f"tag:t{number % 50}", None)]
    permissions: Any = frozenset({"read", "write"})
    return tuple(
        Grant(f"{holder}-{place}", holder, Selector(text), permissions, NOW, row_id)
        for place, (text, row_id) in enumerate(selectors)
    )


def make_org(number: int) -> Org:
    return Org(
        row_id=RowId(f"row-{number}"), alias=Alias(f"o{number}"), org_id=OrgId(f"00D{number:015d}"), name="x", kind=None,
        edition=None, login_url="https://l", instance_url="https://i", trusted_hosts=(), api_version="v66.0", user=None,
        state=OrgState.READY, cause=None, problem=None, policy=Policy(confirm_deletes=number % 3 == 0),
        tags=(f"t{number % 50}",), source="bench", created_at=NOW, refreshed_at=NOW,
    )  # fmt: skip


def cost(run: Callable[[Principal, Standing, Org], object], pairs: Sequence[tuple[Principal, Standing, Org]]) -> float:
    """Microseconds of CPU of one run, over all the pairs."""
    began = time.thread_time()
    for principal, standing, org in pairs:
        run(principal, standing, org)
    return (time.thread_time() - began) / len(pairs) * 1_000_000


def measure_decisions(principals: int, orgs: int, pairs: int) -> dict[str, float]:
    """By what is done, the median of its microseconds."""
    act, scope = Act("salesforce_list_contacts", "read"), Scope()
    costs: dict[str, list[float]] = {}

    def judge(principal: Principal, standing: Standing, org: Org) -> object:
        return decide(principal, standing, scope, org, act, NOW)

    for number in range(ROUNDS):
        people = People.of(principals, orgs)  # anew: what a standing remembers goes with its snapshot
        chance = random.Random(number)

        def look_up(principal: Principal, standing: Standing, org: Org, people: People = people) -> object:
            return find_org(principal, standing, scope, people.by_alias, org.alias, NOW)

        drawn = [(chance.choice(people.standings), chance.choice(people.orgs)) for _ in range(pairs)]
        granted = [(each, people.by_alias[each.grants[0].selector.text]) for each, _ in drawn]
        by_any = [(Principal(standing.name), standing, org) for standing, org in drawn]
        by_granted = [(Principal(standing.name), standing, org) for standing, org in granted]
        locals_ = [(Principal("local:me"), standing, org) for standing, org in drawn]
        for name, run, which in (
            ("decide, any pair", judge, by_any),
            (
                "decide, granted, once each",
                judge,
                list({standing.name: (p, standing, o) for p, standing, o in by_granted}.values()),
            ),
            ("decide, granted, again", judge, by_granted),
            ("decide, local user", judge, locals_),
            ("alias to org, any", look_up, by_any),
            ("alias to org, granted", look_up, by_granted),
        ):
            costs.setdefault(name, []).append(cost(run, which))
    return {name: statistics.median(each) for name, each in costs.items()}


async def measure_pairs(pairs: int, folder: Path) -> dict[str, list[float]]:
    """The milliseconds of refused calls: for an org that is not granted, and for one that does not exist."""
    times: dict[str, list[float]] = {HIDDEN: [], ABSENT: []}
    async with Sandbox.start(2) as sandbox, open_app(read_settings({"home": folder / "home"}, {})) as app:
        await register(app, sandbox)
        ada = await add_principal(app, "ada", "acme:read", "north-*:read", "tag:vip:read,write")
        for number in range(pairs + 50):
            both = [HIDDEN, ABSENT]
            random.shuffle(both)
            for alias in both:
                took = await refuse(app, ada, alias)
                if number >= 50:  # by then, all is warm
                    times[alias].append(took)
    return times


async def refuse(app: App, caller: Caller, alias: str) -> float:
    began = time.perf_counter()
    try:
        await app.services.executor.run(Call(caller, "bench", alias, CONTACT), app.services.reading.read(RECORD_ID))
    except UnknownOrg:
        return (time.perf_counter() - began) * 1_000
    raise AssertionError(f"{alias} was not refused")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.decisions", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    principals, orgs, draws, pairs = (100, 1_000, 5_000, 500) if options.quick else (1_000, 10_000, 100_000, 10_000)
    print(f"{principals:,} principals, {orgs:,} orgs: µs of CPU each")
    for name, microseconds in measure_decisions(principals, orgs, draws).items():
        print(f"  {name:<28}{microseconds:>6.2f}")
    with tempfile.TemporaryDirectory(prefix="orgserver-bench-") as folder:
        times = asyncio.run(measure_pairs(pairs, Path(folder)))
    hidden, absent = (statistics.median(times[alias]) for alias in (HIDDEN, ABSENT))
    spread = statistics.quantiles(times[ABSENT], n=4)
    print(f"{pairs:,} pairs of refused calls, in turns: ms, medians")
    print(f"  not granted {hidden:.4f}, not there {absent:.4f}, difference {(hidden - absent) * 1_000:+.1f} µs")
    print(f"  half of all calls lie between {spread[0]:.4f} and {spread[2]:.4f}")


if __name__ == "__main__":
    main()
