"""The loop that says that a process is alive, gives abandoned intents their outcome, and makes checkpoints."""

from __future__ import annotations

import asyncio
import logging

from orgserver.model.errors import StoreError
from orgserver.store.audit.log import AuditLog

logger = logging.getLogger("orgserver.audit")


async def keep_alive(log: AuditLog, heartbeat: float, sweep: float) -> None:
    """Beat and sweep for as long as the process lives; run as a task."""
    since_sweep = 0.0
    while True:
        await asyncio.sleep(heartbeat)
        since_sweep += heartbeat
        try:
            await log.beat()
            await log.look_after()
            if since_sweep >= sweep:
                since_sweep = 0.0
                await log.adopt()
        except StoreError as error:
            logger.warning("the store did not take a heartbeat: %s", error)
