"""What ships by itself: how far it is behind is a figure, a finding and a line of the log, and a failure ends nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orgserver.app import App
from orgserver.services.audit.shipping.folder import Folder
from orgserver.services.audit.shipping.schedule import Schedule
from orgserver.services.audit.shipping.shipper import Shipper
from orgserver.services.doctor.shipping import check_shipping
from orgserver.telemetry.prometheus import PrometheusMetrics
from tests.conftest import Clock
from tests.telemetry.test_prometheus import read

from .logs import write


async def figures(app: App, schedule: Schedule | None) -> list[float]:
    samples = read(await PrometheusMetrics().render(app.store, app.access.client.count_calls, schedule))
    names = ("lag_events", "lag_seconds", "failing")
    return [samples[f"orgserver_audit_ship_{name}",] for name in names]


@asynccontextmanager
async def running(schedule: Schedule) -> AsyncIterator[None]:
    task = asyncio.create_task(schedule.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_ships_tells_how_far_it_is_behind_and_goes_on_after_a_failure(
    app: App, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "orgserver.audit")
    away, gone = tmp_path / "away", tmp_path / "gone"
    away.mkdir()
    schedule = Schedule(shipper := Shipper(app.store, Folder(away)), 0.05)
    unknown = await figures(app, schedule)
    async with running(schedule):
        await until(lambda: schedule.lag is not None)
        finding = await check_shipping(lambda: shipper, offline=False)
        shipped = await figures(app, schedule)
        away.rename(gone)
        await write(app.store, 3)
        clock.advance(7_200)
        await until(lambda: schedule.failing and schedule.lag is not None and schedule.lag.seconds >= 7_200)
        behind = await figures(app, schedule)
        absent = await check_shipping(lambda: shipper, offline=False)
    gone.rename(away)
    late = await check_shipping(lambda: shipper, offline=False)
    async with running(schedule):
        await until(lambda: not schedule.failing)

    assert unknown[0] != unknown[0]  # no number
    assert (shipped, finding.level) == ([0, 0, 0], "ok")
    assert behind[0] >= 6
    assert behind[1] >= 7_200
    assert behind[2] == 1
    assert (absent.level, late.level) == ("problem", "warning")
    assert "there is no folder" in absent.text
    assert "events are not there yet, the first for 2:0" in late.text
    lines = [record for record in caplog.records if "ship" in record.getMessage()]
    assert {record.levelname for record in lines} == {"INFO", "WARNING"}
    assert all(hasattr(record, "lag_events") for record in lines)
