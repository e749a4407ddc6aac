"""How many API calls agents use up in each org on each day (UTC), counted where a budget binds them.

It is counted with the outcome of each call, and asked for with the intent of the next: so all processes of a store
agree, and what is used beyond a budget is what was under way when it was reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sqlalchemy import BigInteger, ColumnElement, bindparam, case, cast, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.usage import ApiBudget, ApiUse
from orgserver.store.people import tables
from orgserver.store.sql.statements import insert_into
from orgserver.store.transaction import PreparedStatement, Transaction

DAY_US = 86_400_000_000
KEPT_DAYS = 35
_usage = tables.api_usage


def _total(calls: ColumnElement[int]) -> ColumnElement[int]:
    return cast(func.sum(calls), BigInteger)  # PostgreSQL's sum is no whole number by its type


_OWN = case((_usage.c.principal == bindparam("who"), _usage.c.calls))
_USE = PreparedStatement(
    select(_total(_usage.c.calls), _total(_OWN)).where(
        _usage.c.org_id == bindparam("org"), _usage.c.day == bindparam("on_day")
    )
)


@cache
def _addition(dialect: str) -> PreparedStatement:
    new = insert_into(dialect, _usage)
    more = {"calls": _usage.c.calls + new.excluded.calls}
    return PreparedStatement(new.on_conflict_do_update(index_elements=["org_id", "principal", "day"], set_=more))


@dataclass(frozen=True, slots=True)
class CallBudget:
    """What limits one call's use of the API, and whose it is."""

    org_id: str
    principal: str
    budget: ApiBudget

    def excess_in(self, tx: Transaction) -> ApiUse | None:
        """What was used up today where that is as much as may be; None where the call may begin."""
        use = use_in(tx, self.org_id, self.principal)
        return use if self.budget.used_up_by(use) is not None else None

    def count_in(self, tx: Transaction, calls: int) -> None:
        """Add what the call has used up."""
        count_in(tx, self.org_id, self.principal, calls)


def day_of(now: int) -> int:
    """The day of a time of the store, in UTC, since 1970."""
    return now // DAY_US


def count_in(tx: Transaction, org_id: str, principal: str, calls: int) -> None:
    """Add what a call has used up."""
    if calls > 0:
        row = {"org_id": org_id, "principal": principal, "day": day_of(tx.now), "calls": calls}
        tx.execute(_addition(tx.connection.dialect.name), row)


def use_in(tx: Transaction, org_id: str, principal: str) -> ApiUse:
    """What was used up today, by all agents and by one principal."""
    ((by_all, by_principal),) = tx.fetch(_USE, who=principal, org=org_id, on_day=day_of(tx.now))
    return ApiUse(by_all or 0, by_principal or 0)


async def calls_on(connection: AsyncConnection, org_id: str, day: int) -> dict[str, int]:
    """What each principal used up in an org on a day."""
    rows = await connection.execute(
        select(_usage.c.principal, _usage.c.calls)
        .where(_usage.c.org_id == org_id, _usage.c.day == day)
        .order_by(_usage.c.calls.desc(), _usage.c.principal)
    )
    return {row.principal: row.calls for row in rows}


async def read_use(connection: AsyncConnection, org_id: str, principal: str, now: int) -> ApiUse:
    """What was used up today, where nothing is to be begun."""
    calls = await calls_on(connection, org_id, day_of(now))
    return ApiUse(sum(calls.values()), calls.get(principal, 0))


async def has_old(connection: AsyncConnection, now: int) -> bool:
    """Whether there are days that nobody asks for any more."""
    first = (await connection.execute(select(func.min(_usage.c.day)))).scalar()
    return first is not None and first < day_of(now) - KEPT_DAYS


def forget_old_in(tx: Transaction) -> None:
    """Let go of days that nobody asks for any more."""
    tx.connection.execute(delete(_usage).where(_usage.c.day < day_of(tx.now) - KEPT_DAYS))
