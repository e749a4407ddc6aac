"""Makes the store as files say: compares, rehearses, and carries out, each change by the service that owns its rules.

A rehearsal is the same transaction, taken back at its end. So what a plan shows is what will be done, and whatever a
service refuses is said before anything is changed. Of many orgs only some at a time are changed in one transaction, so
that calls get their turn; orgs need no rehearsal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

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
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction, to_datetime

_TRIES = 5
MOST_AT_ONCE = 250
"""So many orgs are changed together; groups and principals always are."""


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


class _Rehearsal(Exception):
    """Ends a transaction that is to leave nothing; what it would have done."""

    def __init__(self, results: list[StepResult]) -> None:
        super().__init__()
        self.results = results


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

        def rehearse(tx: Transaction) -> None:
            is_same = _version_in(tx) == plan.version
            try:
                raise _Rehearsal(self._run_in(tx, origin, people))
            except ConfigError:
                if is_same:
                    raise
            raise _explain_change("nothing was changed")  # such as what another apply has added by now

        try:
            await self._store.database.write(rehearse)
        except _Rehearsal as rehearsal:
            return [*results, *rehearsal.results]
        raise AssertionError("a rehearsal ends by itself")

    async def carry_out(self, origin: Origin, configuration: Configuration, plan: Plan, *, prune: bool) -> Plan:
        """Do the steps of a plan that a person has seen: all or none of them, but for those of very many orgs.

        A store that was changed meanwhile is compared again: where that gives the same steps they are done, and
        refused where it gives others.
        """
        rest = plan
        for _ in range(_TRIES):
            try:
                while rest.steps:
                    rest = await self._do_some(origin, rest)
            except _StoreChanged:
                later = await self.plan(configuration, prune=prune)
                if not later.does_the_same_as(rest):
                    break
                rest = later
            else:
                await self._access.reload()
                return rest
        count = len(plan.steps) - len(rest.steps)
        changes = f"{count} of {len(plan.steps)} changes are done, and no other" if count else "nothing was changed"
        raise _explain_change(changes)

    async def grant_later(self, origin: Origin, steps: Iterable[Step]) -> None:
        """Give grants on orgs that have been registered by now."""
        every = tuple(steps)
        if every:
            await self._store.database.write(lambda tx: self._run_in(tx, origin, every))
            await self._access.reload()

    async def _do_some(self, origin: Origin, plan: Plan) -> Plan:
        """Do as many steps as go together; what is left of the plan, for the store as it is then."""
        orgs = sum(isinstance(step, OrgStep) for step in plan.steps)
        count = len(plan.steps) if orgs <= MOST_AT_ONCE else MOST_AT_ONCE

        def change(tx: Transaction) -> int:
            if _version_in(tx) != plan.version:
                raise _StoreChanged
            self._run_in(tx, origin, plan.steps[:count])
            return _version_in(tx)

        version = await self._store.database.write(change)
        return replace(plan, version=version, steps=plan.steps[count:])

    def _run_in(self, tx: Transaction, origin: Origin, steps: Iterable[Step]) -> list[StepResult]:
        results = []
        for step in steps:
            try:
                update = step.run_in(tx, self._services, origin.caller_at(step.place))
            except OperatorError as error:
                where = step.place if step.place is not None else f"--prune, {step.name}"
                raise ConfigError(f"{where}: {error}", hint=error.hint) from None
            results.append(StepResult(step, update))
        return results


def _explain_change(done: str) -> ConfigError:
    return ConfigError(f"the store was changed meanwhile, and the plan is another now: {done}", hint="apply again")


def _version_in(tx: Transaction) -> int:
    return int(tx.connection.execute(select(tables.store.c.catalog_version)).scalar_one())
