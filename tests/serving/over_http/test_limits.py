"""Limits of principals and keys against a model: never more than allowed, never refused without need, nothing kept."""

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.serving.http.limits import IN_FLIGHT_SECONDS, LATELY_SECONDS, Leave, Limits, Refusal


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def passes(limits: Limits, principal: str = "ada", key: str | None = "k1") -> bool:
    """Whether a request that ends at once is let in."""
    leave = limits.admit(principal, key)
    if isinstance(leave, Refusal):
        return False
    leave()
    return True


def enter(limits: Limits, principal: str = "ada", key: str | None = "k1") -> Callable[[], None]:
    leave = limits.admit(principal, key)
    assert not isinstance(leave, Refusal)
    return leave


def test_a_second_s_requests_come_at_once_and_then_one_at_a_time(clock: Clock) -> None:
    limits = Limits(60, 16, clock)

    assert sum(passes(limits) for _ in range(100)) == 60
    refusal = limits.admit("ada", "k1")
    assert isinstance(refusal, Refusal)
    assert (refusal.limit, round(refusal.seconds, 4)) == ("rate", round(1 / 60, 4))

    clock.now += refusal.seconds
    assert [passes(limits) for _ in range(2)] == [True, False]


def test_so_many_may_be_under_way_and_one_that_ends_makes_room(clock: Clock) -> None:
    limits = Limits(60, 3, clock)
    leaves = [enter(limits) for _ in range(3)]

    assert limits.admit("ada", "k1") == Refusal("in_flight", IN_FLIGHT_SECONDS)
    leaves[0]()
    leaves[0]()  # twice counts once
    enter(limits)
    assert limits.admit("ada", "k1") == Refusal("in_flight", IN_FLIGHT_SECONDS)


def test_a_refused_request_takes_nothing(clock: Clock) -> None:
    limits = Limits(10, 1, clock)
    leave = enter(limits)
    for _ in range(50):
        assert not passes(limits)
    leave()

    assert sum(passes(limits) for _ in range(20)) == 9


def test_one_principal_s_flood_is_nothing_to_another(clock: Clock) -> None:
    limits = Limits(5, 2, clock)
    for _ in range(50):
        limits.admit("flood", "k1")

    assert sum(passes(limits, "ada") for _ in range(9)) == 5


def test_keys_of_one_principal_share_its_rate_and_its_places(clock: Clock) -> None:
    limits = Limits(60, 4, clock)

    assert sum(passes(limits, key=f"k{number % 3}") for number in range(200)) == 60
    clock.now += 60
    for number in range(4):
        enter(limits, key=f"k{number}")
    assert isinstance(limits.admit("ada", "k9"), Refusal)


def test_a_flood_by_one_key_leaves_another_that_has_called_its_calls(clock: Clock) -> None:
    limits = Limits(60, 4, clock)
    passes(limits, key="quiet")
    clock.now += 1
    flood = deque[Callable[[], None]]()
    answers, most = [], 0
    for step in range(1, 601):  # ten seconds
        clock.now += 1 / 60
        for _ in range(5):
            leave = limits.admit("ada", "flood")
            if not isinstance(leave, Refusal):
                flood.append(leave)
        most = max(most, len(flood))
        if step % 30 == 0:
            answers.append(passes(limits, key="quiet"))
        if step % 3 == 0 and flood:
            flood.popleft()()

    assert answers == [True] * 20
    assert most == 3  # and nothing is left idle: what the other does not need is the flood's


def test_a_key_beside_another_that_is_quiet_has_nearly_everything(clock: Clock) -> None:
    limits = Limits(60, 16, clock)
    passes(limits, key="quiet")
    clock.now += 2

    assert sum(passes(limits, key="busy") for _ in range(200)) == 59

    clock.now += LATELY_SECONDS + 1
    assert sum(passes(limits, key="busy") for _ in range(200)) == 60


def test_nothing_is_kept_of_principals_that_are_idle(clock: Clock) -> None:
    limits = Limits(60, 16, clock)
    for number in range(5_000):
        passes(limits, f"principal {number}")
        clock.now += 0.1

    assert len(limits) <= 2 * LATELY_SECONDS / 0.1
    clock.now += LATELY_SECONDS + 1
    for _ in range(200):
        passes(limits)
    assert len(limits) == 1


def test_a_clock_that_goes_back_gives_nothing_away(clock: Clock) -> None:
    limits = Limits(5, 16, clock)
    assert sum(passes(limits) for _ in range(9)) == 5
    clock.now -= 100
    assert not passes(limits)
    clock.now += 100
    assert not passes(limits)


STEPS = st.lists(
    st.tuples(
        st.floats(0, 3, allow_nan=False),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from(["k1", "k2", None]),
        st.booleans(),
    ),
    max_size=150,
)


@given(rate=st.integers(1, 20), in_flight=st.integers(1, 6), steps=STEPS)
def test_nobody_ever_has_more_than_allowed_and_waiting_as_told_is_enough(
    rate: int, in_flight: int, steps: list[tuple[float, str, str | None, bool]]
) -> None:
    clock = Clock()
    limits = Limits(rate, in_flight, clock)
    under_way: dict[str, list[Callable[[], None]]] = {"ada": [], "bob": []}
    times: dict[str, list[float]] = {"ada": [], "bob": []}
    for pause, principal, key, ends in steps:
        clock.now += pause
        if ends and under_way[principal]:
            under_way[principal].pop(0)()
        answer = limits.admit(principal, key)
        if isinstance(answer, Refusal) and answer.limit == "rate":
            clock.now += answer.seconds + 1e-6
            answer = limits.admit(principal, key)
            assert not (isinstance(answer, Refusal) and answer.limit == "rate")
        if isinstance(answer, Refusal):
            keys = 3
            assert len(under_way[principal]) >= max(in_flight - keys + 1, 1)
            continue
        under_way[principal].append(answer)
        times[principal].append(clock.now)
        assert len(under_way[principal]) <= in_flight
        for first, since in enumerate(times[principal]):
            assert len(times[principal]) - first <= rate + (clock.now - since) * rate + 1e-3


def test_what_is_charged_beside_is_waited_for_by_its_caller_alone(clock: Clock) -> None:
    limits = Limits(10, 5, clock)
    leave = limits.admit("ada", "k1")
    assert isinstance(leave, Leave)
    leave.charge(29)
    leave()

    refusal = limits.admit("ada", "k1")
    assert isinstance(refusal, Refusal)
    assert refusal.seconds == pytest.approx(2.1)
    assert passes(limits, "bob")
    clock.now += refusal.seconds
    assert passes(limits)
    assert not passes(limits)
