"""Makes the store as files say: compares, rehearses, and carries out, each change by the service that owns its rules.

A rehearsal is the same changes over a copy of the store in memory. So what a plan shows is what will be done, and
whatever a service refuses is said before anything is changed, and servers that share the store wait for neither. Many
changes are made in several transactions, each of half a second, so that calls get their turn; few in one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import select

from orgserver.model.errors import ConfigError, OperatorError
from orgserver.model.orgs import Caller
from orgserver.services.calls.access import Access
from orgserver.services.configuration.comparison import compare
from orgserver.services.configuration.declarations import Configuration, Place
from orgserver.services.configuration.inventory import Inventory, read_inventory
from orgserver.services.configuration.steps import OrgStep, OrgUpdate, Plan, Services, Step
from orgserver.services.people.composition import People
from orgserver.services.people.differences import Update
from orgserver.store import tables
from orgserver.store.moving import rehearsal
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction, to_datetime

_TRIES = 5
MOST_AT_ONCE = 250
"""So many changes are made together or not at all."""
TURN_SECONDS = 0.5
"""For so long one transaction goes on with more than that; calls get their turn in between."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """A step, and what it changed."""

    step: Step
    update: Update | OrgUpdate


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose change it is, and of what: each entry names the file, and the commit if there is one."""

    caller: Caller
    source: str
    """Of what no file has."""
    commit: str | None = None

    def caller_at(self, place: Place | None) -> Caller:
        """Who makes a change that stands in a file."""
        return replace(self.caller, label=self.label_at(place))

    def label_at(self, place: Place | None) -> str:
        """``orgs.yaml at 3f2c1d0 (typed)``."""
        words = [place.file if place is not None else self.source]
        words += [f"at {self.commit}"] if self.commit else []
        words += [f"({self.caller.label})"] if self.caller.label else []
        return " ".join(words)


class _StoreChanged(Exception):
    """The store is another than the one that was compared."""


class Reconciler:
    """Plans and carries out. Errors are OperatorError with one sentence."""

    def __init__(self, store: Store, access: Access, people: People) -> None:
        self._store = store
        self._access = access
        self._services = Services(store, people)

    async def inventory(self) -> Inventory:
        """All that the store has of what files can say."""
        return await read_inventory(self._store)

    async def plan(self, configuration: Configuration, *, prune: bool) -> Plan:
        """What is to be done; nothing is sent or written."""
        now = to_datetime(self._store.database.clock())
        return compare(configuration, await self.inventory(), prune=prune, now=now)

    async def rehearse(self, origin: Origin, plan: Plan) -> list[StepResult]:
        """What the steps of a plan would change; ConfigError names the place of one that cannot be done."""
        orgs = [step for step in plan.steps if isinstance(step, OrgStep)]
        results = [StepResult(step, step.rehearse()) for step in orgs]
        people = plan.steps[len(orgs) :]
        if not people:
            return results

        def rehearse(tx: Transaction) -> list[StepResult]:
            is_same = _version_in(tx) == plan.version
            try:
                return self._run_in(tx, origin, people)
            except ConfigError:
                if is_same:
                    raise
            raise _explain_change("nothing was changed")  # such as what another apply has added by now

        return [*results, *await rehearsal.rehearse(self._store.database, rehearse)]

    async def carry_out(self, origin: Origin, configuration: Configuration, plan: Plan, *, prune: bool) -> Plan:
        """Do the steps of a plan that a person has seen: all or none of them, where they are not very many.

        A store that was changed meanwhile is compared again: where that gives the same steps they are done, and
        refused where it gives others.
        """
        rest, tries = plan, _TRIES
        while rest.steps:
            try:
                rest, tries = await self._do_some(origin, plan, rest), _TRIES
            except _StoreChanged:
                later = await self.plan(configuration, prune=prune)
                if not tries or not later.does_the_same_as(rest):
                    raise _explain_change(_progress(plan, rest)) from None
                rest, tries = later, tries - 1
            except ConfigError as error:
                if rest.steps == plan.steps:
                    raise
                raise ConfigError(f"{error} ({_progress(plan, rest)})", hint=error.hint) from None
        await self._access.reload()
        return rest

    async def grant_later(self, origin: Origin, steps: Iterable[Step]) -> None:
        """Give grants on orgs that have been registered by now."""
        every = rest = tuple(steps)
        while rest:
            rest = await self._store.database.write(partial(self._give_some_in, origin=origin, rest=rest, every=every))
        if every:
            await self._access.reload()

    def _give_some_in(
        self, tx: Transaction, origin: Origin, rest: tuple[Step, ...], every: tuple[Step, ...]
    ) -> tuple[Step, ...]:
        return rest[len(self._run_in(tx, origin, rest, until=_end_of_turn(every))) :]

    async def _do_some(self, origin: Origin, plan: Plan, rest: Plan) -> Plan:
        """Of what is left of a plan do as much as goes together; what is left then, for the store as it is then."""

        def change(tx: Transaction) -> tuple[int, int]:
            if _version_in(tx) != rest.version:
                raise _StoreChanged
            return len(self._run_in(tx, origin, rest.steps, until=_end_of_turn(plan.steps))), _version_in(tx)

        count, version = await self._store.database.write(change)
        return replace(rest, version=version, steps=rest.steps[count:])

    def _run_in(
        self, tx: Transaction, origin: Origin, steps: Iterable[Step], *, until: float = math.inf
    ) -> list[StepResult]:
        """Do steps, one at least, until an instant of the monotonic clock."""
        results: list[StepResult] = []
        for step in steps:
            try:
                update = step.run_in(tx, self._services, origin.caller_at(step.place))
            except OperatorError as error:
                where = step.place if step.place is not None else f"--prune, {step.name}"
                raise ConfigError(f"{where}: {error}", hint=error.hint) from None
            results.append(StepResult(step, update))
            if time.monotonic() > until:
                break
        return results


def _end_of_turn(every: Sequence[Step]) -> float:
    """Until when steps of all these go on in one transaction that begins now."""
    return math.inf if len(every) <= MOST_AT_ONCE else time.monotonic() + TURN_SECONDS


def _progress(plan: Plan, rest: Plan) -> str:
    count = len(plan.steps) - len(rest.steps)
    return f"{count} of {len(plan.steps)} changes are done, and no other" if count else "nothing was changed"


def _explain_change(done: str) -> ConfigError:
    return ConfigError(f"the store was changed meanwhile, and the plan is another now: {done}", hint="apply again")


def _version_in(tx: Transaction) -> int:
    return int(tx.connection.execute(select(tables.store.c.catalog_version)).scalar_one())
