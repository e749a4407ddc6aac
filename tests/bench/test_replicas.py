"""The simulation of replicas says what is plain: a core bounds one replica, the store bounds many."""

import pytest

from tests.bench.replicas import Costs, Replicas


def test_where_the_store_costs_nothing_replicas_add_up() -> None:
    costs = Costs(call=0.001, group=0.0, change=0.0, server=0.0)

    one, four = (Replicas(costs, number, 16).run().rate for number in (1, 4))

    assert one == pytest.approx(1_000, rel=0.02)
    assert four == pytest.approx(4 * one, rel=0.02)


def test_where_the_store_is_what_all_wait_for_more_replicas_bring_nothing() -> None:
    costs = Costs(call=0.000_001, group=0.0, change=0.000_5, server=0.0)

    one, four = (Replicas(costs, number, 16).run() for number in (1, 4))

    assert one.rate == pytest.approx(1_000, rel=0.05)  # two changes a call
    assert four.rate == pytest.approx(one.rate, rel=0.05)
