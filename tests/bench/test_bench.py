"""The bench runs from end to end at its smallest size and gives every figure; nothing here is asserted of a clock."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import decisions, figures, isolation, peers, profile
from tests.bench.__main__ import parse, participants_of
from tests.bench.client import BenchError, call, drive, id_of
from tests.bench.figures import Figure
from tests.bench.scenarios import SCENARIOS
from tests.bench.timeline import Timeline
from tests.bench.upstream import request_end
from tests.bench.world import CREATE, LIST, REFUSED, Sizes, World, upstream

TINY = Sizes(alternations=1, warm_up=1, alone=2, together=64, orgs=12, entries=200)
EXPECTED = {
    "list": 8,
    "create": 5,
    "refused": 3,
    "slow": 2,
    "orgs": 4,
    "processes": 2,
    "cold": 2,
    "floor": 8,
    "http": 12,
    "verify": 1,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    (ours,) = participants_of([])
    with upstream(packed=True) as (fast, slow):
        yield World(TINY, tmp_path_factory.mktemp("bench"), [ours], True, fast, slow)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_gives_all_its_figures(world: World, scenario: str) -> None:
    measured = SCENARIOS[scenario](world)

    assert len(measured) == EXPECTED[scenario]
    assert all(len(figure.pairs["orgserver"]) == TINY.alternations for figure in measured)
    assert all(value > 0 for figure in measured for pair in figure.pairs["orgserver"] for value in pair)


def test_peers_that_are_not_installed_are_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    shown = peers.table(world)

    assert "| MCPServer and an httpx GET " in shown
    assert "not installed: @tsmztech/mcp-server-salesforce (Node), mcp-salesforce-connector (Python)" in shown


def test_a_server_of_another_python_is_measured_in_the_same_run(world: World, tmp_path: Path) -> None:
    both = participants_of([f"earlier={sys.executable}"])
    beside = World(TINY, tmp_path, both, True, world.fast, world.slow)

    measured = SCENARIOS["refused"](beside)

    assert [list(figure.pairs) for figure in measured] == [["orgserver", "earlier"]] * EXPECTED["refused"]
    assert "orgserver by earlier" in figures.table(measured, ["orgserver", "earlier"])


@pytest.mark.parametrize(("params", "is_error"), [(REFUSED, False), (LIST, True)])
def test_a_call_that_ends_otherwise_than_it_is_measured_for_ends_the_run(
    world: World, params: dict[str, object], is_error: bool
) -> None:
    contender = world.contender(world.participants[0], params)

    with contender.start(world.folder) as server:
        server.begin()
        with pytest.raises(BenchError, match="answered"):
            drive([call(server, params, 1, is_error=is_error)])


def test_every_caller_makes_its_calls_and_one_without_a_number_goes_on_beside_them(world: World) -> None:
    with world.contender(world.participants[0], CREATE).start(world.folder) as server:
        server.begin()
        callers = [call(server, CREATE, 3), call(server, LIST, 1), call(server, LIST, None)]
        drive(callers)

    assert [len(each.times) for each in callers[:2]] == [3, 1]
    assert len(callers[2].times) >= 1
    assert not server.waiting


def test_the_profile_counts_the_calls_of_a_call(world: World) -> None:
    functions, plain = profile.measure(sys.executable, "create", calls=4, callers=1, packed=True, version="2026-07-28")

    (commits,) = (count for name, (count, _) in functions.items() if "'commit' of 'sqlite3.Connection'" in name)
    assert 1 < commits < 3  # the intent and the outcome; a heartbeat may fall into one of the two runs
    assert plain.cpu_us > 0


def test_an_id_is_read_wherever_it_stands_and_a_request_of_the_servers_has_none() -> None:
    assert id_of(b'{"jsonrpc":"2.0","id":12,"result":{}}') == 12
    assert id_of(b'{"result":{"id":7},"jsonrpc":"2.0","id":12}') == 12
    assert id_of(b'{"id":12,"method":"elicitation/create","params":{},"jsonrpc":"2.0"}') is None


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ],
)
def test_a_request_ends_where_its_body_ends_and_not_before_it_is_here(request_bytes: bytes) -> None:
    assert request_end(request_bytes + b"GET") == len(request_bytes)
    assert request_end(request_bytes[:-1]) is None


def test_a_ratio_is_the_median_of_the_alternations_and_stands_beside_its_bounds() -> None:
    p50 = Figure("p50", "ms", "echo", {"orgserver": [(1.0, 2.5), (1.0, 2.0), (2.0, 4.8)]}, must=2.6, aim=2.2)
    rate = Figure("calls", "calls/s", "echo", {"orgserver": [(1_000.0, 1_600.0)]}, must=1.5, aim=1.8, is_least=True)

    shown = figures.table([p50, rate], ["orgserver"])

    assert "2.40 (2.00–2.50) | ≤ 2.6 met | ≤ 2.2 NOT MET" in shown
    assert "1.60 (1.60–1.60) | ≥ 1.5 met | ≥ 1.8 NOT MET" in shown


def test_figures_that_were_kept_stand_beside_new_ones(tmp_path: Path) -> None:
    then = Figure("p50", "ms", "echo", {"orgserver": [(1.0, 4.0)]}, must=2.6)
    now = Figure("p50", "ms", "echo", {"orgserver": [(1.0, 2.0)]}, must=2.6)

    figures.save(tmp_path / "then.json", [then])

    assert figures.load(tmp_path / "then.json") == [then]
    assert "| 4.00       | -50 % " in figures.table([now], ["orgserver"], figures.load(tmp_path / "then.json"))


def test_the_scenarios_are_named_one_by_one() -> None:
    assert parse(["--only", "list", "--only", "cold"]).only == ["list", "cold"]
    assert not set(EXPECTED) ^ set(SCENARIOS)


async def test_decisions_and_pairs_of_refused_calls_are_measured(tmp_path: Path) -> None:
    costs = decisions.measure_decisions(3, 20, 30)
    times = await decisions.measure_pairs(2, tmp_path)

    assert len(costs) == 6
    assert {alias: len(each) for alias, each in times.items()} == {decisions.HIDDEN: 2, decisions.ABSENT: 2}


async def test_what_ones_trouble_is_to_others_is_measured_and_drawn() -> None:
    trouble = await isolation.measure("answers bombs", rounds=1, seconds=0.4, per_second=10)

    assert not trouble.failures
    assert len(trouble.calm) == len(trouble.trouble) == 1
    assert "| answers bombs |" in isolation.table({"answers bombs": trouble})

    drawing = Timeline(0.0, [(0.0, "calm"), (2.0, "a flood")]).draw([(number / 10, number / 4) for number in range(40)])
    assert drawing.startswith("<?xml")
    assert "a flood" in drawing
