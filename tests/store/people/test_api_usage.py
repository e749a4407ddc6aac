"""API calls are counted by org, principal and day, in the transaction of the outcome; a day begins at 00:00 UTC."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from orgserver.model.access.usage import ApiBudget, ApiUse
from orgserver.store.engines.sqlite_connections import BEGIN
from orgserver.store.people import api_usage, tables
from orgserver.store.session import Store
from orgserver.store.transaction import DriverConnection, Transaction, to_datetime, to_microseconds

pytestmark = pytest.mark.both_stores

MIDNIGHT = to_microseconds(datetime(2026, 11, 29, tzinfo=UTC))
DAY = api_usage.DAY_US


@st.composite
def counts(draw: st.DrawFn) -> tuple[str, str, int, int]:
    org, principal = draw(st.sampled_from("ab")), draw(st.sampled_from(["ada", "bob", "local:op"]))
    offset = draw(st.sampled_from([0, -1, 1, DAY - 1, DAY, -DAY])) + draw(st.sampled_from([0, 3_600_000_000]))
    return org, principal, MIDNIGHT + offset, draw(st.integers(0, 10))


@given(st.lists(counts(), max_size=30), st.sampled_from([MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + DAY - 1, MIDNIGHT + DAY]))
def test_use_is_the_sum_of_the_calls_of_the_day(added: list[tuple[str, str, int, int]], now: int) -> None:
    engine = create_engine("sqlite://")
    day = to_datetime(now).date()
    model: Counter[tuple[str, str]] = Counter()
    with engine.connect() as connection:
        tables.api_usage.create(connection)
        connection.commit()
        driver = DriverConnection(connection)
        driver.execute(BEGIN)
        for org, principal, at, calls in added:
            api_usage.count_in(Transaction(driver, at), org, principal, calls)
            if to_datetime(at).date() == day:
                model[org, principal] += calls
        for org in "ab":
            for principal in ("ada", "nobody"):
                use = api_usage.use_in(Transaction(driver, now), org, principal)
                assert use == ApiUse(sum(n for (o, _), n in model.items() if o == org), model[org, principal])
        driver.rollback()
    engine.dispose()


@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)), st.integers(0, 999_999))  # noqa: DTZ001  # UTC is said below
def test_a_day_is_one_of_the_calendar_in_utc(instant: datetime, micros: int) -> None:
    now = instant.replace(tzinfo=UTC, microsecond=micros)

    day = api_usage.day_of(to_microseconds(now))

    assert datetime(1970, 1, 1, tzinfo=UTC).date() + timedelta(days=day) == now.date()


@pytest.mark.parametrize(
    ("budget", "use", "whose"),
    [
        (ApiBudget(), ApiUse(10, 10), None),
        (ApiBudget(org=10), ApiUse(9, 9), None),
        (ApiBudget(org=10), ApiUse(10, 0), "org"),
        (ApiBudget(principal=10), ApiUse(50, 9), None),
        (ApiBudget(principal=10), ApiUse(50, 10), "principal"),
        (ApiBudget(org=0, principal=0), ApiUse(0, 0), "org"),
    ],
)
def test_a_budget_is_used_up_by_as_many_calls_as_it_has(budget: ApiBudget, use: ApiUse, whose: str | None) -> None:
    assert budget.used_up_by(use) == whose


@pytest.mark.parametrize(("days", "is_old"), [(api_usage.KEPT_DAYS, False), (api_usage.KEPT_DAYS + 1, True)])
async def test_the_sweep_lets_go_of_days_that_nobody_asks_for(store: Store, days: int, is_old: bool) -> None:
    def add(tx: Transaction) -> None:
        api_usage.count_in(tx, "00D", "ada", 1)
        api_usage.count_in(Transaction(tx.driver, tx.now - days * DAY), "00D", "ada", 2)

    await store.database.write(add)
    await store.audit.adopt()

    today = api_usage.day_of(store.database.clock())
    async with store.database.reading() as connection:
        left = [await api_usage.calls_on(connection, "00D", day) for day in (today, today - days)]
    assert left == [{"ada": 1}, {} if is_old else {"ada": 2}]
