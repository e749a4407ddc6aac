"""Shipping by itself: what a server does for as long as it runs, and what it knows of it."""

from __future__ import annotations

import asyncio
import logging
import random
import time

from orgserver.model.access.principals import Principal
from orgserver.model.errors import OrgserverError
from orgserver.model.orgs import Caller
from orgserver.services.audit.shipping.lag import Lag
from orgserver.services.audit.shipping.shipper import Shipment, Shipper

logger = logging.getLogger("orgserver.audit")

_LOOK_SECONDS = 15.0
"""How old the lag is at most that figures tell."""


class Schedule:
    """Ships every so many seconds; a place that cannot be used is told of, and tried again: calls go on."""

    def __init__(self, shipper: Shipper, every: float) -> None:
        self._shipper = shipper
        self._every = every
        self._caller = Caller(Principal("orgserver"), "cli")
        self._last: int | None = None
        self._problems: tuple[str, ...] = ()
        self.lag: Lag | None = None
        """How far behind the place is; None until it was looked at."""
        self.failing = False
        """Whether the last run failed, or found something wrong at the place."""

    async def run(self) -> None:
        """Ship for as long as the process lives; the first run is soon, and at no fixed moment."""
        due = time.monotonic() + random.uniform(0, min(self._every, _LOOK_SECONDS) / 3)  # noqa: S311  # jitter
        while True:
            await asyncio.sleep(max(0.0, min(due - time.monotonic(), _LOOK_SECONDS)))
            try:
                if time.monotonic() >= due:
                    due = time.monotonic() + self._every
                    self._take(await self._shipper.ship(self._caller))
                elif self._last is not None:
                    self.lag = await self._shipper.read_lag(self._last)
            except OrgserverError as error:
                await self._tell_failure(error)

    def _take(self, shipment: Shipment) -> None:
        self._last, self.lag = shipment.last, shipment.lag
        self.failing = bool(shipment.problems)
        if shipment.problems != self._problems:
            self._problems = shipment.problems
            for problem in shipment.problems:
                logger.error("%s: %s", self._shipper.target, problem)
        if shipment.events:
            facts = {"parts": shipment.parts, "events": shipment.events, "upto": shipment.last}
            logger.info("the audit log was shipped to %s", self._shipper.target, extra=facts | _as_extra(shipment.lag))

    async def _tell_failure(self, error: OrgserverError) -> None:
        self.failing = True
        if self._last is not None:
            self.lag = await self._read_lag_anyway(self._last)
        hint = error.hint or "it is tried again"
        extra = _as_extra(self.lag) if self.lag is not None else None
        logger.warning("the audit log could not be shipped: %s (%s)", error, hint, extra=extra)

    async def _read_lag_anyway(self, last: int) -> Lag | None:
        try:
            return await self._shipper.read_lag(last)
        except OrgserverError:
            return self.lag


def _as_extra(lag: Lag) -> dict[str, int]:
    """The lag beside a line of the log."""
    return {"lag_events": lag.events, "lag_seconds": round(lag.seconds)}
