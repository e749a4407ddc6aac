"""The check of ``doctor`` on what the audit log is shipped to: whether it can be used, and how far it is behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from orgserver.model.errors import OperatorError
from orgserver.model.text import count_of
from orgserver.services.audit.shipping.shipper import Shipper
from orgserver.services.doctor.machine import Finding

_NAME = "audit shipping"
_LATE = timedelta(hours=1)


async def check_shipping(make_shipper: Callable[[], Shipper], *, offline: bool) -> Finding:
    """Look at the place, without putting anything there."""
    try:
        shipper = make_shipper()
        if offline:
            return Finding(_NAME, "note", f"to {shipper.target}, which was not asked")
        shipment = await shipper.look()
    except OperatorError as error:
        return Finding(_NAME, "problem", str(error), error.hint)
    if shipment.problems:
        return Finding(
            _NAME, "problem", f"{shipper.target}: {'; '.join(shipment.problems)}", "keep what is there as evidence"
        )
    lag = shipment.lag
    text = f"{shipper.target} has everything up to event {shipment.last:,}"
    if not lag.events:
        return Finding(_NAME, "ok", text)
    behind = timedelta(seconds=round(lag.seconds))
    rest = f"{count_of(lag.events, 'event')} {'is' if lag.events == 1 else 'are'}"
    text = f"{text}; {rest} not there yet, the first for {behind}"
    if behind < _LATE:
        return Finding(_NAME, "ok", text)
    return Finding(_NAME, "warning", text, "a server with ship_to ships by itself; orgserver audit ship does it now")
