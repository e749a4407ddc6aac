"""Who is to watch a server's calls, as its environment says."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from orgserver.services.observer import Observer
from orgserver.telemetry import signals

logger = logging.getLogger("orgserver.serve")


@contextmanager
def observe() -> Iterator[Observer | None]:
    """Whoever the environment wants to watch the calls; a server never fails for it."""
    request = signals.asked(os.environ)
    for problem in request.problems:
        logger.warning("telemetry: %s", problem)
    with ExitStack() as stack:
        observer = None
        if request.signals:
            try:
                from orgserver.telemetry.starting import started  # noqa: PLC0415  # an extra, and slow to import

                observer = stack.enter_context(started(request.signals))
                logger.info("telemetry: sending %s", ", ".join(request.signals))
            except ImportError:
                logger.info("telemetry: off, for want of: pip install 'orgserver[otel]'")
            except Exception as error:  # noqa: BLE001  # the environment may be meant for other programs
                logger.warning("telemetry: off: %s", error)
        yield observer
