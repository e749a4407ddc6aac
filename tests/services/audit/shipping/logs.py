"""A log to ship, in parts that are as small as a test wants them, and what lies at the place."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orgserver.model.access.principals import Principal
from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.services.audit.shipping.folder import Folder
from orgserver.services.audit.shipping.shipper import Shipper
from orgserver.services.audit.shipping.verification import check_folder
from orgserver.store.session import Store

CALLER = Caller(Principal("local:tester"), "cli")
Patch = Callable[..., Any]


async def write(store: Store, entries: int) -> None:
    """Entries, and a checkpoint over them: a part of their own."""
    for _ in range(entries):
        act = Intent(new_id(), "bot", "stdio", "create", org="acme", label="a\u2028b")
        await store.audit.record(act, Completion(Outcome.SUCCEEDED))
    await store.audit.look_after(idle_us=0)


async def ship_to(store: Store, folder: Path) -> Shipper:
    """A first shipment of three parts and more, and what goes on from there."""
    folder.mkdir(exist_ok=True)
    for _ in range(3):
        await write(store, 2)
    shipper = Shipper(store, Folder(folder))
    assert (await shipper.ship(CALLER)).problems == ()
    return Shipper(store, Folder(folder))


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("events-*.jsonl.gz"))


def verify(store: Store, folder: Path) -> int:
    """Every event lies there once, from the first on; the last of them."""
    finding = check_folder(folder, store.audit.signer.verifier)
    spans = [tuple(map(int, path.name.split(".")[0].split("-")[1:])) for path in parts(folder)]
    assert finding.problem is None
    assert finding.first == 1
    assert [first for first, _ in spans] == [1, *(last + 1 for _, last in spans[:-1])]
    assert finding.events == spans[-1][1]
    return finding.events


async def head(store: Store) -> int:
    from orgserver.services.audit.log_reader import AuditLogReader

    return await AuditLogReader(store).head()


async def run_both(*shippers: Shipper) -> list[Any]:
    return await asyncio.gather(*(each.ship(CALLER) for each in shippers))
