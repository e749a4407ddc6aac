"""``orgserver audit ship``: the log away, to a folder or a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orgserver.cli.output import Failure, print_json, report, tell
from orgserver.cli.process import app_of, has_store, operator, run, settings_of
from orgserver.model.errors import StoreError
from orgserver.model.text import count_of

if TYPE_CHECKING:
    from orgserver.services.audit.shipping.shipper import Shipment


@click.command(
    "ship",
    epilog="Examples:\n\n  orgserver audit ship --to s3://audit-of-acme/orgserver\n\n"
    "  orgserver audit ship --to /mnt/archive/orgserver",
)
@click.option("--to", metavar="s3://BUCKET/PREFIX|FOLDER", help="Where to. [default: ORGSERVER_SHIP_TO]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ship(to: str | None, as_json: bool) -> None:
    """Put what is new in the log where it is kept away from here, each event exactly once, in parts that verify alone.

    It goes on from what lies there; nothing there is ever replaced. Exits 1 if something there is missing or altered.
    A bucket's region, endpoint and credentials come from the environment, as programs of AWS have them.
    """

    async def act() -> tuple[Shipment, str]:
        settings = settings_of()
        if not has_store(settings):
            from orgserver.store.location import find_address  # noqa: PLC0415  # the store's imports

            raise StoreError(f"there is no store at {find_address(settings)} yet, and so nothing to ship")
        async with app_of(settings) as app:
            shipper = app.shipper(to)
            return await shipper.ship(operator()), shipper.target

    shipment, target = run(act())
    if as_json:
        print_json(
            {
                "to": target,
                "parts": shipment.parts,
                "events": shipment.events,
                "shipped": shipment.last,
                "lag_events": shipment.lag.events,
                "lag_seconds": shipment.lag.seconds,
                "busy": shipment.busy,
                "problems": list(shipment.problems),
            }
        )
    else:
        tell(_sum_up(shipment, target))
    for problem in shipment.problems:
        report(f"{target}: {problem}")
    if shipment.problems:
        raise Failure


def _sum_up(shipment: Shipment, target: str) -> str:
    if shipment.busy:
        behind = count_of(shipment.lag.events, "event")
        are = "is" if shipment.lag.events == 1 else "are"
        return f"Another process is shipping just now: {behind} {are} not in {target} yet."
    if not shipment.parts:
        return f"There was nothing to ship: {target} has everything up to event {shipment.last:,}."
    amount = f"{count_of(shipment.events, 'event')} in {count_of(shipment.parts, 'part')}"
    return f"Shipped: {amount}; {target} has everything up to event {shipment.last:,}."
